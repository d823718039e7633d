//! Keys: create, list, find, revoke, disable, enable, last uses.
//!
//! Locks are taken in one order: organization, key, audit head, epoch.

use crate::audit::record;
use crate::cells::{Cells as _, corrupt};
use crate::door::{Linked, Tx, both};
use crate::epochs::{current_epoch, publish};
use crate::error::Error;
use crate::key_row::{described, key, key_columns, parts};
use crate::page::{Page, PageRequest};
use crate::statements::statements;
use crate::store::Store;
use crate::tenancy;
use claviger_domain::audit::{Action, Attribution, FieldChange};
use claviger_domain::id::{EnvironmentId, KeyId};
use claviger_domain::key::{Class, Key, NewKey, Refused, RevocationReason, StoredState};
use claviger_domain::limits;
use claviger_domain::revocation::{Change, Epoch};
use claviger_domain::right::Role;
use claviger_domain::tenancy::{Organization, TenantScope};
use claviger_domain::time::Timestamp;
use sqlx::AssertSqlSafe;

statements! {
    LOCK_ORGANIZATION = "UPDATE organization SET version = version + 1 WHERE id = $1 \
        RETURNING max_keys, default_environment";
    FIND_ENVIRONMENT = "SELECT id FROM environment WHERE org_id = $1 AND id = $2";
    COUNT_LIVE = "SELECT CAST(COUNT(*) AS BIGINT) AS live FROM api_key WHERE org_id = $1 AND state <> 'revoked' \
        AND (expires_at IS NULL OR expires_at > $2)";
    INSERT_KEY = "INSERT INTO api_key (org_id, id, environment_id, class, is_test, name, source_tag, role, state, \
        expires_at, created_at, created_by, version) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'enabled', $9, $10, $11, CAST(1 AS BIGINT))";
    INSERT_SECRET = "INSERT INTO secret (org_id, id, key_id, number, digest, pepper_version, redacted, created_at) \
        VALUES ($1, $2, $3, CAST(1 AS BIGINT), $4, $5, $6, $7)";
    FIND = concat!(key_columns!(), " WHERE k.org_id = $1 AND k.id = $2");
    FIND_ANYWHERE = concat!(key_columns!(), " WHERE k.id = $1");
    LIST_ALL = concat!(key_columns!(), " ORDER BY k.id");
    LOCK_KEY = "UPDATE api_key SET version = version + 1 WHERE org_id = $1 AND id = $2";
    SET_STATE = "UPDATE api_key SET state = $3, state_at = $4, state_reason = $5 WHERE org_id = $1 AND id = $2";
    UNLOCK_UNCHANGED = "UPDATE api_key SET version = version - 1 WHERE org_id = $1 AND id = $2";
    STAMP = "UPDATE api_key SET last_used_at = $2 WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < $2)";
}

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

/// Which keys to list. Default: active and disabled ones of every kind.
#[derive(Clone, Debug)]
pub struct KeyFilter {
    /// Words of [`claviger_domain::key::KeyState::name`].
    pub states: Vec<&'static str>,
    /// Only this class.
    pub class: Option<Class>,
    /// Only this environment.
    pub environment: Option<EnvironmentId>,
    /// Only this source tag, byte-exact.
    pub source_tag: Option<String>,
    /// Part of the name (ASCII letters in any case), or the beginning of the id.
    pub search: Option<String>,
    /// When expiry is judged.
    pub now: Timestamp,
}

impl Default for KeyFilter {
    fn default() -> Self {
        Self {
            states: vec!["active", "disabled"],
            class: None,
            environment: None,
            source_tag: None,
            search: None,
            now: Timestamp::default(),
        }
    }
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

