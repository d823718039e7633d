//! The management plane over a real SQLite store.
