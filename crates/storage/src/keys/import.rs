//! Keys that come from elsewhere, by their digest: many in one transaction, each counted once.

use super::{COUNT_EXPIRED, LOCK_ORGANIZATION, difference, find_anywhere, write};
use crate::audit::record;
use crate::cells::{Cells as _, corrupt};
use crate::door::{Linked, Tx, both};
use crate::epochs::{current_epoch, publish};
use crate::error::Error;
use crate::key_row::by_text;
use crate::replay::{self, Former, Once};
use crate::standing::{Demand, Judge};
use crate::statements::statements;
use crate::store::Store;
use crate::tenancy;
use claviger_domain::audit::{Action, Attribution, FieldChange};
use claviger_domain::id::{EnvironmentId, KeyId};
use claviger_domain::key::{Key, NewKey, StateChange, StoredState};
use claviger_domain::revocation::{Change, Epoch};
use claviger_domain::right::Permission;
use claviger_domain::secret::Digest;
use claviger_domain::tenancy::{Organization, TenantScope};
use serde::{Deserialize, Serialize};

statements! {
    FIND_BY_DIGEST = "SELECT key_id FROM secret WHERE digest = $1";
    IS_ENVIRONMENT = "SELECT id FROM environment WHERE org_id = $1 AND id = $2";
}

/// A key of another system.
#[derive(Clone, Debug)]
pub struct ImportedKey {
    /// As it shall be; its digest is of the text that clients already have.
    pub key: NewKey,
    /// Whether it was switched off there.
    pub is_disabled: bool,
}

/// What became of one of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Noted", into = "Noted")]
pub enum ImportOutcome {
    /// It is here now; in a dry run, it would be.
    Imported(KeyId),
    /// A secret of this digest is here already.
    Existing(KeyId),
    /// The organization has as many keys as it may.
    LimitReached {
        /// As many as that.
        limit: u32,
    },
    /// The organization has no such environment.
    UnknownEnvironment,
    /// A secret of this digest belongs to somebody else here.
    Foreign,
    /// The row was not importable, and why.
    Refused(String),
}

/// An outcome as a replay keeps it: a word, and what it is about.
#[derive(Serialize, Deserialize)]
struct Noted(String, String);

impl From<ImportOutcome> for Noted {
    fn from(outcome: ImportOutcome) -> Self {
        let (word, about) = match outcome {
            ImportOutcome::Imported(id) => ("imported", id.to_string()),
            ImportOutcome::Existing(id) => ("existing", id.to_string()),
            ImportOutcome::LimitReached { limit } => ("limit", limit.to_string()),
            ImportOutcome::UnknownEnvironment => ("environment", String::new()),
            ImportOutcome::Foreign => ("foreign", String::new()),
            ImportOutcome::Refused(why) => ("refused", why),
        };
        Self(word.to_owned(), about)
    }
}

impl From<Noted> for ImportOutcome {
    fn from(Noted(word, about): Noted) -> Self {
        match (word.as_str(), about.parse::<KeyId>(), about.parse::<u32>()) {
            ("imported", Ok(id), _) => Self::Imported(id),
            ("existing", Ok(id), _) => Self::Existing(id),
            ("limit", _, Ok(limit)) => Self::LimitReached { limit },
            ("environment", _, _) => Self::UnknownEnvironment,
            ("foreign", _, _) => Self::Foreign,
            _ => Self::Refused(about),
        }
    }
}

/// How an import ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImportDone {
    /// What became of each row, and the epoch that brings it into force.
    Now(Vec<ImportOutcome>, Epoch),
    /// The same was done before under the same Idempotency-Key: what became of each row then.
    Before(Vec<ImportOutcome>),
    /// The Idempotency-Key was used with another body.
    OtherBody,
}

impl Store {
    /// Takes keys over, all in one transaction, or says what would become of them. Repeating it imports nothing twice. Rows
    /// that were refused before are reported in their places. A dry run does nothing, so none of it is done once.
    ///
    /// # Errors
    /// `OutcomeUnknown`: repeat, the digests count once. `Beyond`: whoever imports may not, now; then no row is.
    pub async fn import_keys(
        &self,
        scope: TenantScope,
        rows: Vec<Result<ImportedKey, String>>,
        source: &str,
        is_dry: bool,
        once: Option<Once>,
        by: &Attribution,
    ) -> Result<ImportDone, Error> {
        let (source, by) = (source.to_owned(), by.clone());
        self.act(async move |tx: &mut Tx<'_>| {
            let mut import = Import::begin(tx, scope, is_dry, &source, &by).await?;
            let once = once.as_ref().filter(|_| !is_dry);
            match replay::find(tx, once, by.at).await? {
                Former::None => {}
                Former::OtherBody => return Ok(ImportDone::OtherBody),
                Former::Same(noted) => {
                    let outcomes = serde_json::from_str(&noted).map_err(|_| corrupt("replay.object", &noted))?;
                    return Ok(ImportDone::Before(outcomes));
                }
            }
            let mut outcomes = Vec::with_capacity(rows.len());
            for row in &rows {
                outcomes.push(match row {
                    Ok(key) => import.one(tx, key).await?,
                    Err(why) => ImportOutcome::Refused(why.clone()),
                });
            }
            let noted = serde_json::to_string(&outcomes).map_err(|_| Error::Conflict("import"))?;
            replay::save(tx, once, &noted).await?;
            let epoch = match import.epoch {
                Some(epoch) => epoch,
                None => current_epoch(tx).await?,
            };
            Ok(ImportDone::Now(outcomes, epoch))
        })
        .await
    }

    /// The key that a digest is of, with its organization. Not scoped: for whoever has to find out whose a leaked text is.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn find_key_by_digest(&self, digest: Digest) -> Result<Option<(Key, Organization)>, Error> {
        let mut reader = self.reader().await?;
        let Some(id) = by_digest(&mut reader, &digest).await? else { return Ok(None) };
        let Some(key) = find_anywhere(&mut reader, id).await? else { return Ok(None) };
        let organization = tenancy::find(&mut reader, key.organization).await?;
        Ok(organization.map(|organization| (key, organization)))
    }
}

