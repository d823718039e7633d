//! The course of one answer, and what each ending costs: the one cut-off rule (`money.md` §7).
//!
//! A pure machine: events in, one effect out. It knows quantities and endings; bytes, SSE and prices are elsewhere.
//! In the rule's words: **U** final usage, **R** last cumulative usage, **I** and **O** input and output side of what
//! was received, computed or estimated.

use crate::meter::{ABSURD_QUANTITY, Meter, Meters, Side, Usage, UsageSource};
use crate::request::Outcome;

/// How the answer comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// In one piece.
    Json,
    /// Piece by piece, without a word about itself: sound, files.
    Binary,
    /// As a stream of events.
    Sse,
}

/// What a stream costs whose upstream failed after content (row 12; `billing.upstream_cut`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UpstreamCut {
    /// What it had reported, else nothing.
    #[default]
    Reported,
    /// What was received, reported or counted.
    Counted,
    /// Nothing.
    Zero,
}

/// What a request is taken to have used when its upstream does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Estimate {
    /// Its input side.
    pub input: Meters,
    /// Whether that was counted exactly or guessed.
    pub source: UsageSource,
    /// Whether answers are made of output tokens, which are counted as they come.
    pub has_output: bool,
}

impl Estimate {
    /// Text whose tokens are guessed, and an answer made of tokens.
    pub fn of_text(tokens: u64) -> Self {
        Self { input: Meters::NONE.with(Meter::InputToken, tokens), source: UsageSource::Estimated, has_output: true }
    }
}

/// What is fixed at admission.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// How the answer comes.
    pub mode: Mode,
    /// Input tokens that cannot be exceeded.
    pub input_bound: u64,
    /// Output tokens of all choices that cannot be exceeded; the hold covers exactly this.
    pub output_bound: u64,
    /// Quantities other than tokens that cannot be exceeded; what it does not name is not bounded.
    pub units_bound: Meters,
    /// For endings without a report.
    pub estimate: Estimate,
    /// Row 12.
    pub upstream_cut: UpstreamCut,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The whole request was handed to the upstream.
    Dispatched,
    /// Content came: text, tool calls, refusals, reasoning. Role chunks and comments are not content.
    Content {
        /// Its bytes.
        bytes: u64,
        /// In how many chunks.
        chunks: u64,
    },
    /// The upstream reported usage; figures are cumulative, the last wins.
    Reported {
        /// The figures.
        usage: Usage,
        /// Whether they are its last word.
        is_final: bool,
    },
    /// Every choice has its finish reason, or the whole JSON answer is there.
    Finished,
    /// The upstream's body ended cleanly.
    UpstreamEnded,
    /// The upstream answered 4xx.
    UpstreamRejected,
    /// Connect, 5xx, error event, cut, deadline, unreadable answer.
    UpstreamFailed,
    /// The client left, or took nothing for too long.
    ClientGone,
    /// The time for reading a dead client's answer is over, or there was none.
    DrainOver,
    /// We ended the stream at its hold.
    CutAtHold,
    /// The key was revoked as compromised.
    Revoked,
    /// We stopped it: shutdown deadline, our bug.
    Stopped,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "lives on the stack of one request; a box would allocate per event")]
pub enum Effect {
    /// Go on.
    Continue,
    /// End the stream normally now: the hold is used up.
    CutAtHold,
    /// Nobody listens: read on, without forwarding, until the upstream ends or the drain time is over.
    Drain,
    /// Over. Cancel what still runs upstream and charge this.
    Ended(Verdict),
}

/// How it ended and what is charged for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Row of the rule, 1 to 20.
    pub rule: u8,
    /// The word for it.
    pub outcome: Outcome,
    /// What the customer is charged for, clipped to the bounds; `None` = nothing.
    pub charged: Option<Usage>,
    /// What is known to have been used, unclipped; above the charge it goes to `absorbed`.
    pub known: Option<Usage>,
}

/// The course of one answer so far.
#[derive(Clone, Debug)]
pub struct Settlement {
    terms: Terms,
    running: Option<Usage>,
    /// The input, told before any output was (Anthropic's `message_start`).
    begun: Option<Usage>,
    last: Option<Usage>,
    content_bytes: u64,
    content_chunks: u64,
    is_dispatched: bool,
    is_finished: bool,
    is_client_gone: bool,
}

impl Settlement {
    /// A course that begins at admission.
    pub const fn new(terms: Terms) -> Self {
        Self {
            terms,
            running: None,
            begun: None,
            last: None,
            content_bytes: 0,
            content_chunks: 0,
            is_dispatched: false,
            is_finished: false,
            is_client_gone: false,
        }
    }

    /// The same terms for another attempt: what a failed one brought is not charged (row 18).
    #[must_use]
    pub const fn restarted(&self) -> Self {
        Self::new(self.terms)
    }

    /// Whether content came.
    pub const fn has_content(&self) -> bool {
        self.content_bytes > 0 || self.content_chunks > 0
    }

