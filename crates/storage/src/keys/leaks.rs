//! What happens to a key that was seen where it does not belong, and to whoever presents bait.
//!
//! Each is one transaction: the change of the key, its audit record, and the notice to its owners.

use super::{KeyAct, apply, find_anywhere, plain};
use crate::audit::{AuditEvent, append};
use crate::cells::Cells as _;
use crate::door::{Tx, both};
use crate::error::Error;
use crate::notices::notify;
use crate::statements::statements;
use crate::store::Store;
use claviger_domain::audit::{Action, Attribution, Chain, FieldChange};
use claviger_domain::id::{KeyId, SecretId};
use claviger_domain::key::{Key, Owner, StateChange, StoredState};
use claviger_domain::notice::{Notice, NoticeKind};
use claviger_domain::revocation::Epoch;
use claviger_domain::tenancy::{LeakAction, TenantScope};

statements! {
    BESIDE = "SELECT id FROM api_key WHERE org_id = $1 AND stored_in = $2 AND id <> $3 AND state = 'enabled' ORDER BY id";
}

/// Where a key was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// Whose key.
    pub scope: TenantScope,
    /// The key.
    pub key: KeyId,
    /// Its secret that was seen.
    pub secret: SecretId,
    /// Who says so: `github`, `url`.
    pub source: String,
    /// Where it stands; empty if nobody can tell.
    pub url: String,
}

/// What was done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeakDone {
    /// The secret, or with it the key, was ended.
    Ended(Epoch),
    /// The key was flagged, and its owners told.
    Flagged(Epoch),
    /// It had ended before.
    Already,
}

/// Something that owners want to know within seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alarm {
    /// What happened: a canary was presented, an ended key was used.
    pub kind: NoticeKind,
    /// Whose key.
    pub scope: TenantScope,
    /// The key.
    pub key: KeyId,
    /// The endpoint that was tried.
    pub path: String,
    /// Whether a canary takes the keys that lie beside it along.
    pub disables_beside: bool,
}

