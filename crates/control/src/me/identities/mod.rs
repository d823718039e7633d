//! One's accounts of identity providers: one file per operation.

pub(crate) mod link;
pub(crate) mod list;
pub(crate) mod unlink;