    /// The figures an answer would be settled with if it were complete now.
    pub fn usage(&self) -> Usage {
        self.last.or(self.running).unwrap_or_else(|| self.counted())
    }

    /// One step.
    pub fn step(&mut self, event: Event) -> Effect {
        match event {
            Event::Dispatched => self.is_dispatched = true,
            Event::Finished => self.is_finished = true,
            Event::Content { bytes, chunks } => {
                self.content_bytes = self.content_bytes.saturating_add(bytes);
                self.content_chunks = self.content_chunks.saturating_add(chunks);
                return self.judge_hold();
            }
            Event::Reported { usage, is_final } => {
                self.report(usage, is_final);
                return self.judge_hold();
            }
            Event::UpstreamEnded => return Effect::Ended(self.upstream_ended()),
            Event::UpstreamRejected => return Effect::Ended(self.nothing(10, Outcome::UpstreamRejected)),
            Event::UpstreamFailed => return Effect::Ended(self.upstream_failed()),
            Event::ClientGone => return self.client_gone(6, 7, Outcome::ClientClosed),
            Event::DrainOver => return Effect::Ended(self.drain_over(7, Outcome::ClientClosed)),
            Event::CutAtHold => return Effect::Ended(self.charge(4, Outcome::CutAtHold, self.usage())),
            Event::Revoked => {
                let effect = self.client_gone(14, 14, Outcome::Revoked);
                let is_over = matches!(effect, Effect::Ended(_));
                return if is_over { effect } else { Effect::Ended(self.drain_over(14, Outcome::Revoked)) };
            }
            Event::Stopped => return Effect::Ended(self.nothing(15, Outcome::NodeStopped)),
        }
        Effect::Continue
    }

    /// Row 20: absurd figures count as not reported; of several reports the last wins.
    fn report(&mut self, usage: Usage, is_final: bool) {
        if usage.meters.iter().any(|(_, quantity)| quantity > ABSURD_QUANTITY) {
            return;
        }
        if is_final {
            self.last = Some(usage);
        } else {
            let told = Some(Usage { source: UsageSource::UpstreamRunning, ..usage });
            // Figures without an output side do not run: what came since they were told is counted.
            *(if usage.meters.side(Side::Output).is_empty() { &mut self.begun } else { &mut self.running }) = told;
        }
    }

    /// Row 4: running usage or, without any, what came goes beyond the output bound. An upstream that ends exactly at the
    /// limit it was told ends by itself.
    fn judge_hold(&self) -> Effect {
        if self.terms.mode != Mode::Sse || self.is_finished || self.is_client_gone || self.last.is_some() {
            return Effect::Continue;
        }
        let is_over = match &self.running {
            Some(usage) => output_tokens(&usage.meters) > self.terms.output_bound,
            None => self.content_chunks.min(self.content_bytes.div_ceil(8)) > self.terms.output_bound,
        };
        if is_over { Effect::CutAtHold } else { Effect::Continue }
    }

    fn upstream_ended(&self) -> Verdict {
        if !self.is_finished {
            return self.upstream_failed();
        }
        let usage = self.complete_usage();
        if self.is_client_gone {
            return self.charge(7, Outcome::ClientClosed, usage);
        }
        let is_without_output = self.last.is_none_or(|usage| output_tokens(&usage.meters) == 0);
        if !self.has_content() && self.terms.estimate.has_output && is_without_output {
            return self.nothing(3, Outcome::Empty);
        }
        let rule = if usage.source <= UsageSource::UpstreamHeader { 1 } else { 2 };
        self.charge(rule, Outcome::Complete, usage)
    }

    fn upstream_failed(&self) -> Verdict {
        if self.is_client_gone && self.has_content() {
            return self.drain_over(7, Outcome::ClientClosed);
        }
        if !self.has_content() || self.terms.mode == Mode::Json {
            return self.nothing(11, Outcome::UpstreamFailed);
        }
        if self.terms.mode == Mode::Binary {
            return self.nothing(12, Outcome::UpstreamCut);
        }
        let usage = match self.terms.upstream_cut {
            UpstreamCut::Reported => self.last.or(self.running).or(self.begun),
            UpstreamCut::Counted => Some(self.last.or(self.running).unwrap_or_else(|| self.counted())),
            UpstreamCut::Zero => None,
        };
        match usage {
            Some(usage) => self.charge(12, Outcome::UpstreamCut, usage),
            None => self.nothing(12, Outcome::UpstreamCut),
        }
    }

    fn client_gone(&mut self, rule_running: u8, rule_drained: u8, outcome: Outcome) -> Effect {
        if !self.is_dispatched {
            return Effect::Ended(self.nothing(if outcome == Outcome::Revoked { 14 } else { 5 }, outcome));
        }
        self.is_client_gone = true;
        if let Some(usage) = self.last {
            return Effect::Ended(self.charge(rule_drained, outcome, usage));
        }
        match self.running {
            Some(usage) => Effect::Ended(self.charge(rule_running, outcome, usage)),
            None => Effect::Drain,
        }
    }

