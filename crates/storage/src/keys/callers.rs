//! Who uses a key: at most 64 callers a secret, the oldest go first; and whoever is new is told to the key's owners and
//! recorded in its organization's audit chain.
//!
//! A use is no act of anybody, so most are added many in one transaction. What is new to a key is rare, and has a
//! transaction for each key: two chains are never locked in one.

use super::{find_anywhere, leaks::tell};
use crate::audit::{AuditEvent, append};
use crate::cells::{Cells, corrupt};
use crate::door::{Linked, Tx, both};
use crate::error::Error;
use crate::statements::statements;
use crate::store::Store;
use claviger_domain::audit::{Action, Actor, Attribution, Chain, FieldChange};
use claviger_domain::id::{KeyId, SecretId};
use claviger_domain::key::{SeenCaller, is_new_caller};
use claviger_domain::limits;
use claviger_domain::notice::NoticeKind;
use claviger_domain::tenancy::TenantScope;
use claviger_domain::time::Timestamp;
use std::collections::BTreeMap;

statements! {
    FIND_CALLER = "SELECT last_seen FROM caller WHERE secret_id = $1 AND network = $2 AND client = $3";
    /// With any secret of the key: a rotation makes nobody new.
    LAST_SEEN = "SELECT MAX(c.last_seen) AS last_seen FROM secret s JOIN caller c ON c.secret_id = s.id \
        WHERE s.key_id = $1 AND c.network = $2 AND c.client = $3";
    SAVE_CALLER = "INSERT INTO caller (secret_id, network, client, first_seen, last_seen, requests, last_model, \
        last_status) SELECT s.id, $2, $3, $4, $4, $5, $6, $7 FROM secret s WHERE s.id = $1 ON CONFLICT (secret_id, network, client) DO UPDATE SET \
        last_seen = CASE WHEN excluded.last_seen > caller.last_seen THEN excluded.last_seen ELSE caller.last_seen END, \
        requests = caller.requests + excluded.requests, \
        last_model = COALESCE(excluded.last_model, caller.last_model), \
        last_status = COALESCE(excluded.last_status, caller.last_status)";
    TRIM_CALLERS = "DELETE FROM caller WHERE secret_id = $1 AND (network, client) NOT IN (SELECT k.network, k.client \
        FROM caller k WHERE k.secret_id = $1 ORDER BY k.last_seen DESC, k.network, k.client LIMIT CAST($2 AS BIGINT))";
    FIND_MADE = "SELECT created_at FROM api_key WHERE id = $1";
    MARK_NEW = "UPDATE api_key SET new_caller_at = $2 WHERE id = $1";
    MARK_LIMITED = "UPDATE api_key SET rate_limited_at = $2 WHERE id = $1";
    LIST_CALLERS = "SELECT c.secret_id, c.network, c.client, c.first_seen, c.last_seen, c.requests, c.last_model, \
        c.last_status FROM secret s JOIN caller c ON c.secret_id = s.id WHERE s.org_id = $1 AND s.key_id = $2 \
        ORDER BY c.last_seen DESC, c.secret_id, c.network, c.client";
}

/// What one caller did since it was written last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallerUse {
    /// The key.
    pub key: KeyId,
    /// Which of its secrets.
    pub secret: SecretId,
    /// From which network.
    pub network: String,
    /// What the client calls itself.
    pub client: String,
    /// How many requests.
    pub requests: u64,
    /// When the last of them came.
    pub at: Timestamp,
    /// Its model, if it named one.
    pub last_model: Option<String>,
    /// What it was answered, once that is known.
    pub last_status: Option<u16>,
}

impl Store {
    /// Adds to what is known of callers; the first sight of a new one flags the key, tells its owners and is recorded. No
    /// change of rights: no epoch. The new ones, for the security log.
    ///
    /// # Errors
    /// The database's. `OutcomeUnknown`: a repetition may count requests twice.
    pub async fn add_callers(&self, uses: Vec<CallerUse>) -> Result<Vec<CallerUse>, Error> {
        let (mut known, mut new) = (Vec::new(), BTreeMap::<KeyId, Vec<CallerUse>>::new());
        let mut reader = self.reader().await?;
        for used in uses {
            match is_new(&mut reader, &used).await? {
                true => new.entry(used.key).or_default().push(used),
                false => known.push(used),
            }
        }
        drop(reader);
        let mut strangers = Vec::new();
        for (key, uses) in new {
            let found = self.act(async move |tx: &mut Tx<'_>| add_new(tx, key, &uses).await);
            strangers.extend(found.await?);
        }
        for chunk in known.chunks(limits::INSERT_ROWS) {
            let chunk = chunk.to_vec();
            let added = self.act(async move |tx: &mut Tx<'_>| {
                for used in &chunk {
                    save(tx, used).await?;
                }
                Ok(())
            });
            added.await?;
        }
        Ok(strangers)
    }

