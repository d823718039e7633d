//! Keys: create, find, and one act for every later change.
//!
//! What a change does is decided by a pure function of the key as it is under its lock; this file writes the
//! difference, its audit record and its event in the same transaction. Locks are taken in one order: organization, key,
//! audit head, epoch.

mod act;
mod callers;
mod create;
mod difference;
mod ends;
mod exchange;
mod forget;
mod import;
mod leaks;
mod list;
mod possession;
mod spikes;
mod uses;
mod write;

pub use act::{ChangeKeyOutcome, Changed, KeyAct};
pub use callers::CallerUse;
pub use create::CreateKeyOutcome;
pub(crate) use create::create;
pub use exchange::{ExchangeOutcome, PresentedToken};
pub use import::{ImportDone, ImportOutcome, ImportedKey};
pub use leaks::{Alarm, LeakDone, Sighting};
pub use list::KeyFilter;
pub(crate) use list::built;
pub use possession::Trail;
pub use uses::SecretUse;
pub(crate) use write::number_of;

use crate::audit::record;
use crate::cells::Cells;
use crate::door::{Linked, Tx, both};
use crate::epochs::{current_epoch, publish};
use crate::error::Error;
use crate::key_row::{KeyReader, by_text, key_columns, keys, with_secrets};
use crate::replay::{self, Former};
use crate::standing::{Demand, Judge};
use crate::statements::statements;
use crate::store::Store;
use crate::tenancy;
use claviger_domain::audit::{Action, Attribution, FieldChange};
use claviger_domain::id::KeyId;
use claviger_domain::key::{self, Key, KeyState, RevocationReason, StoredState, Unwilling};
use claviger_domain::limits;
use claviger_domain::revocation::{Change, Epoch};
use claviger_domain::tenancy::{Organization, TenantScope};
use claviger_domain::time::Timestamp;
use futures_util::TryStreamExt as _;

statements! {
    LOCK_ORGANIZATION = "UPDATE organization SET version = version + 1 WHERE id = $1 \
        RETURNING max_keys, live_keys, default_environment";
    /// The lock alone: what is decided under it is no change of the organization.
    HOLD_ORGANIZATION = "UPDATE organization SET version = version WHERE id = $1";
    FIND = concat!(key_columns!(), "FROM api_key k", with_secrets!(), "WHERE k.org_id = $1 AND k.id = $2 \
        ORDER BY s.number DESC");
    FIND_ANYWHERE = concat!(key_columns!(), "FROM api_key k", with_secrets!(), "WHERE k.id = $1 \
        ORDER BY s.number DESC");
    /// Keys that ended before `$1` are not remembered by nodes.
    LIST_ALL = concat!(key_columns!(), "FROM api_key k", with_secrets!(), "WHERE (k.state <> 'revoked' \
        OR k.state_at > $1) AND (k.expires_at IS NULL OR k.expires_at > CASE WHEN k.trust_id IS NULL THEN CAST($1 AS BIGINT) \
        ELSE CAST($2 AS BIGINT) END) ORDER BY k.id, s.number DESC");
    COUNT_EXPIRED = "SELECT CAST(COUNT(*) AS BIGINT) AS expired FROM api_key WHERE org_id = $1 AND expires_at <= $2 \
        AND expires_at IS NOT NULL AND state <> 'revoked' AND trust_id IS NULL";
    FIND_REVOKED_EPOCH = "SELECT revoked_epoch FROM api_key WHERE org_id = $1 AND id = $2";
    MARK_REVOKED = "UPDATE api_key SET revoked_epoch = $3 WHERE org_id = $1 AND id = $2";
    LOCK_KEY = "UPDATE api_key SET version = version + 1 WHERE org_id = $1 AND id = $2";
    UNLOCK_UNCHANGED = "UPDATE api_key SET version = version - 1 WHERE org_id = $1 AND id = $2";
}

