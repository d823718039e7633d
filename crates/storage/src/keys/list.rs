//! A page of an organization's keys: the filters, and one statement for either direction.
//!
//! A page reads on from its cursor along an index. A search would read to the end of the list where little is found, so
//! it first asks the index of words for keys that may be meant: if they are few, only those are looked at.

use super::find;
use crate::cells::Cells as _;
use crate::door::{Linked, both};
use crate::error::Error;
use crate::key_row::{key_columns, keys, with_secrets};
use crate::page::{Page, PageRequest};
use crate::store::Store;
use claviger_domain::id::EnvironmentId;
use claviger_domain::key::{Class, Key, Owner};
use claviger_domain::lifetime::Lifetimes;
use claviger_domain::tenancy::TenantScope;
use claviger_domain::time::Timestamp;
use sqlx::AssertSqlSafe;

/// Which keys to list. Default: active and disabled ones of every kind.
#[derive(Clone, Debug)]
pub struct KeyFilter {
    /// Words of [`claviger_domain::key::KeyState::name`].
    pub states: Vec<&'static str>,
    /// Only this class.
    pub class: Option<Class>,
    /// Only this environment.
    pub environment: Option<EnvironmentId>,
    /// Only this source tag, byte-exact.
    pub source_tag: Option<String>,
    /// Part of name or tag (ASCII letters in any case), the beginning of the id, or the last 4 of a secret.
    pub search: Option<String>,
    /// Only keys of this owner.
    pub owner: Option<Owner>,
    /// Only test keys, or only others.
    pub is_test: Option<bool>,
    /// Only keys neither used nor made since.
    pub unused_since: Option<Timestamp>,
    /// Only keys that expire before this.
    pub expiring_before: Option<Timestamp>,
    /// Only keys whose newest secret was made before this.
    pub older_than: Option<Timestamp>,
    /// Only keys whose owner is here, or only those whose owner has left or ended.
    pub has_owner_here: Option<bool>,
    /// Those that came from trusts, or the others.
    pub is_exchanged: bool,
    /// How long secrets live.
    pub lifetimes: Lifetimes,
    /// When expiry is judged.
    pub now: Timestamp,
}

impl Default for KeyFilter {
    fn default() -> Self {
        Self {
            states: vec!["active", "disabled"],
            class: None,
            environment: None,
            source_tag: None,
            search: None,
            owner: None,
            is_test: None,
            unused_since: None,
            expiring_before: None,
            older_than: None,
            has_owner_here: None,
            is_exchanged: false,
            lifetimes: Lifetimes::default(),
            now: Timestamp::default(),
        }
    }
}

impl Store {
    /// A page of the organization's keys, by (creation, id). `None` = the cursor is no key of this organization.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn list_keys(
        &self,
        scope: TenantScope,
        filter: &KeyFilter,
        page: &PageRequest,
    ) -> Result<Option<Page<Key>>, Error> {
        let mut reader = self.reader().await?;
        let cursor = match page.cursor() {
            None => None,
            Some(text) => {
                let key = match text.parse() {
                    Ok(id) => find(&mut reader, scope, id).await?,
                    Err(_) => None,
                };
                let Some(key) = key else { return Ok(None) };
                Some((key.created_at.0, key.id.to_string()))
            }
        };
        let (created_at, id) = cursor.unzip();
        let walk = page.walk();
        let asked = filter.search.as_deref().map(Search::of);
        let is_narrow = match &asked {
            Some(asked) => asked.finds_few(&mut reader).await?,
            None => false,
        };
        let has = |state: &str| filter.states.contains(&state);
        // The same number at any time: a text is prepared once for each.
        let aged = filter.lifetimes.spans(filter.now);
        let soon = filter.lifetimes.spans(filter.expiring_before.unwrap_or(filter.now));
        let sql = AssertSqlSafe(list_text(walk.is_ascending, is_narrow, aged.len()));
        let rows = both!(&mut reader, c => {
            let query = sqlx::query(sql)
                .bind(scope.0.to_string())
                // Without a cursor, from before the first or behind the last.
                .bind(created_at.unwrap_or(if walk.is_ascending { i64::MIN } else { i64::MAX }))
                .bind(id.unwrap_or_default())
                .bind(walk.rows())
                .bind(filter.now.0)
                .bind(has("active"))
                .bind(has("disabled"))
                .bind(has("expired"))
                .bind(has("revoked"))
                .bind(filter.class.map(Class::name))
                .bind(filter.environment.map(|id| id.to_string()))
                .bind(filter.source_tag.as_deref())
                .bind(asked.as_ref().map(|asked| asked.part.as_str()))
                .bind(asked.as_ref().map(|asked| asked.beginning.as_str()))
                .bind(filter.owner.map(|owner| owner.to_string()))
                .bind(filter.is_test)
                .bind(filter.unused_since.map(|at| at.0))
                .bind(filter.expiring_before.map(|at| at.0))
                .bind(filter.older_than.map(|at| at.0))
                .bind(asked.as_ref().and_then(|asked| asked.last_four.as_deref()))
                .bind(filter.has_owner_here)
                .bind(filter.is_exchanged);
            let mut query = match asked.as_ref().filter(|_| is_narrow) {
                Some(asked) => query.bind(&asked.words).bind(&asked.first_id).bind(&asked.end_id),
                None => query,
            };
            for (from, through) in aged.iter().chain(&soon) {
                query = query.bind(from.0).bind(through.0);
            }
            keys(&query.fetch_all(c).await?)?
        });
        Ok(Some(walk.page(rows)))
    }
}

