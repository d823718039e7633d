//! Seeded faults of this crate, compiled only with the feature `bugs` and switched by the binary.
//!
//! A checker counts only if it goes red on these.

use std::sync::atomic::{AtomicBool, Ordering};

static UPDATE_LACKS_CHECK: AtomicBool = AtomicBool::new(false);

/// "Update lacks create's check": an edit may make a key stronger than its editor.
pub fn plant_update_lacks_check() {
    UPDATE_LACKS_CHECK.store(true, Ordering::Relaxed);
}

pub(crate) fn update_lacks_check() -> bool {
    UPDATE_LACKS_CHECK.load(Ordering::Relaxed)
}
