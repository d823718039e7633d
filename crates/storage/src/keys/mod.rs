//! Keys: create, find, and one act for every later change.
//!
//! What a change does is decided by a pure function of the key as it is under its lock; this file writes the
//! difference, its audit record and its event in the same transaction. Locks are taken in one order: organization, key,
//! audit head, epoch.

mod difference;
mod forget;
mod import;
mod leaks;
mod list;
mod uses;
mod write;

pub use import::{ImportOutcome, ImportedKey};
pub use leaks::{Alarm, LeakDone, Sighting};
pub use list::KeyFilter;
pub(crate) use list::built;
pub use uses::SecretUse;

use crate::audit::record;
use crate::cells::{Cells as _, corrupt};
use crate::door::{Linked, Tx, both};
use crate::epochs::{current_epoch, publish};
use crate::error::Error;
use crate::key_row::{KeyReader, by_text, key_columns, keys, with_secrets};
use crate::statements::statements;
use crate::store::Store;
use crate::tenancy;
use claviger_domain::audit::{Action, Attribution, FieldChange};
use claviger_domain::id::{EnvironmentId, KeyId};
use claviger_domain::key::{Key, NewKey, Refused, RevocationReason, StateChange, StoredSecret, StoredState};
use claviger_domain::limits;
use claviger_domain::revocation::{Change, Epoch};
use claviger_domain::tenancy::{Organization, TenantScope};
use claviger_domain::time::Timestamp;
use futures_util::TryStreamExt as _;

statements! {
    LOCK_ORGANIZATION = "UPDATE organization SET version = version + 1 WHERE id = $1 \
        RETURNING max_keys, default_environment";
    FIND_ENVIRONMENT = "SELECT id FROM environment WHERE org_id = $1 AND id = $2 AND archived_at IS NULL";
    COUNT_LIVE = "SELECT CAST(COUNT(*) AS BIGINT) AS live FROM api_key WHERE org_id = $1 AND state <> 'revoked' \
        AND (expires_at IS NULL OR expires_at > $2)";
    COUNT_UNUSED = "SELECT CAST(COUNT(*) AS BIGINT) AS unused FROM api_key WHERE org_id = $1 AND state <> 'revoked' \
        AND (expires_at IS NULL OR expires_at > $2) AND COALESCE(last_used_at, created_at) < $3";
    FIND = concat!(key_columns!(), "FROM api_key k", with_secrets!(), "WHERE k.org_id = $1 AND k.id = $2 \
        ORDER BY s.number DESC");
    FIND_ANYWHERE = concat!(key_columns!(), "FROM api_key k", with_secrets!(), "WHERE k.id = $1 \
        ORDER BY s.number DESC");
    /// Keys that ended before `$1` are not remembered by nodes.
    LIST_ALL = concat!(key_columns!(), "FROM api_key k", with_secrets!(), "WHERE (k.state <> 'revoked' \
        OR k.state_at > $1) AND (k.expires_at IS NULL OR k.expires_at > $1) ORDER BY k.id, s.number DESC");
    LOCK_KEY = "UPDATE api_key SET version = version + 1 WHERE org_id = $1 AND id = $2";
    UNLOCK_UNCHANGED = "UPDATE api_key SET version = version - 1 WHERE org_id = $1 AND id = $2";
}

pub(crate) use forget::STATEMENTS as FORGETTING;
pub(crate) use import::STATEMENTS as IMPORTS;
pub(crate) use leaks::STATEMENTS as LEAKS;
pub(crate) use uses::STATEMENTS as USES;
pub(crate) use write::STATEMENTS as WRITES;

/// How a key was, or was not, made.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "made once an act; a box would only make it awkward to match")]
pub enum CreateKeyOutcome {
    /// It is stored, or was by an earlier call with the same id and secret.
    Created {
        /// As stored.
        key: Key,
        /// The epoch that brings it into force.
        epoch: Epoch,
    },
    /// The organization has as many keys as it may, neither revoked nor expired.
    LimitReached {
        /// As many as that.
        limit: u32,
        /// How many of them were not used for 90 days.
        unused: u32,
    },
    /// The organization has no such environment.
    UnknownEnvironment,
    /// Another key has this id: draw again.
    IdTaken,
}

/// A key after an act on it.
#[derive(Clone, Debug)]
pub struct Changed {
    /// As it is now.
    pub key: Key,
    /// The epoch that brings the change into force.
    pub epoch: Epoch,
    /// Whether this call changed it; a repetition does not.
    pub is_new: bool,
}

