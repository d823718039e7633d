//! Reading audit records: pages of one chain, newest first, by the filters of the log.

use super::hash;
use crate::cells::{Cells, corrupt};
use crate::door::both;
use crate::error::Error;
use crate::keyset;
use crate::page::{Page, PageRequest};
use crate::store::Store;
use claviger_domain::audit::{Action, AuditRecord, Chain, Personal};
use claviger_domain::tenancy::TenantScope;
use claviger_domain::time::Timestamp;
use sqlx::AssertSqlSafe;

/// One record as it was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// What was done.
    pub record: AuditRecord,
    /// What was hashed.
    pub body: String,
    /// The values that are left beside it.
    pub personal: Vec<Personal>,
    /// Its hash.
    pub hash: [u8; 32],
    /// The MAC over it.
    pub mac: [u8; 32],
    /// The environment of the key it is about.
    pub environment: Option<String>,
}

/// Which records to list; an empty list does not filter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Not before.
    pub from: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
    /// Only these actions.
    pub actions: Vec<Action>,
    /// Only acts of these.
    pub actors: Vec<String>,
    /// Only acts of people with these addresses.
    pub actor_emails: Vec<String>,
    /// Only acts on these.
    pub targets: Vec<String>,
    /// Only acts on these environments, or on keys in them.
    pub environments: Vec<String>,
}

impl Store {
    /// The audit records of an organization, newest first unless asked otherwise. `None` = unknown cursor.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn list_audit(&self, scope: TenantScope, page: &PageRequest) -> Result<Option<Page<AuditEntry>>, Error> {
        self.list_audit_of(Chain::Organization(scope.0), &AuditFilter::default(), page).await
    }

    /// The records of a chain that a filter lets through, newest first unless asked otherwise. `None` = unknown cursor.
    /// Of a filter's list the first twenty values count.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn list_audit_of(
        &self,
        chain: Chain,
        filter: &AuditFilter,
        page: &PageRequest,
    ) -> Result<Option<Page<AuditEntry>>, Error> {
        let mut reader = self.reader().await?;
        let chain = chain.to_string();
        let walk = page.walk();
        let cursor = match page.cursor() {
            None => None,
            Some(id) => {
                let found = both!(&mut reader, c => {
                    sqlx::query(FIND_SEQ).bind(&chain).bind(id).fetch_optional(c).await?.map(|row| row.int("seq"))
                });
                match found.transpose()? {
                    None => return Ok(None),
                    some => some,
                }
            }
        };
        let actions: Vec<String> = filter.actions.iter().map(|action| action.name().to_owned()).collect();
        let lists = [&actions, &filter.actors, &filter.targets, &filter.environments, &filter.actor_emails]
            .map(|list| keyset::spread(list));
        let sql = AssertSqlSafe(list_text(walk.is_ascending));
        let rows = both!(&mut reader, c => {
            let mut query = sqlx::query(sql)
                .bind(&chain)
                .bind(cursor)
                .bind(walk.rows())
                .bind(filter.from.map(|at| at.0))
                .bind(filter.until.map(|at| at.0));
            for text in &lists {
                query = query.bind(text.as_deref());
            }
            let rows = query.fetch_all(c).await?;
            rows.iter().map(entry).collect::<Result<Vec<_>, Error>>()?
        });
        Ok(Some(walk.page(rows)))
    }
}

const FIND_SEQ: &str = "SELECT seq FROM audit WHERE chain = $1 AND id = $2";

/// The columns of a record with its values.
macro_rules! record_columns {
    () => {
        "SELECT a.chain, a.seq, a.id, a.at, a.action, a.actor_id, a.target, a.body, a.hash, a.mac, v.body AS personal, \
         (SELECT k.environment_id FROM api_key k WHERE k.id = a.target) AS environment \
         FROM audit a LEFT JOIN audit_value v ON v.chain = a.chain AND v.seq = a.seq"
    };
}
pub(super) use record_columns;

/// The texts that are made at run time.
pub(crate) fn built() -> Vec<(&'static str, String)> {
    vec![
        ("audit list ascending", list_text(true)),
        ("audit list descending", list_text(false)),
        ("audit find", FIND_SEQ.to_owned()),
    ]
}

fn list_text(is_ascending: bool) -> String {
    let (than, order) = if is_ascending { (">", "ASC") } else { ("<", "DESC") };
    // Both engines know REPLACE: the list contains the value if taking it out changes the list.
    let within = |column: &str, number: u8| {
        format!(
            "(CAST(${number} AS TEXT) IS NULL \
             OR REPLACE(CAST(${number} AS TEXT), ',' || {column} || ',', '') <> CAST(${number} AS TEXT))"
        )
    };
    format!(
        "{} WHERE a.chain = $1 AND (CAST($2 AS BIGINT) IS NULL OR a.seq {than} CAST($2 AS BIGINT)) \
         AND (CAST($4 AS BIGINT) IS NULL OR a.at >= CAST($4 AS BIGINT)) \
         AND (CAST($5 AS BIGINT) IS NULL OR a.at < CAST($5 AS BIGINT)) \
         AND {} AND {} AND {} AND ({} OR EXISTS (SELECT 1 FROM api_key k WHERE k.id = a.target AND {})) \
         AND (CAST($10 AS TEXT) IS NULL OR EXISTS (SELECT 1 FROM users u WHERE u.id = a.actor_id AND {})) \
         ORDER BY a.seq {order} LIMIT CAST($3 AS BIGINT)",
        record_columns!(),
        within("a.action", 6),
        within("a.actor_id", 7),
        within("a.target", 8),
        within("a.target", 9),
        within("k.environment_id", 9),
        within("u.email", 10),
    )
}

/// The values beside a record.
pub(super) fn personal<R: Cells>(row: &R) -> Result<Vec<Personal>, Error> {
    let Some(text) = row.text_or_none("personal")? else { return Ok(Vec::new()) };
    serde_json::from_str(&text).map_err(|_| corrupt("audit_value.body", "not a list of values"))
}

pub(super) fn entry<R: Cells>(row: &R) -> Result<AuditEntry, Error> {
    let (body, personal) = (row.text("body")?, personal(row)?);
    let record = AuditRecord::read(&body, &personal).map_err(|error| corrupt("audit.body", &error.to_string()))?;
    let (hash, mac) = (hash(&row.bytes("hash")?, "audit.hash")?, hash(&row.bytes("mac")?, "audit.mac")?);
    Ok(AuditEntry { record, body, personal, hash, mac, environment: row.text_or_none("environment")? })
}
