//! Secrets as types, and the digest under a versioned pepper.
//!
//! A [`Secret`] has no `Display`, no serialisation and a redacted `Debug`; it is zeroed when dropped and read by one
//! loud method. Where peppers lie is not known here.

use hmac::{Hmac, Mac};
use sha2::{Digest as _, Sha256};
use std::fmt;
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

/// A value that must not be printed.
#[derive(Clone, Default)]
pub struct Secret<T: Zeroize>(T);

impl<T: Zeroize> Secret<T> {
    /// Hides a value.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// Shows it. Every call is a place to review.
    pub const fn expose(&self) -> &T {
        &self.0
    }
}

impl<T: Zeroize> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl<T: Zeroize> Drop for Secret<T> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// What is stored of a secret: `HMAC-SHA-256(pepper, SHA-256(text))` (`keys.md` §1.1). Compared in constant time.
#[derive(Clone, Copy)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of these 32 bytes, read from a row.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes, for a row.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Equality in constant time.
    pub fn matches(&self, other: &Self) -> bool {
        #[cfg(any(test, feature = "bugs"))]
        if crate::bugs::compares_by_equals() {
            return self.0.iter().zip(&other.0).all(|(one, other)| one == other);
        }
        // By words: a constant-time step costs the same for eight bytes as for one, and a request makes four comparisons.
        self.words().ct_eq(&other.words()).into()
    }

    fn words(&self) -> [u64; 4] {
        let (words, _) = self.0.as_chunks::<8>();
        std::array::from_fn(|index| words.get(index).map_or(0, |word| u64::from_le_bytes(*word)))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[digest]")
    }
}

/// One version of the instance's pepper: 32 random bytes that are never in the database.
#[derive(Clone, Debug)]
pub struct Pepper {
    /// Its version, from 1.
    pub version: u16,
    bytes: Secret<[u8; 32]>,
}

impl Pepper {
    /// A pepper of these bytes.
    pub const fn new(version: u16, bytes: [u8; 32]) -> Self {
        Self { version, bytes: Secret::new(bytes) }
    }

    /// The digest of a secret's text.
    pub fn digest(&self, text: &[u8]) -> Digest {
        self.digest_of_inner(&Sha256::digest(text).into())
    }

    /// The digest of a secret of which only SHA-256 is known, as importers send it.
    pub fn digest_of_inner(&self, inner: &[u8; 32]) -> Digest {
        Digest(self.mac(inner))
    }

    /// The first 8 bytes of `HMAC(pepper, "claviger pepper check")`, which the database keeps to recognise the pepper.
    pub fn check(&self) -> [u8; 8] {
        let [a, b, c, d, e, f, g, h, ..] = self.mac(b"claviger pepper check");
        [a, b, c, d, e, f, g, h]
    }

    /// A key for another purpose, which the label names: it tells nothing of the pepper or of other labels' keys.
    pub(crate) fn derive(&self, label: &str) -> [u8; 32] {
        self.mac(label.as_bytes())
    }

    /// A signature with such a key.
    pub(crate) fn sign(&self, label: &str, message: &[u8]) -> [u8; 32] {
        Self::new(self.version, self.derive(label)).mac(message)
    }

    fn mac(&self, message: &[u8]) -> [u8; 32] {
        // HMAC takes keys of every length, so the error cannot occur; a wrong digest would match nothing.
        Hmac::<Sha256>::new_from_slice(self.bytes.expose())
            .map(|mac| mac.chain_update(message).finalize().into_bytes().into())
            .unwrap_or([0; 32])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hint::black_box;
    use std::time::{Duration, Instant};

    /// How much longer it takes to refuse a digest whose last byte alone is wrong than one whose first byte is: the ratio
    /// of the medians of many interleaved batches.
    #[expect(clippy::disallowed_methods, reason = "a measurement needs a clock")]
    fn slowness_of_a_near_miss() -> f64 {
        let stored = Pepper::new(1, [7; 32]).digest(b"clv_ stored");
        let with_wrong = |place: usize| {
            let mut bytes = *stored.as_bytes();
            bytes[place] ^= 1;
            Digest::from_bytes(bytes)
        };
        let presented = [with_wrong(0), with_wrong(31)];
        let mut times = [Vec::new(), Vec::new()];
        for round in 0..2_000 {
            for which in [round % 2, 1 - round % 2] {
                let begun = Instant::now();
                for _ in 0..100 {
                    assert!(!black_box(&stored).matches(black_box(&presented[which])));
                }
                times[which].push(begun.elapsed());
            }
        }
        let [far, near] = times.map(|mut times: Vec<Duration>| {
            times.sort_unstable();
            times[times.len() / 2].as_secs_f64()
        });
        near / far
    }

    #[test]
    fn secrets_that_nearly_match_take_no_longer_and_the_seeded_bug_is_caught() {
        // A machine may be busy during one measurement; a comparison that leaks is slow in all of them.
        let ratio = (0..5).map(|_| slowness_of_a_near_miss()).fold(f64::INFINITY, f64::min);
        assert!(ratio < 1.2, "a near miss takes {ratio:.2} times as long");
        crate::bugs::plant_secrets_compared_by_equals();
        let ratio = (0..5).map(|_| slowness_of_a_near_miss()).fold(f64::INFINITY, f64::min);
        assert!(ratio > 1.5, "byte by byte a near miss takes only {ratio:.2} times as long: nothing would be found");
    }
}
