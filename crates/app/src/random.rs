//! The one real source of randomness: the operating system's.

use claviger_domain::time::Random;

/// Draws from the operating system.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SystemRandom;

impl Random for SystemRandom {
    /// Fills `bytes`. Without randomness no key may be made and no answer given, so the process ends.
    fn fill(&mut self, bytes: &mut [u8]) {
        if let Err(error) = getrandom::fill(bytes) {
            tracing::error!(%error, "the operating system gives no randomness");
            std::process::abort();
        }
    }
}
