//! Environments, which the administration API calls projects: one file per operation.

pub(crate) mod archive;
pub(crate) mod ask;
pub(crate) mod create;
pub(crate) mod get;
pub(crate) mod list;
mod object;
pub(crate) mod update;

pub(crate) use object::EnvironmentObject;