/// A search as the texts and the bounds that are compared.
struct Search {
    /// A pattern for name and tag: this text anywhere, in any case.
    part: String,
    /// A pattern for the id: this text at its beginning.
    beginning: String,
    /// The last four characters of a secret.
    last_four: Option<String>,
    /// A pattern for the index of words, which knows no escapes: what it finds is looked at again.
    words: String,
    /// Ids that begin with the text, from here…
    first_id: String,
    /// … to here.
    end_id: String,
    /// Whether the index of words, which is one of three characters, can help.
    is_indexed: bool,
}

impl Search {
    fn of(text: &str) -> Self {
        let lower = text.to_ascii_lowercase();
        let loose: String = lower.chars().map(|c| if matches!(c, '%' | '_' | '\\') { '_' } else { c }).collect();
        Self {
            part: format!("%{}%", like(&lower)),
            beginning: format!("{}%", like(text)),
            last_four: (text.chars().count() == 4).then(|| text.to_owned()),
            is_indexed: loose.split('_').any(|run| run.chars().count() >= 3),
            words: format!("%{loose}%"),
            first_id: text.to_owned(),
            // Behind every character that an id may have.
            end_id: format!("{text}~"),
        }
    }

    /// Whether few keys may be meant, whosever they are.
    async fn finds_few(&self, reader: &mut impl Linked) -> Result<bool, Error> {
        if !self.is_indexed {
            return Ok(false);
        }
        let sql = AssertSqlSafe(few_text());
        let found = both!(reader, c => {
            let query = sqlx::query(sql).bind(&self.words).bind(&self.first_id).bind(&self.end_id);
            query.bind(self.last_four.as_deref()).fetch_one(c).await?.int("found")?
        });
        Ok(found <= FEW)
    }
}

/// So many keys are looked at one by one; where more may be meant, reading along the list soon fills a page.
const FEW: i64 = 1000;

/// The keys that a search may mean; its four values are at these places. (The conditions are those of two indexes.)
fn candidates(words: u8, first: u8, end: u8, last_four: u8) -> String {
    format!(
        "SELECT w.key_id FROM key_search w WHERE w.words LIKE CAST(${words} AS TEXT) \
         UNION ALL SELECT i.id FROM api_key i WHERE i.id >= CAST(${first} AS TEXT) AND i.id < CAST(${end} AS TEXT) \
         UNION ALL SELECT l.key_id FROM secret l WHERE SUBSTR(l.redacted, LENGTH(l.redacted) - 3) = CAST(${last_four} AS TEXT)"
    )
}

fn few_text() -> String {
    let limit = FEW.saturating_add(1);
    format!("SELECT CAST(COUNT(*) AS BIGINT) AS found FROM ({} LIMIT {limit}) AS few", candidates(1, 2, 3, 4))
}

/// The texts that are made at run time.
pub(crate) fn built() -> Vec<(&'static str, String)> {
    vec![
        ("key list ascending", list_text(true, false, 0)),
        ("key list descending", list_text(false, false, 0)),
        ("key search ascending", list_text(true, true, 0)),
        ("key search descending", list_text(false, true, 0)),
        ("key list with lifetimes", list_text(true, false, 3)),
        ("key search with lifetimes", list_text(false, true, 2)),
        ("key search narrow", few_text()),
    ]
}

/// That the maximum lifetime has ended what was left of a key: it has living secrets, and all of them were made within the
/// spans, whose bounds are bound from `first` on. Without a maximum there is nothing to ask.
fn aged(first: usize, spans: usize) -> Option<String> {
    let alive = "SELECT 1 FROM secret e WHERE e.key_id = a.id AND e.ended_at IS NULL \
         AND (e.ends_at IS NULL OR e.ends_at > CAST($5 AS BIGINT))";
    let bound = |number: usize| first.saturating_add(number.saturating_mul(2));
    let spared: String = (0..spans)
        .map(|span| {
            let (from, through) = (bound(span), bound(span).saturating_add(1));
            format!(" AND NOT (e.created_at BETWEEN CAST(${from} AS BIGINT) AND CAST(${through} AS BIGINT))")
        })
        .collect();
    (spans > 0).then(|| format!("(EXISTS ({alive}) AND NOT EXISTS ({alive}{spared}))"))
}

