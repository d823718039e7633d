//! Stage 6: the ordered attempts. A function of the route, the targets' health and one draw (W52).

use crate::admitted::Admitted;
use crate::health::Candidate;
use crate::kept::{self, Former};
use crate::node::Node;
use crate::respond::Refusal;
use claviger_domain::catalog::Target;
use claviger_domain::error::{Code, PublicError, Retry};
use claviger_domain::health::Standing;
use claviger_domain::limits;
use claviger_domain::routing::{by_affinity, by_weight};
use claviger_domain::time::Monotonic;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// A request with the targets to try, in order; never empty.
pub(crate) struct Planned {
    pub(crate) admitted: Box<Admitted>,
    pub(crate) targets: VecDeque<Candidate>,
    /// Only this file makes one.
    _made_here: (),
}

/// Why targets were left out, and when the first of them may be asked again.
#[derive(Default)]
struct LeftOut {
    is_full: bool,
    /// Whether the nearest only cools.
    is_cooling: bool,
    nearest: Option<Monotonic>,
}

impl Planned {
    /// Orders the targets: tiers in turn, within a tier by weight or by affinity.
    ///
    /// # Errors
    /// 503 when no target is admissible, with the time of the nearest that will be; dropping the admission gives its
    /// hold back.
    pub(crate) fn order(admitted: Box<Admitted>, node: &Node, now: Monotonic) -> Result<Self, Refusal> {
        let mut targets = VecDeque::with_capacity(1);
        let mut left_out = LeftOut::default();
        for tier in &admitted.model.tiers {
            match tier.as_slice() {
                [only] if only.weight > 0 => consider(only, &admitted, node, now, &mut left_out, &mut targets),
                [] | [_] => {}
                tier => {
                    for place in places(&admitted, node, tier) {
                        if let Some(target) = tier.get(place) {
                            consider(target, &admitted, node, now, &mut left_out, &mut targets);
                        }
                    }
                }
            }
        }
        if let (Some(former), true) = (&admitted.former, targets.is_empty()) {
            return Err(elsewhere(former, &admitted));
        }
        if targets.is_empty() { Err(left_out.refusal(now)) } else { Ok(Self { admitted, targets, _made_here: () }) }
    }
}

/// Nobody who may be asked keeps the answer that is gone on from: its server is away, or never had this model.
fn elsewhere(former: &Former, admitted: &Admitted) -> Refusal {
    if former.is_of(&admitted.model) || admitted.model.tiers.iter().flatten().any(|target| former.is_at(target)) {
        return kept::away();
    }
    let why = "The answer that this goes on from is kept by a provider that does not serve this model. Send the whole \
               conversation as 'input'.";
    PublicError::with_message(Code::UnsupportedParameter, why).about("previous_response_id").into()
}

/// The order of a tier with several targets, whatever their health.
fn places(admitted: &Admitted, node: &Node, tier: &[Arc<Target>]) -> Vec<usize> {
    if admitted.model.has_affinity {
        let named = tier.iter().map(|target| (target.weight, &*target.provider.name, &*target.upstream_model));
        let cache_key = admitted.ask.cache_key().unwrap_or_default();
        return by_affinity(named, &admitted.caller.key.id.to_string(), &cache_key);
    }
    let weights: Vec<u32> = tier.iter().map(|target| target.weight).collect();
    by_weight(&weights, |limit| node.draw_below(limit))
}

/// Adds a target that may be asked and that may be sent what the request asks.
fn consider(
    target: &Arc<Target>,
    admitted: &Admitted,
    node: &Node,
    now: Monotonic,
    left_out: &mut LeftOut,
    targets: &mut VecDeque<Candidate>,
) {
    if admitted.ask.check_dialect(target.provider.dialect).is_err() {
        return;
    }
    // Nobody else knows the answer that it goes on from (W13).
    if admitted.former.as_ref().is_some_and(|former| !former.is_at(target)) {
        return;
    }
    let candidate = node.health.candidate(target);
    if candidate.provider.is_full(target.provider.concurrency_max) {
        left_out.is_full = true;
        return;
    }
    let standing = candidate.circuit.lock().standing(now);
    match standing {
        Standing::Ready | Standing::Probe => targets.push_back(candidate),
        Standing::Cooling(until) => left_out.note(until, true),
        Standing::Open(until) => left_out.note(until, false),
    }
}

impl LeftOut {
    fn note(&mut self, until: Monotonic, is_cooling: bool) {
        if self.nearest.is_none_or(|nearest| until < nearest) {
            (self.nearest, self.is_cooling) = (Some(until), is_cooling);
        }
    }

    fn refusal(&self, now: Monotonic) -> Refusal {
        let is_busy = self.is_full || self.is_cooling;
        let mut error = PublicError::new(if is_busy { Code::Overloaded } else { Code::ServiceUnavailable });
        if let Some(until) = self.nearest.filter(|_| !self.is_full) {
            error.retry = Retry::After(until.since(now).clamp(Duration::from_secs(1), limits::COOL_MAX));
        }
        error.into()
    }
}
