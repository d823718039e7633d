//! Limits of organizations and environments, and which models an environment may call.
//!
//! A place is an organization or one of its environments; a limit is on one model or on all together. A change is one
//! transaction with its audit record and an organization event, by which nodes read the whole set again.

use crate::audit::record;
use crate::cells::{Cells, corrupt, known};
use crate::door::{Linked, Tx, both};
use crate::epochs::publish;
use crate::error::Error;
use crate::keys::change;
use crate::statements::statements;
use crate::store::Store;
use claviger_domain::audit::{Action, Attribution, FieldChange};
use claviger_domain::id::{EnvironmentId, OrganizationId};
use claviger_domain::key::{Limits, ModelPattern};
use claviger_domain::place::{ModelRule, PlaceRules, TenantRules};
use claviger_domain::revocation::{Change, Epoch};
use claviger_domain::tenancy::TenantScope;
use claviger_domain::time::Timestamp;
use std::collections::BTreeMap;

/// The model of a limit on all models together.
pub const ALL_MODELS: &str = "*";

statements! {
    HAS_ENVIRONMENT = "SELECT id FROM environment WHERE org_id = $1 AND id = $2";
    LIST = "SELECT environment_id, model, rpm, tpm, concurrency, set_by, set_at FROM rate_limit \
        WHERE org_id = $1 AND environment_id = $2 ORDER BY model";
    SAVE = "INSERT INTO rate_limit (org_id, environment_id, model, rpm, tpm, concurrency, set_by, set_at) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (org_id, environment_id, model) DO UPDATE SET \
        rpm = excluded.rpm, tpm = excluded.tpm, concurrency = excluded.concurrency, set_by = excluded.set_by, \
        set_at = excluded.set_at";
    DELETE = "DELETE FROM rate_limit WHERE org_id = $1 AND environment_id = $2 AND model = $3";
    FIND_MODELS = "SELECT environment_id, mode, model_ids, set_by, set_at FROM model_permission \
        WHERE org_id = $1 AND environment_id = $2";
    SAVE_MODELS = "INSERT INTO model_permission (org_id, environment_id, mode, model_ids, set_by, set_at) \
        VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (org_id, environment_id) DO UPDATE SET mode = excluded.mode, \
        model_ids = excluded.model_ids, set_by = excluded.set_by, set_at = excluded.set_at";
    DELETE_MODELS = "DELETE FROM model_permission WHERE org_id = $1 AND environment_id = $2";
    ALL_LIMITS = "SELECT org_id, environment_id, model, rpm, tpm, concurrency, set_by, set_at FROM rate_limit \
        WHERE CAST($1 AS TEXT) IS NULL OR org_id = CAST($1 AS TEXT)";
    ALL_MODEL_RULES = "SELECT org_id, environment_id, mode, model_ids, set_by, set_at FROM model_permission \
        WHERE CAST($1 AS TEXT) IS NULL OR org_id = CAST($1 AS TEXT)";
}

/// A limit as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// A model id, or [`ALL_MODELS`].
    pub model: String,
    /// What is limited; never a burst.
    pub limits: Limits,
    /// Who set it: `usr_…`, `key_…`, …, as actors are written.
    pub set_by: String,
    /// When.
    pub set_at: Timestamp,
}

/// A change of a limit: what is `None` stays, `Some(None)` goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RateLimitChange {
    /// Requests a minute.
    pub rpm: Option<Option<u32>>,
    /// Tokens a minute.
    pub tpm: Option<Option<u32>>,
    /// Requests in flight.
    pub concurrency: Option<Option<u32>>,
}

/// Which models an environment may call, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelPermissions {
    /// The rule.
    pub rule: ModelRule,
    /// Who set it.
    pub set_by: String,
    /// When.
    pub set_at: Timestamp,
}

