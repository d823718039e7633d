//! Reading every chain from its first record: numbers, hashes, MACs, texts, columns, values, heads.

use super::list::{personal, record_columns};
use crate::cells::Cells;
use crate::door::both;
use crate::error::Error;
use crate::store::Store;
use claviger_domain::audit::{AuditKey, AuditRecord, Chain, ChainCheck, Found};
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
    /// The first fault of each broken chain; empty = sound.
    pub faults: Vec<AuditFault>,
}

impl Store {
    /// Recomputes every chain from its first record: numbers, hashes, MACs, and the head.
    ///
    /// A record removed from the end together with its head can only be found against a checkpoint kept elsewhere.
    ///
    /// # Errors
    /// Those of reading; a record that does not fit is a fault, not an error.
    pub async fn verify_audit(&self) -> Result<AuditReport, Error> {
        let mut snapshot = self.snapshot().await?;
        let mut walk =
            Walk { key: self.audit_key().clone(), checks: BTreeMap::new(), strangers: Vec::new(), records: 0 };
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

struct Walk {
    key: AuditKey,
    /// One walk a chain, and whether its head was seen.
    checks: BTreeMap<Chain, (ChainCheck, bool)>,
    /// Rows of chains that cannot be.
    strangers: Vec<AuditFault>,
    records: u64,
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
        if let Some(record) = check.record(&found, Some(&self.key))
            && !says_the_same(row, &record)?
        {
            check.blame(sequence, "a column says something else than the record");
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
        AuditReport { chains, records: self.records, faults: faults.chain(self.strangers).collect() }
    }
}

fn says_the_same<R: Cells>(row: &R, record: &AuditRecord) -> Result<bool, Error> {
    Ok(row.text("id")? == record.id
        && row.int("at")? == record.attribution.at.0
        && row.text("action")? == record.action.name()
        && row.text("actor_id")? == record.attribution.actor.parts().1
        && row.text("target")? == record.target)
}