struct Import<'a> {
    scope: TenantScope,
    is_dry: bool,
    source: &'a str,
    by: &'a Attribution,
    judge: Judge,
    limit: i64,
    live: i64,
    default_environment: EnvironmentId,
    epoch: Option<Epoch>,
    /// Digests seen in this act: in a dry run nothing else would tell a repetition.
    seen: Vec<Digest>,
}

impl<'a> Import<'a> {
    async fn begin(
        tx: &mut Tx<'_>,
        scope: TenantScope,
        is_dry: bool,
        source: &'a str,
        by: &'a Attribution,
    ) -> Result<Self, Error> {
        let organization = scope.0.to_string();
        let (limit, counted, default_environment) = both!(tx, c => {
            let row = sqlx::query(LOCK_ORGANIZATION).bind(&organization).fetch_one(c).await?;
            (row.int("max_keys")?, row.int("live_keys")?, row.parsed("default_environment")?)
        });
        let expired = both!(tx, c => {
            sqlx::query(COUNT_EXPIRED).bind(&organization).bind(by.at.0).fetch_one(c).await?.int("expired")?
        });
        let live = counted.saturating_sub(expired);
        let judge = Judge::of(tx, scope, by).await?;
        Ok(Self { scope, is_dry, source, by, judge, limit, live, default_environment, epoch: None, seen: Vec::new() })
    }

    async fn one(&mut self, tx: &mut Tx<'_>, imported: &ImportedKey) -> Result<ImportOutcome, Error> {
        let new = &imported.key;
        if let Some(id) = by_digest(tx, &new.secret.digest).await? {
            let is_own = find_anywhere(tx, id).await?.is_some_and(|key| key.organization == self.scope.0);
            return Ok(if is_own { ImportOutcome::Existing(id) } else { ImportOutcome::Foreign });
        }
        if self.is_dry && self.seen.iter().any(|seen| seen.matches(&new.secret.digest)) {
            return Ok(ImportOutcome::Existing(new.id));
        }
        let environment = new.environment.unwrap_or(self.default_environment);
        let (organization, environment_text) = (self.scope.0.to_string(), environment.to_string());
        let is_known = both!(tx, c => {
            let query = sqlx::query(IS_ENVIRONMENT).bind(&organization).bind(&environment_text);
            query.fetch_optional(c).await?.is_some()
        });
        if !is_known {
            return Ok(ImportOutcome::UnknownEnvironment);
        }
        let is_expired = new.expires_at.is_some_and(|at| at <= self.by.at);
        if !is_expired && self.live >= self.limit {
            return Ok(ImportOutcome::LimitReached { limit: u32::try_from(self.limit).unwrap_or(u32::MAX) });
        }
        self.live = self.live.saturating_add(i64::from(!is_expired));
        self.seen.push(new.secret.digest);
        if !self.is_dry {
            self.write(tx, imported, environment).await?;
        }
        Ok(ImportOutcome::Imported(new.id))
    }

    async fn write(
        &mut self,
        tx: &mut Tx<'_>,
        imported: &ImportedKey,
        environment: EnvironmentId,
    ) -> Result<(), Error> {
        let mut key = imported.key.made(self.scope.0, environment, self.by.at, &by_text(self.by));
        if let Some(secret) = key.secrets.first_mut() {
            secret.recipe = imported.key.secret.recipe;
        }
        self.judge.require_change(tx, Demand::Strength(Permission::KeysImport), None, &key).await?;
        write::insert(tx, &key).await?;
        if imported.is_disabled {
            let changed = StateChange { at: self.by.at, by: key.created_by.clone(), reason: None };
            let state = StoredState::Disabled { at: self.by.at };
            let disabled = Key { state, state_changed: Some(changed), ..key.clone() };
            write::save(tx, &key, &disabled).await?;
            key = disabled;
        }
        let mut changes = difference::of_new(&key);
        changes.push(FieldChange { field: "source".to_owned(), from: None, to: Some(self.source.to_owned()) });
        record(tx, self.scope.0, self.by, Action::KeyImported, &key.id.to_string(), &changes).await?;
        self.epoch = Some(publish(tx, self.scope.0, &Change::Key(key.id), self.by.at).await?);
        Ok(())
    }
}

async fn by_digest(linked: &mut impl Linked, digest: &Digest) -> Result<Option<KeyId>, Error> {
    both!(linked, c => {
        let row = sqlx::query(FIND_BY_DIGEST).bind(digest.as_bytes().as_slice()).fetch_optional(c).await?;
        row.map(|row| row.parsed("key_id")).transpose()
    })
}
