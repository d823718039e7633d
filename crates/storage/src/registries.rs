//! Registries of organizations: list, make, change, end. The platform's own is configuration and has no row.

use crate::audit::record;
use crate::cells::{Cells, known};
use crate::door::{Linked, Tx, both};
use crate::environments::{self, Edited};
use crate::epochs::{current_epoch, publish};
use crate::error::Error;
use crate::keys::change;
use crate::keyset::{self, walked};
use crate::page::{Page, PageRequest};
use crate::providers;
use crate::statements::statements;
use crate::store::Store;
use claviger_domain::audit::{Action, Attribution};
use claviger_domain::id::{EnvironmentId, RegistryId};
use claviger_domain::revocation::{Change, Epoch};
use claviger_domain::tenancy::{Registry, RegistryState, TenantScope};
use claviger_domain::time::Timestamp;

/// What every reading selects.
macro_rules! registry_columns {
    () => {
        "SELECT id, environment_id, name, slug, state, created_at, version FROM registry"
    };
}

statements! {
    FIND = concat!(registry_columns!(), " WHERE org_id = $1 AND id = $2");
    LOCK = "UPDATE organization SET version = version + 1 WHERE id = $1";
    INSERT = "INSERT INTO registry (org_id, id, environment_id, name, slug, state, created_at, version) \
        VALUES ($1, $2, $3, $4, $5, 'active', $6, CAST(1 AS BIGINT))";
    UPDATE = "UPDATE registry SET name = $3, state = $4, version = version + 1 WHERE org_id = $1 AND id = $2";
    DELETE = "DELETE FROM registry WHERE org_id = $1 AND id = $2";
}

/// Those of one environment are those it sees: its own, and the organization's.
const SEEN: keyset::List = keyset::of(
    "registry",
    registry_columns!(),
    "AND (CAST($5 AS TEXT) IS NULL OR environment_id IS NULL OR environment_id = CAST($5 AS TEXT))",
);

/// A registry to be made.
#[derive(Clone, Debug)]
pub struct NewRegistry {
    /// Its id.
    pub id: RegistryId,
    /// The only environment that sees it.
    pub environment: Option<EnvironmentId>,
    /// Its name.
    pub name: String,
    /// What its model ids begin with.
    pub slug: String,
}

