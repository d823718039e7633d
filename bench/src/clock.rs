//! The bench's only reading of a clock. Elsewhere time is an argument; here it is the thing measured.

use std::time::Instant;

/// The monotonic clock, nanoseconds.
#[expect(clippy::disallowed_methods, reason = "a load generator measures time, and reads it here only")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
