//! Making a key: the limit of the organization, its Idempotency-Key, its first secret, in one transaction.

use super::{COUNT_EXPIRED, LOCK_ORGANIZATION, difference, find, find_anywhere, write};
use crate::audit::record;
use crate::cells::{Cells as _, corrupt};
use crate::door::{Tx, both};
use crate::epochs::{current_epoch, publish};
use crate::error::Error;
use crate::key_row::by_text;
use crate::replay::{self, Former, Once};
use crate::standing::{Demand, Judge};
use crate::statements::statements;
use crate::store::Store;
use claviger_domain::audit::{Action, Attribution};
use claviger_domain::id::EnvironmentId;
use claviger_domain::key::{Key, NewKey, Recipe};
use claviger_domain::limits;
use claviger_domain::revocation::{Change, Epoch};
use claviger_domain::tenancy::TenantScope;
use claviger_domain::time::Timestamp;

statements! {
    FIND_ENVIRONMENT = "SELECT id FROM environment WHERE org_id = $1 AND id = $2 AND archived_at IS NULL";
    /// A range of an index, and no more of it than is told.
    COUNT_UNUSED = "SELECT CAST(COUNT(*) AS BIGINT) AS unused FROM (SELECT id FROM api_key WHERE org_id = $1 \
        AND state <> 'revoked' AND trust_id IS NULL AND COALESCE(last_used_at, created_at) < $3 \
        AND (expires_at IS NULL OR expires_at > $2) LIMIT CAST($4 AS BIGINT)) AS quiet";
    FIND_DIGEST = "SELECT key_id FROM secret WHERE digest = $1";
}

/// How a key was, or was not, made.
#[derive(Clone, Debug)]
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
        /// How many of them were not used for 90 days; nobody counts beyond [`limits::UNUSED_KEYS_COUNTED`].
        unused: u32,
    },
    /// The organization has no such environment.
    UnknownEnvironment,
    /// Another key has this id, or one of its secrets is this one: draw again.
    IdTaken,
    /// It was made before under the same Idempotency-Key; its text is not known any more.
    Repeated {
        /// As it is now.
        key: Key,
    },
    /// The Idempotency-Key was used with another body.
    OtherBody,
}

impl Store {
    /// Makes a key with its first secret. Repeating it with the same id and secret answers `Created` again.
    ///
    /// # Errors
    /// `OutcomeUnknown`: repeat with the same [`NewKey`]. `Beyond`: whoever makes it may not, now, or not so strong a one.
    pub async fn create_key(
        &self,
        scope: TenantScope,
        new: NewKey,
        by: &Attribution,
    ) -> Result<CreateKeyOutcome, Error> {
        let demand = Demand::to_make(new.class);
        self.create_key_once(scope, new, None, demand, by).await
    }

    /// As [`Store::create_key`]; under an Idempotency-Key it is made once.
    ///
    /// # Errors
    /// `OutcomeUnknown`: repeat with the same [`NewKey`]. `Beyond`: whoever makes it may not, now, or not so strong a one.
    pub async fn create_key_once(
        &self,
        scope: TenantScope,
        new: NewKey,
        once: Option<Once>,
        demand: Demand,
        by: &Attribution,
    ) -> Result<CreateKeyOutcome, Error> {
        let by = by.clone();
        self.act(async move |tx: &mut Tx<'_>| make(tx, scope, &new, once.as_ref(), demand, &by).await).await
    }
}

/// Makes a key inside a transaction.
pub(crate) async fn create(
    tx: &mut Tx<'_>,
    scope: TenantScope,
    new: &NewKey,
    demand: Demand,
    by: &Attribution,
) -> Result<CreateKeyOutcome, Error> {
    make(tx, scope, new, None, demand, by).await
}

async fn make(
    tx: &mut Tx<'_>,
    scope: TenantScope,
    new: &NewKey,
    once: Option<&Once>,
    demand: Demand,
    by: &Attribution,
) -> Result<CreateKeyOutcome, Error> {
    let organization = scope.0.to_string();
    let locked = both!(tx, c => {
        let row = sqlx::query(LOCK_ORGANIZATION).bind(&organization).fetch_optional(c).await?;
        row.map(|row| Ok::<_, Error>((super::places(&row)?, row.parsed("default_environment")?))).transpose()?
    });
    let Some((places, default_environment)) = locked else { return Ok(CreateKeyOutcome::UnknownEnvironment) };
    match replay::find(tx, once, by.at).await? {
        Former::None => {}
        Former::Same(id) => {
            let key = find(tx, scope, crate::cells::parse("replay.object", &id)?).await?;
            let key = key.ok_or_else(|| corrupt("replay.object", &id))?;
            return Ok(CreateKeyOutcome::Repeated { key });
        }
        Former::OtherBody => return Ok(CreateKeyOutcome::OtherBody),
    }
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
    if is_digest_known(tx, new).await? {
        return Ok(CreateKeyOutcome::IdTaken);
    }
    if let Some((limit, unused)) = limit_reached(tx, &organization, places, by.at).await? {
        return Ok(CreateKeyOutcome::LimitReached { limit, unused });
    }
    let key = new.made(scope.0, environment, by.at, &by_text(by));
    if demand != Demand::Nothing {
        Judge::of(tx, scope, by).await?.require_change(tx, demand, None, &key).await?;
    }
    write::insert(tx, &key).await?;
    replay::save(tx, once, &new.id.to_string()).await?;
    record(tx, scope.0, by, Action::KeyCreated, &new.id.to_string(), &difference::of_new(&key)).await?;
    let epoch = publish(tx, scope.0, &Change::Key(new.id), by.at).await?;
    let key = find(tx, scope, new.id).await?;
    let key = key.ok_or_else(|| corrupt("api_key", "a row just written"))?;
    Ok(CreateKeyOutcome::Created { key, epoch })
}

/// A text made elsewhere may be some key's already.
async fn is_digest_known(tx: &mut Tx<'_>, new: &NewKey) -> Result<bool, Error> {
    if new.secret.recipe == Recipe::Native {
        return Ok(false);
    }
    let digest = new.secret.digest.as_bytes().as_slice();
    both!(tx, c => Ok(sqlx::query(FIND_DIGEST).bind(digest).fetch_optional(c).await?.is_some()))
}

/// What an organization has of keys, as its lock tells.
#[derive(Clone, Copy, Debug)]
pub(super) struct Places {
    /// As many as it may have.
    pub(super) limit: i64,
    /// Neither revoked nor from a trust, the expired ones included.
    pub(super) counted: i64,
}

/// Under the organization's lock, so that parallel acts at the limit give exactly the limit. No row of a living key is
/// looked at: they are counted as they come and go.
pub(super) async fn limit_reached(
    tx: &mut Tx<'_>,
    organization: &str,
    places: Places,
    now: Timestamp,
) -> Result<Option<(u32, u32)>, Error> {
    let expired = both!(tx, c => {
        sqlx::query(COUNT_EXPIRED).bind(organization).bind(now.0).fetch_one(c).await?.int("expired")?
    });
    let Places { limit, counted } = places;
    if counted.saturating_sub(expired) < limit {
        return Ok(None);
    }
    let long_ago = now.minus(limits::UNUSED_KEY);
    let unused = both!(tx, c => {
        let query = sqlx::query(COUNT_UNUSED).bind(organization).bind(now.0).bind(long_ago.0);
        query.bind(i64::from(limits::UNUSED_KEYS_COUNTED)).fetch_one(c).await?.int("unused")?
    });
    Ok(Some((u32::try_from(limit).unwrap_or(u32::MAX), u32::try_from(unused).unwrap_or(u32::MAX))))
}
