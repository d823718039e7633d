//! What only the operator of the instance does.

pub(crate) mod grants;
pub(crate) mod in_doubt;
pub(crate) mod jobs;
pub(crate) mod leases;
pub(crate) mod nodes;
pub(crate) mod organizations;
pub(crate) mod providers;
pub(crate) mod rebuild_usage;
pub(crate) mod reload;
pub(crate) mod set_up;
pub(crate) mod users;
pub(crate) mod verify_ledger;
