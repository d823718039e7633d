//! Ends that come: who owns a key hears of it 14, 3 and 1 days before it expires or reaches its maximum lifetime, and of a replaced secret that is still
//! used a day and an hour before it ends (`keys.md` §4).
//!
//! Each end and stage is told once, by whichever node comes first; the mark and the notice are one commit. An end that
//! was moved is another end. A key that is younger than a stage is not told of it: whoever made it knows.

use super::{find_anywhere, leaks::tell};
use crate::cells::Cells;
use crate::door::{Tx, both};
use crate::error::Error;
use crate::statements::statements;
use crate::store::Store;
use crate::tenancy;
use claviger_domain::audit::{Actor, Attribution};
use claviger_domain::id::{KeyId, SecretId};
use claviger_domain::lifetime::Lifetime;
use claviger_domain::limits;
use claviger_domain::notice::NoticeKind;
use claviger_domain::time::Timestamp;
use std::time::Duration;

/// The maximum lifetime of an organization's secrets, in microseconds.
macro_rules! life {
    () => {
        "o.lifetime_days * CAST(86400000000 AS BIGINT)"
    };
}

/// When the maximum lifetime ends a secret.
macro_rules! end_by_age {
    () => {
        concat!(
            "CASE WHEN s.created_at < o.lifetime_set_at AND s.created_at + ",
            life!(),
            " < o.lifetime_binds_at THEN o.lifetime_binds_at ELSE s.created_at + ",
            life!(),
            " END"
        )
    };
}

/// Keys of which a secret nears its maximum lifetime, as the row `o` says it.
macro_rules! aging {
    ($lifetime:literal) => {
        concat!(
            "SELECT k.id, ",
            end_by_age!(),
            " AS ends_at FROM ",
            $lifetime,
            " JOIN secret s ON s.org_id = o.id AND s.ended_at IS NULL JOIN api_key k ON k.id = s.key_id \
             WHERE o.lifetime_days IS NOT NULL AND s.created_at <= CAST($1 AS BIGINT) + CAST($2 AS BIGINT) - ",
            life!(),
            " AND (s.created_at > $1 - ",
            life!(),
            " OR o.lifetime_binds_at > $1) AND ",
            end_by_age!(),
            " > $1 AND ",
            end_by_age!(),
            " <= CAST($1 AS BIGINT) + CAST($2 AS BIGINT) AND s.created_at <= ",
            end_by_age!(),
            " - $2 AND k.state <> 'revoked' AND k.trust_id IS NULL AND NOT EXISTS (SELECT 1 FROM end_notice n \
             WHERE n.object = k.id AND n.stage <= $2 AND n.ends_at = ",
            end_by_age!(),
            ") ORDER BY s.created_at, s.id LIMIT CAST($3 AS BIGINT)"
        )
    };
}

statements! {
    /// A notice of a later stage makes one of an earlier stage idle.
    LIST_EXPIRING = "SELECT k.id, k.expires_at AS ends_at FROM api_key k WHERE k.expires_at > $1 \
        AND k.expires_at <= $1 + $2 AND k.expires_at IS NOT NULL AND k.state <> 'revoked' AND k.trust_id IS NULL \
        AND k.created_at <= k.expires_at - $2 AND NOT EXISTS (SELECT 1 FROM end_notice n WHERE n.object = k.id \
        AND n.ends_at = k.expires_at AND n.stage <= $2) ORDER BY k.expires_at, k.id LIMIT CAST($3 AS BIGINT)";
    /// That the secret's end is the key's, because it is the last of its living ones, is not asked here.
    LIST_AGING = aging!("organization o");
    /// The same by a longer maximum, which binds what the one that holds now spares.
    LIST_AGING_BEFORE = aging!("(SELECT CAST($4 AS TEXT) AS id, CAST($5 AS BIGINT) AS lifetime_days, \
        CAST($6 AS BIGINT) AS lifetime_set_at, CAST($7 AS BIGINT) AS lifetime_binds_at) AS o");
    LIST_SPARING = "SELECT id, lifetime_longer FROM organization WHERE lifetime_longer IS NOT NULL \
        AND lifetime_binds_at > $1";
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

/// Why something ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// A key expires.
    Expiry,
    /// The last living secret of a key reaches its maximum lifetime.
    Age,
    /// The overlap of a replaced secret is over.
    Overlap,
}

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
            let keys = STAGES_OF_KEYS.map(|stage| (Why::Expiry, stage));
            let aged = STAGES_OF_KEYS.map(|stage| (Why::Age, stage));
            let secrets = STAGES_OF_SECRETS.map(|stage| (Why::Overlap, stage));
            for (why, stage) in keys.into_iter().chain(aged).chain(secrets) {
                let ends = ends(tx, why, stage, now).await?;
                has_more |= ends.len() >= limits::INSERT_ROWS;
                for end in &ends {
                    told = told.saturating_add(u64::from(tell_end(tx, why, stage, end, now).await?));
                }
            }
            let long_ago = now.minus(DAY);
            both!(tx, c => { sqlx::query(FORGET_MARKS).bind(long_ago.0).execute(c).await?; });
            Ok((told, has_more))
        })
        .await
    }
}

