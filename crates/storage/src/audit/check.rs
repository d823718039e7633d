//! Reading every chain from its first record: numbers, hashes, MACs, texts, columns, values, heads, checkpoints.
//!
//! A chain cut off at its end together with its head, and with the checkpoints in the database, is found by those that
//! were kept elsewhere: the caller brings them along.

use super::checkpoints;
use super::list::{personal, record_columns};
use crate::cells::Cells;
use crate::door::both;
use crate::error::Error;
use crate::store::Store;
use claviger_domain::audit::{AuditKey, AuditRecord, Chain, ChainCheck, Checkpoint, CheckpointFault, Found, PublicKey};
use futures_util::TryStreamExt as _;
use std::collections::BTreeMap;

const LIST_ALL: &str = concat!(record_columns!(), " ORDER BY a.chain, a.seq");
const LIST_HEADS: &str = "SELECT chain, seq, hash FROM audit_head";

/// A record that does not fit its chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditFault {
    /// Whose chain.
    pub chain: String,
    /// The first number that does not fit, or that is missing.
    pub sequence: i64,
    /// What is wrong, for an operator.
    pub what: String,
}

/// What a check of every chain found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditReport {
    /// Chains read.
    pub chains: u64,
    /// Records read.
    pub records: u64,
    /// Checkpoints compared, of the database and of elsewhere.
    pub checkpoints: u64,
    /// The first fault of each broken chain; empty = sound.
    pub faults: Vec<AuditFault>,
}

impl Store {
    /// Recomputes every chain from its first record: numbers, hashes, MACs, the head, and what checkpoints say.
    ///
    /// # Errors
    /// Those of reading; a record that does not fit is a fault, not an error.
    pub async fn verify_audit(&self) -> Result<AuditReport, Error> {
        self.verify_audit_with(&[]).await
    }

    /// The same, compared also with checkpoints that were kept outside the database: only they find a chain that was cut
    /// off at its end.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn verify_audit_with(&self, elsewhere: &[Checkpoint]) -> Result<AuditReport, Error> {
        let mut snapshot = self.snapshot().await?;
        let mut signed = Signed::new(self.audit_key());
        both!(&mut snapshot, c => {
            let mut rows = sqlx::query(checkpoints::LIST_ALL).fetch(c);
            while let Some(row) = rows.try_next().await? {
                signed.row(row.int("number")?, checkpoints::checkpoint(&row).ok());
            }
        });
        signed.elsewhere(elsewhere);
        let (checkpoints, strangers, expected) = signed.finish();
        let key = self.audit_key().clone();
        let mut walk = Walk { key, expected, checks: BTreeMap::new(), strangers, records: 0, checkpoints };
        both!(&mut snapshot, c => {
            let mut rows = sqlx::query(LIST_ALL).fetch(c);
            while let Some(row) = rows.try_next().await? {
                walk.row(&row)?;
            }
        });
        both!(&mut snapshot, c => {
            for row in sqlx::query(LIST_HEADS).fetch_all(c).await? {
                walk.head(&row)?;
            }
        });
        Ok(walk.report())
    }
}

pub(super) fn built() -> Vec<(&'static str, String)> {
    vec![("audit list all", LIST_ALL.to_owned()), ("audit list heads", LIST_HEADS.to_owned())]
}

/// What checkpoints say: hash by number, chain by chain, and which checkpoint says so.
type Expected = BTreeMap<Chain, BTreeMap<i64, ([u8; 32], i64)>>;

/// Reads checkpoints before the records are walked.
struct Signed {
    key: Option<PublicKey>,
    former: Option<Checkpoint>,
    count: u64,
    faults: Vec<AuditFault>,
    expected: Expected,
}

impl Signed {
    fn new(key: &AuditKey) -> Self {
        let key = key.public_key();
        Self { key, former: None, count: 0, faults: Vec::new(), expected: Expected::new() }
    }

    /// The next row of the database: numbers without gaps, each signed and naming the one before.
    fn row(&mut self, number: i64, read: Option<Checkpoint>) {
        let next = self.former.as_ref().and_then(Checkpoint::number).unwrap_or(0).saturating_add(1);
        let Some(checkpoint) = read.filter(|checkpoint| checkpoint.number() == Some(number)) else {
            return self.fault(number.min(next), "the checkpoint does not read".to_owned());
        };
        if number != next {
            self.fault(next, "the checkpoint is missing".to_owned());
        }
        self.judge(&checkpoint, number == next);
        self.former = Some(checkpoint);
    }

    fn elsewhere(&mut self, kept: &[Checkpoint]) {
        let last = self.former.as_ref().and_then(Checkpoint::number).unwrap_or(0);
        for checkpoint in kept {
            self.judge(checkpoint, false);
            if checkpoint.number().is_some_and(|number| number > last) {
                let what = "the checkpoint was sent out and is not in the database any more".to_owned();
                self.fault(last.saturating_add(1), what);
            }
        }
    }

