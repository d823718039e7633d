//! Seeded bugs: each plants one known fault, and a checker counts only if it catches it (`reliability.md` §2.4).
//!
//! Compiled only with the feature `bugs`, switched on by the binary, absent from releases.

use crate::exchange::Open;
use crate::wallets::WalletHold;
use claviger_domain::id::RequestId;
use claviger_domain::request::Outcome;
use std::sync::atomic::{AtomicBool, Ordering};

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
