//! Stage 9: the charge, durable; the rest of the hold given back; the request record.
//!
//! Only [`Settled::durable`] lets the last piece go. What costs nothing does not wait: a crash may lose such a record,
//! never a charge.

use crate::admitted::Admitted;
use crate::exchange::Open;
use crate::observe::Trace;
use crate::once::Claim;
use crate::wallets::Wallet;
use claviger_domain::endpoint::{EndpointName, Operation};
use claviger_domain::error::Code;
use claviger_domain::meter::{Meters, Usage, UsageSource};
use claviger_domain::money::Nano;
use claviger_domain::price::{Conditions, PriceSheet};
use claviger_domain::request::{Delivery, Outcome, RequestRecord};
use claviger_domain::settlement::Verdict;
use claviger_storage::{Delivered, Durable, Lost};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A settled request; its charge is on its way to the disk.
pub(crate) struct Settled {
    node: Arc<crate::node::Node>,
    /// Whose credit was held; `None` = nobody's.
    wallet: Option<Arc<Wallet>>,
    pub(crate) trace: Box<Trace>,
    durable: Option<Durable>,
    /// Whether anything was charged: else nobody asks whether the answer arrived.
    is_charged: bool,
    /// What keeps it from running twice.
    claim: Option<Claim>,
}

/// The charge could not be made durable.
#[derive(Debug)]
pub(crate) struct LedgerLost(pub(crate) Box<Trace>);

impl Settled {
    /// Charges by the verdict, gives the rest back and appends the record. `status` is what the client got.
    pub(crate) fn by(mut open: Box<Open>, verdict: &Verdict, status: u16, code: Option<Code>) -> Self {
        let held = open.admitted.held();
        let sheet = settling(&open);
        // Credit that somebody else gave back cannot be charged any more: late charges are ours.
        let payable = if open.admitted.is_written_off() { Nano::ZERO } else { held };
        let estimate = open.admitted.ask.estimate();
        let measured = |usage: Usage| sheet.as_deref().map_or(usage, |sheet| sheet.measured(usage, &estimate));
        let verdict =
            &Verdict { charged: verdict.charged.map(measured), known: verdict.known.map(measured), ..*verdict };
        let charge = verdict.charged.map_or(Nano::ZERO, |usage| cost(sheet.as_deref(), &usage).min(payable));
        let known = verdict.known.map_or(Nano::ZERO, |usage| cost(sheet.as_deref(), &usage));
        let absorbed = Nano(known.saturating_sub(charge).0.max(0));
        let record = record(&mut open, verdict, status, code, Figures { held, charge, absorbed });
        let Open { node, trace, admitted, .. } = *open;
        let Admitted { hold, slot, pass, mut claim, task, .. } = *admitted;
        if let Some(claim) = &mut claim {
            claim.settled(charge > Nano::ZERO || (status == 200 && code.is_none()));
        }
        pass.settle(verdict.charged.or(verdict.known).map_or(0, |usage| usage.meters.tokens()));
        if let Some(task) = task {
            // Charge and record are written with the end of the task.
            node.metrics.holds_open.fetch_sub(1, Ordering::Relaxed);
            task.settle(&node, record);
            return Self { node, wallet: None, trace, durable: None, is_charged: false, claim: None };
        }
        let wallet = hold.as_ref().map(|hold| Arc::clone(hold.wallet()));
        let metrics = &node.metrics;
        metrics.holds_open.fetch_sub(1, Ordering::Relaxed);
        metrics.charged_nanos.fetch_add(charge.0, Ordering::Relaxed);
        metrics.absorbed_nanos.fetch_add(absorbed.0, Ordering::Relaxed);
        if let Some(hold) = hold {
            #[cfg(feature = "bugs")]
            let Some(hold) = crate::bugs::hold_not_released_on_cancel(hold, verdict.outcome) else {
                let durable = Some(slot.append(record));
                return Self { node: Arc::clone(&node), wallet, trace, durable, is_charged: true, claim };
            };
            hold.settle(charge);
        }
        let (is_charged, is_kept) = (charge > Nano::ZERO, record.kept.is_some());
        // A stream's charge is written while its tail still flows.
        let durable = if record.is_stream { slot.append(record) } else { node.charges.append_whole(slot, record) };
        // A request that cost nothing does not wait for the disk, unless its caller may come back to the answer.
        let durable = (is_charged || is_kept).then_some(durable);
        Self { node, wallet, trace, durable, is_charged, claim }
    }

