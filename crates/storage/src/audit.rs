//! The audit chain: one gapless hash chain per organization and one of the instance, written in the transaction of the
//! change itself.
//!
//! The head row is locked while a record is linked, so records of one chain stand in commit order. No record, no change:
//! an act that cannot write its record fails whole. An act that writes to both kinds of chain writes the instance's last.

mod check;
mod checkpoints;
pub(crate) mod confirmations;
mod list;
pub(crate) mod security;

pub use check::{AuditFault, AuditReport};
pub use list::{AuditEntry, AuditFilter};
pub use security::SecurityMinute;

use crate::cells::{Cells as _, corrupt};
use crate::door::{Linked, Tx, both};
use crate::error::Error;
use crate::statements::statements;
use crate::store::Store;
use claviger_domain::audit::{
    Action, Attribution, AuditRecord, CHAIN_START, Chain, Confirmed, FieldChange, Outcome, Sealed,
};
use claviger_domain::id::{AuditId, OrganizationId};
use claviger_domain::time::{Random, Timestamp};
use sha2::{Digest as _, Sha256};

statements! {
    START_CHAIN = "INSERT INTO audit_head (chain, seq, hash, signed_seq) \
        VALUES ($1, CAST(0 AS BIGINT), $2, CAST(0 AS BIGINT)) ON CONFLICT DO NOTHING";
    LOCK_HEAD = "UPDATE audit_head SET seq = seq + 1 WHERE chain = $1 RETURNING seq, hash, at";
    MOVE_HEAD = "UPDATE audit_head SET hash = $2 WHERE chain = $1";
    INSERT = "INSERT INTO audit (chain, seq, id, at, action, actor_id, target, body, hash, mac) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    INSERT_VALUES = "INSERT INTO audit_value (chain, seq, body) VALUES ($1, $2, $3)";
    FIND_KEY_CHECK = "SELECT check_bytes FROM audit_key_check WHERE id = 1";
    SAVE_KEY_CHECK = "INSERT INTO audit_key_check (id, check_bytes) VALUES (CAST(1 AS BIGINT), $1) ON CONFLICT DO NOTHING";
    ERASE = "DELETE FROM audit_value WHERE EXISTS (SELECT 1 FROM audit a WHERE a.chain = audit_value.chain \
        AND a.seq = audit_value.seq AND (a.actor_id = $1 OR a.target = $1))";
}

/// The texts that are made at run time, or stand in the parts of this room.
pub(crate) fn built() -> Vec<(&'static str, String)> {
    [check::built(), checkpoints::built(), list::built()].concat()
}

/// One thing to be recorded.
#[derive(Clone, Debug)]
pub struct AuditEvent {
    /// What.
    pub action: Action,
    /// How it ended.
    pub outcome: Outcome,
    /// The object's id.
    pub target: String,
    /// What changed, or what is known of it.
    pub changes: Vec<FieldChange>,
    /// What nodes confirmed.
    pub confirmation: Option<Confirmed>,
}

impl AuditEvent {
    /// Something that was done.
    pub fn done(action: Action, target: impl Into<String>, changes: Vec<FieldChange>) -> Self {
        Self { action, outcome: Outcome::Succeeded, target: target.into(), changes, confirmation: None }
    }
}

impl Store {
    /// Records what changes nothing by itself: a sign-in, an export, a report, a confirmation.
    ///
    /// # Errors
    /// Those of writing. `OutcomeUnknown`: a repetition may record it twice.
    pub async fn record_event(&self, chain: Chain, event: AuditEvent, by: &Attribution) -> Result<(), Error> {
        let by = by.clone();
        self.act(async move |tx: &mut Tx<'_>| append(tx, chain, &by, &event).await).await
    }

    /// What the audit key of this database is known again by; `None` = it has seen none.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn audit_key_check(&self) -> Result<Option<[u8; 8]>, Error> {
        let mut reader = self.reader().await?;
        let found = both!(&mut reader, c => {
            sqlx::query(FIND_KEY_CHECK).fetch_optional(c).await?.map(|row| row.bytes("check_bytes")).transpose()?
        });
        let bytes = found.map(|bytes| bytes.as_slice().try_into());
        bytes.transpose().map_err(|_| corrupt("audit_key_check", "not 8 bytes"))
    }

