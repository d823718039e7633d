//! Whether records fit their chain: one pass from the first to the last, and the first that does not is named.
//!
//! With the audit key every MAC is checked too. Without it, as for an export, the hashes are, and a signed checkpoint has
//! to say where the chain ends: whoever can write the rows can also compute hashes.

use super::body::{self, hex};
use super::{AuditKey, AuditRecord, CHAIN_START, Chain, Personal};
use sha2::{Digest as _, Sha256};

/// `SHA-256(previous ‖ body)`.
pub(super) fn hash(previous: &[u8; 32], body: &str) -> [u8; 32] {
    Sha256::new().chain_update(previous).chain_update(body.as_bytes()).finalize().into()
}

/// The first record of a chain that does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainFault {
    /// The first place of the chain that does not hold its record: it is wrong, another's, or missing.
    pub sequence: i64,
    /// What is wrong, for an operator.
    pub what: String,
}

/// A walk along one chain.
#[derive(Clone, Debug)]
pub struct ChainCheck {
    chain: Chain,
    last: i64,
    hash: [u8; 32],
    records: u64,
    fault: Option<ChainFault>,
}

/// One record as it was found.
#[derive(Clone, Copy, Debug)]
pub struct Found<'a> {
    /// The number it is stored under.
    pub sequence: i64,
    /// Its text.
    pub body: &'a str,
    /// Its hash, as stored.
    pub hash: &'a [u8],
    /// Its MAC, as stored.
    pub mac: &'a [u8],
    /// The values beside it.
    pub personal: &'a [Personal],
}

impl ChainCheck {
    /// A walk from the beginning.
    pub const fn new(chain: Chain) -> Self {
        Self { chain, last: 0, hash: CHAIN_START, records: 0, fault: None }
    }

    /// A walk that begins behind a record whose hash is known from elsewhere.
    pub const fn behind(chain: Chain, sequence: i64, hash: [u8; 32]) -> Self {
        Self { chain, last: sequence, hash, records: 0, fault: None }
    }

    /// The next record. Behind the first fault nothing is judged any more: everything after it hangs on it.
    pub fn record(&mut self, found: &Found<'_>, key: Option<&AuditKey>) -> Option<AuditRecord> {
        self.records = self.records.saturating_add(1);
        if self.fault.is_some() {
            return None;
        }
        match self.judge(found, key) {
            Ok((record, hash)) => {
                (self.last, self.hash) = (found.sequence, hash);
                Some(record)
            }
            Err(fault) => {
                self.fault = Some(fault);
                None
            }
        }
    }

    fn judge(&self, found: &Found<'_>, key: Option<&AuditKey>) -> Result<(AuditRecord, [u8; 32]), ChainFault> {
        let next = self.last.saturating_add(1);
        let fault = |sequence: i64, what: String| ChainFault { sequence, what };
        if found.sequence > next {
            let what = format!("it is missing: after {} comes {}", self.last, found.sequence);
            return Err(fault(next, what));
        }
        let here = |what: &str| fault(next, what.to_owned());
        if found.sequence < next {
            return Err(fault(
                next,
                format!("in its place stands {}, for the second time or out of order", found.sequence),
            ));
        }
        let computed = hash(&self.hash, found.body);
        if computed.as_slice() != found.hash {
            return Err(here("it does not fit its hash, or the record before it"));
        }
        if key.is_some_and(|key| key.mac(&computed).as_slice() != found.mac) {
            return Err(here("its hash was not made with this instance's audit key"));
        }
        let (record, previous) = body::read(found.body, found.personal).map_err(|error| here(&error.to_string()))?;
        if record.chain != self.chain || record.sequence != found.sequence || previous != hex(&self.hash) {
            return Err(here("it belongs to another place"));
        }
        Ok((record, computed))
    }

    /// A fault that only the reader could see, such as a column that says something else than the record.
    pub fn blame(&mut self, sequence: i64, what: impl Into<String>) {
        self.fault.get_or_insert_with(|| ChainFault { sequence, what: what.into() });
    }

    /// The head row, or a signed checkpoint: where the chain must (at least) reach, with the hash there.
    pub fn ends_at(&mut self, sequence: i64, hash: &[u8], whose: &str) {
        if self.last != sequence {
            let next = self.last.min(sequence).saturating_add(1);
            self.blame(next, format!("the chain ends at {}, {whose} says {sequence}", self.last));
        } else if self.hash.as_slice() != hash {
            self.blame(sequence, format!("its hash is not the one of {whose}"));
        }
    }

    /// Number and hash of the last sound record.
    pub const fn end(&self) -> (i64, [u8; 32]) {
        (self.last, self.hash)
    }

    /// Records seen.
    pub const fn records(&self) -> u64 {
        self.records
    }

    /// Whose chain.
    pub const fn chain(&self) -> Chain {
        self.chain
    }

    /// The first fault, if there is one.
    pub const fn fault(&self) -> Option<&ChainFault> {
        self.fault.as_ref()
    }
}
