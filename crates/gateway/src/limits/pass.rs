//! What one request has taken of the limits it stands under: places, a request, tokens.
//!
//! Taken at step 10 (places and requests) and step 13 (tokens); the estimate becomes the true number at settlement, and
//! whatever leaves the walk before gives its place and its tokens back by being dropped. A request that is refused has
//! cost one unit of the request rate that let it pass, and nothing else. A key that nothing limits holds nothing here.

use super::counters::{Counters, Rates};
use super::refused;
use super::shares::Debts;
use crate::node::Node;
use crate::respond::Refusal;
use claviger_domain::gcra::{Full, Reading, Taken};
use claviger_domain::time::{Clock, Monotonic};
use claviger_wire::rate_headers::ShownLimits;
use std::sync::Arc;

/// Whose limit it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// The key's.
    Key,
    /// The environment's, shared by its keys.
    Environment,
    /// The organization's.
    Organization,
}

/// What is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Requests a minute.
    Requests,
    /// Tokens a minute.
    Tokens,
    /// Requests in flight.
    Concurrency,
}

/// One limiter that a request stands under.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    pub(crate) scope: Scope,
    /// The model it is on, where it is not on all of them.
    pub(crate) model: Option<Arc<str>>,
    pub(crate) rates: Rates,
    pub(crate) counters: Arc<Counters>,
    /// Judged and counted, but refusing nothing.
    pub(crate) is_shadow: bool,
}

/// What a request has taken; nothing, where nothing limits it.
#[derive(Default)]
pub(crate) struct Pass(Option<Box<Held>>);

struct Held {
    clock: Arc<dyn Clock>,
    parts: Vec<Part>,
    would_refuse: bool,
    /// Where what is owed of shared rates is told; `None` = nothing was taken of any.
    debts: Option<Arc<Debts>>,
}

struct Part {
    subject: Subject,
    has_place: bool,
    tokens: Option<(u64, Taken)>,
    /// Whether the request was taken of what all nodes share.
    has_shared_request: bool,
    /// Tokens taken of what all nodes share.
    shared_tokens: Option<u64>,
}

impl Pass {
    /// Takes a place and a request of every subject, or of none.
    ///
    /// # Errors
    /// 429 of the first subject that has none left; nothing is taken.
    pub(crate) fn enter(subjects: Vec<Subject>, clock: &Arc<dyn Clock>) -> Result<Self, Refusal> {
        let mut pass = Self::default();
        pass.add(subjects, clock)?;
        Ok(pass)
    }

    /// The same for further subjects, once they are known: limits on the model.
    ///
    /// # Errors
    /// As [`Pass::enter`]; what was taken before stays taken.
    pub(crate) fn add(&mut self, subjects: Vec<Subject>, clock: &Arc<dyn Clock>) -> Result<(), Refusal> {
        if subjects.is_empty() {
            return Ok(());
        }
        let now = clock.monotonic();
        let mut entering =
            Held { clock: Arc::clone(clock), parts: Vec::with_capacity(3), would_refuse: false, debts: None };
        // What shadows is judged behind all that refuses, and takes nothing where it would refuse.
        let (shadows, enforced): (Vec<_>, Vec<_>) = subjects.into_iter().partition(|subject| subject.is_shadow);
        for subject in enforced {
            let has_place = place(&subject).ok_or_else(|| refused::no_place(&subject))?;
            entering.parts.push(Part::new(subject, has_place));
        }
        for (index, part) in entering.parts.iter().enumerate() {
            let Some(rate) = &part.subject.rates.requests else { continue };
            if let Err(full) = part.subject.counters.take_request(rate, now) {
                give_requests_back(entering.parts.get(..index).unwrap_or_default(), now);
                return Err(refused::too_fast(&part.subject, Kind::Requests, 1, full, now));
            }
        }
        for subject in shadows {
            let Some(has_place) = place(&subject) else {
                entering.would_refuse = true;
                continue;
            };
            let taken = subject.rates.requests.map(|rate| subject.counters.take_request(&rate, now));
            let part = Part::new(subject, has_place);
            if let Some(Err(_)) = taken {
                entering.would_refuse = true;
                part.leave(now);
            } else {
                entering.parts.push(part);
            }
        }
        match &mut self.0 {
            None => self.0 = Some(Box::new(entering)),
            Some(held) => {
                held.would_refuse |= entering.would_refuse;
                held.parts.append(&mut entering.parts);
            }
        }
        Ok(())
    }

