//! The one text of a page by (creation, id), and the look-up of its cursor.
//!
//! `$1` is the organization, `$2` and `$3` the cursor, `$4` the number of rows; filters count from `$5`. A cursor that
//! names no row of the organization is refused by the caller.

use crate::cells::Cells as _;
use crate::door::{Linked, both};
use crate::error::Error;
use sqlx::AssertSqlSafe;

/// `select … WHERE org_id = $1 AND … ORDER BY created_at, id LIMIT $4`.
pub(crate) fn text(select: &str, filter: &str, is_ascending: bool) -> String {
    let (than, order) = if is_ascending { (">", "ASC") } else { ("<", "DESC") };
    format!(
        "{select} WHERE org_id = $1 \
         AND (CAST($2 AS BIGINT) IS NULL OR created_at {than} CAST($2 AS BIGINT) \
              OR (created_at = CAST($2 AS BIGINT) AND id {than} CAST($3 AS TEXT))) {filter} \
         ORDER BY created_at {order}, id {order} LIMIT CAST($4 AS BIGINT)"
    )
}

/// Where a cursor stands. `None` = the table has no such row in the organization.
pub(crate) async fn place(
    linked: &mut impl Linked,
    table: &str,
    organization: &str,
    id: &str,
) -> Result<Option<i64>, Error> {
    let sql = place_text(table);
    both!(linked, c => {
        let row = sqlx::query(AssertSqlSafe(sql)).bind(organization).bind(id).fetch_optional(c).await?;
        row.map(|row| row.int("created_at")).transpose()
    })
}

/// The text of [`place`], for the test that prepares every statement.
pub(crate) fn place_text(table: &str) -> String {
    format!("SELECT created_at FROM {table} WHERE org_id = $1 AND id = $2")
}
