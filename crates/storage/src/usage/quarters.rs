//! The part of a report that is whole quarters of an hour: filtered and grouped by the database.

use super::{Gathered, Group, Spans, Sum, UsageDimension, UsageQuery};
use crate::cells::{Cells, known};
use crate::door::both;
use crate::error::Error;
use crate::store::Snapshot;
use claviger_domain::meter::Meter;
use sqlx::AssertSqlSafe;
use std::fmt::Write as _;

/// What is summed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Requests,
    Meters,
}

/// Adds the sums of whole quarters to a report.
pub(super) async fn gather(
    snapshot: &mut Snapshot,
    organization: &str,
    query: &UsageQuery,
    spans: &Spans,
    gathered: &mut Gathered,
) -> Result<(), Error> {
    if spans.quarters.is_empty() {
        return Ok(());
    }
    let filters: Vec<String> = filters(query).into_iter().flat_map(|(_, values)| values).collect();
    for what in [What::Requests, What::Meters] {
        let sql = text(query, what, spans.quarters.len());
        both!(snapshot, c => {
            let mut statement = sqlx::query(AssertSqlSafe(sql)).bind(organization);
            for (place, from, until) in &spans.quarters {
                statement = statement.bind(i64::try_from(*place).unwrap_or(i64::MAX)).bind(from).bind(until);
            }
            for value in &filters {
                statement = statement.bind(value);
            }
            for row in statement.fetch_all(c).await? {
                let (bucket, group, sum) = read(&row, what)?;
                gathered.add(bucket, group, &sum)?;
            }
        });
    }
    Ok(())
}

fn read<R: Cells>(row: &R, what: What) -> Result<(usize, Group, Sum), Error> {
    let mut group = Group::default();
    for (place, dimension) in group.iter_mut().zip(UsageDimension::ALL) {
        *place = row.text_or_none(dimension.column())?;
    }
    let mut sum = Sum::default();
    match what {
        What::Requests => (sum.requests, sum.charge) = (row.int("requests")?, row.int("charge")?),
        What::Meters => {
            let name = row.text("meter")?;
            let meter = known(Meter::from_name(&name), "usage_15m_meter.meter", &name)?;
            sum.meters.insert(meter, row.int("quantity")?);
        }
    }
    Ok((usize::try_from(row.int("bucket")?).unwrap_or(usize::MAX), group, sum))
}

const fn expression(dimension: UsageDimension) -> &'static str {
    match dimension {
        UsageDimension::Key => "d.key_id",
        UsageDimension::SourceTag => "d.source_tag",
        UsageDimension::Model => "d.model",
        UsageDimension::Environment => "d.environment_id",
        UsageDimension::Owner => "k.owner",
        UsageDimension::Endpoint => "d.endpoint",
        UsageDimension::Outcome => "d.outcome",
        UsageDimension::UsageSource => "d.usage_source",
        UsageDimension::Provider => "d.provider",
    }
}

/// What rows must be one of, as texts; only where something is asked for.
fn filters(query: &UsageQuery) -> Vec<(UsageDimension, Vec<String>)> {
    fn texts<T: ToString>(values: &[T]) -> Vec<String> {
        values.iter().map(ToString::to_string).collect()
    }
    let endpoints = query.endpoints.iter().map(|name| name.name().to_owned()).collect();
    let outcomes = query.outcomes.iter().map(|outcome| outcome.name().to_owned()).collect();
    let all = [
        (UsageDimension::Key, texts(&query.keys)),
        (UsageDimension::SourceTag, query.source_tags.clone()),
        (UsageDimension::Model, query.models.clone()),
        (UsageDimension::Environment, texts(&query.environments)),
        (UsageDimension::Owner, texts(&query.owners)),
        (UsageDimension::Endpoint, endpoints),
        (UsageDimension::Outcome, outcomes),
    ];
    all.into_iter().filter(|(_, values)| !values.is_empty()).collect()
}

fn text(query: &UsageQuery, what: What, spans: usize) -> String {
    let mut sql = String::from("SELECT w.column1 AS bucket");
    for dimension in UsageDimension::ALL {
        let is_asked = query.group_by.contains(&dimension);
        let from = if is_asked { expression(dimension) } else { "CAST(NULL AS TEXT)" };
        let _ = write!(sql, ", {from} AS {}", dimension.column());
    }
    sql.push_str(match what {
        What::Requests => ", CAST(SUM(u.requests) AS BIGINT) AS requests, CAST(SUM(u.charge) AS BIGINT) AS charge",
        What::Meters => ", m.meter AS meter, CAST(SUM(m.quantity) AS BIGINT) AS quantity",
    });
    sql.push_str(" FROM (VALUES ");
    let mut number = 1_usize;
    for span in 0..spans {
        sql.push_str(if span == 0 { "(" } else { ", (" });
        for column in 0..3 {
            number = number.saturating_add(1);
            let _ = write!(sql, "{}CAST(${number} AS BIGINT)", if column == 0 { "" } else { ", " });
        }
        sql.push(')');
    }
    sql.push_str(
        ") AS w JOIN usage_15m u ON u.org_id = $1 AND u.slot >= w.column2 AND u.slot < w.column3 \
         JOIN usage_dimension d ON d.id = u.dimension",
    );
    if what == What::Meters {
        sql.push_str(" JOIN usage_15m_meter m ON m.dimension = u.dimension AND m.slot = u.slot AND m.seat = u.seat");
    }
    if query.needs_owner() {
        sql.push_str(" LEFT JOIN api_key k ON k.org_id = u.org_id AND k.id = d.key_id");
    }
    for (place, (dimension, values)) in filters(query).into_iter().enumerate() {
        let _ = write!(sql, " {} {} IN (", if place == 0 { "WHERE" } else { "AND" }, expression(dimension));
        for index in 0..values.len() {
            number = number.saturating_add(1);
            let _ = write!(sql, "{}${number}", if index == 0 { "" } else { ", " });
        }
        sql.push(')');
    }
    sql.push_str(" GROUP BY w.column1");
    for dimension in UsageDimension::ALL.into_iter().filter(|dimension| query.group_by.contains(dimension)) {
        let _ = write!(sql, ", {}", expression(dimension));
    }
    if what == What::Meters {
        sql.push_str(", m.meter");
    }
    sql
}

/// One text of each kind, for the test that prepares them.
pub(super) fn built() -> Vec<(&'static str, String)> {
    let full = UsageQuery {
        group_by: UsageDimension::ALL.to_vec(),
        source_tags: vec![String::new()],
        models: vec![String::new(); 2],
        owners: vec![claviger_domain::key::Owner::User(claviger_domain::id::UserId::from_u128(0))],
        ..UsageQuery::default()
    };
    let all = |what| [text(&UsageQuery::default(), what, 1), text(&full, what, 2)];
    [What::Requests, What::Meters].into_iter().flat_map(all).map(|sql| ("usage of quarters", sql)).collect()
}
