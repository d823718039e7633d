//! Inference that is asked for once under an Idempotency-Key (`wire.md` W31): claimed before it runs, its answer kept
//! for a day, so that a repetition gets the same bytes and is not charged again.
//!
//! A claim is durable before anything is dispatched. Whoever claimed it ends it: with the answer, as spent when it was
//! charged and its answer is not kept, or by giving it back when nothing was charged. What a dead process left running is
//! decided by the ledger: a charge makes it spent, none gives it back. Answers of one organization have a room of bounded
//! size; what finds no place in it is spent.

use crate::cells::{Cells as _, corrupt};
use crate::door::{Tx, both};
use crate::error::Error;
use crate::statements::statements;
use crate::store::Store;
use claviger_domain::id::{KeyId, OrganizationId, RequestId};
use claviger_domain::limits;
use claviger_domain::time::Timestamp;

statements! {
    CLAIM = "INSERT INTO inference_replay (key_id, path, idempotency_key, org_id, body_hash, request_id, seat, state, \
        reply_bytes, claimed_at, expires_at) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, 'running', CAST(0 AS BIGINT), $8, $9) ON CONFLICT DO NOTHING";
    FIND = "SELECT org_id, body_hash, request_id, state, content_type, reply, reply_bytes, claimed_at, expires_at \
        FROM inference_replay WHERE key_id = $1 AND path = $2 AND idempotency_key = $3";
    IS_CHARGED = "SELECT id FROM request WHERE org_id = $1 AND id = $2 AND charge > 0";
    DROP_ROW = "DELETE FROM inference_replay WHERE key_id = $1 AND path = $2 AND idempotency_key = $3 AND request_id = $4";
    SPEND = "UPDATE inference_replay SET state = 'spent' WHERE key_id = $1 AND path = $2 AND idempotency_key = $3 \
        AND request_id = $4 AND state = 'running'";
    KEEP = "UPDATE inference_replay SET state = 'kept', content_type = $5, reply = $6, reply_bytes = $7 \
        WHERE key_id = $1 AND path = $2 AND idempotency_key = $3 AND request_id = $4 AND state = 'running'";
    TAKE_ROOM = "UPDATE inference_replay_room SET bytes = bytes + $2 WHERE org_id = $1 AND bytes + $2 <= $3";
    MAKE_ROOM = "INSERT INTO inference_replay_room (org_id, bytes) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    GIVE_ROOM_BACK = "UPDATE inference_replay_room SET bytes = bytes - $2 WHERE org_id = $1";
    SPEND_FORMER = "UPDATE inference_replay SET state = 'spent' WHERE seat = $1 AND state = 'running' AND EXISTS \
        (SELECT 1 FROM request r WHERE r.org_id = inference_replay.org_id AND r.id = inference_replay.request_id \
        AND r.charge > 0)";
    DROP_FORMER = "DELETE FROM inference_replay WHERE seat = $1 AND state = 'running'";
    SUM_EXPIRED = "SELECT org_id, CAST(SUM(reply_bytes) AS BIGINT) AS bytes FROM inference_replay \
        WHERE expires_at <= $1 GROUP BY org_id ORDER BY org_id";
    DROP_EXPIRED = "DELETE FROM inference_replay WHERE expires_at <= $1";
}

/// A request that is asked for once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayClaim {
    /// The API key: two keys may use one text.
    pub key: KeyId,
    /// The endpoint.
    pub path: &'static str,
    /// The header's text.
    pub idempotency_key: String,
    /// In whose room its answer is kept.
    pub organization: OrganizationId,
    /// What it asks for, as a hash.
    pub body_hash: String,
    /// The request that claims.
    pub request: RequestId,
    /// When.
    pub at: Timestamp,
}

/// What became of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// It runs now, and nobody else runs it.
    Taken,
    /// Another request runs under it.
    Running,
    /// Another request with another body had it.
    OtherBody,
    /// This request was charged, and its answer is not kept.
    Spent(String),
    /// It was answered before.
    Kept(KeptReply),
}

/// An answer that is given again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptReply {
    /// Its `Content-Type`.
    pub content_type: String,
    /// Its body.
    pub body: Vec<u8>,
}

