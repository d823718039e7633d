//! A page of an organization's keys: the filters, and one statement for either direction.

use super::find;
use crate::door::both;
use crate::error::Error;
use crate::key_row::{key_columns, keys, with_secrets};
use crate::page::{Page, PageRequest};
use crate::store::Store;
use claviger_domain::id::EnvironmentId;
use claviger_domain::key::{Class, Key, Owner};
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
        let has = |state: &str| filter.states.contains(&state);
        let sql = AssertSqlSafe(list_text(walk.is_ascending));
        let rows = both!(&mut reader, c => {
            let rows = sqlx::query(sql)
                .bind(scope.0.to_string())
                .bind(created_at)
                .bind(id)
                .bind(walk.rows())
                .bind(filter.now.0)
                .bind(has("active"))
                .bind(has("disabled"))
                .bind(has("expired"))
                .bind(has("revoked"))
                .bind(filter.class.map(Class::name))
                .bind(filter.environment.map(|id| id.to_string()))
                .bind(filter.source_tag.as_deref())
                .bind(filter.search.as_deref().map(|text| format!("%{}%", like(&text.to_ascii_lowercase()))))
                .bind(filter.search.as_deref().map(|text| format!("{}%", like(text))))
                .bind(filter.owner.map(|owner| owner.to_string()))
                .bind(filter.is_test)
                .bind(filter.unused_since.map(|at| at.0))
                .bind(filter.expiring_before.map(|at| at.0))
                .bind(filter.older_than.map(|at| at.0))
                .bind(filter.search.as_deref().filter(|text| text.len() == 4).map(|text| format!("%{}", like(text))))
                .bind(filter.has_owner_here)
                .bind(filter.is_exchanged)
                .fetch_all(c)
                .await?;
            keys(&rows)?
        });
        Ok(Some(walk.page(rows)))
    }
}

/// The texts that are made at run time.
pub(crate) fn built() -> Vec<(&'static str, String)> {
    vec![("key list ascending", list_text(true)), ("key list descending", list_text(false))]
}

fn list_text(is_ascending: bool) -> String {
    let (than, order) = if is_ascending { (">", "ASC") } else { ("<", "DESC") };
    format!(
        "{} FROM (SELECT * FROM api_key a WHERE a.org_id = $1 \
         AND (CAST($2 AS BIGINT) IS NULL OR a.created_at {than} CAST($2 AS BIGINT) \
              OR (a.created_at = CAST($2 AS BIGINT) AND a.id {than} CAST($3 AS TEXT))) \
         AND ((a.state = 'revoked' AND $9) \
              OR (a.state <> 'revoked' AND a.expires_at IS NOT NULL AND a.expires_at <= CAST($5 AS BIGINT) AND $8) \
              OR ((a.expires_at IS NULL OR a.expires_at > CAST($5 AS BIGINT)) \
                  AND ((a.state = 'disabled' AND $7) OR (a.state = 'enabled' AND $6)))) \
         AND (CAST($10 AS TEXT) IS NULL OR a.class = CAST($10 AS TEXT)) \
         AND (CAST($11 AS TEXT) IS NULL OR a.environment_id = CAST($11 AS TEXT)) \
         AND (CAST($12 AS TEXT) IS NULL OR a.source_tag = CAST($12 AS TEXT)) \
         AND (CAST($13 AS TEXT) IS NULL OR LOWER(a.name) LIKE CAST($13 AS TEXT) ESCAPE '\\' \
              OR LOWER(a.source_tag) LIKE CAST($13 AS TEXT) ESCAPE '\\' \
              OR a.id LIKE CAST($14 AS TEXT) ESCAPE '\\' \
              OR (CAST($20 AS TEXT) IS NOT NULL AND EXISTS (SELECT 1 FROM secret l WHERE l.key_id = a.id \
                  AND l.redacted LIKE CAST($20 AS TEXT) ESCAPE '\\'))) \
         AND (CAST($15 AS TEXT) IS NULL OR a.owner = CAST($15 AS TEXT)) \
         AND (CAST($16 AS BOOLEAN) IS NULL OR a.is_test = CAST($16 AS BOOLEAN)) \
         AND (CAST($17 AS BIGINT) IS NULL OR COALESCE(a.last_used_at, a.created_at) < CAST($17 AS BIGINT)) \
         AND (CAST($18 AS BIGINT) IS NULL OR a.expires_at < CAST($18 AS BIGINT)) \
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
