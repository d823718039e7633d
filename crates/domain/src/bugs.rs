//! Seeded faults of this crate, compiled only into tests and with the feature `bugs`, where the binary switches them.
//!
//! A checker counts only if it goes red on these.

use std::sync::atomic::{AtomicBool, Ordering};

static COMPARED_BY_EQUALS: AtomicBool = AtomicBool::new(false);

/// Digests of secrets are compared byte by byte, up to the first that differs.
pub fn plant_secrets_compared_by_equals() {
    COMPARED_BY_EQUALS.store(true, Ordering::Relaxed);
}

pub(crate) fn compares_by_equals() -> bool {
    COMPARED_BY_EQUALS.load(Ordering::Relaxed)
}
