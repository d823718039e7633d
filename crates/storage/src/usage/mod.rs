//! Usage reports: sums by buckets of time and by dimensions, exact at the moment at which they are read.
//!
//! Whole quarters of an hour come from the sums of usage ([`quarters`]); what buckets cut out of a quarter, and what is
//! not in the sums yet, from the records themselves ([`records`]). Both are read in one snapshot, so a report does not
//! depend on how far the sums have come.

mod quarters;
mod records;

use crate::cells::parse;
use crate::error::Error;
use crate::rollups::SLOT_MICROS;
use crate::store::Store;
use claviger_domain::endpoint::EndpointName;
use claviger_domain::id::{EnvironmentId, KeyId};
use claviger_domain::key::Owner;
use claviger_domain::meter::{Meter, Meters};
use claviger_domain::money::Nano;
use claviger_domain::request::Outcome;
use claviger_domain::tenancy::TenantScope;
use claviger_domain::time::Timestamp;
use std::collections::BTreeMap;

/// What a report is split by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(usize)]
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
    /// The endpoint.
    Endpoint,
    /// How requests ended.
    Outcome,
    /// Where their meters came from.
    UsageSource,
    /// The provider of the last try.
    Provider,
}

impl UsageDimension {
    /// All of them; rows are ordered by them, in this order.
    const ALL: [Self; 9] = [
        Self::Key,
        Self::SourceTag,
        Self::Model,
        Self::Environment,
        Self::Owner,
        Self::Endpoint,
        Self::Outcome,
        Self::UsageSource,
        Self::Provider,
    ];

    const fn column(self) -> &'static str {
        match self {
            Self::Key => "key_id",
            Self::SourceTag => "source_tag",
            Self::Model => "model",
            Self::Environment => "environment_id",
            Self::Owner => "owner",
            Self::Endpoint => "endpoint",
            Self::Outcome => "outcome",
            Self::UsageSource => "usage_source",
            Self::Provider => "provider",
        }
    }
}

/// A report to be made. Empty lists filter nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsageQuery {
    /// Beginning and end of each bucket, in order, none in another.
    pub buckets: Vec<(Timestamp, Timestamp)>,
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
    /// Only these endpoints.
    pub endpoints: Vec<EndpointName>,
    /// Only these endings.
    pub outcomes: Vec<Outcome>,
}

impl UsageQuery {
    /// Everything that completed in one span of time.
    pub fn between(from: Timestamp, until: Timestamp) -> Self {
        Self { buckets: vec![(from, until)], ..Self::default() }
    }

    fn needs_owner(&self) -> bool {
        !self.owners.is_empty() || self.group_by.contains(&UsageDimension::Owner)
    }
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
    /// The endpoint, by its name.
    pub endpoint: Option<String>,
    /// The ending, by its name.
    pub outcome: Option<String>,
    /// Where meters came from, by its name.
    pub usage_source: Option<String>,
    /// The provider; of requests that none was asked for also `None`.
    pub provider: Option<String>,
    /// Records, refusals included.
    pub requests: u64,
    /// Sums of the reported quantities; a meter nobody reported is not reported.
    pub meters: Meters,
    /// Σ charges.
    pub charge: Nano,
}

/// A row's dimensions, in the order of [`UsageDimension::ALL`].
type Group = [Option<String>; UsageDimension::ALL.len()];

/// What a row sums.
#[derive(Clone, Debug, Default)]
struct Sum {
    requests: i64,
    charge: i64,
    meters: BTreeMap<Meter, i64>,
}

impl Sum {
    fn add(&mut self, other: &Self) -> Option<()> {
        self.requests = self.requests.checked_add(other.requests)?;
        self.charge = self.charge.checked_add(other.charge)?;
        for (meter, quantity) in &other.meters {
            let sum = self.meters.entry(*meter).or_default();
            *sum = sum.checked_add(*quantity)?;
        }
        Some(())
    }
}

/// Rows as they come together: by the place of the bucket and the dimensions.
#[derive(Default)]
struct Gathered(BTreeMap<(usize, Group), Sum>);

impl Gathered {
    fn add(&mut self, bucket: usize, group: Group, sum: &Sum) -> Result<(), Error> {
        self.0.entry((bucket, group)).or_default().add(sum).ok_or(Error::Conflict("usage out of range"))
    }
}

