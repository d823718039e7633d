//! Postgres: a pool for acts, one connection that writes charges and holds the database's advisory lock.

mod acts;
pub(crate) mod group;
mod listen;
pub(crate) mod open;
pub(crate) mod patience;
mod poll;
pub(crate) mod writer;

pub(crate) use open::{REPORT_PATIENCE, TAKE_SEAT, take_seat};
pub(crate) use patience::answer;
pub(crate) use poll::{poll, statements as poll_statements};