impl Store {
    /// Acts on a key that was seen in public, as its organization's policy says. `None` = there is no such key.
    ///
    /// # Errors
    /// `OutcomeUnknown`: repeating is safe, and recorded again.
    pub async fn report_leak(
        &self,
        sighting: Sighting,
        action: LeakAction,
        by: &Attribution,
    ) -> Result<Option<LeakDone>, Error> {
        let by = by.clone();
        self.act(async move |tx: &mut Tx<'_>| leaked(tx, &sighting, action, &by).await).await
    }

    /// Records and tells an alarm. A canary may take along every key that is kept in the same place.
    ///
    /// # Errors
    /// Those of writing; a repetition tells the same instant once.
    pub async fn raise_alarm(&self, alarm: Alarm, by: &Attribution) -> Result<(), Error> {
        let by = by.clone();
        self.act(async move |tx: &mut Tx<'_>| raise(tx, &alarm, &by).await).await
    }
}

async fn leaked(
    tx: &mut Tx<'_>,
    sighting: &Sighting,
    action: LeakAction,
    by: &Attribution,
) -> Result<Option<LeakDone>, Error> {
    let Some(key) = find_anywhere(tx, sighting.key).await?.filter(|key| key.organization == sighting.scope.0) else {
        return Ok(None);
    };
    let (secret, at, who) = (sighting.secret, by.at, crate::key_row::by_text(by));
    let others = key.live_secrets(at).any(|live| live.id != secret);
    let word = match action {
        LeakAction::Notify => Action::KeyExposed,
        LeakAction::Revoke if others => Action::SecretEnded,
        LeakAction::Revoke => Action::KeyDeleted,
    };
    let decide = move |key: &Key| {
        let flagged = Key { exposed_at: key.exposed_at.or(Some(at)), ..key.clone() };
        Ok::<_, std::convert::Infallible>(match action {
            LeakAction::Notify => key.exposed_at.is_none().then_some(flagged),
            LeakAction::Revoke => {
                key.without_secret(secret, at, &who).map(|ended| Key { exposed_at: flagged.exposed_at, ..ended })
            }
        })
    };
    let changed = apply(tx, sighting.scope, sighting.key, &KeyAct::from(word), &decide, by).await?;
    let told = [("source", &sighting.source), ("url", &sighting.url)];
    let told = told.map(|(field, value)| FieldChange { field: field.to_owned(), from: None, to: Some(value.clone()) });
    let event = AuditEvent::done(Action::LeakReported, sighting.key.to_string(), told.to_vec());
    append(tx, Chain::Organization(sighting.scope.0), by, &event).await?;
    let detail = serde_json::json!({ "name": key.name, "source": sighting.source, "url": sighting.url });
    tell(tx, NoticeKind::KeyExposed, &key, detail, by).await?;
    Ok(plain(changed).and_then(Result::ok).map(|changed| match (changed.is_new, action) {
        (false, _) => LeakDone::Already,
        (true, LeakAction::Revoke) => LeakDone::Ended(changed.epoch),
        (true, LeakAction::Notify) => LeakDone::Flagged(changed.epoch),
    }))
}

async fn raise(tx: &mut Tx<'_>, alarm: &Alarm, by: &Attribution) -> Result<(), Error> {
    let Some(key) = find_anywhere(tx, alarm.key).await?.filter(|key| key.organization == alarm.scope.0) else {
        return Ok(());
    };
    let action = match alarm.kind {
        NoticeKind::CanaryHit => Some(Action::CanaryHit),
        NoticeKind::EndedKeyUsed => Some(Action::EndedKeyUsed),
        _ => None,
    };
    if let Some(action) = action {
        let path = FieldChange { field: "endpoint".to_owned(), from: None, to: Some(alarm.path.clone()) };
        let event = AuditEvent::done(action, alarm.key.to_string(), vec![path]);
        append(tx, Chain::Organization(alarm.scope.0), by, &event).await?;
    }
    if alarm.kind == NoticeKind::CanaryHit
        && let Some(place) = key.stored_in.as_ref().filter(|_| alarm.disables_beside)
    {
        disable_beside(tx, alarm, place, by).await?;
    }
    let detail = serde_json::json!({
        "name": key.name, "address": by.address, "client": by.client, "endpoint": alarm.path,
        "stored_in": key.stored_in.as_deref().unwrap_or_default(),
    });
    tell(tx, alarm.kind, &key, detail, by).await
}

async fn disable_beside(tx: &mut Tx<'_>, alarm: &Alarm, place: &str, by: &Attribution) -> Result<(), Error> {
    let (organization, id) = (alarm.scope.0.to_string(), alarm.key.to_string());
    let beside: Vec<KeyId> = both!(tx, c => {
        let rows = sqlx::query(BESIDE).bind(&organization).bind(place).bind(&id).fetch_all(c).await?;
        rows.iter().map(|row| row.parsed("id")).collect::<Result<Vec<_>, Error>>()?
    });
    let (at, who) = (by.at, crate::key_row::by_text(by));
    for id in beside {
        let decide = |key: &Key| {
            let changed = StateChange { at, by: who.clone(), reason: None };
            let is_enabled = key.state == StoredState::Enabled && !key.is_canary;
            let disabled = Key { state: StoredState::Disabled { at }, state_changed: Some(changed), ..key.clone() };
            Ok::<_, std::convert::Infallible>(is_enabled.then_some(disabled))
        };
        apply(tx, alarm.scope, id, &KeyAct::from(Action::KeyDisabled), &decide, by).await?;
    }
    Ok(())
}

pub(super) async fn tell(
    tx: &mut Tx<'_>,
    kind: NoticeKind,
    key: &Key,
    detail: serde_json::Value,
    by: &Attribution,
) -> Result<(), Error> {
    let also = match key.owner {
        Some(Owner::User(user)) => Some(user),
        _ => None,
    };
    let (organization, object, detail) = (key.organization, key.id.to_string(), detail.to_string());
    notify(tx, &Notice { kind, organization, also, object, detail, at: by.at }).await
}