pub(crate) use callers::STATEMENTS as CALLERS;
pub(crate) use create::STATEMENTS as CREATION;
pub(crate) use ends::STATEMENTS as ENDS;
pub(crate) use exchange::STATEMENTS as EXCHANGES;
pub(crate) use forget::STATEMENTS as FORGETTING;
pub(crate) use import::STATEMENTS as IMPORTS;
pub(crate) use leaks::STATEMENTS as LEAKS;
pub(crate) use possession::STATEMENTS as POSSESSION;
pub(crate) use spikes::STATEMENTS as SPIKES;
pub(crate) use uses::STATEMENTS as USES;
pub(crate) use write::STATEMENTS as WRITES;

impl Store {
    /// One key of the organization.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn find_key(&self, scope: TenantScope, id: KeyId) -> Result<Option<Key>, Error> {
        #[cfg(feature = "bugs")]
        if crate::bugs::is_organization_filter_missing() {
            return find_anywhere(&mut self.reader().await?, id).await;
        }
        find(&mut self.reader().await?, scope, id).await
    }

    /// The current truth about a presented key, for authentication: the only finder of keys without a scope beside
    /// [`Store::find_rights_key`], since the scope is what it finds out.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn find_presented_key(&self, id: KeyId) -> Result<Option<(Key, Organization)>, Error> {
        let mut reader = self.reader().await?;
        let Some(key) = find_anywhere(&mut reader, id).await? else { return Ok(None) };
        let organization = tenancy::find(&mut reader, key.organization).await?;
        Ok(organization.map(|organization| (key, organization)))
    }

    /// One key, for the follower of rights.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn find_rights_key(&self, id: KeyId) -> Result<Option<Key>, Error> {
        find_anywhere(&mut self.reader().await?, id).await
    }

    /// Changes a key as `decide` says of it under its lock: the next version, `None` = it is already so, or a refusal.
    /// The answer is `None` when the organization has no such key.
    ///
    /// # Errors
    /// `OutcomeUnknown`: repeating is safe, since what is already so is no change. `Beyond`: whoever acts is not, now, what
    /// the act demands.
    pub async fn change_key<E, F>(
        &self,
        scope: TenantScope,
        id: KeyId,
        act: impl Into<KeyAct>,
        decide: F,
        by: &Attribution,
    ) -> Result<Option<ChangeKeyOutcome<E>>, Error>
    where
        E: Send + 'static,
        F: Fn(&Key) -> Result<Option<Key>, E> + Send + 'static,
    {
        let (by, act) = (by.clone(), act.into());
        self.act(async move |tx: &mut Tx<'_>| apply(tx, scope, id, &act, &decide, &by).await).await
    }

    /// Revokes a key for ever. `None` = no such key here. Of a revoked key only an upgrade to `compromised` is new.
    ///
    /// # Errors
    /// `OutcomeUnknown`: repeating is safe.
    pub async fn revoke_key(
        &self,
        scope: TenantScope,
        id: KeyId,
        reason: RevocationReason,
        by: &Attribution,
    ) -> Result<Option<Changed>, Error> {
        let (at, who) = (by.at, by_text(by));
        let decide = move |key: &Key| Ok::<_, Unwilling>(key::revoke(key, reason, &who, at));
        Ok(match self.change_key(scope, id, Action::KeyDeleted, decide, by).await? {
            Some(ChangeKeyOutcome::Changed(changed)) => Some(changed),
            _ => None,
        })
    }

    /// Disables a key. `None` = no such key here; `Unwilling` = it is revoked.
    ///
    /// # Errors
    /// `OutcomeUnknown`: repeating is safe.
    pub async fn disable_key(
        &self,
        scope: TenantScope,
        id: KeyId,
        by: &Attribution,
    ) -> Result<Option<Result<Changed, Unwilling>>, Error> {
        let (at, who) = (by.at, by_text(by));
        let decide = move |key: &Key| key::disable(key, None, &who, at);
        Ok(plain(self.change_key(scope, id, Action::KeyDisabled, decide, by).await?))
    }

    /// Enables a key. `None` = no such key here; `Unwilling` = it is revoked.
    ///
    /// # Errors
    /// `OutcomeUnknown`: repeating is safe.
    pub async fn enable_key(
        &self,
        scope: TenantScope,
        id: KeyId,
        by: &Attribution,
    ) -> Result<Option<Result<Changed, Unwilling>>, Error> {
        let (at, who) = (by.at, by_text(by));
        let decide = move |key: &Key| key::enable(key, None, &who, at);
        Ok(plain(self.change_key(scope, id, Action::KeyEnabled, decide, by).await?))
    }
}

