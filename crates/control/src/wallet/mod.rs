//! The organization's prepaid credit.

pub(crate) mod get;
