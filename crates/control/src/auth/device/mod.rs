//! `claviger login`: a command line asks, a signed-in person consents in the browser, and the command line takes an admin
//! key (RFC 8628, with an admin key where that has an access token).
//!
//! The command line holds a device code of 256 bits; people type or open a short code that only tells which one is meant.
//! The key is made when the command line comes for it, never before, so its text is in nobody's hands in between and is
//! stored nowhere. It stands for whoever consented, with their role of that moment, and no longer than their session does:
//! whoever signed out, was removed or lost a role meanwhile gives nothing. Any member may: the key is never more than they
//! are, at any later moment either.

pub(crate) mod approve;
pub(crate) mod begin;
pub(crate) mod token;

use crate::respond::Refusal;
use claviger_domain::error::Code;
use claviger_domain::secret::Digest;
use serde::{Deserialize, Serialize};

/// A command line that waits, as its token keeps it.
#[derive(Debug, Deserialize, Serialize)]
struct Waiting {
    /// What it calls its machine.
    host: String,
    /// Where it asked from.
    address: String,
    /// What was decided.
    decision: Option<Decision>,
}

/// What a person decided.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum Decision {
    /// A key of this organization, for as long as the session lives in which it was granted.
    Granted { organization: String, session: String },
    /// None.
    Refused,
}

impl Waiting {
    fn read(detail: &str) -> Result<Self, Refusal> {
        serde_json::from_str(detail).map_err(|_| Code::InvalidLink.into())
    }

    fn text(&self) -> Result<String, Refusal> {
        serde_json::to_string(self).map_err(|_| Code::InternalError.into())
    }
}

/// What the short code's token keeps: which device code is meant.
fn hex(digest: &Digest) -> String {
    digest.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Digest> {
    let mut bytes = [0_u8; 32];
    if text.len() != 64 {
        return None;
    }
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    Some(Digest::from_bytes(bytes))
}