/// Acts without a version and an Idempotency-Key are done or refused.
fn plain<E>(outcome: Option<ChangeKeyOutcome<E>>) -> Option<Result<Changed, E>> {
    match outcome? {
        ChangeKeyOutcome::Changed(changed) => Some(Ok(changed)),
        ChangeKeyOutcome::Refused(refused) => Some(Err(refused)),
        _ => None,
    }
}

/// Changes a key inside a transaction, as [`Store::change_key`] does.
pub(crate) async fn apply<E>(
    tx: &mut Tx<'_>,
    scope: TenantScope,
    id: KeyId,
    act: &KeyAct,
    decide: &impl Fn(&Key) -> Result<Option<Key>, E>,
    by: &Attribution,
) -> Result<Option<ChangeKeyOutcome<E>>, Error> {
    let (organization, text) = (scope.0.to_string(), id.to_string());
    if act.demand != Demand::Nothing {
        // Whoever gives or takes rights in this organization holds the same lock.
        both!(tx, c => { sqlx::query(HOLD_ORGANIZATION).bind(&organization).execute(c).await?; });
    }
    both!(tx, c => { sqlx::query(LOCK_KEY).bind(&organization).bind(&text).execute(c).await?; });
    let Some(locked) = find(tx, scope, id).await? else { return Ok(None) };
    // The lock itself has counted the version up.
    let former = Key { version: locked.version.saturating_sub(1), ..locked };
    let next = match decided(tx, &former, act, decide, by).await? {
        Ok(next) => next,
        Err(unchanged) => {
            both!(tx, c => { sqlx::query(UNLOCK_UNCHANGED).bind(&organization).bind(&text).execute(c).await?; });
            return Ok(Some(unchanged));
        }
    };
    if act.demand != Demand::Nothing {
        let judge = Judge::of(tx, scope, by).await?;
        judge.require_change(tx, act.demand, Some(&former), &next).await?;
    }
    write::save(tx, &former, &next).await?;
    replay::save(tx, act.once.as_ref(), &text).await?;
    let mut changes = difference::between(&former, &next);
    changes.extend(act.note.as_ref().map(|note| change("note", None, Some(note.clone()))));
    record(tx, scope.0, by, act.action, &text, &changes).await?;
    let epoch = publish(tx, scope.0, &Change::Key(id), by.at).await?;
    if former.state != next.state && matches!(next.state, StoredState::Revoked { .. }) {
        mark_revoked(tx, &organization, &text, epoch).await?;
    }
    let key = Key { version: former.version.saturating_add(1), ..next };
    Ok(Some(ChangeKeyOutcome::Changed(Changed { key, epoch, is_new: true })))
}

/// The key as it shall be, or what ends the act without a change.
async fn decided<E>(
    tx: &mut Tx<'_>,
    former: &Key,
    act: &KeyAct,
    decide: &impl Fn(&Key) -> Result<Option<Key>, E>,
    by: &Attribution,
) -> Result<Result<Key, ChangeKeyOutcome<E>>, Error> {
    match replay::find(tx, act.once.as_ref(), by.at).await? {
        Former::None => {}
        Former::Same(_) => return Ok(Err(ChangeKeyOutcome::Repeated { key: former.clone() })),
        Former::OtherBody => return Ok(Err(ChangeKeyOutcome::OtherBody)),
    }
    if act.version.is_some_and(|version| version != former.version) {
        return Ok(Err(ChangeKeyOutcome::Stale));
    }
    let next = match decide(former) {
        Err(refused) => return Ok(Err(ChangeKeyOutcome::Refused(refused))),
        Ok(None) => {
            let (key, epoch) = (former.clone(), epoch_of(tx, former).await?);
            return Ok(Err(ChangeKeyOutcome::Changed(Changed { key, epoch, is_new: false })));
        }
        Ok(Some(next)) => next,
    };
    // Who moves the end of a key that came from a trust makes it one like any other, and it takes a place like any other.
    let is_freed = next.expires_at != former.expires_at && exchange::is_exchanged(tx, former).await?;
    let is_counted = |key: &Key| !matches!(key.state_at(by.at), KeyState::Revoked { .. } | KeyState::Expired { .. });
    if is_counted(&next) && (is_freed || !is_counted(former)) {
        let organization = former.organization.to_string();
        let places = both!(tx, c => {
            places(&sqlx::query(LOCK_ORGANIZATION).bind(&organization).fetch_one(c).await?)?
        });
        // It still counts as what it was: one that expired is taken out by the count of those.
        if let Some((limit, unused)) = create::limit_reached(tx, &organization, places, by.at).await? {
            return Ok(Err(ChangeKeyOutcome::LimitReached { limit, unused }));
        }
    }
    if is_freed {
        exchange::let_go(tx, former).await?;
    }
    Ok(Ok(next))
}