impl Store {
    /// The limits of an environment, or of the organization itself, by model; `*` first. `None` = no such environment.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn list_rate_limits(
        &self,
        scope: TenantScope,
        environment: Option<EnvironmentId>,
    ) -> Result<Option<Vec<RateLimit>>, Error> {
        let mut reader = self.reader().await?;
        if !has_environment(&mut reader, scope, environment).await? {
            return Ok(None);
        }
        list(&mut reader, scope, environment).await.map(Some)
    }

    /// Changes the limit on a model, or on all of them. `None` = no such environment. A limit on nothing is deleted.
    ///
    /// # Errors
    /// `OutcomeUnknown`: repeating is safe.
    pub async fn set_rate_limit(
        &self,
        scope: TenantScope,
        environment: Option<EnvironmentId>,
        model: &str,
        change: RateLimitChange,
        by: &Attribution,
    ) -> Result<Option<(RateLimit, Epoch)>, Error> {
        let (model, by) = (model.to_owned(), by.clone());
        self.act(async move |tx: &mut Tx<'_>| {
            if !has_environment(tx, scope, environment).await? {
                return Ok(None);
            }
            let former = list(tx, scope, environment).await?.into_iter().find(|limit| limit.model == model);
            let former = former.map(|limit| limit.limits).unwrap_or_default();
            let limits = Limits {
                rpm: change.rpm.unwrap_or(former.rpm),
                tpm: change.tpm.unwrap_or(former.tpm),
                concurrency: change.concurrency.unwrap_or(former.concurrency),
                burst: None,
            };
            let limit = RateLimit { model: model.clone(), limits, set_by: actor(&by), set_at: by.at };
            save(tx, scope, environment, &limit).await?;
            let target = environment.map_or_else(|| scope.0.to_string(), |id| id.to_string());
            let changes = changes(&limit.model, &former, &limits);
            record(tx, scope.0, &by, Action::RateLimitUpdated, &target, &changes).await?;
            let epoch = publish(tx, scope.0, &Change::Organization, by.at).await?;
            Ok(Some((limit, epoch)))
        })
        .await
    }

    /// Which models an environment may call: `None` = no such environment, `Some(None)` = all that are visible.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn find_model_permissions(
        &self,
        scope: TenantScope,
        environment: EnvironmentId,
    ) -> Result<Option<Option<ModelPermissions>>, Error> {
        let mut reader = self.reader().await?;
        if !has_environment(&mut reader, scope, Some(environment)).await? {
            return Ok(None);
        }
        find_models(&mut reader, scope, environment).await.map(Some)
    }

    /// Says which models an environment may call; [`ModelRule::Any`] lifts the rule. `None` = no such environment.
    ///
    /// # Errors
    /// `OutcomeUnknown`: repeating is safe.
    pub async fn set_model_permissions(
        &self,
        scope: TenantScope,
        environment: EnvironmentId,
        rule: ModelRule,
        by: &Attribution,
    ) -> Result<Option<Epoch>, Error> {
        let by = by.clone();
        self.act(async move |tx: &mut Tx<'_>| {
            if !has_environment(tx, scope, Some(environment)).await? {
                return Ok(None);
            }
            let former = find_models(tx, scope, environment).await?.map(|former| former.rule).unwrap_or_default();
            let (organization, place) = (scope.0.to_string(), environment.to_string());
            match words(&rule) {
                None => both!(tx, c => {
                    sqlx::query(DELETE_MODELS).bind(&organization).bind(&place).execute(c).await?;
                }),
                Some((mode, ids)) => both!(tx, c => {
                    sqlx::query(SAVE_MODELS)
                        .bind(&organization)
                        .bind(&place)
                        .bind(mode)
                        .bind(ids)
                        .bind(actor(&by))
                        .bind(by.at.0)
                        .execute(c)
                        .await?;
                }),
            }
            let changes = [change("models", described(&former), described(&rule))];
            record(tx, scope.0, &by, Action::ModelPermissionsUpdated, &place, &changes).await?;
            publish(tx, scope.0, &Change::Organization, by.at).await.map(Some)
        })
        .await
    }

    /// What one organization restricts, for the follower of rights.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn find_tenant_rules(&self, organization: OrganizationId) -> Result<TenantRules, Error> {
        let mut found = load(&mut self.reader().await?, Some(organization)).await?;
        Ok(found.remove(&organization).unwrap_or_default())
    }
}

/// What organizations restrict, all or one of them; those that restrict nothing are left out.
pub(crate) async fn load(
    linked: &mut impl Linked,
    one: Option<OrganizationId>,
) -> Result<BTreeMap<OrganizationId, TenantRules>, Error> {
    let one = one.map(|id| id.to_string());
    let mut all: BTreeMap<OrganizationId, TenantRules> = BTreeMap::new();
    both!(linked, c => {
        for row in sqlx::query(ALL_LIMITS).bind(&one).fetch_all(c).await? {
            let limit = rate_limit(&row)?;
            let rules = rules_of(all.entry(row.parsed("org_id")?).or_default(), environment(&row)?);
            if limit.model == ALL_MODELS {
                rules.limits = limit.limits;
            } else {
                rules.by_model.push((limit.model, limit.limits));
            }
        }
    });
    both!(linked, c => {
        for row in sqlx::query(ALL_MODEL_RULES).bind(&one).fetch_all(c).await? {
            let rule = model_permissions(&row)?.rule;
            rules_of(all.entry(row.parsed("org_id")?).or_default(), environment(&row)?).models = rule;
        }
    });
    Ok(all)
}

fn rules_of(tenant: &mut TenantRules, environment: Option<EnvironmentId>) -> &mut PlaceRules {
    let Some(id) = environment else { return &mut tenant.organization };
    if !tenant.environments.iter().any(|(known, _)| *known == id) {
        tenant.environments.push((id, PlaceRules::default()));
    }
    let found = tenant.environments.iter_mut().find(|(known, _)| *known == id);
    found.map_or(&mut tenant.organization, |(_, rules)| rules)
}

async fn has_environment(
    linked: &mut impl Linked,
    scope: TenantScope,
    environment: Option<EnvironmentId>,
) -> Result<bool, Error> {
    let Some(environment) = environment else { return Ok(true) };
    let (organization, id) = (scope.0.to_string(), environment.to_string());
    both!(linked, c => {
        Ok(sqlx::query(HAS_ENVIRONMENT).bind(&organization).bind(&id).fetch_optional(c).await?.is_some())
    })
}

