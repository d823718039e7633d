//! SQLite: one process, one writer with group commit, a few read-only connections.

pub(crate) mod group;
pub(crate) mod open;
pub(crate) mod replay;
pub(crate) mod writer;
