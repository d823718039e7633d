//! One's own passkeys: one file per operation, and the object that all of them show.

pub(crate) mod add;
pub(crate) mod list;
pub(crate) mod options;
pub(crate) mod remove;

use claviger_domain::time::Timestamp;
use claviger_storage::Passkey;
use serde::Serialize;

#[derive(Serialize)]
pub(crate) struct PasskeyObject {
    object: &'static str,
    id: String,
    name: String,
    created_at: i64,
    last_used_at: Option<i64>,
}

impl PasskeyObject {
    fn new(passkey: &Passkey) -> Self {
        Self {
            object: "passkey",
            id: passkey.id.to_string(),
            name: passkey.name.clone(),
            created_at: passkey.created_at.seconds(),
            last_used_at: passkey.last_used_at.map(Timestamp::seconds),
        }
    }
}
