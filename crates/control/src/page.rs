//! The one shape of lists: `{object, data, first_id, last_id, has_more}`, always all five.

use claviger_storage::Page;
use serde::Serialize;

/// One page of a list.
#[derive(Serialize)]
pub(crate) struct List<T> {
    object: &'static str,
    data: Vec<T>,
    first_id: Option<String>,
    last_id: Option<String>,
    has_more: bool,
}

impl<T> List<T> {
    /// A page of rows, each shown by `show`.
    pub(crate) fn of<R>(page: Page<R>, id: impl Fn(&R) -> String, show: impl Fn(&R) -> T) -> Self {
        Self {
            object: "list",
            first_id: page.data.first().map(&id),
            last_id: page.data.last().map(&id),
            data: page.data.iter().map(show).collect(),
            has_more: page.has_more,
        }
    }

    /// A list that is never longer than a page.
    pub(crate) fn whole<R>(rows: &[R], id: impl Fn(&R) -> String, show: impl Fn(&R) -> T) -> Self {
        Self {
            object: "list",
            first_id: rows.first().map(&id),
            last_id: rows.last().map(&id),
            data: rows.iter().map(show).collect(),
            has_more: false,
        }
    }

    /// Nothing.
    pub(crate) fn empty() -> Self {
        Self { object: "list", data: Vec::new(), first_id: None, last_id: None, has_more: false }
    }
}
