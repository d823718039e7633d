//! What people and the operator change of an organization: names, policy, bounds, state; and which keys a policy stops.

use crate::audit::record;
use crate::cells::Cells as _;
use crate::door::{Tx, both};
use crate::environments::Edited;
use crate::epochs::{current_epoch, publish};
use crate::error::Error;
use crate::keys::change;
use crate::keyset::{self, List, walked};
use crate::page::{Page, PageRequest};
use crate::standing::Judge;
use crate::statements::statements;
use crate::store::Store;
use crate::tenancy::{self, organization_columns};
use claviger_domain::audit::{Action, Attribution, FieldChange};
use claviger_domain::id::{KeyId, OrganizationId};
use claviger_domain::revocation::Change;
use claviger_domain::right::Permission;
use claviger_domain::tenancy::{Organization, OrganizationState, PolicyEdit, TenantScope};
use claviger_domain::time::Timestamp;

statements! {
    LOCK = "UPDATE organization SET version = version + 1 WHERE id = $1";
    UPDATE = "UPDATE organization SET slug = $2, name = $3, state = $4, state_reason = $5, max_keys = $6, \
        key_prefix = $7, reporting_zone = $8, creators = $9, lifetime_days = $10, lifetime_set_at = $11, \
        lifetime_binds_at = $12, suggested_expiry_days = $13, require_source_tag = $14, allowed_ips = $15, \
        leak_action = $16, finish_when_quiet_hours = $17, developers_see_all = $18, settings_version = $19, lifetime_ended = $20, lifetime_longer = $21 \
        WHERE id = $1";
    COUNT_LIVE = "SELECT o.live_keys - (SELECT CAST(COUNT(*) AS BIGINT) FROM api_key k WHERE k.org_id = o.id \
        AND k.expires_at <= $2 AND k.expires_at IS NOT NULL AND k.state <> 'revoked' AND k.trust_id IS NULL) AS live \
        FROM organization o WHERE o.id = $1";
    LIVE_SECRETS = "SELECT k.id, k.name, k.expires_at, s.created_at FROM api_key k \
        JOIN secret s ON s.key_id = k.id AND s.ended_at IS NULL \
        WHERE k.org_id = $1 AND k.state <> 'revoked' AND (k.expires_at IS NULL OR k.expires_at > $2) \
        ORDER BY s.created_at, k.id LIMIT CAST($3 AS BIGINT)";
}

/// What to change; absent = as it is.
#[derive(Clone, Debug, Default)]
pub struct OrganizationEdit {
    /// Its name.
    pub name: Option<String>,
    /// Its slug.
    pub slug: Option<String>,
    /// Its reporting zone.
    pub reporting_zone: Option<String>,
    /// Its key policy, by what is changed of it.
    pub policy: Option<PolicyEdit>,
    /// How many keys it may have.
    pub keys_max: Option<u32>,
    /// Its prefix; `Some(None)` = the instance's.
    pub key_prefix: Option<Option<String>>,
    /// Its state, and why.
    pub state: Option<(OrganizationState, Option<String>)>,
}

/// A live secret, as a lifetime judges it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveSecret {
    /// Its key.
    pub key: KeyId,
    /// The key's name.
    pub name: String,
    /// The key's own expiry.
    pub expires_at: Option<Timestamp>,
    /// When the secret was made.
    pub created_at: Timestamp,
}

/// All organizations.
const EVERY: List = List { tenant: None, ..keyset::of("organization", organization_columns!(), "") };

impl Store {
    /// Changes an organization. `Refused` = its state cannot become the one asked for.
    ///
    /// # Errors
    /// `Conflict` when another organization has the slug. `OutcomeUnknown`: repeating is safe. `Beyond`: whoever changes
    /// the policy or the state may not, now.
    pub async fn update_organization(
        &self,
        id: OrganizationId,
        edit: OrganizationEdit,
        expected: Option<i64>,
        by: &Attribution,
    ) -> Result<Edited<Organization>, Error> {
        let by = by.clone();
        self.act(async move |tx: &mut Tx<'_>| update(tx, id, &edit, expected, &by).await).await
    }

    /// A page of all organizations, for the operator, by (creation, id). `None` = unknown cursor.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn page_organizations(&self, page: &PageRequest) -> Result<Option<Page<Organization>>, Error> {
        walked!(self, EVERY, None, page, tenancy::organization)
    }

    /// How many keys of an organization are neither revoked nor expired.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn count_live_keys(&self, scope: TenantScope, now: Timestamp) -> Result<u32, Error> {
        let mut reader = self.reader().await?;
        let organization = scope.0.to_string();
        both!(&mut reader, c => {
            let live = sqlx::query(COUNT_LIVE).bind(&organization).bind(now.0).fetch_optional(c).await?;
            let live = live.map(|row| row.int("live")).transpose()?.unwrap_or(0);
            Ok(u32::try_from(live).unwrap_or(u32::MAX))
        })
    }

    /// The live secrets of an organization, oldest first: those that a lifetime stops first.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn live_secrets(&self, scope: TenantScope, now: Timestamp, rows: u32) -> Result<Vec<LiveSecret>, Error> {
        let mut reader = self.reader().await?;
        let organization = scope.0.to_string();
        both!(&mut reader, c => {
            let query = sqlx::query(LIVE_SECRETS).bind(&organization).bind(now.0).bind(i64::from(rows));
            let rows = query.fetch_all(c).await?;
            rows.iter()
                .map(|row| {
                    Ok(LiveSecret {
                        key: row.parsed("id")?,
                        name: row.text("name")?,
                        expires_at: row.int_or_none("expires_at")?.map(Timestamp),
                        created_at: Timestamp(row.int("created_at")?),
                    })
                })
                .collect()
        })
    }
}

