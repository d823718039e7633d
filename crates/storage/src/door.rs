//! The one door to a transaction: acts as jobs that can be run again.
//!
//! An act is an `AsyncFn` over [`Tx`], boxed inside its job and run on the storage thread, so its future need not be
//! `Send`. Jobs are data: when a group fails before its COMMIT, the connection is replaced and each act of the group is
//! run again alone. The answer goes out only when the fate of the transaction is known.

use crate::error::Error;
use claviger_domain::audit::AuditKey;
use claviger_domain::id::OrganizationId;
use claviger_domain::money::Nano;
use claviger_domain::revocation::Epoch;
use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use sqlx::{PgConnection, SqliteConnection};
use std::panic::AssertUnwindSafe;
use tokio::sync::oneshot;

/// A connection of either engine.
pub(crate) enum Link<'c> {
    Sqlite(&'c mut SqliteConnection),
    Postgres(&'c mut PgConnection),
}

/// Something that has a connection: a transaction, a reader, a snapshot.
pub(crate) trait Linked {
    fn link(&mut self) -> Link<'_>;
}

/// Runs one expression on the connection of either engine; the text of the SQL is the same.
macro_rules! both {
    ($linked:expr, $connection:ident => $run:expr) => {
        match $crate::door::Linked::link($linked) {
            $crate::door::Link::Sqlite($connection) => $run,
            $crate::door::Link::Postgres($connection) => $run,
        }
    };
}
pub(crate) use both;

/// A transaction in progress, as acts see it.
pub(crate) struct Tx<'c> {
    link: Link<'c>,
    /// The key of the audit chain's MACs.
    pub(crate) audit_key: &'c AuditKey,
    /// The last epoch this transaction made; published once it is committed.
    pub(crate) epoch: Option<Epoch>,
    /// What this transaction gave to wallets; charges can spend it once it is committed.
    pub(crate) funded: Vec<(OrganizationId, Nano)>,
}

impl<'c> Tx<'c> {
    pub(crate) fn new(link: Link<'c>, audit_key: &'c AuditKey) -> Self {
        Self { link, audit_key, epoch: None, funded: Vec::new() }
    }
}

impl Linked for Tx<'_> {
    fn link(&mut self) -> Link<'_> {
        match &mut self.link {
            Link::Sqlite(connection) => Link::Sqlite(connection),
            Link::Postgres(connection) => Link::Postgres(connection),
        }
    }
}

/// How one run of an act ended, before the fate of its transaction is known.
pub(crate) enum Ran {
    /// It may be committed.
    Done,
    /// It wants its changes undone; its own error is its answer.
    Refused,
    /// The engine failed: the transaction is lost, the act may be run again.
    Broken(Error),
    /// It panicked: the transaction is lost, the act is not run again.
    Panicked,
}

/// An act waiting for its transaction.
pub(crate) trait Job: Send {
    /// Runs the act once more; a former result is forgotten.
    fn run<'a>(&'a mut self, tx: &'a mut Tx<'_>) -> LocalBoxFuture<'a, Ran>;
    /// Gives the answer: the act's own if it was committed or refused, else the error.
    fn answer(self: Box<Self>, fate: Result<(), Error>);
}

struct Act<F, T> {
    act: F,
    result: Option<Result<T, Error>>,
    reply: oneshot::Sender<Result<T, Error>>,
}

impl<F, T> Job for Act<F, T>
where
    T: Send + 'static,
    F: AsyncFn(&mut Tx<'_>) -> Result<T, Error> + Send + 'static,
{
    fn run<'a>(&'a mut self, tx: &'a mut Tx<'_>) -> LocalBoxFuture<'a, Ran> {
        Box::pin(async move {
            self.result = None;
            match AssertUnwindSafe((self.act)(tx)).catch_unwind().await {
                Err(_) => Ran::Panicked,
                Ok(Err(error @ Error::Unavailable(_))) => Ran::Broken(error),
                Ok(result) => {
                    let ran = if result.is_ok() { Ran::Done } else { Ran::Refused };
                    self.result = Some(result);
                    ran
                }
            }
        })
    }

    fn answer(self: Box<Self>, fate: Result<(), Error>) {
        let answer = match (fate, self.result) {
            (Ok(()), Some(result)) => result,
            (Ok(()), None) => Err(Error::unavailable("the act did not run")),
            (Err(error), _) => Err(error),
        };
        // The caller may have gone; the act stands all the same.
        let _ = self.reply.send(answer);
    }
}

/// Boxes an act; the receiver resolves when the fate of its transaction is known.
pub(crate) fn job<T, F>(act: F) -> (Box<dyn Job>, oneshot::Receiver<Result<T, Error>>)
where
    T: Send + 'static,
    F: AsyncFn(&mut Tx<'_>) -> Result<T, Error> + Send + 'static,
{
    let (reply, answer) = oneshot::channel();
    (Box::new(Act { act, result: None, reply }), answer)
}
