//! One walk for every list by (creation, id): the text of a page, the look-up of its cursor, the rows in order.
//!
//! `$1` is the organization, `$2` and `$3` the cursor, `$4` the number of rows; the values of a list's own filter count
//! from `$5`. A cursor that names no row of the list's table in the organization is no cursor, which the caller refuses.
//! Lists whose order is another one, such as a chain's numbers, have texts of their own.

use crate::cells::Cells as _;
use crate::door::{Linked, both};
use crate::error::Error;
use crate::page::PageRequest;
use sqlx::AssertSqlSafe;

/// A list that pages walk: one constant beside the acts of its table.
pub(crate) struct List {
    /// Where a cursor must stand; also its name among the statements.
    pub(crate) table: &'static str,
    /// `SELECT … FROM …`, without conditions.
    pub(crate) select: &'static str,
    /// The column that is the organization's; `None` = the operator's list over all of them.
    pub(crate) tenant: Option<Column>,
    /// When a row was made.
    pub(crate) at: Column,
    /// What tells apart rows of one instant.
    pub(crate) id: Column,
    /// Further conditions, each beginning with AND.
    pub(crate) filter: &'static str,
}

/// A column, and what the list's text calls its table.
#[derive(Clone, Copy)]
pub(crate) struct Column(pub(crate) &'static str, pub(crate) &'static str);

/// Where a page begins.
pub(crate) struct Start {
    /// The text to run.
    pub(crate) sql: String,
    /// When the cursor's row was made; `None` = there is no cursor.
    pub(crate) at: Option<i64>,
}

/// A table whose organization, creation and id are columns of these very names.
pub(crate) const fn of(table: &'static str, select: &'static str, filter: &'static str) -> List {
    List {
        table,
        select,
        tenant: Some(Column("", "org_id")),
        at: Column("", "created_at"),
        id: Column("", "id"),
        filter,
    }
}

/// Values of one list of a filter; more would be a query of their own.
const LIST_MAX: usize = 20;

/// A list as one text, `,a,b,`, so that one SQL text serves both engines: a column is in it if taking `,column,` out with
/// REPLACE changes it. Ids, words and addresses have no comma. `None` = an empty list, which does not filter.
pub(crate) fn spread(list: &[String]) -> Option<String> {
    let values: Vec<&str> =
        list.iter().map(String::as_str).filter(|value| !value.contains(',')).take(LIST_MAX).collect();
    (!list.is_empty()).then(|| format!(",{},", values.join(",")))
}

/// Where the asked page begins. `None` = the cursor names no row.
pub(crate) async fn start(
    linked: &mut impl Linked,
    list: &List,
    organization: Option<&str>,
    page: &PageRequest,
) -> Result<Option<Start>, Error> {
    let sql = list.text(page.walk().is_ascending);
    let Some(id) = page.cursor() else { return Ok(Some(Start { sql, at: None })) };
    // What could not stand in an id is no question for a database; one of the engines would not even take a NUL.
    if !id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Ok(None);
    }
    let place = list.place_text();
    let at = both!(linked, c => {
        let row = sqlx::query(AssertSqlSafe(place)).bind(organization).bind(id).fetch_optional(c).await?;
        row.map(|row| row.int("place")).transpose()?
    });
    Ok(at.map(|at| Start { sql, at: Some(at) }))
}

/// Reads one page of a list on a new reader of the store; `Ok(None)` = the cursor names no row of it. What follows the
/// function that reads a row are the values of the list's filter.
macro_rules! walked {
    ($store:expr, $list:expr, $organization:expr, $page:expr, $read:path $(, $value:expr)*) => {{
        let mut reader = $store.reader().await?;
        let organization: Option<String> = $organization;
        match $crate::keyset::start(&mut reader, &$list, organization.as_deref(), $page).await? {
            None => Ok(None),
            Some(start) => {
                let walk = $page.walk();
                let rows = $crate::door::both!(&mut reader, c => {
                    let query = sqlx::query(sqlx::AssertSqlSafe(start.sql));
                    let query = query.bind(organization).bind(start.at).bind($page.cursor()).bind(walk.rows());
                    $(let query = query.bind($value);)*
                    query.fetch_all(c).await?.iter().map($read).collect::<Result<Vec<_>, Error>>()?
                });
                Ok(Some(walk.page(rows)))
            }
        }
    }};
}
pub(crate) use walked;

impl List {
    /// The texts, for the test that prepares every statement.
    pub(crate) fn built(&self) -> Vec<(&'static str, String)> {
        [self.text(true), self.text(false), self.place_text()].map(|text| (self.table, text)).to_vec()
    }

    fn text(&self, is_ascending: bool) -> String {
        let (than, order) = if is_ascending { (">", "ASC") } else { ("<", "DESC") };
        // Without a cursor a page begins before every row: one condition that an index takes, for both.
        let outermost = if is_ascending { i64::MIN.saturating_add(1) } else { i64::MAX };
        let (tenant, at, id) = (self.tenant_text(true), self.at.text(), self.id.text());
        format!(
            "{} WHERE {tenant} AND ({at}, {id}) {than} \
             (COALESCE(CAST($2 AS BIGINT), {outermost}), COALESCE(CAST($3 AS TEXT), '')) {} \
             ORDER BY {at} {order}, {id} {order} LIMIT CAST($4 AS BIGINT)",
            self.select, self.filter
        )
    }

    fn place_text(&self) -> String {
        let (table, at, id) = (self.table, self.at.1, self.id.1);
        format!("SELECT {at} AS place FROM {table} WHERE {} AND {id} = $2", self.tenant_text(false))
    }

    /// The wall between organizations. The operator's lists have none, and say so by an organization that is not named.
    fn tenant_text(&self, is_qualified: bool) -> String {
        match self.tenant {
            Some(column) if is_qualified => format!("{} = $1", column.text()),
            Some(column) => format!("{} = $1", column.1),
            None => "CAST($1 AS TEXT) IS NULL".to_owned(),
        }
    }
}

impl Column {
    fn text(self) -> String {
        if self.0.is_empty() { self.1.to_owned() } else { format!("{}.{}", self.0, self.1) }
    }
}
