//! Usage reports: sums over request records, by time buckets and dimensions.

use crate::cells::Cells;
use crate::door::both;
use crate::error::Error;
use crate::record::meter_columns;
use crate::store::Store;
use claviger_domain::id::{EnvironmentId, KeyId};
use claviger_domain::key::Owner;
use claviger_domain::meter::{Meter, Meters};
use claviger_domain::money::Nano;
use claviger_domain::tenancy::TenantScope;
use claviger_domain::time::Timestamp;
use sqlx::AssertSqlSafe;
use std::fmt::Write as _;
use std::time::Duration;

/// What a report is split by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UsageDimension {
    /// The key.
    Key,
    /// The key's source tag at the time.
    SourceTag,
    /// The public model id.
    Model,
    /// The environment.
    Environment,
    /// Who owns the key now.
    Owner,
}

impl UsageDimension {
    const fn column(self) -> &'static str {
        match self {
            Self::Key => "key_id",
            Self::SourceTag => "source_tag",
            Self::Model => "model",
            Self::Environment => "environment_id",
            Self::Owner => "owner",
        }
    }
}

/// A report to be made. Empty lists filter nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsageQuery {
    /// Records completed at or after.
    pub from: Timestamp,
    /// Records completed before.
    pub until: Timestamp,
    /// What rows are split by, besides time.
    pub group_by: Vec<UsageDimension>,
    /// Only these keys.
    pub keys: Vec<KeyId>,
    /// Only these source tags.
    pub source_tags: Vec<String>,
    /// Only these models.
    pub models: Vec<String>,
    /// Only these environments.
    pub environments: Vec<EnvironmentId>,
    /// Only keys of these owners, as they own them now.
    pub owners: Vec<Owner>,
    /// The width of a bucket, in whole microseconds, counted from 1970; one bucket from `from` on when absent.
    pub bucket: Option<Duration>,
}

/// One row of a report. A dimension that was not asked for is `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageRow {
    /// The bucket's beginning.
    pub bucket_start: Timestamp,
    /// The key.
    pub key: Option<KeyId>,
    /// The source tag; of keys without one also `None`.
    pub source_tag: Option<String>,
    /// The model.
    pub model: Option<String>,
    /// The environment.
    pub environment: Option<EnvironmentId>,
    /// The key's owner; of keys that nobody owns, or that are forgotten, also `None`.
    pub owner: Option<Owner>,
    /// Records, refusals included.
    pub requests: u64,
    /// Sums of the reported quantities; a meter nobody reported is not reported.
    pub meters: Meters,
    /// Σ charges.
    pub charge: Nano,
}

impl Store {
    /// Sums records. Rows are ordered by bucket, then by the dimensions in the order of [`UsageDimension`].
    ///
    /// # Errors
    /// Those of reading.
    pub async fn usage(&self, scope: TenantScope, query: &UsageQuery) -> Result<Vec<UsageRow>, Error> {
        let mut reader = self.level_reader().await?;
        let text = text(query);
        let keys: Vec<String> = query.keys.iter().map(ToString::to_string).collect();
        let environments: Vec<String> = query.environments.iter().map(ToString::to_string).collect();
        let owners: Vec<String> = query.owners.iter().map(ToString::to_string).collect();
        let width = query.bucket.map_or(0, |width| i64::try_from(width.as_micros()).unwrap_or(i64::MAX));
        both!(&mut reader, c => {
            let mut statement = sqlx::query(AssertSqlSafe(text))
                .bind(scope.0.to_string())
                .bind(query.from.0)
                .bind(query.until.0)
                .bind(width);
            let lists = [&keys, &query.source_tags, &query.models, &environments, &owners];
            for value in lists.into_iter().flatten() {
                statement = statement.bind(value);
            }
            statement.fetch_all(c).await?.iter().map(row).collect()
        })
    }
}

