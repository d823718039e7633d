//! Reading the cells of a row of either engine; what does not read is `Corrupt`, with table and column.

use crate::error::Error;
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use std::str::FromStr;

/// A row of either engine, by column name.
pub(crate) trait Cells {
    fn text(&self, column: &'static str) -> Result<String, Error>;
    fn text_or_none(&self, column: &'static str) -> Result<Option<String>, Error>;
    fn int(&self, column: &'static str) -> Result<i64, Error>;
    fn int_or_none(&self, column: &'static str) -> Result<Option<i64>, Error>;
    fn flag(&self, column: &'static str) -> Result<bool, Error>;
    fn bytes(&self, column: &'static str) -> Result<Vec<u8>, Error>;
    fn bytes_or_none(&self, column: &'static str) -> Result<Option<Vec<u8>>, Error>;

    /// A text column that parses, such as an id.
    fn parsed<T: FromStr>(&self, column: &'static str) -> Result<T, Error>
    where
        Self: Sized,
    {
        parse(column, &self.text(column)?)
    }
}

/// Parses a stored text.
pub(crate) fn parse<T: FromStr>(column: &'static str, text: &str) -> Result<T, Error> {
    text.parse().map_err(|_| corrupt(column, text))
}

/// A stored word that has no meaning.
pub(crate) fn corrupt(column: &'static str, text: &str) -> Error {
    Error::Corrupt { table: column, row: text.chars().take(80).collect() }
}

/// A value that must be there.
pub(crate) fn known<T>(value: Option<T>, column: &'static str, text: &str) -> Result<T, Error> {
    value.ok_or_else(|| corrupt(column, text))
}

macro_rules! cells {
    ($row:ty) => {
        impl Cells for $row {
            fn text(&self, column: &'static str) -> Result<String, Error> {
                Ok(self.try_get(column)?)
            }
            fn text_or_none(&self, column: &'static str) -> Result<Option<String>, Error> {
                Ok(self.try_get(column)?)
            }
            fn int(&self, column: &'static str) -> Result<i64, Error> {
                Ok(self.try_get(column)?)
            }
            fn int_or_none(&self, column: &'static str) -> Result<Option<i64>, Error> {
                Ok(self.try_get(column)?)
            }
            fn flag(&self, column: &'static str) -> Result<bool, Error> {
                Ok(self.try_get(column)?)
            }
            fn bytes(&self, column: &'static str) -> Result<Vec<u8>, Error> {
                Ok(self.try_get(column)?)
            }
            fn bytes_or_none(&self, column: &'static str) -> Result<Option<Vec<u8>>, Error> {
                Ok(self.try_get(column)?)
            }
        }
    };
}

cells!(SqliteRow);
cells!(PgRow);
