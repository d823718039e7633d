//! Acts that are done once under an Idempotency-Key (`wire.md` W31): which object they made, never its secret.
//!
//! The look and the note stand in the act's own transaction, behind the lock it takes anyway, so of two calls at once the
//! later finds what the earlier has done.

use crate::cells::Cells as _;
use crate::door::{Tx, both};
use crate::error::Error;
use crate::statements::statements;
use claviger_domain::time::Timestamp;

statements! {
    FIND = "SELECT body_hash, object, expires_at FROM replay \
        WHERE principal = $1 AND path = $2 AND idempotency_key = $3";
    SAVE = "INSERT INTO replay (principal, path, idempotency_key, body_hash, object, status, expires_at) \
        VALUES ($1, $2, $3, $4, $5, CAST(200 AS BIGINT), $6) \
        ON CONFLICT (principal, path, idempotency_key) DO UPDATE SET body_hash = $4, object = $5, expires_at = $6";
}

/// Under which Idempotency-Key an act is done once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Once {
    /// Who calls.
    pub principal: String,
    /// The path.
    pub path: String,
    /// The header's text.
    pub key: String,
    /// SHA-256 of the body, as hex.
    pub body_hash: String,
    /// When it is forgotten.
    pub expires_at: Timestamp,
}

/// What was done under an Idempotency-Key before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Former {
    /// Nothing, or too long ago.
    None,
    /// The same request made this object.
    Same(String),
    /// Another body.
    OtherBody,
}

pub(crate) async fn find(tx: &mut Tx<'_>, once: Option<&Once>, now: Timestamp) -> Result<Former, Error> {
    let Some(once) = once else { return Ok(Former::None) };
    both!(tx, c => {
        let query = sqlx::query(FIND).bind(&once.principal).bind(&once.path).bind(&once.key);
        let Some(row) = query.fetch_optional(c).await? else { return Ok(Former::None) };
        if row.int("expires_at")? <= now.0 {
            return Ok(Former::None);
        }
        let is_same = row.text("body_hash")? == once.body_hash;
        Ok(if is_same { Former::Same(row.text("object")?) } else { Former::OtherBody })
    })
}

pub(crate) async fn save(tx: &mut Tx<'_>, once: Option<&Once>, object: &str) -> Result<(), Error> {
    let Some(once) = once else { return Ok(()) };
    both!(tx, c => {
        sqlx::query(SAVE)
            .bind(&once.principal)
            .bind(&once.path)
            .bind(&once.key)
            .bind(&once.body_hash)
            .bind(object)
            .bind(once.expires_at.0)
            .execute(c)
            .await?;
    });
    Ok(())
}
