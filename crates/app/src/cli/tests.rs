//! The command line against the management plane in this process.
