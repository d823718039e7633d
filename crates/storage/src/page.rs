//! Keyset paging: a page is what follows an id, never an offset.

/// Which end comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Newest first.
    #[default]
    Descending,
    /// Oldest first.
    Ascending,
}

/// Which page of a list is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PageRequest {
    /// Rows at most, 1 to 100; what lies outside is brought inside.
    pub limit: u32,
    /// The rows behind this id, in the list's order.
    pub after: Option<String>,
    /// The rows before this id, in the list's order; the nearest ones. Looked at only without `after`.
    pub before: Option<String>,
    /// The list's order, by (creation, id).
    pub order: Order,
}

/// One page, in the list's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The rows.
    pub data: Vec<T>,
    /// Whether more rows follow in the direction of travel.
    pub has_more: bool,
}

/// How a page is read from an index: from a cursor, forwards or backwards in the index.
pub(crate) struct Walk {
    pub(crate) is_ascending: bool,
    /// Rows come nearest-first for `before` and are turned round.
    pub(crate) is_reversed: bool,
    limit: usize,
}

impl PageRequest {
    /// The id the page starts from.
    pub(crate) fn cursor(&self) -> Option<&str> {
        self.after.as_deref().or(self.before.as_deref())
    }

    pub(crate) fn walk(&self) -> Walk {
        let is_reversed = self.after.is_none() && self.before.is_some();
        let limit = usize::try_from(self.limit.clamp(1, claviger_domain::limits::PAGE_ROWS)).unwrap_or(1);
        Walk { is_ascending: (self.order == Order::Ascending) != is_reversed, is_reversed, limit }
    }
}

impl Walk {
    /// One row more than asked tells whether there are more.
    pub(crate) fn rows(&self) -> i64 {
        i64::try_from(self.limit).unwrap_or(1).saturating_add(1)
    }

    pub(crate) fn page<T>(&self, mut rows: Vec<T>) -> Page<T> {
        let has_more = rows.len() > self.limit;
        rows.truncate(self.limit);
        if self.is_reversed {
            rows.reverse();
        }
        Page { data: rows, has_more }
    }
}
