//! The audit chain: one gapless hash chain per organization, written in the transaction of the change itself.
//!
//! The head row is locked while a record is linked, so records of one organization stand in commit order. No record, no
//! change: an act that cannot write its record fails whole.

use crate::cells::{Cells, corrupt, known};
use crate::door::{Tx, both};
use crate::error::Error;
use crate::page::{Page, PageRequest};
use crate::statements::statements;
use crate::store::Store;
use claviger_domain::audit::{Action, Actor, Attribution, AuditRecord, CHAIN_START, FieldChange, Link};
use claviger_domain::id::{AuditId, OrganizationId};
use claviger_domain::tenancy::TenantScope;
use claviger_domain::time::{Random, Timestamp};
use futures_util::TryStreamExt as _;
use sha2::{Digest as _, Sha256};
use sqlx::AssertSqlSafe;
use std::collections::BTreeMap;

statements! {
    START_CHAIN = "INSERT INTO audit_head (chain, seq, hash) VALUES ($1, CAST(0 AS BIGINT), $2) ON CONFLICT DO NOTHING";
    LOCK_HEAD = "UPDATE audit_head SET seq = seq + 1 WHERE chain = $1 RETURNING seq, hash";
    MOVE_HEAD = "UPDATE audit_head SET hash = $2 WHERE chain = $1";
    INSERT = "INSERT INTO audit (chain, seq, id, at, actor_kind, actor_id, address, request_id, action, target, changes, \
        previous, hash, mac) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)";
    FIND_SEQ = "SELECT seq FROM audit WHERE chain = $1 AND id = $2";
    LIST_ALL = "SELECT chain, seq, id, at, actor_kind, actor_id, address, request_id, action, target, changes, \
        previous, hash, mac FROM audit ORDER BY chain, seq";
    LIST_HEADS = "SELECT chain, seq, hash FROM audit_head";
}

/// One record as it was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// What was done.
    pub record: AuditRecord,
    /// Its place in the chain.
    pub link: Link,
}

/// A record that does not fit its chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditFault {
    /// Whose chain.
    pub chain: String,
    /// The first number that does not fit.
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
    /// The audit records of an organization, newest first unless asked otherwise. `None` = unknown cursor.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn list_audit(&self, scope: TenantScope, page: &PageRequest) -> Result<Option<Page<AuditEntry>>, Error> {
        let mut reader = self.reader().await?;
        let chain = scope.0.to_string();
        let walk = page.walk();
        let cursor = match page.cursor() {
            None => None,
            Some(id) => {
                let found = both!(&mut reader, c => {
                    sqlx::query(FIND_SEQ).bind(&chain).bind(id).fetch_optional(c).await?.map(|row| row.int("seq"))
                });
                match found.transpose()? {
                    None => return Ok(None),
                    some => some,
                }
            }
        };
        let sql = AssertSqlSafe(list_text(walk.is_ascending));
        let rows = both!(&mut reader, c => {
            let rows = sqlx::query(sql).bind(&chain).bind(cursor).bind(walk.rows()).fetch_all(c).await?;
            rows.iter().map(entry).collect::<Result<Vec<_>, Error>>()?
        });
        Ok(Some(walk.page(rows)))
    }

    /// Recomputes every chain from its first record: numbers, hashes, MACs, and the head.
    ///
    /// A record removed from the end together with its head can only be found against a checkpoint kept elsewhere.
    ///
    /// # Errors
    /// Those of reading; a record that does not fit is a fault, not an error.
    pub async fn verify_audit(&self) -> Result<AuditReport, Error> {
        let mut snapshot = self.snapshot().await?;
        let mut check = Check { key: *self.audit_key(), report: AuditReport::default(), ends: BTreeMap::new() };
        both!(&mut snapshot, c => {
            let mut rows = sqlx::query(LIST_ALL).fetch(c);
            while let Some(row) = rows.try_next().await? {
                let (chain, sequence) = (row.text("chain")?, row.int("seq")?);
                check.record(chain, sequence, entry(&row));
            }
        });
        both!(&mut snapshot, c => {
            for row in sqlx::query(LIST_HEADS).fetch_all(c).await? {
                check.head(row.text("chain")?, row.int("seq")?, &row.bytes("hash")?);
            }
        });
        Ok(check.report)
    }
}

/// The texts that are made at run time.
pub(crate) fn built() -> Vec<(&'static str, String)> {
    vec![("audit list ascending", list_text(true)), ("audit list descending", list_text(false))]
}

fn list_text(is_ascending: bool) -> String {
    let (than, order) = if is_ascending { (">", "ASC") } else { ("<", "DESC") };
    format!(
        "SELECT chain, seq, id, at, actor_kind, actor_id, address, request_id, action, target, changes, previous, hash, \
         mac FROM audit WHERE chain = $1 AND (CAST($2 AS BIGINT) IS NULL OR seq {than} CAST($2 AS BIGINT)) \
         ORDER BY seq {order} LIMIT CAST($3 AS BIGINT)"
    )
}

