//! Request records: find one, list a page. They are written with their charges, by `charges/`.

use crate::door::both;
use crate::error::Error;
use crate::page::{Page, PageRequest};
use crate::record::{COLUMNS, read};
use crate::statements::statements;
use crate::store::Store;
use claviger_domain::id::{EnvironmentId, KeyId, RequestId};
use claviger_domain::key::Owner;
use claviger_domain::request::RequestRecord;
use claviger_domain::tenancy::TenantScope;
use claviger_domain::time::Timestamp;
use sqlx::AssertSqlSafe;

statements! {
    EXISTS = "SELECT id FROM request WHERE org_id = $1 AND id = $2";
}

/// Which records to list; everything by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestFilter {
    /// Only this key's.
    pub key: Option<KeyId>,
    /// Only those of keys that this one owns now.
    pub owner: Option<Owner>,
    /// Only this environment's.
    pub environment: Option<EnvironmentId>,
    /// Only this public model's.
    pub model: Option<String>,
    /// Only this source tag's.
    pub source_tag: Option<String>,
    /// Completed at or after.
    pub since: Option<Timestamp>,
    /// Completed before.
    pub until: Option<Timestamp>,
}

impl Store {
    /// One record of the organization.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn find_request(&self, scope: TenantScope, id: RequestId) -> Result<Option<RequestRecord>, Error> {
        let mut reader = self.level_reader().await?;
        let sql = AssertSqlSafe(find_text());
        let (organization, id) = (scope.0.to_string(), id.to_string());
        both!(&mut reader, c => {
            let row = sqlx::query(sql).bind(&organization).bind(&id).fetch_optional(c).await?;
            row.map(|row| read(&row)).transpose()
        })
    }

    /// A page of the organization's records, by id, which is the order of admission. `None` = unknown cursor.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn list_requests(
        &self,
        scope: TenantScope,
        filter: &RequestFilter,
        page: &PageRequest,
    ) -> Result<Option<Page<RequestRecord>>, Error> {
        let mut reader = self.level_reader().await?;
        let organization = scope.0.to_string();
        if let Some(id) = page.cursor() {
            let is_known = both!(&mut reader, c => {
                sqlx::query(EXISTS).bind(&organization).bind(id).fetch_optional(c).await?.is_some()
            });
            if !is_known {
                return Ok(None);
            }
        }
        let walk = page.walk();
        let sql = AssertSqlSafe(list_text(walk.is_ascending));
        let rows = both!(&mut reader, c => {
            let rows = sqlx::query(sql)
                .bind(&organization)
                .bind(page.cursor())
                .bind(walk.rows())
                .bind(filter.key.map(|key| key.to_string()))
                .bind(filter.model.as_deref())
                .bind(filter.source_tag.as_deref())
                .bind(filter.since.map(|at| at.0))
                .bind(filter.until.map(|at| at.0))
                .bind(filter.owner.map(|owner| owner.to_string()))
                .bind(filter.environment.map(|id| id.to_string()))
                .fetch_all(c)
                .await?;
            rows.iter().map(read).collect::<Result<Vec<_>, Error>>()?
        });
        Ok(Some(walk.page(rows)))
    }
}

/// The texts that are made at run time.
pub(crate) fn built() -> Vec<(&'static str, String)> {
    vec![
        ("request find", find_text()),
        ("request list ascending", list_text(true)),
        ("request list descending", list_text(false)),
    ]
}

pub(crate) fn find_text() -> String {
    format!("SELECT {} FROM request WHERE org_id = $1 AND id = $2", COLUMNS.join(", "))
}

fn list_text(is_ascending: bool) -> String {
    let (than, order) = if is_ascending { (">", "ASC") } else { ("<", "DESC") };
    // Of two condition forms this one lets both engines walk the primary key: no OR around the cursor.
    let first = if is_ascending { "''" } else { "'~'" };
    format!(
        "SELECT {} FROM request WHERE org_id = $1 AND id {than} COALESCE(CAST($2 AS TEXT), {first}) \
         AND (CAST($4 AS TEXT) IS NULL OR key_id = CAST($4 AS TEXT)) \
         AND (CAST($5 AS TEXT) IS NULL OR model = CAST($5 AS TEXT)) \
         AND (CAST($6 AS TEXT) IS NULL OR source_tag = CAST($6 AS TEXT)) \
         AND (CAST($7 AS BIGINT) IS NULL OR completed_at >= CAST($7 AS BIGINT)) \
         AND (CAST($8 AS BIGINT) IS NULL OR completed_at < CAST($8 AS BIGINT)) \
         AND (CAST($9 AS TEXT) IS NULL OR key_id IN (SELECT k.id FROM api_key k WHERE k.org_id = $1 \
              AND k.owner = CAST($9 AS TEXT))) \
         AND (CAST($10 AS TEXT) IS NULL OR environment_id = CAST($10 AS TEXT)) \
         ORDER BY id {order} LIMIT CAST($3 AS BIGINT)",
        COLUMNS.join(", ")
    )
}