async fn update(
    tx: &mut Tx<'_>,
    id: OrganizationId,
    edit: &OrganizationEdit,
    expected: Option<i64>,
    by: &Attribution,
) -> Result<Edited<Organization>, Error> {
    let text = id.to_string();
    both!(tx, c => { sqlx::query(LOCK).bind(&text).execute(c).await?; });
    let Some(former) = tenancy::find(tx, id).await? else { return Ok(Edited::Unknown) };
    if expected.is_some_and(|version| version != former.version) {
        return Ok(Edited::Stale);
    }
    let mut next = former.clone();
    if let Some(name) = &edit.name {
        next.name.clone_from(name);
    }
    if let Some(slug) = &edit.slug {
        next.slug.clone_from(slug);
    }
    if let Some(zone) = &edit.reporting_zone {
        next.reporting_zone.clone_from(zone);
    }
    if let Some(policy) = &edit.policy {
        next.policy = policy.onto(&former.policy, by.at);
    }
    if let Some(keys_max) = edit.keys_max {
        next.keys_max = keys_max;
    }
    if let Some(prefix) = &edit.key_prefix {
        next.key_prefix.clone_from(prefix);
    }
    if let Some((state, reason)) = &edit.state
        && *state != former.state
    {
        if !former.state.may_become(*state) {
            return Ok(Edited::Refused);
        }
        next.state = *state;
        next.state_reason.clone_from(reason);
    }
    if next == former {
        return Ok(Edited::Done(former, current_epoch(tx).await?));
    }
    let judge = Judge::of(tx, TenantScope(id), by).await?;
    if next.policy != former.policy {
        judge.require(Permission::PolicyManage)?;
    }
    if next.state != former.state {
        judge.require(Permission::OrganizationClose)?;
    }
    next.version = former.version.saturating_add(1);
    write(tx, &next).await?;
    let action = if next.state == former.state { Action::OrganizationUpdated } else { Action::OrganizationState };
    record(tx, id, by, action, &text, &difference(&former, &next)).await?;
    let epoch = publish(tx, id, &Change::Organization, by.at).await?;
    Ok(Edited::Done(next, epoch))
}

async fn write(tx: &mut Tx<'_>, next: &Organization) -> Result<(), Error> {
    let policy = &next.policy;
    both!(tx, c => {
        sqlx::query(UPDATE)
            .bind(next.id.to_string())
            .bind(&next.slug)
            .bind(&next.name)
            .bind(next.state.name())
            .bind(&next.state_reason)
            .bind(i64::from(next.keys_max))
            .bind(&next.key_prefix)
            .bind(&next.reporting_zone)
            .bind(policy.creators.name())
            .bind(policy.lifetimes.current.map(|lifetime| i64::from(lifetime.days)))
            .bind(policy.lifetimes.current.map(|lifetime| lifetime.set_at.0))
            .bind(policy.lifetimes.current.map(|lifetime| lifetime.binds_at.0))
            .bind(policy.suggested_expiry_days.map(i64::from))
            .bind(policy.require_source_tag)
            .bind(policy.allowed_ips.as_deref().and_then(listed))
            .bind(policy.leak_action.name())
            .bind(policy.finish_when_quiet_hours.map(i64::from))
            .bind(policy.developers_see_all)
            .bind(next.version)
            .bind(listed(&policy.lifetimes.ended))
            .bind(listed(&policy.lifetimes.longer))
            .execute(c)
            .await?;
    });
    Ok(())
}

/// A list as one text, parted by spaces; none for an empty one.
fn listed<T: ToString>(list: &[T]) -> Option<String> {
    let texts: Vec<String> = list.iter().map(ToString::to_string).collect();
    (!texts.is_empty()).then(|| texts.join(" "))
}

/// The fields as the audit record names them, and how they stand.
fn described(organization: &Organization) -> [(&'static str, Option<String>); 16] {
    let policy = &organization.policy;
    let seconds = |at: Timestamp| at.seconds().to_string();
    [
        ("name", Some(organization.name.clone())),
        ("slug", Some(organization.slug.clone())),
        ("state", Some(organization.state.name().to_owned())),
        ("reason", organization.state_reason.clone()),
        ("max_keys", Some(organization.keys_max.to_string())),
        ("key_prefix", organization.key_prefix.clone()),
        ("reporting_zone", Some(organization.reporting_zone.clone())),
        ("creators", Some(policy.creators.name().to_owned())),
        ("max_lifetime_days", policy.lifetimes.current.map(|lifetime| lifetime.days.to_string())),
        ("max_lifetime_binds_at", policy.lifetimes.current.map(|lifetime| seconds(lifetime.binds_at))),
        ("suggested_expiry_days", policy.suggested_expiry_days.map(|days| days.to_string())),
        ("require_source_tag", Some(policy.require_source_tag.to_string())),
        ("allowed_ips", policy.allowed_ips.as_deref().and_then(listed)),
        ("leak_action", Some(policy.leak_action.name().to_owned())),
        ("finish_when_quiet_hours", policy.finish_when_quiet_hours.map(|hours| hours.to_string())),
        ("developers_see_all", Some(policy.developers_see_all.to_string())),
    ]
}

fn difference(former: &Organization, next: &Organization) -> Vec<FieldChange> {
    let pairs = described(former).into_iter().zip(described(next));
    pairs.filter(|(from, to)| from != to).map(|((field, from), (_, to))| change(field, from, to)).collect()
}

/// The texts that are made at run time.
pub(crate) fn built() -> Vec<(&'static str, String)> {
    EVERY.built()
}