async fn ends(tx: &mut Tx<'_>, why: Why, stage: Duration, now: Timestamp) -> Result<Vec<End>, Error> {
    let most = i64::try_from(limits::INSERT_ROWS).unwrap_or(i64::MAX);
    match why {
        Why::Expiry | Why::Age => {
            let text = if why == Why::Expiry { LIST_EXPIRING } else { LIST_AGING };
            let mut found: Vec<End> = both!(tx, c => {
                let rows = sqlx::query(text).bind(now.0).bind(micros(stage)).bind(most).fetch_all(c).await?;
                rows.iter().map(end_of_key).collect::<Result<_, _>>()?
            });
            if why == Why::Age {
                found.extend(ends_before(tx, stage, most, now).await?);
            }
            Ok(found)
        }
        Why::Overlap => both!(tx, c => {
            let query = sqlx::query(LIST_ENDING).bind(now.0).bind(micros(stage)).bind(most).bind(micros(DAY));
            let rows = query.fetch_all(c).await?;
            rows.iter()
                .map(|row| {
                    let secret: SecretId = row.parsed("id")?;
                    let at = Timestamp(row.int("ends_at")?);
                    Ok(End { object: secret.to_string(), key: row.parsed("key_id")?, at })
                })
                .collect()
        }),
    }
}

/// Those that end by a maximum before the one that holds now. Few organizations have one, and for days only.
async fn ends_before(tx: &mut Tx<'_>, stage: Duration, most: i64, now: Timestamp) -> Result<Vec<End>, Error> {
    let sparing: Vec<(String, Vec<Lifetime>)> = both!(tx, c => {
        let rows = sqlx::query(LIST_SPARING).bind(now.0).fetch_all(c).await?;
        rows.iter()
            .map(|row| Ok((row.text("id")?, tenancy::listed("organization.lifetime_longer", &row.text("lifetime_longer")?)?)))
            .collect::<Result<_, Error>>()?
    });
    let mut found = Vec::new();
    for (organization, longer) in sparing {
        for lifetime in longer {
            let ends: Vec<End> = both!(tx, c => {
                let query = sqlx::query(LIST_AGING_BEFORE).bind(now.0).bind(micros(stage)).bind(most);
                let query = query.bind(&organization).bind(i64::from(lifetime.days));
                let rows = query.bind(lifetime.set_at.0).bind(lifetime.binds_at.0).fetch_all(c).await?;
                rows.iter().map(end_of_key).collect::<Result<_, _>>()?
            });
            found.extend(ends);
        }
    }
    Ok(found)
}

fn end_of_key<R: Cells>(row: &R) -> Result<End, Error> {
    let key: KeyId = row.parsed("id")?;
    Ok(End { object: key.to_string(), key, at: Timestamp(row.int("ends_at")?) })
}

/// Whether this was the first to tell.
async fn tell_end(tx: &mut Tx<'_>, why: Why, stage: Duration, end: &End, now: Timestamp) -> Result<bool, Error> {
    let marked = both!(tx, c => {
        let query = sqlx::query(MARK).bind(&end.object).bind(end.at.0).bind(micros(stage));
        query.execute(c).await?.rows_affected()
    });
    let Some(key) = find_anywhere(tx, end.key).await?.filter(|_| marked > 0) else { return Ok(false) };
    let mut detail = serde_json::json!({ "name": key.name, "ends_at": end.at.rfc3339() });
    if why == Why::Age {
        let organization = tenancy::find(tx, key.organization).await?;
        let lifetimes = organization.map(|organization| organization.policy.lifetimes).unwrap_or_default();
        // Another secret lives longer, or the key expires before.
        if key.end_within(&lifetimes, now) != Some(end.at) {
            return Ok(false);
        }
        let days = key.live_secrets(now).filter_map(|secret| lifetimes.end_of(secret.created_at)).max();
        if let (Some((_, days)), Some(told)) = (days, detail.as_object_mut()) {
            told.insert("max_lifetime_days".to_owned(), days.into());
        }
    }
    let kind = if why == Why::Overlap { NoticeKind::SecretEnding } else { NoticeKind::KeyExpiring };
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
