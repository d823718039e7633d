//! Organizations: making and reading them. What people and the operator change of them is `organizations.rs`.

use crate::audit::record;
use crate::cells::{Cells, known, parse};
use crate::door::{Tx, both};
use crate::epochs::{current_epoch, publish};
use crate::error::Error;
use crate::statements::statements;
use crate::store::Store;
use claviger_domain::audit::{Action, Attribution};
use claviger_domain::id::{EnvironmentId, OrganizationId};
use claviger_domain::lifetime::{Lifetime, Lifetimes};
use claviger_domain::revocation::{Change, Epoch};
use claviger_domain::right::Creators;
use claviger_domain::tenancy::{LeakAction, Organization, OrganizationPolicy, OrganizationState};
use claviger_domain::time::Timestamp;
use std::str::FromStr;

/// What every reading of organizations selects.
macro_rules! organization_columns {
    () => {
        "SELECT id, slug, name, state, state_reason, default_environment, max_keys, key_prefix, reporting_zone, creators, \
         lifetime_days, lifetime_set_at, lifetime_binds_at, lifetime_longer, lifetime_ended, suggested_expiry_days, require_source_tag, allowed_ips, \
         leak_action, finish_when_quiet_hours, developers_see_all, settings_version, created_at FROM organization"
    };
}
pub(crate) use organization_columns;

statements! {
    INSERT_ORGANIZATION = "INSERT INTO organization \
        (id, slug, name, state, default_environment, max_keys, version, created_at) \
        VALUES ($1, $2, $3, $4, $5, $6, CAST(1 AS BIGINT), $7)";
    INSERT_ENVIRONMENT = "INSERT INTO environment (org_id, id, name, created_at) VALUES ($1, $2, $3, $4)";
    INSERT_WALLET = "INSERT INTO wallet (org_id, balance, funded, seq) \
        VALUES ($1, CAST(0 AS BIGINT), CAST(0 AS BIGINT), CAST(0 AS BIGINT))";
    FIND = concat!(organization_columns!(), " WHERE id = $1");
    FIND_BY_SLUG = concat!(organization_columns!(), " WHERE slug = $1");
    LIST = concat!(organization_columns!(), " ORDER BY id");
}

/// The name of the environment that every organization begins with.
const DEFAULT_ENVIRONMENT: &str = "production";

/// An organization to be made, with its default environment and its wallet.
#[derive(Clone, Debug)]
pub struct NewOrganization {
    /// Its id.
    pub id: OrganizationId,
    /// Its unique slug.
    pub slug: String,
    /// Its name.
    pub name: String,
    /// Where it begins.
    pub state: OrganizationState,
    /// The id of its default environment.
    pub environment: EnvironmentId,
    /// How many keys it may have that are neither revoked nor expired.
    pub keys_max: u32,
    /// When.
    pub at: Timestamp,
}

impl Store {
    /// Makes an organization, its default environment and its empty wallet. Repeating it with the same ids changes
    /// nothing and answers the current epoch.
    ///
    /// # Errors
    /// `Conflict` when the slug is taken, or the id by another content.
    pub async fn create_organization(&self, new: NewOrganization, by: &Attribution) -> Result<Epoch, Error> {
        let by = by.clone();
        self.act(async move |tx: &mut Tx<'_>| {
            if let Some(existing) = find(tx, new.id).await? {
                let is_same = existing.slug == new.slug && existing.default_environment == new.environment;
                return if is_same { current_epoch(tx).await } else { Err(Error::Conflict("organization id")) };
            }
            insert(tx, &new).await?;
            record(tx, new.id, &by, Action::OrganizationCreated, &new.id.to_string(), &[]).await?;
            publish(tx, new.id, &Change::Organization, by.at).await
        })
        .await
    }

    /// The organization of an id. Not scoped: for authentication and the operator.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn find_organization(&self, id: OrganizationId) -> Result<Option<Organization>, Error> {
        find(&mut self.reader().await?, id).await
    }

    /// The organization of a slug. Not scoped: for the operator.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn find_organization_by_slug(&self, slug: &str) -> Result<Option<Organization>, Error> {
        let mut reader = self.reader().await?;
        both!(&mut reader, c => {
            sqlx::query(FIND_BY_SLUG).bind(slug).fetch_optional(c).await?.map(|row| organization(&row)).transpose()
        })
    }

    /// Every organization, oldest first. For the operator.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn list_organizations(&self) -> Result<Vec<Organization>, Error> {
        list(&mut self.reader().await?).await
    }
}

