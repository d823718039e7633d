//! The organization itself: one file per operation, and the objects they show.

pub(crate) mod close;
pub(crate) mod get;
pub(crate) mod get_policy;
mod object;
pub(crate) mod update;
pub(crate) mod update_policy;

pub(crate) use object::{OrganizationObject, PolicyObject};
