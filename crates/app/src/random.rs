//! The one real source of randomness: the operating system's.

use claviger_domain::time::Random;

/// Bytes drawn at once by [`BufferedRandom`].
const BUFFER_BYTES: usize = 1024;

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

/// The operating system's randomness, fetched a kibibyte at a time: an id for every request must not cost a system call
/// each. Every byte is handed out once. For ids and draws; secrets are drawn from [`SystemRandom`].
pub(crate) struct BufferedRandom {
    buffer: [u8; BUFFER_BYTES],
    used: usize,
}

impl BufferedRandom {
    pub(crate) const fn new() -> Self {
        Self { buffer: [0; BUFFER_BYTES], used: BUFFER_BYTES }
    }
}

impl Random for BufferedRandom {
    fn fill(&mut self, bytes: &mut [u8]) {
        if bytes.len() > BUFFER_BYTES {
            return SystemRandom.fill(bytes);
        }
        if bytes.len() > BUFFER_BYTES - self.used {
            SystemRandom.fill(&mut self.buffer);
            self.used = 0;
        }
        let end = self.used + bytes.len();
        bytes.copy_from_slice(&self.buffer[self.used..end]);
        self.used = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn buffered_bytes_are_never_handed_out_twice() {
        let mut random = BufferedRandom::new();
        let mut seen = HashSet::new();
        for size in [16, 10, 1024, 2000, 16, 7].into_iter().cycle().take(3000) {
            let mut bytes = vec![0; size];
            random.fill(&mut bytes);
            let first: [u8; 7] = bytes[..7].try_into().unwrap();
            assert!(seen.insert(first), "56 random bits do not repeat within 3,000 draws");
        }
    }
}
