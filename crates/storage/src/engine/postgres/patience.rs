//! How long a session may be silent: the deadlines are ours, since a connection may go without a word.
//!
//! Whatever outlasts one has no answer: its session is dropped, never used again, and what it was doing is unknown.

use crate::error::Error;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

/// A decision's statement: the server ends it after two seconds and says so.
pub(crate) const ANSWER: Duration = Duration::from_secs(3);

/// A group of charges: the server ends it after five seconds and says so.
pub(crate) const GROUP_ANSWER: Duration = Duration::from_secs(6);

/// A session that does nothing else answers at once.
pub(crate) const PING: Duration = Duration::from_secs(1);

/// Waits for one answer of a session.
///
/// # Errors
/// The work's own; unanswered when the time is over.
pub(crate) async fn answer<T, E: Into<Error>>(
    limit: Duration,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, Error> {
    match tokio::time::timeout(limit, work).await {
        Ok(answered) => answered.map_err(Into::into),
        Err(_) => Err(silent()),
    }
}

/// Runs work of many statements on one session for as long as the session goes on answering. `None` = it fell silent.
pub(crate) async fn while_heard<T>(limit: Duration, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    let mut silence = pin!(tokio::time::sleep(limit));
    poll_fn(|context| {
        if let Poll::Ready(done) = work.as_mut().poll(context) {
            return Poll::Ready(Some(done));
        }
        if silence.as_mut().poll(context).is_ready() {
            return Poll::Ready(None);
        }
        // Woken by something other than the timer: the session was heard.
        silence.set(tokio::time::sleep(limit));
        silence.as_mut().poll(context).map(|()| None)
    })
    .await
}

/// The session did not answer in time.
pub(crate) fn silent() -> Error {
    Error::unavailable("the database server does not answer")
}
