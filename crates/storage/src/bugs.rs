//! Seeded faults of this crate, compiled only with the feature `bugs` and switched by the binary.
//!
//! A checker counts only if it goes red on these.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

static ACK_BEFORE_COMMIT: AtomicBool = AtomicBool::new(false);

/// How long the real commit then lags behind the answer, so that a kill in between loses it.
pub(crate) const COMMIT_LAG: Duration = Duration::from_millis(1500);

/// "No fsync before the last byte": charges are acknowledged when queued, and committed [`COMMIT_LAG`] later.
pub fn ack_before_commit(is_on: bool) {
    ACK_BEFORE_COMMIT.store(is_on, Ordering::Relaxed);
}

pub(crate) fn is_acking_before_commit() -> bool {
    ACK_BEFORE_COMMIT.load(Ordering::Relaxed)
}

static AUDIT_AFTER_COMMIT: AtomicBool = AtomicBool::new(false);

/// "Audit after commit": a record that cannot be written no longer undoes its change.
pub fn audit_after_commit(is_on: bool) {
    AUDIT_AFTER_COMMIT.store(is_on, Ordering::Relaxed);
}

pub(crate) fn is_auditing_after_commit() -> bool {
    AUDIT_AFTER_COMMIT.load(Ordering::Relaxed)
}

static ORGANIZATION_FILTER_MISSING: AtomicBool = AtomicBool::new(false);

/// "Organization filter missing on one endpoint": a key is read by its id, whoever's it is.
pub fn organization_filter_missing(is_on: bool) {
    ORGANIZATION_FILTER_MISSING.store(is_on, Ordering::Relaxed);
}

pub(crate) fn is_organization_filter_missing() -> bool {
    ORGANIZATION_FILTER_MISSING.load(Ordering::Relaxed)
}

static EPOCH_FROM_A_SEQUENCE: AtomicBool = AtomicBool::new(false);

/// How long every second transaction lies between its number and its commit, so that the next one overtakes it.
pub(crate) const SEQUENCE_LAG: Duration = Duration::from_millis(400);

/// "Epoch from a sequence": numbers become visible out of commit order. On Postgres only.
pub fn epoch_from_a_sequence(is_on: bool) {
    EPOCH_FROM_A_SEQUENCE.store(is_on, Ordering::Relaxed);
}

pub(crate) fn is_epoch_from_a_sequence() -> bool {
    EPOCH_FROM_A_SEQUENCE.load(Ordering::Relaxed)
}