/// Links one record behind the organization's last, in this transaction.
pub(crate) async fn record(
    tx: &mut Tx<'_>,
    organization: OrganizationId,
    by: &Attribution,
    action: Action,
    target: &str,
    changes: &[FieldChange],
) -> Result<(), Error> {
    let chain = organization.to_string();
    both!(tx, c => { sqlx::query(START_CHAIN).bind(&chain).bind(CHAIN_START.as_slice()).execute(c).await?; });
    let (sequence, previous) = both!(tx, c => {
        let row = sqlx::query(LOCK_HEAD).bind(&chain).fetch_one(c).await?;
        (row.int("seq")?, hash(&row.bytes("hash")?, "audit_head.hash")?)
    });
    let record = AuditRecord {
        id: audit_id(&chain, sequence, by.at),
        sequence,
        attribution: by.clone(),
        action,
        target: target.to_owned(),
        changes: changes.to_vec(),
    };
    let link = record.link(previous, tx.audit_key);
    insert(tx, &chain, &record, &link).await?;
    both!(tx, c => { sqlx::query(MOVE_HEAD).bind(&chain).bind(link.hash.as_slice()).execute(c).await?; });
    Ok(())
}

async fn insert(tx: &mut Tx<'_>, chain: &str, record: &AuditRecord, link: &Link) -> Result<(), Error> {
    let (actor_kind, actor_id) = record.attribution.actor.parts();
    let changes = serde_json::to_string(&record.changes).map_err(|_| Error::Conflict("audit changes"))?;
    both!(tx, c => {
        sqlx::query(INSERT)
            .bind(chain)
            .bind(record.sequence)
            .bind(&record.id)
            .bind(record.attribution.at.0)
            .bind(actor_kind)
            .bind(actor_id)
            .bind(&record.attribution.address)
            .bind(&record.attribution.request_id)
            .bind(record.action.name())
            .bind(&record.target)
            .bind(&changes)
            .bind(link.previous.as_slice())
            .bind(link.hash.as_slice())
            .bind(link.mac.as_slice())
            .execute(c)
            .await?;
    });
    Ok(())
}

/// The id of a record follows from its place, so that a repeated act writes the same one.
fn audit_id(chain: &str, sequence: i64, at: Timestamp) -> String {
    struct Derived([u8; 32]);
    impl Random for Derived {
        fn fill(&mut self, bytes: &mut [u8]) {
            for (slot, byte) in bytes.iter_mut().zip(self.0) {
                *slot = byte;
            }
        }
    }
    let seed = Sha256::new().chain_update(chain.as_bytes()).chain_update(sequence.to_be_bytes()).finalize();
    AuditId::generate(at, &mut Derived(seed.into())).to_string()
}

struct Check {
    key: [u8; 32],
    report: AuditReport,
    /// The last number and hash of each chain.
    ends: BTreeMap<String, (i64, [u8; 32])>,
}

impl Check {
    fn record(&mut self, chain: String, sequence: i64, read: Result<AuditEntry, Error>) {
        self.report.records = self.report.records.saturating_add(1);
        let (last, previous) = self.ends.get(&chain).copied().unwrap_or((0, CHAIN_START));
        let what = match read {
            Err(error) => Some(error.to_string()),
            Ok(_) if last.checked_add(1) != Some(sequence) => Some(format!("record {sequence} follows {last}")),
            Ok(entry) => {
                let expected = entry.record.link(previous, &self.key);
                self.ends.insert(chain.clone(), (sequence, entry.link.hash));
                (entry.link != expected).then(|| "the record does not fit its hash".to_owned())
            }
        };
        if let Some(what) = what {
            self.ends.entry(chain.clone()).or_insert((sequence, previous)).0 = sequence;
            self.fault(chain, sequence, what);
        }
    }

    fn head(&mut self, chain: String, sequence: i64, stored: &[u8]) {
        self.report.chains = self.report.chains.saturating_add(1);
        let (last, hash) = self.ends.get(&chain).copied().unwrap_or((0, CHAIN_START));
        if last != sequence || hash.as_slice() != stored {
            self.fault(chain, last.min(sequence), format!("the chain ends at {last}, its head says {sequence}"));
        }
    }

    fn fault(&mut self, chain: String, sequence: i64, what: String) {
        if !self.report.faults.iter().any(|fault| fault.chain == chain) {
            self.report.faults.push(AuditFault { chain, sequence, what });
        }
    }
}

fn entry<R: Cells>(row: &R) -> Result<AuditEntry, Error> {
    let (kind, actor_id, action) = (row.text("actor_kind")?, row.text("actor_id")?, row.text("action")?);
    let actor = match kind.as_str() {
        "key" => Actor::Key(actor_id),
        "operator" => Actor::LocalOperator,
        "system" => Actor::System,
        "nobody" => Actor::Nobody,
        _ => return Err(corrupt("audit.actor_kind", &kind)),
    };
    let changes = row.text("changes")?;
    Ok(AuditEntry {
        record: AuditRecord {
            id: row.text("id")?,
            sequence: row.int("seq")?,
            attribution: Attribution {
                actor,
                address: row.text("address")?,
                request_id: row.text("request_id")?,
                at: Timestamp(row.int("at")?),
            },
            action: known(Action::from_name(&action), "audit.action", &action)?,
            target: row.text("target")?,
            changes: serde_json::from_str(&changes).map_err(|_| corrupt("audit.changes", &changes))?,
        },
        link: Link {
            previous: hash(&row.bytes("previous")?, "audit.previous")?,
            hash: hash(&row.bytes("hash")?, "audit.hash")?,
            mac: hash(&row.bytes("mac")?, "audit.mac")?,
        },
    })
}

fn hash(bytes: &[u8], column: &'static str) -> Result<[u8; 32], Error> {
    bytes.try_into().map_err(|_| corrupt(column, "not 32 bytes"))
}