/// One text of each kind, for the test that prepares them.
pub(crate) fn built() -> Vec<(&'static str, String)> {
    use UsageDimension::{Environment, Key, Model, Owner, SourceTag};
    let full = UsageQuery {
        group_by: vec![Key, SourceTag, Model, Environment, Owner],
        owners: vec![self::Owner::User(claviger_domain::id::UserId::from_u128(0))],
        source_tags: vec![String::new()],
        models: vec![String::new(); 2],
        bucket: Some(Duration::from_secs(60)),
        ..UsageQuery::default()
    };
    vec![("usage total", text(&UsageQuery::default())), ("usage by everything", text(&full))]
}

fn text(query: &UsageQuery) -> String {
    use UsageDimension as Of;
    const ALL: [Of; 5] = [Of::Key, Of::SourceTag, Of::Model, Of::Environment, Of::Owner];
    let mut sql = String::from("SELECT bucket_start, key_id, source_tag, model, environment_id, owner, ");
    sql.push_str("CAST(COUNT(*) AS BIGINT) AS requests, CAST(SUM(charge) AS BIGINT) AS charge");
    for column in meter_columns() {
        let _ = write!(sql, ", CAST(SUM({column}) AS BIGINT) AS {column}");
    }
    // Without buckets the width is 0 and every record falls into the one that begins at `from`.
    sql.push_str(" FROM (SELECT CASE WHEN CAST($4 AS BIGINT) > 0 ");
    sql.push_str("THEN completed_at - completed_at % CAST($4 AS BIGINT) ELSE CAST($2 AS BIGINT) END AS bucket_start");
    for dimension in ALL {
        let column = dimension.column();
        let is_asked = query.group_by.contains(&dimension);
        let _ = match is_asked {
            true if dimension == Of::Owner => write!(sql, ", {OWNER} AS owner"),
            true => write!(sql, ", {column}"),
            false => write!(sql, ", CAST(NULL AS TEXT) AS {column}"),
        };
    }
    let _ = write!(sql, ", charge, {} FROM request WHERE org_id = $1", meter_columns().join(", "));
    sql.push_str(" AND completed_at >= CAST($2 AS BIGINT) AND completed_at < CAST($3 AS BIGINT)");
    let lists = [
        ("key_id", query.keys.len()),
        ("source_tag", query.source_tags.len()),
        ("model", query.models.len()),
        ("environment_id", query.environments.len()),
        (OWNER, query.owners.len()),
    ];
    let mut number = 4_usize;
    for (column, count) in lists.into_iter().filter(|(_, count)| *count > 0) {
        let _ = write!(sql, " AND {column} IN (");
        for index in 0..count {
            number = number.saturating_add(1);
            let _ = write!(sql, "{}${number}", if index == 0 { "" } else { ", " });
        }
        sql.push(')');
    }
    sql.push_str(") AS records GROUP BY bucket_start, key_id, source_tag, model, environment_id, owner");
    sql.push_str(" ORDER BY bucket_start, key_id, source_tag, model, environment_id, owner");
    sql
}

/// Records know their key, and keys their owner, who may be another one tomorrow.
const OWNER: &str = "(SELECT k.owner FROM api_key k WHERE k.org_id = request.org_id AND k.id = request.key_id)";

fn row<R: Cells>(row: &R) -> Result<UsageRow, Error> {
    let mut meters = Meters::NONE;
    for (meter, column) in Meter::ALL.iter().zip(meter_columns()) {
        if let Some(sum) = row.int_or_none(column)? {
            meters.set(*meter, u64::try_from(sum).unwrap_or(0));
        }
    }
    Ok(UsageRow {
        bucket_start: Timestamp(row.int("bucket_start")?),
        key: row.text_or_none("key_id")?.map(|id| crate::cells::parse("request.key_id", &id)).transpose()?,
        source_tag: row.text_or_none("source_tag")?,
        model: row.text_or_none("model")?,
        environment: row
            .text_or_none("environment_id")?
            .map(|id| crate::cells::parse("request.environment_id", &id))
            .transpose()?,
        owner: row.text_or_none("owner")?.map(|id| crate::cells::parse("api_key.owner", &id)).transpose()?,
        requests: u64::try_from(row.int("requests")?).unwrap_or(0),
        meters,
        charge: Nano(row.int("charge")?),
    })
}