    /// A page of the organization's keys, by (creation, id). `None` = the cursor is no key of this organization.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn list_keys(
        &self,
        scope: TenantScope,
        filter: &KeyFilter,
        page: &PageRequest,
    ) -> Result<Option<Page<Key>>, Error> {
        let mut reader = self.reader().await?;
        let cursor = match page.cursor() {
            None => None,
            Some(text) => {
                let key = match text.parse() {
                    Ok(id) => find(&mut reader, scope, id).await?,
                    Err(_) => None,
                };
                let Some(key) = key else { return Ok(None) };
                Some((key.created_at.0, key.id.to_string()))
            }
        };
        let (created_at, id) = cursor.unzip();
        let walk = page.walk();
        let has = |state: &str| filter.states.contains(&state);
        let sql = AssertSqlSafe(list_text(walk.is_ascending));
        let rows = both!(&mut reader, c => {
            let rows = sqlx::query(sql)
                .bind(scope.0.to_string())
                .bind(created_at)
                .bind(id)
                .bind(walk.rows())
                .bind(filter.now.0)
                .bind(has("active"))
                .bind(has("disabled"))
                .bind(has("expired"))
                .bind(has("revoked"))
                .bind(filter.class.map(Class::name))
                .bind(filter.environment.map(|id| id.to_string()))
                .bind(filter.source_tag.as_deref())
                .bind(filter.search.as_deref().map(|text| format!("%{}%", like(&text.to_ascii_lowercase()))))
                .bind(filter.search.as_deref().map(|text| format!("{}%", like(text))))
                .fetch_all(c)
                .await?;
            rows.iter().map(key).collect::<Result<Vec<_>, Error>>()?
        });
        Ok(Some(walk.page(rows)))
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

    /// Writes last uses, forwards only. Unknown ids are passed over. Not an administrative act: no audit, no epoch.
    ///
    /// # Errors
    /// The database's; the stamps may be written again.
    pub async fn stamp_last_uses(&self, uses: &[(KeyId, Timestamp)]) -> Result<(), Error> {
        for chunk in uses.chunks(limits::INSERT_ROWS) {
            let chunk: Vec<(String, i64)> = chunk.iter().map(|(id, at)| (id.to_string(), at.0)).collect();
            self.act(async move |tx: &mut Tx<'_>| {
                for (id, at) in &chunk {
                    both!(tx, c => { sqlx::query(STAMP).bind(id).bind(at).execute(c).await?; });
                }
                Ok(())
            })
            .await?;
        }
        Ok(())
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
        let by = by.clone();
        self.act(async move |tx: &mut Tx<'_>| {
            let (organization, text) = (scope.0.to_string(), id.to_string());
            both!(tx, c => { sqlx::query(LOCK_KEY).bind(&organization).bind(&text).execute(c).await?; });
            let Some(former) = find(tx, scope, id).await? else { return Ok(None) };
            let next = match turn(former.state) {
                Err(refused) => {
                    unlock(tx, &organization, &text).await?;
                    return Ok(Some(Err(refused)));
                }
                Ok(None) => {
                    unlock(tx, &organization, &text).await?;
                    let key = Key { version: former.version.saturating_sub(1), ..former };
                    return Ok(Some(Ok(Changed { key, epoch: current_epoch(tx).await?, is_new: false })));
                }
                Ok(Some(next)) => next,
            };
            let (state, at, reason) = parts(next);
            both!(tx, c => {
                sqlx::query(SET_STATE)
                    .bind(&organization)
                    .bind(&text)
                    .bind(state)
                    .bind(at)
                    .bind(reason)
                    .execute(c)
                    .await?;
            });
            let changes = [change("state", Some(described(former.state)), Some(described(next)))];
            record(tx, scope.0, &by, action, &text, &changes).await?;
            let epoch = publish(tx, scope.0, &Change::Key(id), by.at).await?;
            Ok(Some(Ok(Changed { key: Key { state: next, ..former }, epoch, is_new: true })))
        })
        .await
    }
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
        let is_same = existing.organization == scope.0 && existing.secret.digest.matches(&new.secret.digest);
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
    let live = both!(tx, c => {
        sqlx::query(COUNT_LIVE).bind(&organization).bind(by.at.0).fetch_one(c).await?.int("live")?
    });
    if live >= limit {
        return Ok(CreateKeyOutcome::LimitReached { limit: u32::try_from(limit).unwrap_or(u32::MAX) });
    }
    insert(tx, &organization, &environment_text, new, by).await?;
    let changes = [
        change("name", None, Some(new.name.as_str().to_owned())),
        change("class", None, Some(new.class.name().to_owned())),
        change("environment_id", None, Some(environment_text)),
    ];
    record(tx, scope.0, by, Action::KeyCreated, &new.id.to_string(), &changes).await?;
    let epoch = publish(tx, scope.0, &Change::Key(new.id), by.at).await?;
    let key = find(tx, scope, new.id).await?;
    let key = key.ok_or_else(|| corrupt("api_key", "a row just written"))?;
    Ok(CreateKeyOutcome::Created { key, epoch })
}