fn list_text(is_ascending: bool, is_narrow: bool, spans: usize) -> String {
    let first: usize = if is_narrow { 26 } else { 23 };
    let soon =
        aged(first.saturating_add(spans.saturating_mul(2)), spans).map_or(String::new(), |soon| format!(" OR {soon}"));
    let aged = aged(first, spans);
    let is_aged = aged.as_ref().map_or(String::new(), |aged| format!(" OR {aged}"));
    let is_not_aged = aged.as_ref().map_or(String::new(), |aged| format!(" AND NOT {aged}"));
    let (than, order) = if is_ascending { (">", "ASC") } else { ("<", "DESC") };
    let from = if is_narrow {
        let meant = candidates(23, 24, 25, 20);
        // A cross join is how SQLite is told which table comes first.
        format!(
            "FROM (SELECT DISTINCT key_id FROM ({meant}) AS few) AS meant CROSS JOIN api_key a WHERE a.id = meant.key_id AND"
        )
    } else {
        "FROM api_key a WHERE".to_owned()
    };
    format!(
        "{} FROM (SELECT a.* {from} a.org_id = $1 \
         AND (a.created_at, a.id) {than} (CAST($2 AS BIGINT), CAST($3 AS TEXT)) \
         AND ((a.state = 'revoked' AND $9) \
              OR (a.state <> 'revoked' AND $8 \
                  AND ((a.expires_at IS NOT NULL AND a.expires_at <= CAST($5 AS BIGINT)){is_aged})) \
              OR ((a.expires_at IS NULL OR a.expires_at > CAST($5 AS BIGINT)){is_not_aged} \
                  AND ((a.state = 'disabled' AND $7) OR (a.state = 'enabled' AND $6)))) \
         AND (CAST($10 AS TEXT) IS NULL OR a.class = CAST($10 AS TEXT)) \
         AND (CAST($11 AS TEXT) IS NULL OR a.environment_id = CAST($11 AS TEXT)) \
         AND (CAST($12 AS TEXT) IS NULL OR a.source_tag = CAST($12 AS TEXT)) \
         AND (CAST($13 AS TEXT) IS NULL OR LOWER(a.name) LIKE CAST($13 AS TEXT) ESCAPE '\\' \
              OR LOWER(a.source_tag) LIKE CAST($13 AS TEXT) ESCAPE '\\' \
              OR a.id LIKE CAST($14 AS TEXT) ESCAPE '\\' \
              OR (CAST($20 AS TEXT) IS NOT NULL AND EXISTS (SELECT 1 FROM secret l WHERE l.key_id = a.id \
                  AND SUBSTR(l.redacted, LENGTH(l.redacted) - 3) = CAST($20 AS TEXT)))) \
         AND (CAST($15 AS TEXT) IS NULL OR a.owner = CAST($15 AS TEXT)) \
         AND (CAST($16 AS BOOLEAN) IS NULL OR a.is_test = CAST($16 AS BOOLEAN)) \
         AND (CAST($17 AS BIGINT) IS NULL OR COALESCE(a.last_used_at, a.created_at) < CAST($17 AS BIGINT)) \
         AND (CAST($18 AS BIGINT) IS NULL OR a.expires_at < CAST($18 AS BIGINT){soon}) \
         AND (CAST($19 AS BIGINT) IS NULL OR NOT EXISTS (SELECT 1 FROM secret o WHERE o.key_id = a.id \
              AND o.created_at >= CAST($19 AS BIGINT))) \
         AND (a.trust_id IS NOT NULL) = CAST($22 AS BOOLEAN) \
         AND (CAST($21 AS BOOLEAN) IS NULL OR CAST($21 AS BOOLEAN) = (a.owner IS NULL \
              OR EXISTS (SELECT 1 FROM membership m WHERE m.org_id = $1 AND m.user_id = a.owner) \
              OR EXISTS (SELECT 1 FROM agent g WHERE g.org_id = $1 AND g.id = a.owner AND g.state = 'active'))) \
         ORDER BY a.created_at {order}, a.id {order} LIMIT CAST($4 AS BIGINT)) k {} \
         ORDER BY k.created_at {order}, k.id {order}, s.number DESC",
        key_columns!(),
        with_secrets!()
    )
}

/// A text in which LIKE finds no pattern.
fn like(text: &str) -> String {
    text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_")
}
