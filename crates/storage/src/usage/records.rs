//! The part of a report that is read from records: what buckets cut out of a quarter, and what is not in the sums yet.

use super::{Gathered, Group, Spans, Sum, UsageDimension, UsageQuery};
use crate::cells::Cells as _;
use crate::door::both;
use crate::error::Error;
use crate::record::read;
use crate::record_body::{self, Body};
use crate::requests::find_text;
use crate::statements::statements;
use crate::store::Snapshot;
use claviger_domain::id::KeyId;
use claviger_domain::key::Owner;
use futures_util::TryStreamExt as _;
use sqlx::AssertSqlSafe;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

statements! {
    COUNTED = "SELECT r.id, r.body FROM usage_cursor c JOIN arrived r ON r.seat = c.seat AND r.place <= c.place \
        WHERE r.org_id = $1 AND r.completed_at >= $2 AND r.completed_at < $3";
    /// By their places, and not by walking all that the organization ever asked: so it is compared as an expression.
    BEYOND = "SELECT r.id, r.body FROM usage_cursor c JOIN arrived r ON r.seat = c.seat AND r.place > c.place \
        WHERE r.org_id || '' = $1 AND r.completed_at >= $2 AND r.completed_at < $3";
    FIND_OWNER = "SELECT owner FROM api_key WHERE org_id = $1 AND id = $2";
}

/// Sums by bucket, key and the dimensions but the owner.
type ByKey = HashMap<(usize, KeyId, Group), Sum>;

/// Adds what records say to a report.
pub(super) async fn gather(
    snapshot: &mut Snapshot,
    organization: &str,
    query: &UsageQuery,
    spans: &Spans,
    gathered: &mut Gathered,
) -> Result<(), Error> {
    let whole = query.buckets.first().zip(query.buckets.last()).map(|(first, last)| (first.0.0, last.1.0));
    let rest = spans.rest.iter().map(|span| (COUNTED, *span));
    let mut sums = ByKey::new();
    let mut bodiless = Vec::new();
    for (sql, (from, until)) in rest.chain(whole.map(|span| (BEYOND, span))) {
        both!(snapshot, c => {
            let mut rows = sqlx::query(sql).bind(organization).bind(from).bind(until).fetch(c);
            while let Some(row) = rows.try_next().await? {
                match row.bytes_or_none("body")? {
                    Some(body) => add(&mut sums, query, &row.text("id")?, &body)?,
                    None => bodiless.push(row.text("id")?),
                }
            }
        });
    }
    for id in bodiless {
        // A record of before bodies: the same content in another form.
        let record = both!(snapshot, c => {
            read(&sqlx::query(AssertSqlSafe(find_text())).bind(organization).bind(&id).fetch_one(c).await?)?
        });
        let mut body = Vec::new();
        record_body::put(&mut body, &record);
        add(&mut sums, query, &id, &body)?;
    }
    own(snapshot, organization, query, sums, gathered).await
}

/// Counts a record, if it is asked for.
fn add(sums: &mut ByKey, query: &UsageQuery, id: &str, bytes: &[u8]) -> Result<(), Error> {
    let corrupt = || Error::Corrupt { table: "request.body", row: id.to_owned() };
    let body = Body::read(bytes).ok_or_else(corrupt)?;
    let Some(bucket) = bucket_of(query, body.columns.completed_at.0).filter(|_| is_asked_for(query, &body)) else {
        return Ok(());
    };
    let group = UsageDimension::ALL.map(|dimension| {
        let value = match dimension {
            UsageDimension::SourceTag => body.columns.source_tag,
            UsageDimension::Model => Some(body.columns.model),
            UsageDimension::Endpoint => Some(body.endpoint().name()),
            UsageDimension::Outcome => Some(body.columns.outcome.name()),
            UsageDimension::UsageSource => Some(body.usage_source().name()),
            UsageDimension::Provider => body.provider(),
            UsageDimension::Key if query.group_by.contains(&dimension) => {
                return Some(body.columns.key.to_string());
            }
            UsageDimension::Environment if query.group_by.contains(&dimension) => {
                return Some(body.columns.environment.to_string());
            }
            UsageDimension::Key | UsageDimension::Environment | UsageDimension::Owner => None,
        };
        value.filter(|_| query.group_by.contains(&dimension)).map(str::to_owned)
    });
    let meters = body.columns.meters.iter();
    let one = Sum {
        requests: 1,
        charge: body.columns.charge.0,
        meters: meters.map(|(meter, quantity)| (meter, i64::try_from(quantity).unwrap_or(i64::MAX))).collect(),
    };
    let sum = sums.entry((bucket, body.columns.key, group)).or_default();
    sum.add(&one).ok_or(Error::Conflict("usage out of range"))
}

/// The place of the bucket that an instant falls into.
fn bucket_of(query: &UsageQuery, at: i64) -> Option<usize> {
    let place = query.buckets.partition_point(|(from, _)| from.0 <= at).checked_sub(1)?;
    query.buckets.get(place).filter(|(_, until)| at < until.0).map(|_| place)
}

fn is_asked_for(query: &UsageQuery, body: &Body<'_>) -> bool {
    fn is_in<T: PartialEq>(list: &[T], value: &T) -> bool {
        list.is_empty() || list.contains(value)
    }
    let columns = &body.columns;
    let is_named = |list: &[String], value: Option<&str>| {
        list.is_empty() || list.iter().any(|named| Some(named.as_str()) == value)
    };
    is_in(&query.keys, &columns.key)
        && is_in(&query.environments, &columns.environment)
        && is_in(&query.endpoints, &body.endpoint())
        && is_in(&query.outcomes, &columns.outcome)
        && is_named(&query.models, Some(columns.model))
        && is_named(&query.source_tags, columns.source_tag)
}

/// Brings the owners of keys in, who may be others tomorrow, and adds all to the report.
async fn own(
    snapshot: &mut Snapshot,
    organization: &str,
    query: &UsageQuery,
    sums: ByKey,
    gathered: &mut Gathered,
) -> Result<(), Error> {
    let mut owners: HashMap<KeyId, Option<String>> = HashMap::new();
    let asked: Vec<String> = query.owners.iter().map(Owner::to_string).collect();
    for ((bucket, key, mut group), sum) in sums {
        if query.needs_owner() {
            if let Entry::Vacant(unknown) = owners.entry(key) {
                let owner = both!(snapshot, c => {
                    let row =
                        sqlx::query(FIND_OWNER).bind(organization).bind(key.to_string()).fetch_optional(c).await?;
                    row.map(|row| row.text_or_none("owner")).transpose()?.flatten()
                });
                unknown.insert(owner);
            }
            let owner = owners.get(&key).cloned().flatten();
            let is_asked = asked.is_empty() || owner.as_ref().is_some_and(|owner| asked.contains(owner));
            if !is_asked {
                continue;
            }
            if query.group_by.contains(&UsageDimension::Owner)
                && let Some(place) = group.get_mut(UsageDimension::Owner as usize)
            {
                *place = owner;
            }
        }
        gathered.add(bucket, group, &sum)?;
    }
    Ok(())
}
