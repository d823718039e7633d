//! Request records and the receipts made of them.

pub(crate) mod get;
pub(crate) mod list;
mod object;
pub(crate) mod receipt;
