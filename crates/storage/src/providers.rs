//! Providers of organizations: list, make, change, end, and what nodes read of them. Credentials come sealed and leave
//! sealed; what opens them is not known here.

use crate::audit::record;
use crate::cells::{Cells, corrupt, known};
use crate::door::{Linked, Tx, both};
use crate::epochs::{current_epoch, publish};
use crate::error::Error;
use crate::keys::change;
use crate::keyset::{self, walked};
use crate::page::{Page, PageRequest};
use crate::registries;
use crate::statements::statements;
use crate::store::Store;
use claviger_domain::audit::{Action, Attribution, FieldChange};
use claviger_domain::catalog::Dialect;
use claviger_domain::endpoint::EndpointName;
use claviger_domain::id::{EnvironmentId, OrganizationId, ProviderId, RegistryId};
use claviger_domain::limits;
use claviger_domain::own_provider::{Credential, OwnModel, OwnProvider, Shown};
use claviger_domain::revocation::{Change, Epoch};
use claviger_domain::seal::Sealed;
use claviger_domain::tenancy::{RegistryState, TenantScope};
use claviger_domain::time::Timestamp;
use serde::{Deserialize, Serialize};

/// What every reading selects.
macro_rules! provider_columns {
    () => {
        "SELECT id, org_id, registry_id, name, dialect, base_url, is_enabled, max_concurrency, models, credential, \
         credential_pepper, credential_hint, credentials, created_at, version FROM provider"
    };
}

statements! {
    FIND = concat!(provider_columns!(), " WHERE org_id = $1 AND id = $2");
    OF_REGISTRY = concat!(provider_columns!(), " WHERE org_id = $1 AND registry_id = $2 ORDER BY created_at, id");
    COUNT = "SELECT CAST(COUNT(*) AS BIGINT) AS providers FROM provider WHERE org_id = $1";
    SHOWN = "SELECT p.id, p.org_id, p.registry_id, p.name, p.dialect, p.base_url, p.is_enabled, p.max_concurrency, \
        p.models, p.credential, p.credential_pepper, p.credential_hint, p.credentials, p.created_at, p.version, \
        r.slug, r.environment_id, r.state FROM provider p \
        JOIN registry r ON r.org_id = p.org_id AND r.id = p.registry_id \
        WHERE CAST($1 AS TEXT) IS NULL OR p.org_id = CAST($1 AS TEXT) ORDER BY p.org_id, p.created_at, p.id";
    LOCK = "UPDATE organization SET version = version + 1 WHERE id = $1";
    INSERT = "INSERT INTO provider (org_id, id, registry_id, name, dialect, base_url, is_enabled, max_concurrency, \
        models, credential, credential_pepper, credential_hint, credentials, created_at, version) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, CAST(1 AS BIGINT))";
    UPDATE = "UPDATE provider SET registry_id = $3, name = $4, dialect = $5, base_url = $6, is_enabled = $7, \
        max_concurrency = $8, models = $9, credential = $10, credential_pepper = $11, credential_hint = $12, \
        credentials = $13, version = version + 1 WHERE org_id = $1 AND id = $2";
    OPEN_TASKS = "SELECT CAST(COUNT(*) AS BIGINT) AS tasks FROM task WHERE is_open = TRUE AND provider_id = $1";
    DELETE = "DELETE FROM provider WHERE org_id = $1 AND id = $2";
}

/// Those of one environment are those whose registry it sees.
const SEEN: keyset::List = keyset::of(
    "provider",
    provider_columns!(),
    "AND (CAST($5 AS TEXT) IS NULL OR registry_id IN (SELECT r.id FROM registry r WHERE r.org_id = $1 \
     AND (r.environment_id IS NULL OR r.environment_id = CAST($5 AS TEXT))))",
);

/// How making or changing a provider ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProviderOutcome {
    /// As it is now, and the epoch that brings it into force.
    Done(Box<OwnProvider>, Epoch),
    /// The organization has no such provider.
    Unknown,
    /// It has no such registry.
    UnknownRegistry,
    /// Somebody else changed it since it was read.
    Stale,
    /// The organization has as many as it may.
    TooMany,
    /// Another provider of the registry serves a model of this name.
    Served(String),
}

