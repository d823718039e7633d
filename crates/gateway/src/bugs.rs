//! Seeded bugs: each plants one known fault, and a checker counts only if it catches it (`reliability.md` §2.4).
//!
//! Compiled only with the feature `bugs`, switched on by the binary, absent from releases.

use crate::exchange::Open;
use crate::wallets::WalletHold;
use claviger_domain::id::RequestId;
use claviger_domain::request::Outcome;
use claviger_domain::revocation::{Counter, Epoch, Standing};
use claviger_domain::time::Monotonic;
use claviger_storage::Polled;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Duration;

static HOLD_NOT_RELEASED_ON_CANCEL: AtomicBool = AtomicBool::new(false);
static CHARGE_ON_RETRY: AtomicBool = AtomicBool::new(false);

/// Holds of clients that left stay open.
pub fn plant_hold_not_released_on_cancel() {
    HOLD_NOT_RELEASED_ON_CANCEL.store(true, Ordering::Relaxed);
}

/// Every failed attempt is charged as if it had answered.
pub fn plant_charge_on_retry() {
    CHARGE_ON_RETRY.store(true, Ordering::Relaxed);
}

/// How long a node that joins late lies between its snapshot and its registration.
pub(crate) const JOIN_LAG: Duration = Duration::from_secs(3);

static REVOCATION: AtomicU8 = AtomicU8::new(0);
const LEASE_FROM_REPLY: u8 = 1;
const JOINS_LATE: u8 = 2;
const REFUSAL_IGNORED: u8 = 3;
const NO_MARGIN: u8 = 4;

/// Takes one rule of the revocation protocol away, by its name; `false` when there is none of that name.
pub fn plant_revocation(name: &str) -> bool {
    let bug = match name {
        "lease_from_reply" => LEASE_FROM_REPLY,
        "joins_after_snapshot" => JOINS_LATE,
        "refused_renewal_ignored" => REFUSAL_IGNORED,
        "no_clock_rate_margin" => NO_MARGIN,
        _ => return false,
    };
    REVOCATION.store(bug, Ordering::Relaxed);
    true
}

fn is_planted(bug: u8) -> bool {
    REVOCATION.load(Ordering::Relaxed) == bug
}

pub(crate) fn joins_late() -> bool {
    is_planted(JOINS_LATE)
}

/// What a node makes of a poll that was sent and answered then.
pub(crate) fn misread(sent_at: Monotonic, answered_at: Monotonic, mut polled: Polled) -> (Monotonic, Polled) {
    if is_planted(REFUSAL_IGNORED) && polled.answer.standing == Standing::Refused {
        polled.answer.standing = Standing::Renewed;
        let first = polled.answer.events.first().map_or(polled.answer.epoch.0, |event| event.epoch.0.saturating_sub(1));
        polled.answer.epoch = Epoch(first);
        polled.answer.events.clear();
    }
    (if is_planted(LEASE_FROM_REPLY) { answered_at } else { sent_at }, polled)
}

/// What an observer takes a node's lease for: without the margin for clock rates, silence is as long as a lease.
pub(crate) fn mistaken(mut counter: Counter) -> Counter {
    if is_planted(NO_MARGIN) {
        counter.validity = counter.validity.saturating_mul(20).checked_div(21).unwrap_or_default();
    }
    counter
}

pub(crate) fn hold_not_released_on_cancel(hold: WalletHold, outcome: Outcome) -> Option<WalletHold> {
    if HOLD_NOT_RELEASED_ON_CANCEL.load(Ordering::Relaxed) && outcome == Outcome::ClientClosed {
        std::mem::forget(hold);
        return None;
    }
    Some(hold)
}

pub(crate) fn charge_on_retry(open: &Open) {
    if !CHARGE_ON_RETRY.load(Ordering::Relaxed) {
        return;
    }
    if let Ok(slot) = open.node.charges.try_reserve() {
        let mut record = crate::settled::blank_record(&open.node, &open.trace, &open.admitted.caller);
        record.id = RequestId::from_u128(record.id.to_u128() ^ 1);
        record.outcome = Outcome::Complete;
        record.rule = 1;
        record.hold = open.admitted.held();
        record.charge = open.admitted.held();
        record.price_version = open.admitted.sheet.as_ref().map(|sheet| sheet.version);
        record.meters = open.admitted.bound.input;
        drop(slot.append(record));
    }
}

static SECRET_IN_A_LOG_LINE: AtomicBool = AtomicBool::new(false);

/// One line of the log has the credential.
pub fn plant_secret_in_a_log_line() {
    SECRET_IN_A_LOG_LINE.store(true, Ordering::Relaxed);
}

pub(crate) fn secret_in_a_log_line(text: &[u8]) {
    if SECRET_IN_A_LOG_LINE.load(Ordering::Relaxed) {
        tracing::debug!(credential = %String::from_utf8_lossy(text), "a caller came");
    }
}
