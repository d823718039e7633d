//! Environments: list, make, rename, archive.
//!
//! A name is unique among the active ones: the row of an archived environment holds its id where the name stands, and
//! its name beside it.

use crate::audit::record;
use crate::cells::Cells;
use crate::door::{Linked, Tx, both};
use crate::epochs::{current_epoch, publish};
use crate::error::Error;
use crate::key_ends::{self, Of};
use crate::keys::change;
use crate::keyset::{self, walked};
use crate::page::{Page, PageRequest};
use crate::standing::Judge;
use crate::statements::statements;
use crate::store::Store;
use claviger_domain::audit::{Action, Attribution};
use claviger_domain::id::EnvironmentId;
use claviger_domain::revocation::{Change, Epoch};
use claviger_domain::right::Permission;
use claviger_domain::tenancy::{Environment, TenantScope};
use claviger_domain::time::Timestamp;

/// What every reading selects.
macro_rules! environment_columns {
    () => {
        "SELECT id, COALESCE(archived_name, name) AS name, created_at, archived_at, version FROM environment"
    };
}

statements! {
    LIST = concat!(environment_columns!(), " WHERE org_id = $1 ORDER BY created_at, id");
    FIND = concat!(environment_columns!(), " WHERE org_id = $1 AND id = $2");
    LOCK = "UPDATE organization SET version = version + 1 WHERE id = $1 RETURNING default_environment";
    INSERT = "INSERT INTO environment (org_id, id, name, created_at) VALUES ($1, $2, $3, $4)";
    RENAME = "UPDATE environment SET name = $3, version = version + 1 WHERE org_id = $1 AND id = $2";
    ARCHIVE = "UPDATE environment SET archived_name = name, name = id, archived_at = $3, version = version + 1 \
        WHERE org_id = $1 AND id = $2";
}

const ARCHIVED: keyset::List = keyset::of(
    "environment",
    environment_columns!(),
    "AND (archived_at IS NULL OR $5) AND (CAST($6 AS TEXT) IS NULL OR id = CAST($6 AS TEXT))",
);

/// How an act on an object with a version ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edited<T> {
    /// As it is now, and the epoch that brings it into force.
    Done(T, Epoch),
    /// Somebody else changed it since it was read.
    Stale,
    /// The organization has no such object.
    Unknown,
    /// Its state does not allow it.
    Refused,
}

/// How archiving ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArchiveOutcome {
    /// As it is now, and the last epoch.
    Done(Environment, Epoch),
    /// It has live keys, or it is where new keys go; nothing was changed.
    InUse,
    /// The organization has no such environment.
    Unknown,
}

impl Store {
    /// Every environment of an organization, archived ones too, oldest first.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn list_environments(&self, scope: TenantScope) -> Result<Vec<Environment>, Error> {
        let mut reader = self.reader().await?;
        let id = scope.0.to_string();
        both!(&mut reader, c => sqlx::query(LIST).bind(&id).fetch_all(c).await?.iter().map(environment).collect())
    }

    /// A page of them, by (creation, id). `None` = the cursor is no environment of this organization.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn page_environments(
        &self,
        scope: TenantScope,
        only: Option<EnvironmentId>,
        has_archived: bool,
        page: &PageRequest,
    ) -> Result<Option<Page<Environment>>, Error> {
        let only = only.map(|id| id.to_string());
        walked!(self, ARCHIVED, Some(scope.0.to_string()), page, environment, has_archived, only)
    }

    /// One environment.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn find_environment(&self, scope: TenantScope, id: EnvironmentId) -> Result<Option<Environment>, Error> {
        find(&mut self.reader().await?, scope, id).await
    }

    /// Makes an environment. Repeating it with the same id changes nothing.
    ///
    /// # Errors
    /// `Conflict` when an active environment has the name. `OutcomeUnknown`: repeat with the same id.
    pub async fn create_environment(
        &self,
        scope: TenantScope,
        id: EnvironmentId,
        name: &str,
        by: &Attribution,
    ) -> Result<(Environment, Epoch), Error> {
        let (by, name) = (by.clone(), name.to_owned());
        self.act(async move |tx: &mut Tx<'_>| {
            let (organization, text) = (scope.0.to_string(), id.to_string());
            if let Some(existing) = find(tx, scope, id).await? {
                return Ok((existing, current_epoch(tx).await?));
            }
            both!(tx, c => { sqlx::query(LOCK).bind(&organization).fetch_optional(c).await?; });
            both!(tx, c => {
                let query = sqlx::query(INSERT).bind(&organization).bind(&text).bind(&name).bind(by.at.0);
                query.execute(c).await?;
            });
            let changes = [change("name", None, Some(name.clone()))];
            record(tx, scope.0, &by, Action::ProjectCreated, &text, &changes).await?;
            let epoch = publish(tx, scope.0, &Change::Organization, by.at).await?;
            let environment = Environment { id, name: name.clone(), created_at: by.at, archived_at: None, version: 1 };
            Ok((environment, epoch))
        })
        .await
    }

    /// Renames an active environment.
    ///
    /// # Errors
    /// `Conflict` when another active environment has the name.
    pub async fn rename_environment(
        &self,
        scope: TenantScope,
        id: EnvironmentId,
        name: &str,
        expected: Option<i64>,
        by: &Attribution,
    ) -> Result<Edited<Environment>, Error> {
        let (by, name) = (by.clone(), name.to_owned());
        self.act(async move |tx: &mut Tx<'_>| {
            let (organization, text) = (scope.0.to_string(), id.to_string());
            both!(tx, c => { sqlx::query(LOCK).bind(&organization).fetch_optional(c).await?; });
            let Some(former) = find(tx, scope, id).await? else { return Ok(Edited::Unknown) };
            if expected.is_some_and(|version| version != former.version) {
                return Ok(Edited::Stale);
            }
            if former.archived_at.is_some() {
                return Ok(Edited::Refused);
            }
            if former.name == name {
                return Ok(Edited::Done(former, current_epoch(tx).await?));
            }
            both!(tx, c => {
                sqlx::query(RENAME).bind(&organization).bind(&text).bind(&name).execute(c).await?;
            });
            let changes = [change("name", Some(former.name.clone()), Some(name.clone()))];
            record(tx, scope.0, &by, Action::ProjectUpdated, &text, &changes).await?;
            let epoch = publish(tx, scope.0, &Change::Organization, by.at).await?;
            let version = former.version.saturating_add(1);
            Ok(Edited::Done(Environment { name: name.clone(), version, ..former }, epoch))
        })
        .await
    }

    /// Archives an environment for ever; with `revoke_keys` its keys end with it. Repeating it changes nothing.
    ///
    /// # Errors
    /// `OutcomeUnknown`: repeating is safe. `Beyond`: one of its admin keys may more than whoever acts.
    pub async fn archive_environment(
        &self,
        scope: TenantScope,
        id: EnvironmentId,
        revoke_keys: bool,
        by: &Attribution,
    ) -> Result<ArchiveOutcome, Error> {
        let by = by.clone();
        self.act(async move |tx: &mut Tx<'_>| archive(tx, scope, id, revoke_keys, &by).await).await
    }
}