    /// Waits until the charge is durable; the mark is for when the last piece has left.
    ///
    /// # Errors
    /// The node stops admitting, and this answer must not end whole.
    pub(crate) async fn durable(self) -> Result<(Box<Trace>, Mark), LedgerLost> {
        let Self { node, wallet, trace, durable, is_charged, claim } = self;
        let mark = match durable {
            None => Mark(None),
            Some(durable) => match durable.wait().await {
                Ok(delivered) => Mark(Some(delivered).filter(|_| is_charged)),
                Err(why) => {
                    match why {
                        // This wallet's books do not agree; the others' do.
                        Lost::Overdrawn | Lost::Conflict => {
                            if let Some(wallet) = &wallet {
                                wallet.disagree(why);
                            }
                        }
                        Lost::Unavailable => node.lose_ledger(),
                    }
                    return Err(LedgerLost(trace));
                }
            },
        };
        if let Some(claim) = claim {
            // Boxed: few requests have one, and all would carry it.
            Box::pin(claim.keep(&node)).await;
        }
        Ok((trace, mark))
    }
}

/// Marks the delivery of the last piece (D3); best effort.
pub(crate) struct Mark(Option<Delivered>);

impl Mark {
    /// The last piece was handed to the kernel, or the client is known to be gone.
    pub(crate) fn delivered(self) {
        if let Some(delivered) = self.0 {
            delivered.mark();
        }
    }
}

struct Figures {
    held: Nano,
    charge: Nano,
    absorbed: Nano,
}

/// What usage costs; beyond the range of money it is at least the hold, which caps it.
fn cost(sheet: Option<&PriceSheet>, usage: &Usage) -> Nano {
    sheet.map_or(Nano::ZERO, |sheet| sheet.cost(&usage.meters).unwrap_or(Nano(i64::MAX)))
}

/// The prices that its answer came to.
fn settling(open: &Open) -> Option<Arc<PriceSheet>> {
    let Some(book) = &open.admitted.book else { return open.admitted.sheet.clone() };
    let told = conditions(open);
    let (sheet, is_guessed) = book.settling(&told);
    if is_guessed {
        tracing::error!(model = %book.model, conditions = %told, "an answer came to conditions without a price row: it is charged by the row without conditions, or by the cheapest; add a row");
    }
    Some(Arc::new(sheet.into_owned()))
}

/// What the answer tells, and where it is silent, what was asked for.
fn conditions(open: &Open) -> Conditions {
    open.told.clone().or(&open.admitted.asked)
}

fn record(open: &mut Open, verdict: &Verdict, status: u16, code: Option<Code>, figures: Figures) -> RequestRecord {
    let usage = verdict.charged.or(verdict.known);
    let kept = if status == 200 { open.kept() } else { None };
    let is_gone = matches!(verdict.outcome, Outcome::ClientClosed | Outcome::Revoked);
    RequestRecord {
        status,
        outcome: verdict.outcome,
        rule: verdict.rule,
        error_code: code.map(Code::text),
        usage_source: usage.map_or(UsageSource::None, |usage| usage.source),
        is_anomalous: usage.is_some_and(|usage| usage.is_anomalous),
        meters: usage.map_or(Meters::NONE, |usage| usage.meters),
        price_version: open.admitted.sheet.as_ref().map(|sheet| sheet.version),
        hold: figures.held,
        charge: figures.charge,
        absorbed: figures.absorbed,
        upstream_model: open.target.as_ref().map(|target| target.upstream_model.clone()),
        upstream_request_id: open.upstream_request_id.take(),
        first_byte_at: open.first_byte_at,
        attempts: std::mem::take(&mut open.attempts),
        delivery: if is_gone { Delivery::NotDelivered } else { Delivery::Delivered },
        conditions: open.admitted.book.is_some().then(|| Box::new(conditions(open))),
        kept,
        ..blank_record(&open.node, &open.trace, &open.admitted.caller)
    }
}

/// A record that knows only who called and when it ended: now.
pub(crate) fn blank_record(
    node: &crate::node::Node,
    trace: &Trace,
    caller: &crate::authenticated::Caller,
) -> RequestRecord {
    let key = &caller.key;
    RequestRecord {
        id: trace.request_id,
        organization: key.organization(),
        environment: key.environment(),
        key: key.id,
        key_name: key.name().to_owned(),
        secret: caller.secret,
        source_tag: key.source_tag().map(str::to_owned),
        endpoint: trace.operation.and_then(Operation::endpoint).unwrap_or(EndpointName::ChatCompletions),
        model: trace.model.clone(),
        alias: trace.alias.clone(),
        upstream_model: None,
        upstream_request_id: None,
        client_request_id: trace.client_request_id.clone(),
        is_stream: trace.is_stream,
        is_test: key.is_test,
        admitted_at: trace.arrived.wall,
        first_byte_at: None,
        completed_at: node.wall(),
        status: 0,
        outcome: Outcome::Refused,
        error_code: None,
        refused_by: None,
        would_refuse: trace.would_refuse.map(Code::text),
        rule: 19,
        usage_source: UsageSource::None,
        is_anomalous: false,
        meters: Meters::NONE,
        price_version: None,
        hold: Nano::ZERO,
        charge: Nano::ZERO,
        absorbed: Nano::ZERO,
        attempts: Vec::new(),
        delivery: Delivery::NotDelivered,
        conditions: None,
        kept: None,
    }
}
