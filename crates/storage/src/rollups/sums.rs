//! Records added up: pure, from bodies to sums.

use super::{EVER, SLOT_MICROS};
use crate::error::Error;
use crate::record_body::Body;
use claviger_domain::id::{EnvironmentId, KeyId, OrganizationId, PriceVersionId};
use claviger_domain::meter::Meter;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, HashMap};

/// What sums are told apart by.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Dimension {
    pub(super) organization: OrganizationId,
    pub(super) environment: EnvironmentId,
    pub(super) key: KeyId,
    pub(super) source_tag: Option<String>,
    pub(super) endpoint: &'static str,
    pub(super) model: String,
    /// Of the last try; `None` = there was none.
    pub(super) provider: Option<String>,
    pub(super) outcome: &'static str,
    pub(super) usage_source: &'static str,
}

impl Dimension {
    fn of(body: &Body<'_>) -> Self {
        Self {
            organization: body.columns.organization,
            environment: body.columns.environment,
            key: body.columns.key,
            source_tag: body.columns.source_tag.map(str::to_owned),
            endpoint: body.endpoint().name(),
            model: body.columns.model.to_owned(),
            provider: body.provider().map(str::to_owned),
            outcome: body.columns.outcome.name(),
            usage_source: body.usage_source().name(),
        }
    }

    /// The id that follows from it, the same on every node.
    pub(super) fn id(&self) -> Vec<u8> {
        let mut hash = Sha256::new();
        let ids = [self.organization.to_string(), self.environment.to_string(), self.key.to_string()];
        let words = [self.source_tag.as_deref(), Some(self.endpoint), Some(&self.model), self.provider.as_deref()];
        let words = words.into_iter().chain([Some(self.outcome), Some(self.usage_source)]);
        for word in ids.iter().map(|id| Some(id.as_str())).chain(words) {
            // No text is as long as this: absent and empty are told apart.
            let length = word.map_or(u64::MAX, |word| u64::try_from(word.len()).unwrap_or(u64::MAX));
            hash.update(length.to_le_bytes());
            hash.update(word.unwrap_or_default());
        }
        hash.finalize().iter().copied().take(16).collect()
    }
}

/// Of some records.
#[derive(Default)]
pub(super) struct Sum {
    pub(super) requests: i64,
    pub(super) charge: i64,
    pub(super) absorbed: i64,
    /// By the price version that was charged and the meter.
    pub(super) quantities: BTreeMap<(Option<PriceVersionId>, Meter), i64>,
}

impl Sum {
    fn add(&mut self, body: &Body<'_>) -> Option<()> {
        let columns = &body.columns;
        self.requests = self.requests.checked_add(1)?;
        self.charge = self.charge.checked_add(columns.charge.0)?;
        self.absorbed = self.absorbed.checked_add(columns.absorbed.0)?;
        let version = columns.price_version.filter(|_| columns.charge.0 > 0);
        for (meter, quantity) in columns.meters.iter() {
            let sum = self.quantities.entry((version, meter)).or_default();
            *sum = sum.checked_add(i64::try_from(quantity).unwrap_or(i64::MAX))?;
        }
        Some(())
    }
}

/// The sums of a batch, as far as it was read.
#[derive(Default)]
pub(super) struct Sums {
    /// By quarter and dimension.
    pub(super) quarters: HashMap<(i64, Dimension), Sum>,
    /// The place of the last record that is in it; `None` = there is none.
    pub(super) place: Option<i64>,
    pub(super) records: u64,
}

impl Sums {
    /// Adds bodies up, in their order, until there are as many sums as may be; whether all of them are in it now.
    pub(super) fn add(&mut self, arrived: &[(i64, Vec<u8>)], most: usize) -> Result<bool, Error> {
        for (place, bytes) in arrived {
            if self.quarters.len() >= most {
                return Ok(false);
            }
            let body = Body::read(bytes)
                .ok_or_else(|| Error::Corrupt { table: "request.body", row: format!("place {place}") })?;
            let completed = body.columns.completed_at.0;
            let slot = completed.saturating_sub(completed.checked_rem_euclid(SLOT_MICROS).unwrap_or(0));
            let sum = self.quarters.entry((slot, Dimension::of(&body))).or_default();
            sum.add(&body).ok_or(Error::Conflict("usage out of range"))?;
            self.place = Some(*place);
            self.records = self.records.saturating_add(1);
        }
        Ok(true)
    }

    /// What each dimension has in all, beside its quarters.
    pub(super) fn ever(&self) -> HashMap<(i64, Dimension), Sum> {
        let mut ever: HashMap<(i64, Dimension), Sum> = HashMap::new();
        for ((_, dimension), sum) in &self.quarters {
            let all = ever.entry((EVER, dimension.clone())).or_default();
            all.requests = all.requests.saturating_add(sum.requests);
            all.charge = all.charge.saturating_add(sum.charge);
            all.absorbed = all.absorbed.saturating_add(sum.absorbed);
        }
        ever
    }
}
