//! Checkpoints: the heads that changed, signed and kept; and the pages of an export.
//!
//! Sending them out of the database is not done here: whoever keeps them elsewhere asks for what it has not got yet.

use super::hash;
use super::list::{AuditEntry, entry, record_columns};
use crate::cells::{Cells, corrupt};
use crate::door::{Linked, Tx, both};
use crate::error::Error;
use crate::store::Store;
use claviger_domain::audit::{Chain, Checkpoint, Head, PublicKey, checkpoint_line, read_checkpoint};
use claviger_domain::time::Timestamp;

const CHANGED: &str = "SELECT chain, seq, hash FROM audit_head WHERE seq > signed_seq ORDER BY chain DESC \
    LIMIT CAST($1 AS BIGINT)";
const WAITING: &str = "SELECT CAST(COALESCE(SUM(seq - signed_seq), 0) AS BIGINT) AS records FROM audit_head \
    WHERE seq > signed_seq";
pub(super) const LIST_ALL: &str = "SELECT number, line FROM audit_checkpoint ORDER BY number";
const LAST: &str = "SELECT line FROM audit_checkpoint ORDER BY number DESC LIMIT 1";
const AFTER: &str = "SELECT line FROM audit_checkpoint WHERE number > $1 ORDER BY number \
    LIMIT CAST($2 AS BIGINT)";
const INSERT: &str = "INSERT INTO audit_checkpoint (number, at, line) VALUES ($1, $2, $3)";
const SIGNED: &str = "UPDATE audit_head SET signed_seq = $2, checkpoint = $3 WHERE chain = $1 AND signed_seq < $2";
const OF_CHAIN: &str = "SELECT c.line FROM audit_head h \
    JOIN audit_checkpoint c ON c.number = h.checkpoint WHERE h.chain = $1";
const EXPORT: &str = concat!(
    record_columns!(),
    " WHERE a.chain = $1 AND a.seq > $2 AND a.seq <= $3 ORDER BY a.seq LIMIT CAST($4 AS BIGINT)"
);

/// Heads of one checkpoint: its path stays short and its row small.
const HEADS_MAX: i64 = 1000;

impl Store {
    /// The public half of the key that signs checkpoints.
    pub fn audit_public_key(&self) -> Option<PublicKey> {
        self.audit_key().public_key()
    }

    /// How many records no checkpoint speaks of yet.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn unsigned_audit_records(&self) -> Result<u64, Error> {
        let mut reader = self.reader().await?;
        let waiting = both!(&mut reader, c => sqlx::query(WAITING).fetch_one(c).await?.int("records")?);
        Ok(u64::try_from(waiting).unwrap_or_default())
    }

    /// Signs the heads that changed since the last checkpoint, at most a thousand of them. `None` = none changed.
    ///
    /// # Errors
    /// `Conflict` when another node signs at the same moment: there is nothing to do then.
    pub async fn sign_checkpoint(&self, at: Timestamp) -> Result<Option<Checkpoint>, Error> {
        self.act(async move |tx: &mut Tx<'_>| {
            let heads = both!(tx, c => {
                let rows = sqlx::query(CHANGED).bind(HEADS_MAX).fetch_all(c).await?;
                rows.iter().map(head).collect::<Result<Vec<_>, Error>>()?
            });
            if heads.is_empty() {
                return Ok(None);
            }
            let former = last(tx).await?;
            let signed = tx.audit_key.checkpoint(former.as_ref(), at, heads);
            let (signed, number) = signed
                .and_then(|signed| signed.number().map(|number| (signed, number)))
                .ok_or(Error::Conflict("audit signing key"))?;
            let line = checkpoint_line(&signed).ok_or(Error::Conflict("audit checkpoint"))?;
            both!(tx, c => {
                sqlx::query(INSERT).bind(number).bind(at.0).bind(&line).execute(c).await?;
            });
            // An act locks its organization's head before the instance's; so does this order.
            for head in &signed.heads {
                let chain = head.chain.to_string();
                both!(tx, c => {
                    sqlx::query(SIGNED).bind(&chain).bind(head.sequence).bind(number).execute(c).await?;
                });
            }
            Ok(Some(signed))
        })
        .await
    }

    /// The checkpoints behind a number, oldest first, at most as many.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn list_checkpoints(&self, after: i64, most: u32) -> Result<Vec<Checkpoint>, Error> {
        let mut reader = self.reader().await?;
        both!(&mut reader, c => {
            let rows = sqlx::query(AFTER).bind(after).bind(i64::from(most)).fetch_all(c).await?;
            rows.iter().map(checkpoint).collect()
        })
    }

    /// The checkpoint that speaks of a chain's last signed record. `None` = none does yet.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn find_checkpoint_of(&self, chain: Chain) -> Result<Option<Checkpoint>, Error> {
        let mut reader = self.reader().await?;
        let chain = chain.to_string();
        both!(&mut reader, c => {
            sqlx::query(OF_CHAIN).bind(&chain).fetch_optional(c).await?.map(|row| checkpoint(&row)).transpose()
        })
    }

    /// Records of a chain behind a number and up to another, oldest first, at most as many.
    ///
    /// # Errors
    /// Those of reading; a record that does not read is `Corrupt`.
    pub async fn export_audit(
        &self,
        chain: Chain,
        after: i64,
        until: i64,
        most: u32,
    ) -> Result<Vec<AuditEntry>, Error> {
        let mut reader = self.reader().await?;
        let chain = chain.to_string();
        both!(&mut reader, c => {
            let query = sqlx::query(EXPORT).bind(&chain).bind(after).bind(until).bind(i64::from(most));
            query.fetch_all(c).await?.iter().map(entry).collect()
        })
    }
}

pub(super) fn built() -> Vec<(&'static str, String)> {
    let texts = [
        ("checkpoint changed", CHANGED),
        ("checkpoint waiting", WAITING),
        ("checkpoint list", LIST_ALL),
        ("checkpoint last", LAST),
        ("checkpoint after", AFTER),
        ("checkpoint insert", INSERT),
        ("checkpoint signed", SIGNED),
        ("checkpoint of chain", OF_CHAIN),
        ("audit export", EXPORT),
    ];
    texts.map(|(name, sql)| (name, sql.to_owned())).to_vec()
}

async fn last(linked: &mut impl Linked) -> Result<Option<Checkpoint>, Error> {
    both!(linked, c => sqlx::query(LAST).fetch_optional(c).await?.map(|row| checkpoint(&row)).transpose())
}

fn head<R: Cells>(row: &R) -> Result<Head, Error> {
    let hash = hash(&row.bytes("hash")?, "audit_head.hash")?;
    Ok(Head { chain: row.parsed("chain")?, sequence: row.int("seq")?, hash })
}

pub(super) fn checkpoint<R: Cells>(row: &R) -> Result<Checkpoint, Error> {
    let line = row.text("line")?;
    read_checkpoint(&line).ok_or_else(|| corrupt("audit_checkpoint.line", &line))
}