async fn archive(
    tx: &mut Tx<'_>,
    scope: TenantScope,
    id: EnvironmentId,
    revoke_keys: bool,
    by: &Attribution,
) -> Result<ArchiveOutcome, Error> {
    let (organization, text) = (scope.0.to_string(), id.to_string());
    // The lock that creating a key takes, so that none slips in between.
    let default: Option<EnvironmentId> = both!(tx, c => {
        let row = sqlx::query(LOCK).bind(&organization).fetch_optional(c).await?;
        row.map(|row| row.parsed("default_environment")).transpose()?
    });
    let Some(former) = find(tx, scope, id).await? else { return Ok(ArchiveOutcome::Unknown) };
    if former.archived_at.is_some() {
        return Ok(ArchiveOutcome::Done(former, current_epoch(tx).await?));
    }
    if default == Some(id) || (!revoke_keys && key_ends::has_live(tx, scope, id, by).await?) {
        return Ok(ArchiveOutcome::InUse);
    }
    let judge = Judge::of(tx, scope, by).await?;
    judge.require(Permission::EnvironmentsManage)?;
    key_ends::revoke(tx, scope, Of::Environment(id), &judge, by).await?;
    both!(tx, c => { sqlx::query(ARCHIVE).bind(&organization).bind(&text).bind(by.at.0).execute(c).await?; });
    let changes = [change("status", Some("active".to_owned()), Some("archived".to_owned()))];
    record(tx, scope.0, by, Action::ProjectArchived, &text, &changes).await?;
    let epoch = publish(tx, scope.0, &Change::Organization, by.at).await?;
    let version = former.version.saturating_add(1);
    Ok(ArchiveOutcome::Done(Environment { archived_at: Some(by.at), version, ..former }, epoch))
}

/// The texts that are made at run time.
pub(crate) fn built() -> Vec<(&'static str, String)> {
    ARCHIVED.built()
}

pub(crate) async fn find(
    linked: &mut impl Linked,
    scope: TenantScope,
    id: EnvironmentId,
) -> Result<Option<Environment>, Error> {
    let (organization, id) = (scope.0.to_string(), id.to_string());
    both!(linked, c => {
        let row = sqlx::query(FIND).bind(&organization).bind(&id).fetch_optional(c).await?;
        row.map(|row| environment(&row)).transpose()
    })
}

fn environment<R: Cells>(row: &R) -> Result<Environment, Error> {
    Ok(Environment {
        id: row.parsed("id")?,
        name: row.text("name")?,
        created_at: Timestamp(row.int("created_at")?),
        archived_at: row.int_or_none("archived_at")?.map(Timestamp),
        version: row.int("version")?,
    })
}