impl Store {
    /// A page of the organization's providers, of those that one environment sees if it is named, by (creation, id). `None` = the cursor is none of them.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn page_providers(
        &self,
        scope: TenantScope,
        seen_from: Option<EnvironmentId>,
        page: &PageRequest,
    ) -> Result<Option<Page<OwnProvider>>, Error> {
        let seen_from = seen_from.map(|id| id.to_string());
        walked!(self, SEEN, Some(scope.0.to_string()), page, provider, seen_from)
    }

    /// One provider.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn find_provider(&self, scope: TenantScope, id: ProviderId) -> Result<Option<OwnProvider>, Error> {
        find(&mut self.reader().await?, scope, id).await
    }

    /// What a node must know of an organization's providers. Not scoped: for the change feed.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn find_shown_providers(&self, organization: OrganizationId) -> Result<Vec<Shown>, Error> {
        load(&mut self.reader().await?, Some(organization)).await
    }

    /// Makes a provider. Repeating it with the same id changes nothing.
    ///
    /// # Errors
    /// `Conflict` when the organization has one of this name. `OutcomeUnknown`: repeat with the same id.
    pub async fn create_provider(
        &self,
        scope: TenantScope,
        new: OwnProvider,
        by: &Attribution,
    ) -> Result<ProviderOutcome, Error> {
        let by = by.clone();
        self.act(async move |tx: &mut Tx<'_>| {
            let organization = scope.0.to_string();
            both!(tx, c => { sqlx::query(LOCK).bind(&organization).execute(c).await?; });
            if let Some(existing) = find(tx, scope, new.id).await? {
                return Ok(ProviderOutcome::Done(Box::new(existing), current_epoch(tx).await?));
            }
            let count = both!(tx, c => {
                sqlx::query(COUNT).bind(&organization).fetch_one(c).await?.int("providers")?
            });
            if count >= i64::from(limits::PROVIDERS_PER_ORGANIZATION) {
                return Ok(ProviderOutcome::TooMany);
            }
            if let Some(refused) = unfit(tx, scope, &new).await? {
                return Ok(refused);
            }
            write(tx, INSERT, scope, &new, true).await?;
            let changes = differences(None, &new);
            record(tx, scope.0, &by, Action::ProviderCreated, &new.id.to_string(), &changes).await?;
            let epoch = publish(tx, scope.0, &Change::Organization, by.at).await?;
            Ok(ProviderOutcome::Done(Box::new(OwnProvider { version: 1, ..new.clone() }), epoch))
        })
        .await
    }

    /// Puts another state in the place of the one with `next`'s version.
    ///
    /// # Errors
    /// `Conflict` when the organization has another one of this name. `OutcomeUnknown`: a repetition may answer `Stale`
    /// for what the first call did.
    pub async fn update_provider(
        &self,
        scope: TenantScope,
        next: OwnProvider,
        by: &Attribution,
    ) -> Result<ProviderOutcome, Error> {
        let by = by.clone();
        self.act(async move |tx: &mut Tx<'_>| {
            let organization = scope.0.to_string();
            both!(tx, c => { sqlx::query(LOCK).bind(&organization).execute(c).await?; });
            let Some(former) = find(tx, scope, next.id).await? else { return Ok(ProviderOutcome::Unknown) };
            if former.version != next.version {
                return Ok(ProviderOutcome::Stale);
            }
            if former == next {
                return Ok(ProviderOutcome::Done(Box::new(former), current_epoch(tx).await?));
            }
            if let Some(refused) = unfit(tx, scope, &next).await? {
                return Ok(refused);
            }
            write(tx, UPDATE, scope, &next, false).await?;
            let changes = differences(Some(&former), &next);
            record(tx, scope.0, &by, Action::ProviderUpdated, &next.id.to_string(), &changes).await?;
            let epoch = publish(tx, scope.0, &Change::Organization, by.at).await?;
            let version = former.version.saturating_add(1);
            Ok(ProviderOutcome::Done(Box::new(OwnProvider { version, ..next.clone() }), epoch))
        })
        .await
    }

    /// Ends a provider; its credential goes with its row. `None` = the organization has none of this id.
    ///
    /// # Errors
    /// `Conflict` while it works on tasks: their ends are asked for with its credential. `OutcomeUnknown`: repeating is safe, and then answers `None`.
    pub async fn delete_provider(
        &self,
        scope: TenantScope,
        id: ProviderId,
        by: &Attribution,
    ) -> Result<Option<Epoch>, Error> {
        let by = by.clone();
        self.act(async move |tx: &mut Tx<'_>| {
            let (organization, text) = (scope.0.to_string(), id.to_string());
            // A change that has read the row would else write beside its end, and tell of what did not happen.
            both!(tx, c => { sqlx::query(LOCK).bind(&organization).execute(c).await?; });
            let Some(former) = find(tx, scope, id).await? else { return Ok(None) };
            let tasks = both!(tx, c => sqlx::query(OPEN_TASKS).bind(&text).fetch_one(c).await?.int("tasks")?);
            if tasks > 0 {
                return Err(Error::Conflict("it works on tasks"));
            }
            both!(tx, c => { sqlx::query(DELETE).bind(&organization).bind(&text).execute(c).await?; });
            let changes = [change("name", Some(former.name), None), change("base_url", Some(former.base_url), None)];
            record(tx, scope.0, &by, Action::ProviderDeleted, &text, &changes).await?;
            publish(tx, scope.0, &Change::Organization, by.at).await.map(Some)
        })
        .await
    }
}

