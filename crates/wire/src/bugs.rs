//! Seeded faults of this crate, compiled only with the feature `bugs` and switched by the binary.
//!
//! A checker counts only if it goes red on these.

use std::sync::atomic::{AtomicBool, Ordering};

static DUPLICATE_KEY_ACCEPTED: AtomicBool = AtomicBool::new(false);

/// A key that occurs twice in one object is read like any other.
pub fn plant_duplicate_key_accepted() {
    DUPLICATE_KEY_ACCEPTED.store(true, Ordering::Relaxed);
}

pub(crate) fn accepts_duplicate_keys() -> bool {
    DUPLICATE_KEY_ACCEPTED.load(Ordering::Relaxed)
}