impl Store {
    /// Claims a request for this process, or says what is known of it. Durable when it returns.
    ///
    /// # Errors
    /// The database's. `OutcomeUnknown`: the claim may stand; it is given back at the next start.
    pub async fn claim_replay(&self, claim: &ReplayClaim) -> Result<Claimed, Error> {
        let (claim, seat) = (claim.clone(), self.seat().to_string());
        self.act(async move |tx: &mut Tx<'_>| {
            if insert(tx, &claim, &seat).await? {
                return Ok(Claimed::Taken);
            }
            match found(tx, &claim).await? {
                Some(claimed) => Ok(claimed),
                // What stood there is over.
                None if insert(tx, &claim, &seat).await? => Ok(Claimed::Taken),
                None => Ok(Claimed::Running),
            }
        })
        .await
    }

    /// Keeps the answer of a claim. Whether it is kept: without room for it, or when somebody ended the claim, it is not.
    ///
    /// # Errors
    /// The database's; the claim is still running. A repetition changes nothing.
    pub async fn keep_reply(&self, claim: &ReplayClaim, reply: KeptReply) -> Result<bool, Error> {
        let claim = claim.clone();
        let bytes = i64::try_from(reply.body.len()).unwrap_or(i64::MAX);
        self.act(async move |tx: &mut Tx<'_>| {
            if !take_room(tx, claim.organization, bytes).await? {
                end(tx, SPEND, &claim).await?;
                return Ok(false);
            }
            let request = claim.request.to_string();
            let kept = both!(tx, c => {
                sqlx::query(KEEP)
                    .bind(claim.key.to_string())
                    .bind(claim.path)
                    .bind(&claim.idempotency_key)
                    .bind(&request)
                    .bind(&reply.content_type)
                    .bind(reply.body.as_slice())
                    .bind(bytes)
                    .execute(c)
                    .await?
                    .rows_affected()
            });
            if kept == 0 {
                give_back(tx, &claim.organization.to_string(), bytes).await?;
            }
            Ok(kept > 0)
        })
        .await
    }

    /// Ends a claim without an answer: `is_spent` when it was charged, else it is given back. Safe to repeat.
    ///
    /// # Errors
    /// The database's.
    pub async fn end_replay(&self, claim: &ReplayClaim, is_spent: bool) -> Result<(), Error> {
        let claim = claim.clone();
        self.act(async move |tx: &mut Tx<'_>| end(tx, if is_spent { SPEND } else { DROP_ROW }, &claim).await).await
    }

    /// Ends what a former process on this seat left running, by what the ledger says of it. Before the first admission.
    ///
    /// # Errors
    /// The database's.
    pub async fn end_former_replays(&self) -> Result<(), Error> {
        drop(self.level_reader().await?);
        let seat = self.seat().to_string();
        self.act(async move |tx: &mut Tx<'_>| {
            for sql in [SPEND_FORMER, DROP_FORMER] {
                both!(tx, c => { sqlx::query(sql).bind(&seat).execute(c).await?; });
            }
            Ok(())
        })
        .await
    }
}

/// Forgets answers whose day is over.
pub(crate) async fn forget(tx: &mut Tx<'_>, now: Timestamp) -> Result<u64, Error> {
    let expired: Vec<(String, i64)> = both!(tx, c => {
        let rows = sqlx::query(SUM_EXPIRED).bind(now.0).fetch_all(c).await?;
        rows.iter().map(|row| Ok((row.text("org_id")?, row.int("bytes")?))).collect::<Result<_, Error>>()?
    });
    for (organization, bytes) in &expired {
        give_back(tx, organization, *bytes).await?;
    }
    both!(tx, c => Ok(sqlx::query(DROP_EXPIRED).bind(now.0).execute(c).await?.rows_affected()))
}

async fn insert(tx: &mut Tx<'_>, claim: &ReplayClaim, seat: &str) -> Result<bool, Error> {
    let (key, organization, request) =
        (claim.key.to_string(), claim.organization.to_string(), claim.request.to_string());
    both!(tx, c => {
        let query = sqlx::query(CLAIM)
            .bind(&key)
            .bind(claim.path)
            .bind(&claim.idempotency_key)
            .bind(&organization)
            .bind(&claim.body_hash)
            .bind(&request)
            .bind(seat)
            .bind(claim.at.0)
            .bind(claim.at.plus(limits::REPLAY).0);
        Ok(query.execute(c).await?.rows_affected() > 0)
    })
}

