//! A key as rows: its columns with those of its secrets, its states as words, and reading them back.

use crate::cells::{Cells, corrupt, known};
use crate::error::Error;
use crate::key_policy;
use crate::keys::number_of;
use claviger_domain::audit::Attribution;
use claviger_domain::key::{
    AtDeadline, Class, EndReason, Key, Recipe, RevocationReason, StateChange, StoredSecret, StoredState,
};
use claviger_domain::right::Role;
use claviger_domain::secret::Digest;
use claviger_domain::time::Timestamp;

/// What every reading of keys selects: one row a secret, those of a key together and newest first.
macro_rules! key_columns {
    () => {
        "SELECT k.id, k.org_id, k.environment_id, k.class, k.is_test, k.is_canary, k.name, k.source_tag, k.owner, \
         k.created_by, k.role, k.state, k.state_at, k.state_by, k.state_reason, k.expires_at, k.policy, k.stored_in, \
         k.exposed_at, k.rotation_due_since, k.new_caller_at, k.rate_limited_at, k.created_at, k.last_used_at, k.version, s.id AS secret_id, s.number, \
         s.digest, s.pepper_version, s.recipe, s.redacted, s.created_at AS secret_created_at, \
         s.created_by AS secret_created_by, s.reissue_until, s.ends_at, s.quiet_hours, s.at_deadline, s.ended_at, \
         s.end_reason, s.first_used_at, s.last_used_at AS secret_last_used_at "
    };
}
pub(crate) use key_columns;

/// The secrets of the keys `k`: all that nodes remember.
macro_rules! with_secrets {
    () => {
        " JOIN secret s ON s.key_id = k.id AND NOT s.is_forgotten "
    };
}
pub(crate) use with_secrets;

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

/// Who acts, as `created_by` and `state_by` say it.
pub(crate) fn by_text(by: &Attribution) -> String {
    match by.actor.parts() {
        (kind @ ("operator" | "system"), _) => kind.to_owned(),
        (_, id) => id.to_owned(),
    }
}

/// Takes rows one by one, as [`key_columns`] selects and orders them, and gives whole keys.
#[derive(Default)]
pub(crate) struct KeyReader(Option<Key>);

impl KeyReader {
    /// The key before this row, once the row begins another one.
    pub(crate) fn take<R: Cells>(&mut self, row: &R) -> Result<Option<Key>, Error> {
        let id = row.parsed("id")?;
        let secret = secret(row)?;
        if let Some(open) = self.0.as_mut().filter(|open| open.id == id) {
            open.secrets.push(secret);
            return Ok(None);
        }
        Ok(self.0.replace(key(row, secret)?))
    }

    /// The last key.
    pub(crate) fn finish(self) -> Option<Key> {
        self.0
    }
}

/// Reads every key of these rows.
pub(crate) fn keys<R: Cells>(rows: &[R]) -> Result<Vec<Key>, Error> {
    let (mut reader, mut keys) = (KeyReader::default(), Vec::new());
    for row in rows {
        keys.extend(reader.take(row)?);
    }
    keys.extend(reader.finish());
    Ok(keys)
}

fn key<R: Cells>(row: &R, secret: StoredSecret) -> Result<Key, Error> {
    let (class, state) = (row.text("class")?, row.text("state")?);
    let role = row.text_or_none("role")?;
    let changed_at = row.int_or_none("state_at")?.map(Timestamp);
    let reason = row.text_or_none("state_reason")?;
    let at = || changed_at.ok_or_else(|| corrupt("api_key.state_at", &state));
    let state = match state.as_str() {
        "enabled" => StoredState::Enabled,
        "disabled" => StoredState::Disabled { at: at()? },
        "revoked" => {
            let reason = reason.as_deref().unwrap_or_default();
            let reason = known(RevocationReason::from_name(reason), "api_key.state_reason", reason)?;
            StoredState::Revoked { at: at()?, reason }
        }
        _ => return Err(corrupt("api_key.state", &state)),
    };
    let by = row.text_or_none("state_by")?.unwrap_or_default();
    let owner = row.text_or_none("owner")?;
    Ok(Key {
        id: row.parsed("id")?,
        organization: row.parsed("org_id")?,
        environment: row.parsed("environment_id")?,
        class: known(Class::from_name(&class), "api_key.class", &class)?,
        is_test: row.flag("is_test")?,
        is_canary: row.flag("is_canary")?,
        name: row.text("name")?,
        source_tag: row.text_or_none("source_tag")?,
        owner: owner.map(|owner| crate::cells::parse("api_key.owner", &owner)).transpose()?,
        created_by: row.text("created_by")?,
        role: role.map(|role| known(Role::from_name(&role), "api_key.role", &role)).transpose()?,
        state,
        state_changed: changed_at.map(|at| StateChange { at, by, reason }),
        expires_at: row.int_or_none("expires_at")?.map(Timestamp),
        policy: key_policy::policy(row.text_or_none("policy")?.as_deref())?,
        stored_in: row.text_or_none("stored_in")?,
        exposed_at: row.int_or_none("exposed_at")?.map(Timestamp),
        rotation_due_since: row.int_or_none("rotation_due_since")?.map(Timestamp),
        new_caller_at: row.int_or_none("new_caller_at")?.map(Timestamp),
        rate_limited_at: row.int_or_none("rate_limited_at")?.map(Timestamp),
        created_at: Timestamp(row.int("created_at")?),
        last_used_at: row.int_or_none("last_used_at")?.map(Timestamp),
        version: row.int("version")?,
        secrets: vec![secret],
    })
}

fn secret<R: Cells>(row: &R) -> Result<StoredSecret, Error> {
    let digest: [u8; 32] =
        row.bytes("digest")?.as_slice().try_into().map_err(|_| corrupt("secret.digest", "not 32 bytes"))?;
    let (recipe, at_deadline) = (row.text("recipe")?, row.text("at_deadline")?);
    let end_reason = row.text_or_none("end_reason")?;
    let time = |column| Ok::<_, Error>(row.int_or_none(column)?.map(Timestamp));
    Ok(StoredSecret {
        id: row.parsed("secret_id")?,
        number: small("secret.number", number_of(row.int("number")?))?,
        digest: Digest::from_bytes(digest),
        pepper_version: small("secret.pepper_version", row.int("pepper_version")?)?,
        recipe: known(Recipe::from_name(&recipe), "secret.recipe", &recipe)?,
        redacted: row.text("redacted")?,
        created_at: Timestamp(row.int("secret_created_at")?),
        created_by: row.text("secret_created_by")?,
        reissue_until: time("reissue_until")?,
        ends_at: time("ends_at")?,
        finish_when_quiet_hours: row.int_or_none("quiet_hours")?.map(|n| small("secret.quiet_hours", n)).transpose()?,
        at_deadline: known(AtDeadline::from_name(&at_deadline), "secret.at_deadline", &at_deadline)?,
        ended_at: time("ended_at")?,
        end_reason: end_reason
            .map(|text| known(EndReason::from_name(&text), "secret.end_reason", &text))
            .transpose()?,
        first_used_at: time("first_used_at")?,
        last_used_at: time("secret_last_used_at")?,
    })
}

fn small<T: TryFrom<i64>>(column: &'static str, number: i64) -> Result<T, Error> {
    T::try_from(number).map_err(|_| corrupt(column, &number.to_string()))
}