    /// Takes the estimated tokens of every subject that limits them, or of none.
    ///
    /// # Errors
    /// 429 of the first subject that has too few left.
    pub(crate) fn take_tokens(&mut self, estimate: u64) -> Result<(), Refusal> {
        let Some(held) = &mut self.0 else { return Ok(()) };
        let now = held.clock.monotonic();
        let mut refusal = None;
        for part in &mut held.parts {
            let Some(rate) = part.subject.rates.tokens.filter(|_| part.tokens.is_none()) else { continue };
            match part.subject.counters.take_tokens(&rate, estimate, now) {
                Ok(taken) => part.tokens = Some((estimate, taken)),
                Err(_) if part.subject.is_shadow => held.would_refuse = true,
                Err(full) => {
                    refusal = Some(refused::too_fast(&part.subject, Kind::Tokens, estimate, full, now));
                    break;
                }
            }
        }
        match refusal {
            None => Ok(()),
            Some(refusal) => {
                held.parts.iter_mut().for_each(|part| part.settle_tokens(0, now, None));
                Err(refusal)
            }
        }
    }

    /// Takes of what all nodes share whatever was taken here and not yet there.
    ///
    /// # Errors
    /// 429 of the first subject that has too little left; what the others gave they have again.
    pub(crate) async fn share(&mut self, node: &Node, since: Monotonic) -> Result<(), Refusal> {
        let Some(held) = &mut self.0 else { return Ok(()) };
        held.debts = Some(Arc::clone(&node.snapshot.limiters.debts));
        let mut refusal = None;
        for part in held.parts.iter_mut().filter(|part| !part.subject.is_shadow) {
            if let Err((kind, cost, full)) = part.share(node, since).await {
                refusal = Some(refused::too_fast_together(&part.subject, kind, cost, full, node.monotonic()));
                break;
            }
        }
        let Some(refusal) = refusal else { return Ok(()) };
        let now = node.monotonic();
        give_requests_back(&held.parts, now);
        for part in &mut held.parts {
            if std::mem::take(&mut part.has_shared_request) {
                part.subject.counters.shares.give_back(Kind::Requests, 1);
            }
            part.settle_tokens(0, now, None);
        }
        Err(refusal)
    }

    /// Books what was taken here with what all nodes share, without asking.
    pub(crate) fn owe(&mut self, debts: &Debts) {
        let Some(held) = &mut self.0 else { return };
        for part in held.parts.iter().filter(|part| !part.subject.is_shadow) {
            let Subject { counters, rates, .. } = &part.subject;
            if let Some(rate) = rates.requests.filter(|_| counters.shares.settle(Kind::Requests, 0, 1)) {
                debts.add(counters, Kind::Requests, rate);
            }
        }
    }

    /// It does not run beside others any more that are waited for: its places are free (`keys.md` §5).
    pub(crate) fn leave_place(&mut self) {
        for part in self.0.iter_mut().flat_map(|held| &mut held.parts) {
            part.leave_place();
        }
    }

    /// The answer is over and has used this many tokens in truth.
    pub(crate) fn settle(mut self, used: u64) {
        if let Some(held) = &mut self.0 {
            let now = held.clock.monotonic();
            let debts = held.debts.as_deref();
            held.parts.iter_mut().for_each(|part| part.settle_tokens(used, now, debts));
        }
    }

    /// Whether the shadow of a limit would have refused it.
    pub(crate) fn would_refuse(&self) -> bool {
        self.0.as_ref().is_some_and(|held| held.would_refuse)
    }

    /// The tightest limits, for the headers of the answer; `None` where nothing limits rates.
    pub(crate) fn shown(&self) -> Option<ShownLimits> {
        let held = self.0.as_ref()?;
        shown(held.parts.iter().map(|part| &part.subject), held.clock.monotonic())
    }
}

/// What limits a caller, as it stands, nothing taken.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    /// The tightest limits; `None` where nothing limits rates.
    pub(crate) shown: Option<ShownLimits>,
    /// Whether the next request would be refused.
    pub(crate) is_exhausted: bool,
}