/// What stands under the name; `None` when it is over and was taken away.
async fn found(tx: &mut Tx<'_>, claim: &ReplayClaim) -> Result<Option<Claimed>, Error> {
    let key = claim.key.to_string();
    let row = both!(tx, c => {
        let query = sqlx::query(FIND).bind(&key).bind(claim.path).bind(&claim.idempotency_key);
        let row = query.fetch_optional(c).await?;
        row.map(|row| {
            Ok::<_, Error>(Row {
                organization: row.text("org_id")?,
                body_hash: row.text("body_hash")?,
                request: row.text("request_id")?,
                state: row.text("state")?,
                content_type: row.text_or_none("content_type")?,
                reply: row.bytes_or_none("reply")?,
                reply_bytes: row.int("reply_bytes")?,
                claimed_at: row.int("claimed_at")?,
                expires_at: row.int("expires_at")?,
            })
        })
        .transpose()?
    });
    let Some(row) = row else { return Ok(None) };
    if row.expires_at <= claim.at.0 {
        give_back(tx, &row.organization, row.reply_bytes).await?;
        drop_row(tx, claim, &row.request).await?;
        return Ok(None);
    }
    if row.body_hash != claim.body_hash {
        return Ok(Some(Claimed::OtherBody));
    }
    match (row.state.as_str(), row.content_type, row.reply) {
        ("kept", Some(content_type), Some(body)) => Ok(Some(Claimed::Kept(KeptReply { content_type, body }))),
        ("spent", ..) => Ok(Some(Claimed::Spent(row.request))),
        ("running", ..) if row.claimed_at.saturating_add(micros(limits::REPLAY_RUNS_MAX)) > claim.at.0 => {
            Ok(Some(Claimed::Running))
        }
        // Nothing runs for so long: the process that ran it is dead, and no other took its seat.
        ("running", ..) if is_charged(tx, &row.organization, &row.request).await? => {
            Ok(Some(Claimed::Spent(row.request)))
        }
        ("running", ..) => {
            drop_row(tx, claim, &row.request).await?;
            Ok(None)
        }
        (state, ..) => Err(corrupt("inference_replay.state", state)),
    }
}

struct Row {
    organization: String,
    body_hash: String,
    request: String,
    state: String,
    content_type: Option<String>,
    reply: Option<Vec<u8>>,
    reply_bytes: i64,
    claimed_at: i64,
    expires_at: i64,
}

fn micros(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

async fn is_charged(tx: &mut Tx<'_>, organization: &str, request: &str) -> Result<bool, Error> {
    both!(tx, c => Ok(sqlx::query(IS_CHARGED).bind(organization).bind(request).fetch_optional(c).await?.is_some()))
}

async fn drop_row(tx: &mut Tx<'_>, claim: &ReplayClaim, request: &str) -> Result<(), Error> {
    let key = claim.key.to_string();
    both!(tx, c => {
        let query = sqlx::query(DROP_ROW).bind(&key).bind(claim.path).bind(&claim.idempotency_key).bind(request);
        query.execute(c).await?;
    });
    Ok(())
}

async fn end(tx: &mut Tx<'_>, sql: &'static str, claim: &ReplayClaim) -> Result<(), Error> {
    let (key, request) = (claim.key.to_string(), claim.request.to_string());
    both!(tx, c => {
        sqlx::query(sql).bind(&key).bind(claim.path).bind(&claim.idempotency_key).bind(&request).execute(c).await?;
    });
    Ok(())
}

async fn take_room(tx: &mut Tx<'_>, organization: OrganizationId, bytes: i64) -> Result<bool, Error> {
    let text = organization.to_string();
    let most = i64::try_from(limits::REPLAY_ROOM_BYTES).unwrap_or(i64::MAX);
    both!(tx, c => {
        let query = sqlx::query(TAKE_ROOM).bind(&text).bind(bytes).bind(most);
        if query.execute(&mut *c).await?.rows_affected() > 0 {
            return Ok(true);
        }
        Ok(bytes <= most && sqlx::query(MAKE_ROOM).bind(&text).bind(bytes).execute(c).await?.rows_affected() > 0)
    })
}

async fn give_back(tx: &mut Tx<'_>, organization: &str, bytes: i64) -> Result<(), Error> {
    if bytes > 0 {
        both!(tx, c => { sqlx::query(GIVE_ROOM_BACK).bind(organization).bind(bytes).execute(c).await?; });
    }
    Ok(())
}