/// Which spans of a query are whole quarters, and which are not.
#[derive(Debug, Default, PartialEq, Eq)]
struct Spans {
    /// The place of the bucket, and its whole quarters.
    quarters: Vec<(usize, i64, i64)>,
    /// The rest, of any buckets; what adjoins is one.
    rest: Vec<(i64, i64)>,
}

impl Spans {
    fn of(buckets: &[(Timestamp, Timestamp)]) -> Self {
        let mut spans = Self::default();
        for (place, (from, until)) in buckets.iter().enumerate() {
            let down = |at: i64| at.saturating_sub(at.checked_rem_euclid(SLOT_MICROS).unwrap_or(0));
            let first = down(from.0.max(0).saturating_add(SLOT_MICROS.saturating_sub(1)));
            let last = down(until.0);
            if first < last {
                spans.quarters.push((place, first, last));
                spans.leave(from.0, first);
                spans.leave(last, until.0);
            } else {
                spans.leave(from.0, until.0);
            }
        }
        spans
    }

    fn leave(&mut self, from: i64, until: i64) {
        match self.rest.last_mut() {
            _ if from >= until => {}
            Some((_, end)) if *end == from => *end = until,
            _ => self.rest.push((from, until)),
        }
    }
}

impl Store {
    /// Sums usage. Rows are ordered by bucket, then by the dimensions in the order of [`UsageDimension`].
    ///
    /// # Errors
    /// Those of reading.
    pub async fn usage(&self, scope: TenantScope, query: &UsageQuery) -> Result<Vec<UsageRow>, Error> {
        let spans = Spans::of(&query.buckets);
        let organization = scope.0.to_string();
        let mut gathered = Gathered::default();
        let mut snapshot = self.level_snapshot().await?;
        quarters::gather(&mut snapshot, &organization, query, &spans, &mut gathered).await?;
        records::gather(&mut snapshot, &organization, query, &spans, &mut gathered).await?;
        gathered.0.into_iter().map(|((bucket, group), sum)| row(query, bucket, group, sum)).collect()
    }
}

/// One text of each kind, for the test that prepares them.
pub(crate) fn built() -> Vec<(&'static str, String)> {
    let fixed = records::STATEMENTS.iter().map(|(name, sql)| (*name, (*sql).to_owned()));
    fixed.chain(quarters::built()).collect()
}

fn row(query: &UsageQuery, bucket: usize, group: Group, sum: Sum) -> Result<UsageRow, Error> {
    let [key, source_tag, model, environment, owner, endpoint, outcome, usage_source, provider] = group;
    let mut meters = Meters::NONE;
    for (meter, quantity) in sum.meters {
        meters.set(meter, u64::try_from(quantity).unwrap_or(0));
    }
    Ok(UsageRow {
        bucket_start: query.buckets.get(bucket).map_or(Timestamp(0), |(from, _)| *from),
        key: key.map(|id| parse("usage.key_id", &id)).transpose()?,
        source_tag,
        model,
        environment: environment.map(|id| parse("usage.environment_id", &id)).transpose()?,
        owner: owner.map(|id| parse("api_key.owner", &id)).transpose()?,
        endpoint,
        outcome,
        usage_source,
        provider,
        requests: u64::try_from(sum.requests).unwrap_or(0),
        meters,
        charge: Nano(sum.charge),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_whole_quarter_is_read_from_records_once() {
        const Q: i64 = SLOT_MICROS;
        let of = |buckets: &[(i64, i64)]| {
            let buckets: Vec<_> = buckets.iter().map(|(a, b)| (Timestamp(*a), Timestamp(*b))).collect();
            let Spans { quarters, rest } = Spans::of(&buckets);
            (quarters, rest)
        };
        assert_eq!(of(&[(0, Q), (Q, 3 * Q)]), (vec![(0, 0, Q), (1, Q, 3 * Q)], vec![]));
        assert_eq!(of(&[(5, 2 * Q + 7)]), (vec![(0, Q, 2 * Q)], vec![(5, Q), (2 * Q, 2 * Q + 7)]));
        assert_eq!(of(&[(5, 6), (6, 7), (9, 9), (Q - 1, Q + 1)]), (vec![], vec![(5, 7), (Q - 1, Q + 1)]));
        assert_eq!(of(&[(1, Q + 1), (Q + 1, 2 * Q)]), (vec![], vec![(1, 2 * Q)]));
    }
}