    fn judge(&mut self, checkpoint: &Checkpoint, is_next: bool) {
        self.count = self.count.saturating_add(1);
        let number = checkpoint.number().unwrap_or(0);
        let former = self.former.as_ref().filter(|_| is_next);
        let verdict = self.key.ok_or(CheckpointFault::Signature).and_then(|key| checkpoint.verify(&key, former));
        if let Err(fault) = verdict {
            return self.fault(number, format!("the checkpoint is not good: {fault}"));
        }
        for head in &checkpoint.heads {
            self.expected.entry(head.chain).or_default().insert(head.sequence, (head.hash, number));
        }
    }

    fn fault(&mut self, sequence: i64, what: String) {
        if self.faults.is_empty() {
            self.faults.push(AuditFault { chain: "checkpoint".to_owned(), sequence, what });
        }
    }

    fn finish(self) -> (u64, Vec<AuditFault>, Expected) {
        (self.count, self.faults, self.expected)
    }
}

struct Walk {
    key: AuditKey,
    expected: Expected,
    /// One walk a chain, and whether its head was seen.
    checks: BTreeMap<Chain, (ChainCheck, bool)>,
    /// Rows of chains that cannot be.
    strangers: Vec<AuditFault>,
    records: u64,
    checkpoints: u64,
}

impl Walk {
    fn row<R: Cells>(&mut self, row: &R) -> Result<(), Error> {
        self.records = self.records.saturating_add(1);
        let (name, sequence) = (row.text("chain")?, row.int("seq")?);
        let Ok(chain) = name.parse::<Chain>() else {
            self.strangers.push(AuditFault { chain: name, sequence, what: "there is no such chain".to_owned() });
            return Ok(());
        };
        let (check, _) = self.checks.entry(chain).or_insert_with(|| (ChainCheck::new(chain), false));
        let (body, hash, mac) = (row.text("body")?, row.bytes("hash")?, row.bytes("mac")?);
        let values = match personal(row) {
            Ok(values) => values,
            Err(error) => {
                check.blame(sequence, error.to_string());
                Vec::new()
            }
        };
        let found = Found { sequence, body: &body, hash: &hash, mac: &mac, personal: &values };
        if let Some(record) = check.record(&found, Some(&self.key)) {
            if !says_the_same(row, &record)? {
                check.blame(sequence, "a column says something else than the record");
            }
            let said = self.expected.get(&chain).and_then(|of_chain| of_chain.get(&sequence));
            if let Some((said, number)) = said
                && said.as_slice() != hash
            {
                check.blame(sequence, format!("checkpoint {number} signed another record in this place"));
            }
        }
        Ok(())
    }

    fn head<R: Cells>(&mut self, row: &R) -> Result<(), Error> {
        let (name, sequence, hash) = (row.text("chain")?, row.int("seq")?, row.bytes("hash")?);
        let Ok(chain) = name.parse::<Chain>() else {
            self.strangers.push(AuditFault { chain: name, sequence, what: "there is no such chain".to_owned() });
            return Ok(());
        };
        let (check, has_head) = self.checks.entry(chain).or_insert_with(|| (ChainCheck::new(chain), false));
        *has_head = true;
        check.ends_at(sequence, &hash, "its head");
        Ok(())
    }

    fn report(mut self) -> AuditReport {
        for (chain, said) in &self.expected {
            let (check, _) = self.checks.entry(*chain).or_insert_with(|| (ChainCheck::new(*chain), true));
            let end = check.end().0;
            if let Some((sequence, (_, number))) = said.last_key_value()
                && *sequence > end
            {
                let what = format!("it is missing: the chain ends at {end}, checkpoint {number} has seen {sequence}");
                check.blame(end.saturating_add(1), what);
            }
        }
        for (check, has_head) in self.checks.values_mut() {
            if !*has_head {
                check.blame(check.end().0, "the chain has no head");
            }
        }
        let faults = self.checks.iter().filter_map(|(chain, (check, _))| {
            let fault = check.fault()?;
            Some(AuditFault { chain: chain.to_string(), sequence: fault.sequence, what: fault.what.clone() })
        });
        let chains = u64::try_from(self.checks.len()).unwrap_or(u64::MAX);
        let faults = faults.chain(self.strangers).collect();
        AuditReport { chains, records: self.records, checkpoints: self.checkpoints, faults }
    }
}

fn says_the_same<R: Cells>(row: &R, record: &AuditRecord) -> Result<bool, Error> {
    Ok(row.text("id")? == record.id
        && row.int("at")? == record.attribution.at.0
        && row.text("action")? == record.action.name()
        && row.text("actor_id")? == record.attribution.actor.parts().1
        && row.text("target")? == record.target)
}