/// Every key that nodes remember, one by one: they may be millions, so they are never all in memory here.
pub(crate) async fn each(
    linked: &mut impl Linked,
    ended_after: Timestamp,
    learn: &mut (dyn FnMut(Key) + Send),
) -> Result<(), Error> {
    // Machines come for a new key every quarter of an hour: of those that ended, a day's are remembered.
    let exchanged_after = ended_after.plus(limits::REMEMBER_KEYS.saturating_sub(limits::REMEMBER_EXCHANGED));
    both!(linked, c => {
        let mut reader = KeyReader::default();
        let mut rows = sqlx::query(LIST_ALL).bind(ended_after.0).bind(exchanged_after.0).fetch(c);
        while let Some(row) = rows.try_next().await? {
            if let Some(key) = reader.take(&row)? {
                learn(key);
            }
        }
        if let Some(key) = reader.finish() {
            learn(key);
        }
        Ok(())
    })
}

/// The epoch of a revocation is kept, for whoever repeats it.
pub(crate) async fn mark_revoked(tx: &mut Tx<'_>, organization: &str, key: &str, epoch: Epoch) -> Result<(), Error> {
    both!(tx, c => { sqlx::query(MARK_REVOKED).bind(organization).bind(key).bind(epoch.0).execute(c).await?; });
    Ok(())
}

/// The epoch under which a key has become what it is: of a revoked one that of its revocation, else the current one.
async fn epoch_of(tx: &mut Tx<'_>, key: &Key) -> Result<Epoch, Error> {
    if let StoredState::Revoked { .. } = key.state {
        let (organization, id) = (key.organization.to_string(), key.id.to_string());
        let known = both!(tx, c => {
            let row = sqlx::query(FIND_REVOKED_EPOCH).bind(&organization).bind(&id).fetch_one(c).await?;
            row.int_or_none("revoked_epoch")?
        });
        if let Some(epoch) = known {
            return Ok(Epoch(epoch));
        }
    }
    current_epoch(tx).await
}

fn places<R: Cells>(row: &R) -> Result<create::Places, Error> {
    Ok(create::Places { limit: row.int("max_keys")?, counted: row.int("live_keys")? })
}

async fn find(linked: &mut impl Linked, scope: TenantScope, id: KeyId) -> Result<Option<Key>, Error> {
    let (organization, id) = (scope.0.to_string(), id.to_string());
    both!(linked, c => {
        Ok(keys(&sqlx::query(FIND).bind(&organization).bind(&id).fetch_all(c).await?)?.pop())
    })
}

pub(crate) async fn find_anywhere(linked: &mut impl Linked, id: KeyId) -> Result<Option<Key>, Error> {
    let id = id.to_string();
    both!(linked, c => Ok(keys(&sqlx::query(FIND_ANYWHERE).bind(&id).fetch_all(c).await?)?.pop()))
}

pub(crate) fn change(field: &str, from: Option<String>, to: Option<String>) -> FieldChange {
    FieldChange { field: field.to_owned(), from, to }
}