impl Store {
    /// A page of the organization's registries, of those that one environment sees if it is named, by (creation, id).
    /// `None` = the cursor is no registry of this organization.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn page_registries(
        &self,
        scope: TenantScope,
        seen_from: Option<EnvironmentId>,
        page: &PageRequest,
    ) -> Result<Option<Page<Registry>>, Error> {
        let seen_from = seen_from.map(|id| id.to_string());
        walked!(self, SEEN, Some(scope.0.to_string()), page, registry, seen_from)
    }

    /// One registry.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn find_registry(&self, scope: TenantScope, id: RegistryId) -> Result<Option<Registry>, Error> {
        find(&mut self.reader().await?, scope, id).await
    }

    /// Makes a registry. `None` = the organization has no such environment. Repeating it with the same id changes
    /// nothing.
    ///
    /// # Errors
    /// `Conflict` when the organization has a registry with this slug.
    pub async fn create_registry(
        &self,
        scope: TenantScope,
        new: NewRegistry,
        by: &Attribution,
    ) -> Result<Option<(Registry, Epoch)>, Error> {
        let by = by.clone();
        self.act(async move |tx: &mut Tx<'_>| {
            let (organization, text) = (scope.0.to_string(), new.id.to_string());
            if let Some(existing) = find(tx, scope, new.id).await? {
                return Ok(Some((existing, current_epoch(tx).await?)));
            }
            both!(tx, c => { sqlx::query(LOCK).bind(&organization).execute(c).await?; });
            if let Some(environment) = new.environment {
                let found = environments::find(tx, scope, environment).await?;
                if found.is_none_or(|found| found.archived_at.is_some()) {
                    return Ok(None);
                }
            }
            both!(tx, c => {
                sqlx::query(INSERT)
                    .bind(&organization)
                    .bind(&text)
                    .bind(new.environment.map(|id| id.to_string()))
                    .bind(&new.name)
                    .bind(&new.slug)
                    .bind(by.at.0)
                    .execute(c)
                    .await?;
            });
            let changes = [change("name", None, Some(new.name.clone())), change("slug", None, Some(new.slug.clone()))];
            record(tx, scope.0, &by, Action::RegistryCreated, &text, &changes).await?;
            let epoch = publish(tx, scope.0, &Change::Organization, by.at).await?;
            Ok(find(tx, scope, new.id).await?.map(|registry| (registry, epoch)))
        })
        .await
    }

    /// Renames a registry, or takes it in and out of use.
    ///
    /// # Errors
    /// `OutcomeUnknown`: repeating is safe.
    pub async fn update_registry(
        &self,
        scope: TenantScope,
        id: RegistryId,
        name: Option<String>,
        state: Option<RegistryState>,
        expected: Option<i64>,
        by: &Attribution,
    ) -> Result<Edited<Registry>, Error> {
        let by = by.clone();
        self.act(async move |tx: &mut Tx<'_>| {
            let (organization, text) = (scope.0.to_string(), id.to_string());
            both!(tx, c => { sqlx::query(LOCK).bind(&organization).execute(c).await?; });
            let Some(former) = find(tx, scope, id).await? else { return Ok(Edited::Unknown) };
            if expected.is_some_and(|version| version != former.version) {
                return Ok(Edited::Stale);
            }
            let next = Registry {
                name: name.clone().unwrap_or_else(|| former.name.clone()),
                state: state.unwrap_or(former.state),
                version: former.version.saturating_add(1),
                ..former.clone()
            };
            if (&next.name, next.state) == (&former.name, former.state) {
                return Ok(Edited::Done(former, current_epoch(tx).await?));
            }
            both!(tx, c => {
                let query = sqlx::query(UPDATE).bind(&organization).bind(&text).bind(&next.name);
                query.bind(next.state.name()).execute(c).await?;
            });
            let changes = [
                change("name", Some(former.name), Some(next.name.clone())),
                change("state", Some(former.state.name().to_owned()), Some(next.state.name().to_owned())),
            ];
            record(tx, scope.0, &by, Action::RegistryUpdated, &text, &changes).await?;
            let epoch = publish(tx, scope.0, &Change::Organization, by.at).await?;
            Ok(Edited::Done(next, epoch))
        })
        .await
    }

    /// Ends a registry. `None` = the organization has none of this id.
    ///
    /// # Errors
    /// `Conflict` while providers are shown under it. `OutcomeUnknown`: repeating is safe, and then answers `None`.
    pub async fn delete_registry(
        &self,
        scope: TenantScope,
        id: RegistryId,
        by: &Attribution,
    ) -> Result<Option<Epoch>, Error> {
        let by = by.clone();
        self.act(async move |tx: &mut Tx<'_>| {
            let (organization, text) = (scope.0.to_string(), id.to_string());
            both!(tx, c => { sqlx::query(LOCK).bind(&organization).execute(c).await?; });
            let Some(former) = find(tx, scope, id).await? else { return Ok(None) };
            if providers::is_registry_used(tx, scope, id).await? {
                return Err(Error::Conflict("provider.registry_id"));
            }
            both!(tx, c => { sqlx::query(DELETE).bind(&organization).bind(&text).execute(c).await?; });
            let changes = [change("name", Some(former.name), None), change("slug", Some(former.slug), None)];
            record(tx, scope.0, &by, Action::RegistryDeleted, &text, &changes).await?;
            publish(tx, scope.0, &Change::Organization, by.at).await.map(Some)
        })
        .await
    }
}

/// The texts that are made at run time.
pub(crate) fn built() -> Vec<(&'static str, String)> {
    SEEN.built()
}

pub(crate) async fn find(
    linked: &mut impl Linked,
    scope: TenantScope,
    id: RegistryId,
) -> Result<Option<Registry>, Error> {
    let (organization, id) = (scope.0.to_string(), id.to_string());
    both!(linked, c => {
        let row = sqlx::query(FIND).bind(&organization).bind(&id).fetch_optional(c).await?;
        row.map(|row| registry(&row)).transpose()
    })
}

fn registry<R: Cells>(row: &R) -> Result<Registry, Error> {
    let state = row.text("state")?;
    let environment = row.text_or_none("environment_id")?;
    Ok(Registry {
        id: row.parsed("id")?,
        environment: environment.map(|text| crate::cells::parse("registry.environment_id", &text)).transpose()?,
        name: row.text("name")?,
        slug: row.text("slug")?,
        state: known(RegistryState::from_name(&state), "registry.state", &state)?,
        created_at: Timestamp(row.int("created_at")?),
        version: row.int("version")?,
    })
}