impl Seen {
    /// Of these limits.
    pub(crate) fn of(subjects: &[Subject], now: Monotonic) -> Self {
        let is_full = |subject: &Subject| {
            let most = subject.rates.concurrency.filter(|most| !subject.counters.has_place(*most));
            let rate = subject.rates.requests;
            most.is_some() || rate.is_some_and(|rate| subject.counters.read_requests(&rate, now).remaining == 0)
        };
        Self {
            shown: shown(subjects.iter(), now),
            is_exhausted: subjects.iter().any(|subject| !subject.is_shadow && is_full(subject)),
        }
    }
}

fn shown<'a>(subjects: impl Iterator<Item = &'a Subject>, now: Monotonic) -> Option<ShownLimits> {
    let mut shown = ShownLimits::default();
    for subject in subjects.filter(|subject| !subject.is_shadow) {
        if let Some(rate) = &subject.rates.requests {
            shown.requests = tighter(shown.requests, subject.counters.read_requests(rate, now));
        }
        if let Some(rate) = &subject.rates.tokens {
            shown.tokens = tighter(shown.tokens, subject.counters.read_tokens(rate, now));
        }
    }
    (shown.requests.is_some() || shown.tokens.is_some()).then_some(shown)
}

/// Takes a place, if places are limited; `None` = there is none.
fn place(subject: &Subject) -> Option<bool> {
    match subject.rates.concurrency {
        None => Some(false),
        Some(most) => subject.counters.enter(most).then_some(true),
    }
}

/// Another limit refused: what these have let through they have again.
fn give_requests_back(parts: &[Part], now: Monotonic) {
    for Part { subject, .. } in parts {
        if let Some(rate) = &subject.rates.requests {
            subject.counters.give_request_back(rate, now);
        }
    }
}

fn tighter(known: Option<Reading>, other: Reading) -> Option<Reading> {
    match known {
        Some(known) if (known.remaining, known.limit) <= (other.remaining, other.limit) => Some(known),
        _ => Some(other),
    }
}

impl Part {
    const fn new(subject: Subject, has_place: bool) -> Self {
        Self { subject, has_place, tokens: None, has_shared_request: false, shared_tokens: None }
    }

    /// # Errors
    /// What was asked for in vain, and when it may be had.
    async fn share(&mut self, node: &Node, since: Monotonic) -> Result<(), (Kind, u64, Full)> {
        let shares = &self.subject.counters.shares;
        if let Some(rate) = self.subject.rates.requests.as_ref().filter(|_| !self.has_shared_request) {
            let taken = shares.take(node, (Kind::Requests, rate), 1, since).await;
            taken.map_err(|full| (Kind::Requests, 1, full))?;
            self.has_shared_request = true;
        }
        if let (Some(rate), Some((cost, _)), None) = (&self.subject.rates.tokens, self.tokens, self.shared_tokens) {
            let taken = shares.take(node, (Kind::Tokens, rate), cost, since).await;
            taken.map_err(|full| (Kind::Tokens, cost, full))?;
            self.shared_tokens = Some(cost);
        }
        Ok(())
    }

    fn settle_tokens(&mut self, used: u64, now: Monotonic, debts: Option<&Debts>) {
        if let (Some(rate), Some(cost)) = (self.subject.rates.tokens, self.shared_tokens.take()) {
            let owes = self.subject.counters.shares.settle(Kind::Tokens, cost, used);
            if let Some(debts) = debts.filter(|_| owes) {
                debts.add(&self.subject.counters, Kind::Tokens, rate);
            }
        }
        if let (Some(rate), Some(taken)) = (&self.subject.rates.tokens, self.tokens.take()) {
            self.subject.counters.settle_tokens(rate, taken, used, now);
        }
    }

    fn leave(mut self, now: Monotonic) {
        self.close(now);
    }

    fn close(&mut self, now: Monotonic) {
        self.settle_tokens(0, now, None);
        self.leave_place();
    }

    fn leave_place(&mut self) {
        if std::mem::take(&mut self.has_place) {
            self.subject.counters.leave();
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let now = self.clock.monotonic();
        self.parts.iter_mut().for_each(|part| part.close(now));
    }
}