    /// Row 7 without a final figure: a JSON answer costs its input, a stream also what came of it.
    fn drain_over(&self, rule: u8, outcome: Outcome) -> Verdict {
        let usage = self.last.or(self.running).unwrap_or_else(|| {
            let counted = self.counted();
            match self.terms.mode {
                Mode::Sse => counted,
                Mode::Json | Mode::Binary => Usage { meters: counted.meters.side(Side::Input), ..counted },
            }
        });
        self.charge(rule, outcome, usage)
    }

    /// U, unless it reports no output although content came (row 20): then its input and the counted output.
    fn complete_usage(&self) -> Usage {
        let reported = self.last.or(self.running);
        match reported {
            Some(usage) if self.is_output_missing(&usage) => Usage {
                meters: usage.meters.side(Side::Input).or(&self.counted().meters),
                source: UsageSource::Estimated,
                is_anomalous: true,
            },
            Some(usage) => usage,
            None => self.counted(),
        }
    }

    /// Row 20: content came, and the report knows of none.
    fn is_output_missing(&self, usage: &Usage) -> bool {
        self.terms.estimate.has_output && self.has_content() && output_tokens(&usage.meters) == 0
    }

    /// What goes in when nothing was reported of it. Never above the bound.
    fn estimated_input(&self) -> Meters {
        clipped(&self.terms.estimate.input, self.terms.input_bound).0
    }

    /// I + O by the estimator of `money.md` §2; input as reported where it was. Never above the bounds.
    fn counted(&self) -> Usage {
        let Estimate { source, has_output, .. } = self.terms.estimate;
        let bytes = self.content_bytes;
        let output = bytes.div_ceil(4).max(self.content_chunks.min(bytes.div_ceil(2))).min(self.terms.output_bound);
        let reported = self.running.or(self.begun).map_or(Meters::NONE, |usage| usage.meters.side(Side::Input));
        let input = if reported.is_empty() { self.estimated_input() } else { reported };
        if !has_output {
            return Usage { meters: input, source, is_anomalous: false };
        }
        Usage { meters: input.with(Meter::OutputToken, output), source: UsageSource::Estimated, is_anomalous: false }
    }

    /// Input that was not reported is counted, never zero: *not reported* is not 0 (`money.md` §2).
    fn with_input(&self, usage: Usage) -> Usage {
        if !usage.meters.side(Side::Input).is_empty() {
            return usage;
        }
        let source = usage.source.max(self.terms.estimate.source);
        Usage { meters: usage.meters.or(&self.estimated_input()), source, ..usage }
    }

    fn charge(&self, rule: u8, outcome: Outcome, usage: Usage) -> Verdict {
        let usage = self.with_input(usage);
        let (input, is_input_clipped) = clipped(&usage.meters.side(Side::Input), self.terms.input_bound);
        let (output, is_output_clipped) = clipped(&usage.meters.side(Side::Output), self.terms.output_bound);
        let (meters, is_units_clipped) = clipped_units(input.or(&output), &self.terms.units_bound);
        let charged = Usage {
            meters,
            source: usage.source,
            is_anomalous: usage.is_anomalous || is_input_clipped || is_output_clipped || is_units_clipped,
        };
        Verdict { rule, outcome, charged: Some(charged), known: Some(usage) }
    }

    fn nothing(&self, rule: u8, outcome: Outcome) -> Verdict {
        Verdict { rule, outcome, charged: None, known: self.last.or(self.running).or(self.begun) }
    }
}

fn output_tokens(meters: &Meters) -> u64 {
    tokens(meters).filter(|(meter, _)| meter.side() == Side::Output).fold(0, |sum, (_, n)| sum.saturating_add(n))
}

fn tokens(meters: &Meters) -> impl Iterator<Item = (Meter, u64)> + '_ {
    meters.iter().filter(|(meter, _)| meter.is_token())
}

/// Takes what exceeds the bound off the tokens of one side, the plain ones first.
fn clipped(side: &Meters, bound: u64) -> (Meters, bool) {
    let total = tokens(side).fold(0_u64, |sum, (_, n)| sum.saturating_add(n));
    let mut excess = total.saturating_sub(bound);
    let is_clipped = excess > 0;
    let mut out = *side;
    for (meter, quantity) in tokens(side) {
        let taken = quantity.min(excess);
        excess = excess.saturating_sub(taken);
        out.set(meter, quantity.saturating_sub(taken));
    }
    (out, is_clipped)
}

/// Lowers quantities other than tokens to their bounds.
fn clipped_units(meters: Meters, bound: &Meters) -> (Meters, bool) {
    let above = |(meter, most): &(Meter, u64)| !meter.is_token() && meters.of(*meter).is_some_and(|n| n > *most);
    let mut out = meters;
    let mut is_clipped = false;
    for (meter, most) in bound.iter().filter(above) {
        out.set(meter, most);
        is_clipped = true;
    }
    (out, is_clipped)
}

#[cfg(test)]
mod tests;
