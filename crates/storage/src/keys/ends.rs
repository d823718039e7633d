//! Ends that come: who owns a key hears of it 14, 3 and 1 days before it expires, and of a replaced secret that is still
//! used a day and an hour before it ends (`keys.md` §4).
//!
//! Each end and stage is told once, by whichever node comes first; the mark and the notice are one commit. An end that
//! was moved is another end. A key that is younger than a stage is not told of it: whoever made it knows.

use super::{find_anywhere, leaks::tell};
use crate::cells::Cells as _;
use crate::door::{Tx, both};
use crate::error::Error;
use crate::statements::statements;
use crate::store::Store;
use claviger_domain::audit::{Actor, Attribution};
use claviger_domain::id::{KeyId, SecretId};
use claviger_domain::limits;
use claviger_domain::notice::NoticeKind;
use claviger_domain::time::Timestamp;
use std::time::Duration;

statements! {
    /// A notice of a later stage makes one of an earlier stage idle.
    LIST_EXPIRING = "SELECT k.id, k.expires_at FROM api_key k WHERE k.expires_at > $1 AND k.expires_at <= $1 + $2 \
        AND k.expires_at IS NOT NULL AND k.state <> 'revoked' AND k.trust_id IS NULL \
        AND k.created_at <= k.expires_at - $2 AND NOT EXISTS (SELECT 1 FROM end_notice n WHERE n.object = k.id \
        AND n.ends_at = k.expires_at AND n.stage <= $2) ORDER BY k.expires_at, k.id LIMIT CAST($3 AS BIGINT)";
    LIST_ENDING = "SELECT s.id, s.key_id, s.ends_at FROM secret s WHERE s.ends_at > $1 AND s.ends_at <= $1 + $2 \
        AND s.ends_at IS NOT NULL AND s.ended_at IS NULL AND s.last_used_at > $1 - $4 \
        AND NOT EXISTS (SELECT 1 FROM end_notice n WHERE n.object = s.id AND n.ends_at = s.ends_at AND n.stage <= $2) \
        ORDER BY s.ends_at, s.id LIMIT CAST($3 AS BIGINT)";
    MARK = "INSERT INTO end_notice (object, ends_at, stage) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
    FORGET_MARKS = "DELETE FROM end_notice WHERE ends_at < $1";
}

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// How long before its expiry a key's owners are told; the nearest first.
const STAGES_OF_KEYS: [Duration; 3] = [DAY, DAY.saturating_mul(3), DAY.saturating_mul(14)];
/// How long before the end of an overlap.
const STAGES_OF_SECRETS: [Duration; 2] = [HOUR, DAY];

/// What ends, and when.
struct End {
    object: String,
    key: KeyId,
    at: Timestamp,
}

impl Store {
    /// Tells of ends that are near, one batch: how many, and whether there may be more. Safe to repeat, and on several
    /// nodes at once.
    ///
    /// # Errors
    /// The database's; what was not told is told next time.
    pub async fn tell_ends(&self, now: Timestamp) -> Result<(u64, bool), Error> {
        self.act(async move |tx: &mut Tx<'_>| {
            let (mut told, mut has_more) = (0_u64, false);
            let keys = STAGES_OF_KEYS.map(|stage| (NoticeKind::KeyExpiring, stage));
            let secrets = STAGES_OF_SECRETS.map(|stage| (NoticeKind::SecretEnding, stage));
            for (kind, stage) in keys.into_iter().chain(secrets) {
                let ends = ends(tx, kind, stage, now).await?;
                has_more |= ends.len() >= limits::INSERT_ROWS;
                for end in &ends {
                    told = told.saturating_add(u64::from(tell_end(tx, kind, stage, end, now).await?));
                }
            }
            let long_ago = now.minus(DAY);
            both!(tx, c => { sqlx::query(FORGET_MARKS).bind(long_ago.0).execute(c).await?; });
            Ok((told, has_more))
        })
        .await
    }
}

async fn ends(tx: &mut Tx<'_>, kind: NoticeKind, stage: Duration, now: Timestamp) -> Result<Vec<End>, Error> {
    let most = i64::try_from(limits::INSERT_ROWS).unwrap_or(i64::MAX);
    both!(tx, c => {
        if kind == NoticeKind::KeyExpiring {
            let rows = sqlx::query(LIST_EXPIRING).bind(now.0).bind(micros(stage)).bind(most).fetch_all(c).await?;
            rows.iter()
                .map(|row| {
                    let key: KeyId = row.parsed("id")?;
                    Ok(End { object: key.to_string(), key, at: Timestamp(row.int("expires_at")?) })
                })
                .collect()
        } else {
            let query = sqlx::query(LIST_ENDING).bind(now.0).bind(micros(stage)).bind(most).bind(micros(DAY));
            let rows = query.fetch_all(c).await?;
            rows.iter()
                .map(|row| {
                    let secret: SecretId = row.parsed("id")?;
                    let at = Timestamp(row.int("ends_at")?);
                    Ok(End { object: secret.to_string(), key: row.parsed("key_id")?, at })
                })
                .collect()
        }
    })
}

/// Whether this was the first to tell.
async fn tell_end(
    tx: &mut Tx<'_>,
    kind: NoticeKind,
    stage: Duration,
    end: &End,
    now: Timestamp,
) -> Result<bool, Error> {
    let marked = both!(tx, c => {
        let query = sqlx::query(MARK).bind(&end.object).bind(end.at.0).bind(micros(stage));
        query.execute(c).await?.rows_affected()
    });
    let Some(key) = find_anywhere(tx, end.key).await?.filter(|_| marked > 0) else { return Ok(false) };
    let mut detail = serde_json::json!({ "name": key.name, "ends_at": end.at.rfc3339() });
    if kind == NoticeKind::SecretEnding {
        let secret = key.secrets.iter().find(|secret| secret.id.to_string() == end.object);
        if let (Some(secret), Some(told)) = (secret, detail.as_object_mut()) {
            told.insert("secret".to_owned(), secret.number.into());
        }
    }
    tell(tx, kind, &key, detail, &Attribution::local(Actor::System, "", now)).await?;
    Ok(true)
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
