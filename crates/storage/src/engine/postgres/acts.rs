//! Acts: each in a transaction of its own, repeated by the store itself while its outcome is not known.
//!
//! The caller draws every id of an act, so a repetition that comes second finds the first and answers the same.

use super::open::ACT_CONNECTIONS;
use super::patience::{ANSWER, answer, silent, while_heard};
use crate::door::{Job, Link, Ran, Tx};
use crate::engine::{Holding, Intake};
use crate::error::Error;
use claviger_domain::revocation::Epoch;
use sqlx::{Connection as _, PgConnection, PgPool};
use std::rc::Rc;
use std::time::Duration;
use tokio::task::JoinSet;

/// How often an act is run again: after a serialization failure, a deadlock or a lock that took too long, and while its
/// outcome is not known.
const ACT_TRIES: u32 = 3;

/// The pause before an act without an outcome is run again, for each time it was run; a server comes back within them
/// or not soon.
const PAUSES: [Duration; 4] =
    [Duration::ZERO, Duration::from_millis(200), Duration::from_millis(500), Duration::from_secs(1)];

/// Acts in progress: as many as there are connections for them.
const ACTS_AT_ONCE: usize = ACT_CONNECTIONS as usize;

/// Runs acts until the store is closed, then those that are queued.
pub(crate) async fn run(pool: PgPool, mut acts: tokio::sync::mpsc::Receiver<Box<dyn Job>>, intake: Rc<Intake>) {
    let mut running = JoinSet::new();
    let mut stop = intake.stop.clone();
    loop {
        tokio::select! {
            // The rest waits in our own queue, in order, not in the pool's with its time limit.
            job = acts.recv(), if running.len() < ACTS_AT_ONCE => match job {
                Some(job) => {
                    let act = act(pool.clone(), job, Rc::clone(&intake));
                    // The set owns the task: this function returns only when all of them have ended.
                    running.spawn_local(act);
                }
                None => break,
            },
            Some(_) = running.join_next(), if !running.is_empty() => {}
            stopped = stop.changed() => if stopped.is_err() || *stop.borrow() { break },
        }
    }
    acts.close();
    while let Ok(job) = acts.try_recv() {
        if running.len() >= ACTS_AT_ONCE {
            running.join_next().await;
        }
        running.spawn_local(act(pool.clone(), job, Rc::clone(&intake)));
    }
    while running.join_next().await.is_some() {}
    // Whoever waits on the other queue of this thread learns it from the same flag, or from the queue's own end.
}

/// How a transaction ended whose end is known.
enum Ended {
    Committed(Option<Epoch>),
    /// Rolled back: the act's own error is its answer.
    Refused,
}

async fn act(pool: PgPool, mut job: Box<dyn Job>, intake: Rc<Intake>) {
    let mut tries = 0_u32;
    // Once an outcome is unknown, no later failure to reach the server makes it known.
    let mut unknown: Option<Error> = None;
    let fate = loop {
        if *intake.holding.borrow() == Holding::Lost {
            break Err(unknown.unwrap_or_else(|| Error::unavailable("another node took the database")));
        }
        let attempt = attempt(&pool, job.as_mut(), &intake).await;
        let may_repeat = tries < ACT_TRIES && !*intake.stop.borrow();
        tries = tries.saturating_add(1);
        match attempt {
            Ok(Ended::Committed(epoch)) => {
                intake.publish(epoch);
                break Ok(());
            }
            // The first transaction may have been decided in the middle of this one, which then met its rows.
            Ok(Ended::Refused) if unknown.is_some() && may_repeat => {}
            Ok(Ended::Refused) => break Ok(()),
            // Everything that an act writes has an id, and the failed transaction is gone: running it again is safe.
            Err(Error::Unavailable(cause)) if (cause.is_transient || cause.is_busy) && may_repeat => continue,
            Err(error @ Error::OutcomeUnknown(_)) if may_repeat => unknown = Some(error),
            Err(Error::Unavailable(_)) if unknown.is_some() && may_repeat => {}
            Err(error @ Error::Unavailable(_)) => break Err(unknown.unwrap_or(error)),
            Err(error) => break Err(error),
        }
        let pause = usize::try_from(tries).ok().and_then(|tries| PAUSES.get(tries));
        tokio::time::sleep(pause.copied().unwrap_or_default()).await;
    };
    job.answer(fate);
}

async fn attempt(pool: &PgPool, job: &mut dyn Job, intake: &Intake) -> Result<Ended, Error> {
    // Bounded by the pool's own time to acquire.
    let mut connection = pool.acquire().await?;
    let ended = transact(&mut connection, job, intake).await;
    if ended.as_ref().is_err_and(|error| !error.is_answered()) {
        // Nobody waits for this session any more; the end of its socket is also the end of its transaction.
        drop(connection.detach());
    }
    ended
}

async fn transact(connection: &mut PgConnection, job: &mut dyn Job, intake: &Intake) -> Result<Ended, Error> {
    let mut transaction = answer(ANSWER, connection.begin()).await?;
    let mut tx = Tx::new(Link::Postgres(&mut transaction), &intake.audit_key);
    let ran = while_heard(ANSWER, job.run(&mut tx)).await;
    let epoch = tx.epoch;
    match ran {
        Some(Ran::Done) => {
            answer(ANSWER, transaction.commit()).await.map_err(Error::at_commit)?;
            Ok(Ended::Committed(epoch))
        }
        Some(Ran::Refused) => {
            answer(ANSWER, transaction.rollback()).await?;
            Ok(Ended::Refused)
        }
        // Dropping the transaction rolls it back.
        Some(Ran::Broken(error)) => Err(error),
        Some(Ran::Panicked) => Err(Error::unavailable("the act panicked")),
        None => Err(silent()),
    }
}
