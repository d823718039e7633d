//! The key table on its own, for the measurement in `examples/lookup.rs`; no build of the program has it.

use crate::snapshot::Keys;
use claviger_domain::key::{Key, KeyText, Prefixes};
use claviger_domain::lifetime::Lifetimes;
use claviger_domain::secret::Pepper;
use claviger_domain::time::Timestamp;

/// What a node knows of keys.
pub struct Table {
    keys: Keys,
    prefixes: Prefixes,
    peppers: Vec<Pepper>,
}

impl Table {
    /// An empty table.
    pub fn new(prefixes: Prefixes, pepper: Pepper) -> Self {
        Self { keys: Keys::default(), prefixes, peppers: vec![pepper] }
    }

    /// Puts a key in.
    pub fn learn(&self, key: Key) {
        self.keys.learn(key);
    }

    /// Steps 3, 4 and 6 of `keys.md` §2.1 on a presented text, as the stage Authenticated takes them; whether the key
    /// may be used.
    pub fn verify(&self, text: &[u8], now: Timestamp) -> bool {
        let Ok(parsed) = KeyText::parse(text, &self.prefixes) else { return false };
        let found = self.keys.find_presented(Some(parsed.id), text, &self.peppers);
        found.is_some_and(|found| found.key.check(found.secret, &Lifetimes::default(), now).is_ok())
    }
}
