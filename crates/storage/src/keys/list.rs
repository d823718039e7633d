//! A page of an organization's keys: the filters, and one statement for either direction.

use super::find;
use crate::door::both;
use crate::error::Error;
use crate::key_row::{key_columns, keys, with_secrets};
use crate::page::{Page, PageRequest};
use crate::store::Store;
use claviger_domain::id::EnvironmentId;
use claviger_domain::key::{Class, Key};
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
    /// Part of the name (ASCII letters in any case), or the beginning of the id.
    pub search: Option<String>,
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
              OR a.id LIKE CAST($14 AS TEXT) ESCAPE '\\') \
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