impl Store {
    /// Makes a key with its first secret. Repeating it with the same id and secret answers `Created` again.
    ///
    /// # Errors
    /// `OutcomeUnknown`: repeat with the same [`NewKey`].
    pub async fn create_key(
        &self,
        scope: TenantScope,
        new: NewKey,
        by: &Attribution,
    ) -> Result<CreateKeyOutcome, Error> {
        let by = by.clone();
        self.act(async move |tx: &mut Tx<'_>| create(tx, scope, &new, &by).await).await
    }

    /// One key of the organization.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn find_key(&self, scope: TenantScope, id: KeyId) -> Result<Option<Key>, Error> {
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
    /// `OutcomeUnknown`: repeating is safe, since what is already so is no change.
    pub async fn change_key<E, F>(
        &self,
        scope: TenantScope,
        id: KeyId,
        action: Action,
        decide: F,
        by: &Attribution,
    ) -> Result<Option<Result<Changed, E>>, Error>
    where
        E: Send + 'static,
        F: Fn(&Key) -> Result<Option<Key>, E> + Send + 'static,
    {
        let by = by.clone();
        self.act(async move |tx: &mut Tx<'_>| apply(tx, scope, id, action, &decide, &by).await).await
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
        let at = by.at;
        let turn = move |state: StoredState| Ok(state.revoke(at, reason));
        let changed = self.change_state(scope, id, Action::KeyDeleted, turn, by).await?;
        Ok(changed.and_then(Result::ok))
    }

    /// Disables a key. `None` = no such key here; `Refused` = it is revoked.
    ///
    /// # Errors
    /// `OutcomeUnknown`: repeating is safe.
    pub async fn disable_key(
        &self,
        scope: TenantScope,
        id: KeyId,
        by: &Attribution,
    ) -> Result<Option<Result<Changed, Refused>>, Error> {
        let at = by.at;
        let turn = move |state: StoredState| state.disable(at).map(|next| (next != state).then_some(next));
        self.change_state(scope, id, Action::KeyDisabled, turn, by).await
    }

    /// Enables a key. `None` = no such key here; `Refused` = it is revoked.
    ///
    /// # Errors
    /// `OutcomeUnknown`: repeating is safe.
    pub async fn enable_key(
        &self,
        scope: TenantScope,
        id: KeyId,
        by: &Attribution,
    ) -> Result<Option<Result<Changed, Refused>>, Error> {
        let turn = |state: StoredState| state.enable().map(|next| (next != state).then_some(next));
        self.change_state(scope, id, Action::KeyEnabled, turn, by).await
    }

    async fn change_state<F>(
        &self,
        scope: TenantScope,
        id: KeyId,
        action: Action,
        turn: F,
        by: &Attribution,
    ) -> Result<Option<Result<Changed, Refused>>, Error>
    where
        F: Fn(StoredState) -> Result<Option<StoredState>, Refused> + Send + 'static,
    {
        let (at, who) = (by.at, by_text(by));
        let decide = move |key: &Key| {
            let next = turn(key.state)?;
            Ok(next.map(|state| {
                let reason = match state {
                    StoredState::Revoked { reason, .. } => Some(reason.name().to_owned()),
                    _ => None,
                };
                let state_changed = Some(StateChange { at, by: who.clone(), reason });
                Key { state, state_changed, ..key.clone() }
            }))
        };
        self.change_key(scope, id, action, decide, by).await
    }
}

/// Changes a key inside a transaction, as [`Store::change_key`] does.
pub(crate) async fn apply<E>(
    tx: &mut Tx<'_>,
    scope: TenantScope,
    id: KeyId,
    action: Action,
    decide: &impl Fn(&Key) -> Result<Option<Key>, E>,
    by: &Attribution,
) -> Result<Option<Result<Changed, E>>, Error> {
    let (organization, text) = (scope.0.to_string(), id.to_string());
    both!(tx, c => { sqlx::query(LOCK_KEY).bind(&organization).bind(&text).execute(c).await?; });
    let Some(former) = find(tx, scope, id).await? else { return Ok(None) };
    let next = match decide(&former) {
        Ok(Some(next)) => next,
        unchanged => {
            both!(tx, c => { sqlx::query(UNLOCK_UNCHANGED).bind(&organization).bind(&text).execute(c).await?; });
            let key = Key { version: former.version.saturating_sub(1), ..former };
            return Ok(Some(match unchanged {
                Err(refused) => Err(refused),
                Ok(_) => Ok(Changed { key, epoch: current_epoch(tx).await?, is_new: false }),
            }));
        }
    };
    write::save(tx, &former, &next).await?;
    record(tx, scope.0, by, action, &text, &difference::between(&former, &next)).await?;
    let epoch = publish(tx, scope.0, &Change::Key(id), by.at).await?;
    Ok(Some(Ok(Changed { key: next, epoch, is_new: true })))
}

/// Makes a key inside a transaction.
pub(crate) async fn create(
    tx: &mut Tx<'_>,
    scope: TenantScope,
    new: &NewKey,
    by: &Attribution,
) -> Result<CreateKeyOutcome, Error> {
    let organization = scope.0.to_string();
    let locked = both!(tx, c => {
        let row = sqlx::query(LOCK_ORGANIZATION).bind(&organization).fetch_optional(c).await?;
        row.map(|row| Ok::<_, Error>((row.int("max_keys")?, row.parsed("default_environment")?))).transpose()?
    });
    let Some((limit, default_environment)) = locked else { return Ok(CreateKeyOutcome::UnknownEnvironment) };
    if let Some(existing) = find_anywhere(tx, new.id).await? {
        let is_same = existing.organization == scope.0
            && existing.secrets.iter().any(|secret| secret.digest.matches(&new.secret.digest));
        return Ok(match is_same {
            true => CreateKeyOutcome::Created { key: existing, epoch: current_epoch(tx).await? },
            false => CreateKeyOutcome::IdTaken,
        });
    }
    let environment: EnvironmentId = new.environment.unwrap_or(default_environment);
    let environment_text = environment.to_string();
    let is_known = both!(tx, c => {
        let found = sqlx::query(FIND_ENVIRONMENT).bind(&organization).bind(&environment_text).fetch_optional(c).await?;
        found.is_some()
    });
    if !is_known {
        return Ok(CreateKeyOutcome::UnknownEnvironment);
    }
    if let Some(reached) = limit_reached(tx, &organization, limit, by.at).await? {
        return Ok(reached);
    }
    let key = made(scope, environment, new, by);
    write::insert(tx, &key).await?;
    record(tx, scope.0, by, Action::KeyCreated, &new.id.to_string(), &difference::of_new(&key)).await?;
    let epoch = publish(tx, scope.0, &Change::Key(new.id), by.at).await?;
    let key = find(tx, scope, new.id).await?;
    let key = key.ok_or_else(|| corrupt("api_key", "a row just written"))?;
    Ok(CreateKeyOutcome::Created { key, epoch })
}

/// Under the organization's lock, so that parallel acts at the limit give exactly the limit.
async fn limit_reached(
    tx: &mut Tx<'_>,
    organization: &str,
    limit: i64,
    now: Timestamp,
) -> Result<Option<CreateKeyOutcome>, Error> {
    let live = both!(tx, c => sqlx::query(COUNT_LIVE).bind(organization).bind(now.0).fetch_one(c).await?.int("live")?);
    if live < limit {
        return Ok(None);
    }
    let long_ago = now.minus(limits::UNUSED_KEY);
    let unused = both!(tx, c => {
        sqlx::query(COUNT_UNUSED).bind(organization).bind(now.0).bind(long_ago.0).fetch_one(c).await?.int("unused")?
    });
    let (limit, unused) = (u32::try_from(limit).unwrap_or(u32::MAX), u32::try_from(unused).unwrap_or(u32::MAX));
    Ok(Some(CreateKeyOutcome::LimitReached { limit, unused }))
}

/// The key that a [`NewKey`] becomes.
fn made(scope: TenantScope, environment: EnvironmentId, new: &NewKey, by: &Attribution) -> Key {
    let maker = by_text(by);
    Key {
        id: new.id,
        organization: scope.0,
        environment,
        class: new.class,
        is_test: new.is_test,
        is_canary: new.is_canary,
        name: new.name.as_str().to_owned(),
        source_tag: new.source_tag.as_ref().map(|tag| tag.as_str().to_owned()),
        owner: new.owner,
        created_by: maker.clone(),
        role: new.role,
        state: StoredState::Enabled,
        state_changed: None,
        expires_at: new.expires_at,
        policy: new.policy.clone(),
        stored_in: new.stored_in.as_ref().map(|place| place.as_str().to_owned()),
        exposed_at: None,
        rotation_due_since: None,
        created_at: by.at,
        last_used_at: None,
        version: 1,
        secrets: vec![StoredSecret { number: 1, created_by: maker, ..new.secret.clone() }],
    }
}

/// Every key that nodes remember, one by one: they may be millions, so they are never all in memory here.
pub(crate) async fn each(
    linked: &mut impl Linked,
    ended_after: Timestamp,
    learn: &mut (dyn FnMut(Key) + Send),
) -> Result<(), Error> {
    both!(linked, c => {
        let mut reader = KeyReader::default();
        let mut rows = sqlx::query(LIST_ALL).bind(ended_after.0).fetch(c);
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