    /// Keeps the check of the audit key; a stored one is never replaced.
    ///
    /// # Errors
    /// `Conflict` when another key is known.
    pub async fn save_audit_key_check(&self, check: [u8; 8]) -> Result<(), Error> {
        self.act(async move |tx: &mut Tx<'_>| {
            both!(tx, c => { sqlx::query(SAVE_KEY_CHECK).bind(check.as_slice()).execute(c).await?; });
            Ok(())
        })
        .await?;
        if self.audit_key_check().await? == Some(check) { Ok(()) } else { Err(Error::Conflict("audit key")) }
    }

    /// Forgets the values beside every record whose actor or object is this person; their digests stay, so the chains
    /// verify as before. Itself recorded, in the instance's chain.
    ///
    /// # Errors
    /// Those of writing; repeating is safe.
    pub async fn erase_audit_values(&self, person: &str, by: &Attribution) -> Result<u64, Error> {
        let (person, by) = (person.to_owned(), by.clone());
        self.act(async move |tx: &mut Tx<'_>| {
            let erased = both!(tx, c => sqlx::query(ERASE).bind(&person).execute(c).await?.rows_affected());
            let count = FieldChange { field: "count".to_owned(), from: None, to: Some(erased.to_string()) };
            append(tx, Chain::Instance, &by, &AuditEvent::done(Action::AuditErased, person.clone(), vec![count]))
                .await?;
            Ok(erased)
        })
        .await
    }
}

/// Links one record behind the instance's last, in this transaction.
pub(crate) async fn record_for_instance(
    tx: &mut Tx<'_>,
    by: &Attribution,
    action: Action,
    target: &str,
    changes: &[FieldChange],
) -> Result<(), Error> {
    append(tx, Chain::Instance, by, &AuditEvent::done(action, target, changes.to_vec())).await
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
    append(tx, Chain::Organization(organization), by, &AuditEvent::done(action, target, changes.to_vec())).await
}

/// Links one record behind the last of any chain, in this transaction.
pub(crate) async fn append(tx: &mut Tx<'_>, chain: Chain, by: &Attribution, event: &AuditEvent) -> Result<(), Error> {
    let written = link(tx, chain, by, event).await;
    #[cfg(feature = "bugs")]
    if crate::bugs::is_auditing_after_commit() {
        return Ok(());
    }
    written
}

async fn link(tx: &mut Tx<'_>, chain: Chain, by: &Attribution, event: &AuditEvent) -> Result<(), Error> {
    let name = chain.to_string();
    let head = match lock_head(tx, &name).await? {
        Some(head) => Some(head),
        None => {
            both!(tx, c => { sqlx::query(START_CHAIN).bind(&name).bind(CHAIN_START.as_slice()).execute(c).await?; });
            lock_head(tx, &name).await?
        }
    };
    let (sequence, previous, clock) = head.ok_or(Error::Conflict("audit head"))?;
    // Several nodes may be of several minds about the time; the database's own clock, where it has one, is one.
    let at = if clock > Timestamp(0) { clock } else { by.at };
    let by = &Attribution { at, ..by.clone() };
    let record = AuditRecord {
        id: audit_id(&name, sequence, by.at),
        chain,
        sequence,
        attribution: by.clone(),
        action: event.action,
        outcome: event.outcome,
        target: event.target.clone(),
        changes: event.changes.clone(),
        confirmation: event.confirmation.clone(),
    };
    let sealed = record.seal(previous, tx.audit_key);
    insert(tx, &name, &record, &sealed).await?;
    both!(tx, c => { sqlx::query(MOVE_HEAD).bind(&name).bind(sealed.link.hash.as_slice()).execute(c).await?; });
    Ok(())
}

async fn lock_head(tx: &mut impl Linked, chain: &str) -> Result<Option<(i64, [u8; 32], Timestamp)>, Error> {
    both!(tx, c => {
        let row = sqlx::query(LOCK_HEAD).bind(chain).fetch_optional(c).await?;
        row.map(|row| {
            let hash = hash(&row.bytes("hash")?, "audit_head.hash")?;
            Ok::<_, Error>((row.int("seq")?, hash, Timestamp(row.int("at")?)))
        })
        .transpose()
    })
}

async fn insert(tx: &mut Tx<'_>, chain: &str, record: &AuditRecord, sealed: &Sealed) -> Result<(), Error> {
    let (_, actor_id) = record.attribution.actor.parts();
    both!(tx, c => {
        sqlx::query(INSERT)
            .bind(chain)
            .bind(record.sequence)
            .bind(&record.id)
            .bind(record.attribution.at.0)
            .bind(record.action.name())
            .bind(actor_id)
            .bind(&record.target)
            .bind(&sealed.body)
            .bind(sealed.link.hash.as_slice())
            .bind(sealed.link.mac.as_slice())
            .execute(c)
            .await?;
    });
    if !sealed.personal.is_empty() {
        let values = serde_json::to_string(&sealed.personal).map_err(|_| Error::Conflict("audit values"))?;
        both!(tx, c => {
            sqlx::query(INSERT_VALUES).bind(chain).bind(record.sequence).bind(&values).execute(c).await?;
        });
    }
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

fn hash(bytes: &[u8], column: &'static str) -> Result<[u8; 32], Error> {
    bytes.try_into().map_err(|_| corrupt(column, "not 32 bytes"))
}