pub(crate) async fn find(
    linked: &mut impl crate::door::Linked,
    id: OrganizationId,
) -> Result<Option<Organization>, Error> {
    let id = id.to_string();
    both!(linked, c => {
        sqlx::query(FIND).bind(&id).fetch_optional(c).await?.map(|row| organization(&row)).transpose()
    })
}

pub(crate) async fn list(linked: &mut impl crate::door::Linked) -> Result<Vec<Organization>, Error> {
    both!(linked, c => sqlx::query(LIST).fetch_all(c).await?.iter().map(organization).collect())
}

pub(crate) async fn insert(tx: &mut Tx<'_>, new: &NewOrganization) -> Result<(), Error> {
    let (id, environment) = (new.id.to_string(), new.environment.to_string());
    both!(tx, c => {
        sqlx::query(INSERT_ORGANIZATION)
            .bind(&id)
            .bind(&new.slug)
            .bind(&new.name)
            .bind(new.state.name())
            .bind(&environment)
            .bind(i64::from(new.keys_max))
            .bind(new.at.0)
            .execute(c)
            .await?;
    });
    both!(tx, c => {
        sqlx::query(INSERT_ENVIRONMENT)
            .bind(&id)
            .bind(&environment)
            .bind(DEFAULT_ENVIRONMENT)
            .bind(new.at.0)
            .execute(c)
            .await?;
    });
    both!(tx, c => { sqlx::query(INSERT_WALLET).bind(&id).execute(c).await?; });
    Ok(())
}

pub(crate) fn organization<R: Cells>(row: &R) -> Result<Organization, Error> {
    let state = row.text("state")?;
    Ok(Organization {
        id: row.parsed("id")?,
        slug: row.text("slug")?,
        name: row.text("name")?,
        state: known(OrganizationState::from_name(&state), "organization.state", &state)?,
        default_environment: row.parsed("default_environment")?,
        state_reason: row.text_or_none("state_reason")?,
        keys_max: count(row.int("max_keys")?),
        key_prefix: row.text_or_none("key_prefix")?,
        reporting_zone: row.text("reporting_zone")?,
        policy: policy(row)?,
        version: row.int("settings_version")?,
        created_at: Timestamp(row.int("created_at")?),
    })
}

/// A list as one text, parted by spaces.
pub(crate) fn listed<T: FromStr>(column: &'static str, text: &str) -> Result<Vec<T>, Error> {
    text.split(' ').map(|part| parse(column, part)).collect()
}

fn policy<R: Cells>(row: &R) -> Result<OrganizationPolicy, Error> {
    let (creators, leak_action) = (row.text("creators")?, row.text("leak_action")?);
    let current = match row.int_or_none("lifetime_days")? {
        None => None,
        Some(days) => Some(Lifetime {
            days: count(days),
            set_at: Timestamp(row.int("lifetime_set_at")?),
            binds_at: Timestamp(row.int("lifetime_binds_at")?),
        }),
    };
    let longer = row.text_or_none("lifetime_longer")?.map(|text| listed("organization.lifetime_longer", &text));
    let ended = row.text_or_none("lifetime_ended")?.map(|text| listed("organization.lifetime_ended", &text));
    let (longer, ended) = (longer.transpose()?.unwrap_or_default(), ended.transpose()?.unwrap_or_default());
    Ok(OrganizationPolicy {
        creators: known(Creators::from_name(&creators), "organization.creators", &creators)?,
        lifetimes: Lifetimes { current, longer, ended },
        suggested_expiry_days: row.int_or_none("suggested_expiry_days")?.map(count),
        require_source_tag: row.flag("require_source_tag")?,
        allowed_ips: row
            .text_or_none("allowed_ips")?
            .map(|text| listed("organization.allowed_ips", &text))
            .transpose()?,
        leak_action: known(LeakAction::from_name(&leak_action), "organization.leak_action", &leak_action)?,
        finish_when_quiet_hours: row.int_or_none("finish_when_quiet_hours")?.map(count),
        developers_see_all: row.flag("developers_see_all")?,
    })
}

/// A stored count; none is negative or beyond 32 bits.
fn count(value: i64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}
