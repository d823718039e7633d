//! Configuration as operators write it.