/// Why it cannot stand beside the others: no registry, or a model of another's name.
async fn unfit(tx: &mut Tx<'_>, scope: TenantScope, next: &OwnProvider) -> Result<Option<ProviderOutcome>, Error> {
    if registries::find(tx, scope, next.registry).await?.is_none() {
        return Ok(Some(ProviderOutcome::UnknownRegistry));
    }
    let beside = of_registry(tx, scope, next.registry).await?;
    let mut taken = beside.iter().filter(|other| other.id != next.id).flat_map(|other| &other.models);
    let twice = taken.find(|model| next.models.iter().any(|own| own.name == model.name));
    Ok(twice.map(|model| ProviderOutcome::Served(model.name.clone())))
}

/// Whether providers are shown under a registry.
pub(crate) async fn is_registry_used(
    linked: &mut impl Linked,
    scope: TenantScope,
    registry: RegistryId,
) -> Result<bool, Error> {
    Ok(!of_registry(linked, scope, registry).await?.is_empty())
}

async fn of_registry(
    linked: &mut impl Linked,
    scope: TenantScope,
    registry: RegistryId,
) -> Result<Vec<OwnProvider>, Error> {
    let (organization, registry) = (scope.0.to_string(), registry.to_string());
    both!(linked, c => {
        let rows = sqlx::query(OF_REGISTRY).bind(&organization).bind(&registry).fetch_all(c).await?;
        rows.iter().map(provider).collect()
    })
}

/// What nodes read, of one organization or of all.
pub(crate) async fn load(linked: &mut impl Linked, of: Option<OrganizationId>) -> Result<Vec<Shown>, Error> {
    let of = of.map(|id| id.to_string());
    both!(linked, c => sqlx::query(SHOWN).bind(of.as_deref()).fetch_all(c).await?.iter().map(shown).collect())
}

async fn write(
    tx: &mut Tx<'_>,
    sql: &'static str,
    scope: TenantScope,
    next: &OwnProvider,
    is_new: bool,
) -> Result<(), Error> {
    let (organization, id, registry) = (scope.0.to_string(), next.id.to_string(), next.registry.to_string());
    let sealed = next.credential.as_ref();
    let models = cell(&next.models);
    both!(tx, c => {
        let query = sqlx::query(sql)
            .bind(&organization)
            .bind(&id)
            .bind(&registry)
            .bind(&next.name)
            .bind(next.dialect.name())
            .bind(&next.base_url)
            .bind(next.is_enabled)
            .bind(i64::from(next.concurrency_max))
            .bind(&models)
            .bind(sealed.map(|credential| credential.sealed.bytes()))
            .bind(sealed.map(|credential| i64::from(credential.sealed.pepper)))
            .bind(sealed.map(|credential| credential.hint.as_str()))
            .bind(next.credentials);
        let query = if is_new { query.bind(next.created_at.0) } else { query };
        query.execute(c).await?;
    });
    Ok(())
}

