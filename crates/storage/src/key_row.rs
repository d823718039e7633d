//! A key as a row: its columns, its states as words, and reading it back.

use crate::cells::{Cells, corrupt, known};
use crate::error::Error;
use claviger_domain::key::{Class, Key, RevocationReason, StoredSecret, StoredState};
use claviger_domain::right::Role;
use claviger_domain::secret::Digest;
use claviger_domain::time::Timestamp;

/// What every reading of keys selects, with the key's live secret.
macro_rules! key_columns {
    () => {
        "SELECT k.id, k.org_id, k.environment_id, k.class, k.is_test, k.name, k.source_tag, k.role, k.state, k.state_at, \
         k.state_reason, k.expires_at, k.created_at, k.last_used_at, k.version, s.id AS secret_id, s.digest, \
         s.pepper_version, s.redacted, s.created_at AS secret_created_at \
         FROM api_key k JOIN secret s ON s.key_id = k.id AND s.ended_at IS NULL"
    };
}
pub(crate) use key_columns;

/// The state as its three columns.
pub(crate) fn parts(state: StoredState) -> (&'static str, Option<i64>, Option<&'static str>) {
    match state {
        StoredState::Enabled => ("enabled", None, None),
        StoredState::Disabled { at } => ("disabled", Some(at.0), None),
        StoredState::Revoked { at, reason } => ("revoked", Some(at.0), Some(reason.name())),
    }
}

/// The state as audit records say it.
pub(crate) fn described(state: StoredState) -> String {
    match parts(state) {
        (state, _, Some(reason)) => format!("{state} ({reason})"),
        (state, _, None) => state.to_owned(),
    }
}

/// Reads a key.
pub(crate) fn key<R: Cells>(row: &R) -> Result<Key, Error> {
    let (class, state) = (row.text("class")?, row.text("state")?);
    let role = row.text_or_none("role")?;
    let at = || Ok::<_, Error>(Timestamp(row.int("state_at")?));
    let state = match state.as_str() {
        "enabled" => StoredState::Enabled,
        "disabled" => StoredState::Disabled { at: at()? },
        "revoked" => {
            let reason = row.text("state_reason")?;
            let reason = known(RevocationReason::from_name(&reason), "api_key.state_reason", &reason)?;
            StoredState::Revoked { at: at()?, reason }
        }
        _ => return Err(corrupt("api_key.state", &state)),
    };
    let digest: [u8; 32] =
        row.bytes("digest")?.as_slice().try_into().map_err(|_| corrupt("secret.digest", "not 32 bytes"))?;
    let pepper_version = row.int("pepper_version")?;
    Ok(Key {
        id: row.parsed("id")?,
        organization: row.parsed("org_id")?,
        environment: row.parsed("environment_id")?,
        class: known(Class::from_name(&class), "api_key.class", &class)?,
        is_test: row.flag("is_test")?,
        name: row.text("name")?,
        source_tag: row.text_or_none("source_tag")?,
        role: role.map(|role| known(Role::from_name(&role), "api_key.role", &role)).transpose()?,
        state,
        expires_at: row.int_or_none("expires_at")?.map(Timestamp),
        created_at: Timestamp(row.int("created_at")?),
        last_used_at: row.int_or_none("last_used_at")?.map(Timestamp),
        version: row.int("version")?,
        secret: StoredSecret {
            id: row.parsed("secret_id")?,
            digest: Digest::from_bytes(digest),
            pepper_version: u16::try_from(pepper_version)
                .map_err(|_| corrupt("secret.pepper_version", &pepper_version.to_string()))?,
            redacted: row.text("redacted")?,
            created_at: Timestamp(row.int("secret_created_at")?),
        },
    })
}