async fn insert(
    tx: &mut Tx<'_>,
    organization: &str,
    environment: &str,
    new: &NewKey,
    by: &Attribution,
) -> Result<(), Error> {
    let id = new.id.to_string();
    let (kind, actor) = by.actor.parts();
    both!(tx, c => {
        sqlx::query(INSERT_KEY)
            .bind(organization)
            .bind(&id)
            .bind(environment)
            .bind(new.class.name())
            .bind(new.is_test)
            .bind(new.name.as_str())
            .bind(new.source_tag.as_ref().map(|tag| tag.as_str().to_owned()))
            .bind(new.role.map(Role::name))
            .bind(new.expires_at.map(|at| at.0))
            .bind(by.at.0)
            .bind(format!("{kind}:{actor}"))
            .execute(c)
            .await?;
    });
    both!(tx, c => {
        sqlx::query(INSERT_SECRET)
            .bind(organization)
            .bind(new.secret.id.to_string())
            .bind(&id)
            .bind(new.secret.digest.as_bytes().as_slice())
            .bind(i64::from(new.secret.pepper_version))
            .bind(&new.secret.redacted)
            .bind(new.secret.created_at.0)
            .execute(c)
            .await?;
    });
    Ok(())
}

pub(crate) async fn list_all(linked: &mut impl Linked) -> Result<Vec<Key>, Error> {
    both!(linked, c => sqlx::query(LIST_ALL).fetch_all(c).await?.iter().map(key).collect())
}

async fn find(linked: &mut impl Linked, scope: TenantScope, id: KeyId) -> Result<Option<Key>, Error> {
    let (organization, id) = (scope.0.to_string(), id.to_string());
    both!(linked, c => {
        sqlx::query(FIND).bind(&organization).bind(&id).fetch_optional(c).await?.map(|row| key(&row)).transpose()
    })
}

pub(crate) async fn find_anywhere(linked: &mut impl Linked, id: KeyId) -> Result<Option<Key>, Error> {
    let id = id.to_string();
    both!(linked, c => {
        sqlx::query(FIND_ANYWHERE).bind(&id).fetch_optional(c).await?.map(|row| key(&row)).transpose()
    })
}

/// Takes the lock's version back: nothing changed.
async fn unlock(tx: &mut Tx<'_>, organization: &str, id: &str) -> Result<(), Error> {
    both!(tx, c => { sqlx::query(UNLOCK_UNCHANGED).bind(organization).bind(id).execute(c).await?; });
    Ok(())
}

pub(crate) fn change(field: &str, from: Option<String>, to: Option<String>) -> FieldChange {
    FieldChange { field: field.to_owned(), from, to }
}

/// The texts that are made at run time.
pub(crate) fn built() -> Vec<(&'static str, String)> {
    vec![("key list ascending", list_text(true)), ("key list descending", list_text(false))]
}

fn list_text(is_ascending: bool) -> String {
    let (than, order) = if is_ascending { (">", "ASC") } else { ("<", "DESC") };
    format!(
        "{} WHERE k.org_id = $1 \
         AND (CAST($2 AS BIGINT) IS NULL OR k.created_at {than} CAST($2 AS BIGINT) \
              OR (k.created_at = CAST($2 AS BIGINT) AND k.id {than} CAST($3 AS TEXT))) \
         AND ((k.state = 'revoked' AND $9) \
              OR (k.state <> 'revoked' AND k.expires_at IS NOT NULL AND k.expires_at <= CAST($5 AS BIGINT) AND $8) \
              OR ((k.expires_at IS NULL OR k.expires_at > CAST($5 AS BIGINT)) \
                  AND ((k.state = 'disabled' AND $7) OR (k.state = 'enabled' AND $6)))) \
         AND (CAST($10 AS TEXT) IS NULL OR k.class = CAST($10 AS TEXT)) \
         AND (CAST($11 AS TEXT) IS NULL OR k.environment_id = CAST($11 AS TEXT)) \
         AND (CAST($12 AS TEXT) IS NULL OR k.source_tag = CAST($12 AS TEXT)) \
         AND (CAST($13 AS TEXT) IS NULL OR LOWER(k.name) LIKE CAST($13 AS TEXT) ESCAPE '\\' \
              OR k.id LIKE CAST($14 AS TEXT) ESCAPE '\\') \
         ORDER BY k.created_at {order}, k.id {order} LIMIT CAST($4 AS BIGINT)",
        key_columns!()
    )
}

/// A text in which LIKE finds no pattern.
fn like(text: &str) -> String {
    text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_")
}