/// What the audit tells. Of a credential it tells that there is another one, and its hint.
fn differences(former: Option<&OwnProvider>, next: &OwnProvider) -> Vec<FieldChange> {
    let told = |of: &OwnProvider| {
        let hint = of.credential.as_ref().map(|credential| format!("{} ({})", credential.hint, of.credentials));
        [
            ("name", Some(of.name.clone())),
            ("registry_id", Some(of.registry.to_string())),
            ("dialect", Some(of.dialect.name().to_owned())),
            ("base_url", Some(of.base_url.clone())),
            ("enabled", Some(of.is_enabled.to_string())),
            ("max_concurrency", Some(of.concurrency_max.to_string())),
            ("models", Some(of.models.iter().map(|model| model.name.as_str()).collect::<Vec<_>>().join(" "))),
            ("credential_hint", hint),
        ]
    };
    let before = former.map(told);
    let after = told(next);
    let changes = after.into_iter().enumerate().map(|(place, (name, to))| {
        let from = before.as_ref().and_then(|before| before.get(place)).and_then(|(_, from)| from.clone());
        change(name, from, to)
    });
    changes.filter(|change| change.from != change.to).collect()
}

/// The texts that are made at run time.
pub(crate) fn built() -> Vec<(&'static str, String)> {
    SEEN.built()
}

async fn find(linked: &mut impl Linked, scope: TenantScope, id: ProviderId) -> Result<Option<OwnProvider>, Error> {
    let (organization, id) = (scope.0.to_string(), id.to_string());
    both!(linked, c => {
        let row = sqlx::query(FIND).bind(&organization).bind(&id).fetch_optional(c).await?;
        row.map(|row| provider(&row)).transpose()
    })
}

fn shown<R: Cells>(row: &R) -> Result<Shown, Error> {
    let state = row.text("state")?;
    let environment = row.text_or_none("environment_id")?;
    Ok(Shown {
        provider: provider(row)?,
        slug: row.text("slug")?,
        environment: environment.map(|text| crate::cells::parse("registry.environment_id", &text)).transpose()?,
        is_registry_active: known(RegistryState::from_name(&state), "registry.state", &state)? == RegistryState::Active,
    })
}

fn provider<R: Cells>(row: &R) -> Result<OwnProvider, Error> {
    let (dialect, models) = (row.text("dialect")?, row.text("models")?);
    let credential = match (row.bytes_or_none("credential")?, row.int_or_none("credential_pepper")?) {
        (Some(bytes), Some(version)) => {
            let version =
                u16::try_from(version).map_err(|_| corrupt("provider.credential_pepper", &version.to_string()));
            let hint = row.text_or_none("credential_hint")?.unwrap_or_default();
            Some(Credential { sealed: Sealed::from_row(version?, bytes), hint })
        }
        _ => None,
    };
    Ok(OwnProvider {
        id: row.parsed("id")?,
        organization: row.parsed("org_id")?,
        registry: row.parsed("registry_id")?,
        name: row.text("name")?,
        dialect: known(Dialect::from_name(&dialect), "provider.dialect", &dialect)?,
        base_url: row.text("base_url")?,
        is_enabled: row.flag("is_enabled")?,
        concurrency_max: u32::try_from(row.int("max_concurrency")?).unwrap_or(u32::MAX),
        models: from_cell(&models)?,
        credential,
        credentials: row.int("credentials")?,
        created_at: Timestamp(row.int("created_at")?),
        version: row.int("version")?,
    })
}

/// A model in the cell, which no query looks into.
#[derive(Serialize, Deserialize)]
struct Entry {
    name: String,
    upstream: String,
    endpoints: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    context: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_output: Option<u64>,
}

fn cell(models: &[OwnModel]) -> String {
    let entry = |model: &OwnModel| Entry {
        name: model.name.clone(),
        upstream: model.upstream_model.clone(),
        endpoints: model.endpoints.iter().map(|endpoint| endpoint.name().to_owned()).collect(),
        context: model.context_tokens,
        max_output: model.output_tokens_max,
    };
    let entries: Vec<Entry> = models.iter().map(entry).collect();
    // Texts and numbers only: this cannot fail. What cannot be read back is refused as corrupt.
    serde_json::to_string(&entries).unwrap_or_default()
}

fn from_cell(text: &str) -> Result<Vec<OwnModel>, Error> {
    let entries: Vec<Entry> = serde_json::from_str(text).map_err(|_| corrupt("provider.models", text))?;
    let model = |entry: Entry| {
        let endpoint = |name: &String| known(EndpointName::from_name(name), "provider.models", name);
        let endpoints: Vec<EndpointName> = entry.endpoints.iter().map(endpoint).collect::<Result<_, Error>>()?;
        Ok(OwnModel {
            name: entry.name,
            upstream_model: entry.upstream,
            endpoints,
            context_tokens: entry.context,
            output_tokens_max: entry.max_output,
        })
    };
    entries.into_iter().map(model).collect()
}