async fn list(
    linked: &mut impl Linked,
    scope: TenantScope,
    environment: Option<EnvironmentId>,
) -> Result<Vec<RateLimit>, Error> {
    let (organization, place) = (scope.0.to_string(), place(environment));
    both!(linked, c => {
        sqlx::query(LIST).bind(&organization).bind(&place).fetch_all(c).await?.iter().map(rate_limit).collect()
    })
}

async fn save(
    tx: &mut Tx<'_>,
    scope: TenantScope,
    environment: Option<EnvironmentId>,
    limit: &RateLimit,
) -> Result<(), Error> {
    let (organization, place) = (scope.0.to_string(), place(environment));
    if limit.limits == Limits::default() {
        both!(tx, c => {
            sqlx::query(DELETE).bind(&organization).bind(&place).bind(&limit.model).execute(c).await?;
        });
        return Ok(());
    }
    both!(tx, c => {
        sqlx::query(SAVE)
            .bind(&organization)
            .bind(&place)
            .bind(&limit.model)
            .bind(limit.limits.rpm.map(i64::from))
            .bind(limit.limits.tpm.map(i64::from))
            .bind(limit.limits.concurrency.map(i64::from))
            .bind(&limit.set_by)
            .bind(limit.set_at.0)
            .execute(c)
            .await?;
    });
    Ok(())
}

async fn find_models(
    linked: &mut impl Linked,
    scope: TenantScope,
    environment: EnvironmentId,
) -> Result<Option<ModelPermissions>, Error> {
    let (organization, place) = (scope.0.to_string(), environment.to_string());
    both!(linked, c => {
        let row = sqlx::query(FIND_MODELS).bind(&organization).bind(&place).fetch_optional(c).await?;
        row.map(|row| model_permissions(&row)).transpose()
    })
}

fn place(environment: Option<EnvironmentId>) -> String {
    environment.map(|id| id.to_string()).unwrap_or_default()
}

fn environment<R: Cells>(row: &R) -> Result<Option<EnvironmentId>, Error> {
    match row.text("environment_id")?.as_str() {
        "" => Ok(None),
        _ => row.parsed("environment_id").map(Some),
    }
}

fn rate_limit<R: Cells>(row: &R) -> Result<RateLimit, Error> {
    let limit = |column: &'static str| -> Result<Option<u32>, Error> {
        let Some(number) = row.int_or_none(column)? else { return Ok(None) };
        u32::try_from(number).map(Some).map_err(|_| corrupt(column, &number.to_string()))
    };
    let limits = Limits { rpm: limit("rpm")?, tpm: limit("tpm")?, concurrency: limit("concurrency")?, burst: None };
    Ok(RateLimit {
        model: row.text("model")?,
        limits,
        set_by: row.text("set_by")?,
        set_at: Timestamp(row.int("set_at")?),
    })
}

fn model_permissions<R: Cells>(row: &R) -> Result<ModelPermissions, Error> {
    let (mode, text) = (row.text("mode")?, row.text("model_ids")?);
    let ids: Vec<String> = serde_json::from_str(&text).map_err(|_| corrupt("model_permission.model_ids", &text))?;
    let list: Option<Vec<ModelPattern>> = ids.iter().map(|id| id.parse().ok()).collect();
    let list = known(list, "model_permission.model_ids", &text)?;
    let rule = match mode.as_str() {
        "allow_list" => ModelRule::Only(list),
        "deny_list" => ModelRule::AllBut(list),
        _ => return Err(corrupt("model_permission.mode", &mode)),
    };
    Ok(ModelPermissions { rule, set_by: row.text("set_by")?, set_at: Timestamp(row.int("set_at")?) })
}

/// A rule as its two columns.
fn words(rule: &ModelRule) -> Option<(&'static str, String)> {
    let (mode, list) = match rule {
        ModelRule::Any => return None,
        ModelRule::Only(list) => ("allow_list", list),
        ModelRule::AllBut(list) => ("deny_list", list),
    };
    let ids = serde_json::Value::from(list.iter().map(ToString::to_string).collect::<Vec<_>>());
    Some((mode, ids.to_string()))
}

/// A rule as audit records say it.
fn described(rule: &ModelRule) -> Option<String> {
    words(rule).map(|(mode, ids)| format!("{mode} {ids}"))
}

/// The limits that differ, as `<model>.rpm` and so on.
fn changes(model: &str, former: &Limits, limits: &Limits) -> Vec<FieldChange> {
    let pairs = [
        ("rpm", former.rpm, limits.rpm),
        ("tpm", former.tpm, limits.tpm),
        ("concurrency", former.concurrency, limits.concurrency),
    ];
    let text = |limit: Option<u32>| limit.map(|limit| limit.to_string());
    pairs
        .into_iter()
        .filter(|(_, from, to)| from != to)
        .map(|(name, from, to)| change(&format!("{model}.{name}"), text(from), text(to)))
        .collect()
}

fn actor(by: &Attribution) -> String {
    let (kind, id) = by.actor.parts();
    format!("{kind}:{id}")
}
