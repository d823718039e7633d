//! What is measured, before anybody formats or judges it.

use std::collections::BTreeMap;

use anyhow::bail;
use serde_json::Value;

use super::gateway::{FREE_MODEL, FREE_STREAM_MODEL, MODEL, STREAM_MODEL, UPSTREAM_STREAM_MODEL};

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Target {
    /// The bare upstream: what "added" is counted from.
    Direct,
    Nginx,
    /// A priced model: authenticated, held, charged durably, recorded.
    Claviger,
    /// The same server, a free model: the difference is the price of durability.
    ClavigerFree,
}

impl Target {
    pub(crate) const ALL: [Self; 4] = [Self::Direct, Self::Nginx, Self::Claviger, Self::ClavigerFree];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Nginx => "nginx",
            Self::Claviger => "claviger",
            Self::ClavigerFree => "claviger-free",
        }
    }

    pub(crate) fn from_name(name: &str) -> anyhow::Result<Self> {
        match Self::ALL.into_iter().find(|target| target.name() == name) {
            Some(target) => Ok(target),
            None => bail!("no target named {name:?}"),
        }
    }

    pub(crate) fn is_gateway(self) -> bool {
        matches!(self, Self::Claviger | Self::ClavigerFree)
    }

    pub(crate) fn model(self) -> &'static str {
        if self == Self::ClavigerFree { FREE_MODEL } else { MODEL }
    }

    pub(crate) fn stream_model(self) -> &'static str {
        match self {
            Self::Direct | Self::Nginx => UPSTREAM_STREAM_MODEL,
            Self::Claviger => STREAM_MODEL,
            Self::ClavigerFree => FREE_STREAM_MODEL,
        }
    }
}

/// One target in one round.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sample {
    /// Closed loop: answers, answers a second, and the target's processor time over them (none for `direct`).
    pub(crate) answers: f64,
    pub(crate) per_second: f64,
    pub(crate) cpu_seconds: Option<f64>,
    pub(crate) wall_seconds: f64,
    /// Open loop, milliseconds.
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    /// What the journal's disk took to make a charge durable during the open loop, median milliseconds.
    pub(crate) sync_ms: Option<f64>,
    /// First content byte of a stream, milliseconds.
    pub(crate) first_p50_ms: f64,
    pub(crate) first_p99_ms: f64,
    /// Calls that did not end as they must, over all three.
    pub(crate) bad: u64,
    pub(crate) fault: Option<String>,
}

/// All targets in one round.
pub(crate) type Round = BTreeMap<Target, Sample>;

/// Streams kept open through one target.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) target: Target,
    pub(crate) asked: usize,
    pub(crate) alive: u64,
    pub(crate) lost: u64,
    pub(crate) fault: Option<String>,
    /// Memory just before, and with all of them open; none for `direct`.
    pub(crate) memory_mib: Option<(f64, f64)>,
}

impl Held {
    pub(crate) fn kibibytes_per_stream(&self) -> Option<f64> {
        self.memory_mib.map(|(before, held)| (held - before) * 1024.0 / self.asked as f64)
    }
}

/// Everything of one run.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub(crate) rounds: Vec<Round>,
    /// With all keys loaded and nothing asked yet.
    pub(crate) idle_mib: BTreeMap<Target, f64>,
    /// Behind all rounds.
    pub(crate) loaded_mib: BTreeMap<Target, f64>,
    pub(crate) held: Vec<Held>,
    /// What `ledger verify` said behind the load.
    pub(crate) ledger: Option<Value>,
    /// What others used of all cores during the rounds, 0 to 1: above a few hundredths, measure again.
    pub(crate) neighbours: f64,
}

/// Median, least and greatest of a figure over the rounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) greatest: f64,
}

impl Spread {
    pub(crate) fn of(mut values: Vec<f64>) -> Option<Self> {
        values.retain(|value| value.is_finite());
        values.sort_unstable_by(f64::total_cmp);
        let (least, greatest) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 };
        Some(Self { median, least, greatest })
    }
}

impl Figures {
    /// A figure of `target`, each round by itself.
    pub(crate) fn own(&self, target: Target, figure: impl Fn(&Sample) -> Option<f64>) -> Option<Spread> {
        Spread::of(self.rounds.iter().filter_map(|round| figure(round.get(&target)?)).collect())
    }

    /// A figure of `target` against `reference` of the same round.
    pub(crate) fn against(
        &self,
        target: Target,
        reference: Target,
        figure: impl Fn(&Sample, &Sample) -> Option<f64>,
    ) -> Option<Spread> {
        let pairs = self.rounds.iter().filter_map(|round| figure(round.get(&target)?, round.get(&reference)?));
        Spread::of(pairs.collect())
    }
}

impl Sample {
    pub(crate) fn per_core_second(&self) -> Option<f64> {
        self.cpu_seconds.filter(|seconds| *seconds > 0.0).map(|seconds| self.answers / seconds)
    }

    pub(crate) fn cpu_microseconds(&self) -> Option<f64> {
        self.cpu_seconds.filter(|_| self.answers > 0.0).map(|seconds| seconds * 1e6 / self.answers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_taken_within_a_round() {
        let sample = |answers| Sample { answers, cpu_seconds: Some(1.0), ..Sample::default() };
        let round = |nginx, own| BTreeMap::from([(Target::Nginx, sample(nginx)), (Target::Claviger, sample(own))]);
        let rounds = vec![round(100.0, 50.0), round(10.0, 9.0), round(1000.0, 600.0)];
        let figures = Figures { rounds, ..Figures::default() };
        let ratio = figures.against(Target::Claviger, Target::Nginx, |own, reference| {
            Some(own.per_core_second()? / reference.per_core_second()?)
        });
        assert_eq!(ratio, Some(Spread { median: 0.6, least: 0.5, greatest: 0.9 }));
    }

    #[test]
    fn the_median_of_an_even_number_lies_between_the_middle_two() {
        assert_eq!(Spread::of(vec![4.0, 1.0]).map(|spread| spread.median), Some(2.5));
        assert_eq!(Spread::of(Vec::new()), None);
    }
}