    /// Writes of which keys the limits refuse too much. Not an administrative act: no audit, no epoch.
    ///
    /// # Errors
    /// The database's; the stamps may be written again.
    pub async fn stamp_rate_limited(&self, keys: Vec<KeyId>, at: Timestamp) -> Result<(), Error> {
        for chunk in keys.chunks(limits::INSERT_ROWS) {
            let chunk = chunk.to_vec();
            self.act(async move |tx: &mut Tx<'_>| {
                for key in &chunk {
                    let key = key.to_string();
                    both!(tx, c => { sqlx::query(MARK_LIMITED).bind(&key).bind(at.0).execute(c).await?; });
                }
                Ok(())
            })
            .await?;
        }
        Ok(())
    }

    /// The callers of a key, of all its secrets, the latest first.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn list_callers(&self, scope: TenantScope, key: KeyId) -> Result<Vec<SeenCaller>, Error> {
        let (organization, key) = (scope.0.to_string(), key.to_string());
        let mut reader = self.reader().await?;
        both!(&mut reader, c => {
            let rows = sqlx::query(LIST_CALLERS).bind(&organization).bind(&key).fetch_all(c).await?;
            rows.iter().map(caller).collect()
        })
    }
}

/// Whether this is somebody whom the key has not seen for long, though it is old enough to know its callers.
async fn is_new(linked: &mut impl Linked, used: &CallerUse) -> Result<bool, Error> {
    let (id, secret) = (used.key.to_string(), used.secret.to_string());
    let known = both!(linked, c => {
        let query = sqlx::query(FIND_CALLER).bind(&secret).bind(&used.network).bind(&used.client);
        query.fetch_optional(c).await?.map(|row| row.int("last_seen")).transpose()?
    });
    if known.is_some_and(|at| used.at < Timestamp(at).plus(limits::NEW_CALLER_UNSEEN)) {
        return Ok(false);
    }
    let last_seen = both!(linked, c => {
        let query = sqlx::query(LAST_SEEN).bind(&id).bind(&used.network).bind(&used.client);
        query.fetch_one(c).await?.int_or_none("last_seen")?
    });
    let made_at = both!(linked, c => {
        let row = sqlx::query(FIND_MADE).bind(&id).fetch_optional(c).await?;
        row.map(|row| row.int("created_at")).transpose()?
    });
    Ok(made_at.is_some_and(|at| is_new_caller(Timestamp(at), last_seen.map(Timestamp), used.at)))
}

/// Adds callers of one key that seemed new; those that are, under the lock.
async fn add_new(tx: &mut Tx<'_>, id: KeyId, uses: &[CallerUse]) -> Result<Vec<CallerUse>, Error> {
    let mut strangers: Vec<CallerUse> = Vec::new();
    let Some(key) = find_anywhere(tx, id).await? else { return Ok(strangers) };
    for used in uses {
        if is_new(tx, used).await? {
            let (text, detail) = (
                id.to_string(),
                serde_json::json!({ "name": key.name, "network": used.network, "client": used.client }),
            );
            both!(tx, c => { sqlx::query(MARK_NEW).bind(&text).bind(used.at.0).execute(c).await?; });
            tell(tx, NoticeKind::NewCaller, &key, detail, &Attribution::local(Actor::System, "", used.at)).await?;
            strangers.push(used.clone());
        }
        save(tx, used).await?;
    }
    if let Some(last) = strangers.last() {
        let by = Attribution::local(Actor::System, "", last.at);
        let event = AuditEvent::done(Action::KeyNewCaller, id.to_string(), told(&strangers));
        append(tx, Chain::Organization(key.organization), &by, &event).await?;
    }
    Ok(strangers)
}

/// What the record says of them. Whoever has a key can look like many clients, so it names a few and counts the others.
fn told(strangers: &[CallerUse]) -> Vec<FieldChange> {
    let shown = usize::try_from(limits::DENIED_LINES).unwrap_or(usize::MAX);
    let field = |field: &str, to: String| FieldChange { field: field.to_owned(), from: None, to: Some(to) };
    let named = strangers.iter().take(shown).flat_map(|one| {
        let secret = field("secret", one.secret.to_string());
        [secret, field("network", one.network.clone()), field("client", one.client.clone())]
    });
    named.chain([field("count", strangers.len().to_string())]).collect()
}

async fn save(tx: &mut Tx<'_>, used: &CallerUse) -> Result<(), Error> {
    let secret = used.secret.to_string();
    let is_known = both!(tx, c => {
        let query = sqlx::query(FIND_CALLER).bind(&secret).bind(&used.network).bind(&used.client);
        query.fetch_optional(c).await?.is_some()
    });
    both!(tx, c => {
        sqlx::query(SAVE_CALLER)
            .bind(&secret)
            .bind(&used.network)
            .bind(&used.client)
            .bind(used.at.0)
            .bind(i64::try_from(used.requests).unwrap_or(i64::MAX))
            .bind(used.last_model.as_deref())
            .bind(used.last_status.map(i64::from))
            .execute(c)
            .await?;
    });
    if !is_known {
        let most = i64::from(limits::CALLERS_PER_SECRET);
        both!(tx, c => { sqlx::query(TRIM_CALLERS).bind(&secret).bind(most).execute(c).await?; });
    }
    Ok(())
}

fn caller<R: Cells>(row: &R) -> Result<SeenCaller, Error> {
    let status = row.int_or_none("last_status")?;
    Ok(SeenCaller {
        secret: row.parsed("secret_id")?,
        network: row.text("network")?,
        client: row.text("client")?,
        first_seen: Timestamp(row.int("first_seen")?),
        last_seen: Timestamp(row.int("last_seen")?),
        requests: u64::try_from(row.int("requests")?).unwrap_or(0),
        last_model: row.text_or_none("last_model")?,
        last_status: status
            .map(|status| u16::try_from(status).map_err(|_| corrupt("caller.last_status", &status.to_string())))
            .transpose()?,
    })
}
