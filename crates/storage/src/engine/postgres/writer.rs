//! Two tasks of one thread: acts, each in a transaction of its own, and charges, in groups by one session.
//!
//! A charge group without an answer has an unknown fate. The writer then takes a new session and the advisory lock, looks
//! up which charges exist, and writes the others again under the same ids: each counts once.

use super::group;
use super::open::{ACT_CONNECTIONS, Open};
use crate::cells::Cells as _;
use crate::charges::{Lost, Queued};
use crate::door::{Job, Link, Ran, Tx};
use crate::engine::{Batch, Intake, TICK, gather};
use crate::error::Error;
use claviger_domain::limits;
use claviger_domain::revocation::Epoch;
use sqlx::{Connection as _, PgPool};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

/// How often an act is run again after a serialization failure, a deadlock, or a lock that took too long.
const ACT_TRIES: u32 = 3;

/// Acts in progress: as many as there are connections for them.
const ACTS_AT_ONCE: usize = ACT_CONNECTIONS as usize;

/// Pauses between tries to reach the database again while charges wait.
const PAUSES: [Duration; 4] =
    [Duration::ZERO, Duration::from_millis(200), Duration::from_millis(800), Duration::from_secs(2)];

/// Runs until the store is closed or dropped, then ends what runs and commits what is queued.
pub(crate) async fn run(open: Open, mut intake: Intake) {
    let acts_pool = open.acts.clone();
    let (_, nothing) = tokio::sync::mpsc::channel(1);
    let charges = std::mem::replace(&mut intake.charges, nothing);
    let (_, nothing) = tokio::sync::mpsc::channel(1);
    let acts = std::mem::replace(&mut intake.acts, nothing);
    let intake = Rc::new(intake);
    let charging = Charging { open, intake: Rc::clone(&intake), charges };
    tokio::join!(run_acts(acts_pool.clone(), acts, Rc::clone(&intake)), charging.run());
    acts_pool.close().await;
}

async fn run_acts(pool: PgPool, mut acts: tokio::sync::mpsc::Receiver<Box<dyn Job>>, intake: Rc<Intake>) {
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

async fn act(pool: PgPool, mut job: Box<dyn Job>, intake: Rc<Intake>) {
    let mut tries = 0_u32;
    let fate = loop {
        match attempt(&pool, job.as_mut(), &intake).await {
            Ok(epoch) => {
                intake.publish(epoch);
                break Ok(());
            }
            // Everything that an act writes has an id, and the failed transaction is gone: running it again is safe.
            Err(Error::Unavailable(cause)) if (cause.is_transient || cause.is_busy) && tries < ACT_TRIES => {
                tries = tries.saturating_add(1);
            }
            Err(error) => break Err(error),
        }
    };
    job.answer(fate);
}

async fn attempt(pool: &PgPool, job: &mut dyn Job, intake: &Intake) -> Result<Option<Epoch>, Error> {
    let mut transaction = pool.begin().await?;
    let mut tx = Tx::new(Link::Postgres(&mut transaction), &intake.audit_key);
    let ran = job.run(&mut tx).await;
    let epoch = tx.epoch;
    match ran {
        Ran::Done => {
            transaction.commit().await.map_err(|error| Error::from(error).at_commit())?;
            Ok(epoch)
        }
        Ran::Refused => {
            transaction.rollback().await?;
            Ok(None)
        }
        // Dropping the transaction rolls it back.
        Ran::Broken(error) => Err(error),
        Ran::Panicked => Err(Error::unavailable("the act panicked")),
    }
}

struct Charging {
    open: Open,
    intake: Rc<Intake>,
    charges: tokio::sync::mpsc::Receiver<Queued>,
}

impl Charging {
    async fn run(mut self) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stop = self.intake.stop.clone();
        let mut group: Vec<Queued> = Vec::with_capacity(limits::CHARGE_GROUP);
        loop {
            let mut is_over = false;
            tokio::select! {
                count = self.charges.recv_many(&mut group, limits::CHARGE_GROUP) => is_over |= count == 0,
                _ = ticks.tick() => self.intake.shared.tick(),
                stopped = stop.changed() => is_over |= stopped.is_err() || *stop.borrow(),
            }
            gather(&mut self.charges, &self.intake.shared, &mut group);
            self.round(std::mem::take(&mut group)).await;
            if is_over {
                break;
            }
        }
        self.charges.close();
        loop {
            gather(&mut self.charges, &self.intake.shared, &mut group);
            let is_last = group.is_empty();
            self.round(std::mem::take(&mut group)).await;
            if is_last {
                break;
            }
        }
        let _ = self.open.connection.close().await;
    }

    async fn round(&mut self, group: Vec<Queued>) {
        #[cfg(feature = "bugs")]
        if !group.is_empty() && crate::bugs::is_acking_before_commit() {
            tokio::time::sleep(crate::bugs::COMMIT_LAG).await;
        }
        if let Err((group, error)) = self.charges(group).await {
            self.recover(group, error).await;
        }
    }

    /// One group, answered when it is written and given back when it is not.
    async fn charges(&mut self, group: Vec<Queued>) -> Result<(), (Vec<Queued>, Error)> {
        let (news, numbers) = self.intake.shared.take(&group);
        if group.is_empty() && news.is_empty() {
            return Ok(());
        }
        match group::write(&mut self.open.connection, &Batch::of(&group, &news)).await {
            Ok(()) => {
                for (queued, number) in group.into_iter().zip(numbers) {
                    queued.settle(&self.intake.shared, number);
                }
                Ok(())
            }
            Err(error) => {
                self.intake.shared.give_back(news, &numbers);
                Err((group, error))
            }
        }
    }

    /// Writes a failed group again: together while the database was away, one by one when it refused.
    async fn recover(&mut self, mut group: Vec<Queued>, mut error: Error) {
        for pause in PAUSES {
            let again = match &error {
                Error::Unavailable(cause) if cause.is_transient || cause.is_busy => {
                    tokio::time::sleep(pause).await;
                    self.charges(group).await
                }
                error if !is_answered(error) => {
                    tokio::time::sleep(pause).await;
                    self.again(group).await
                }
                _ => break,
            };
            match again {
                Ok(()) => return,
                Err((rest, later)) => (group, error) = (rest, later),
            }
        }
        if !is_answered(&error) {
            tracing::error!(%error, "charges are lost, the database does not answer: {error}");
            return group.into_iter().for_each(|queued| queued.lose(Lost::Unavailable));
        }
        for queued in group {
            match self.settle_charged(vec![queued]).await {
                Ok(rest) => {
                    if let Err((rest, error)) = self.charges(rest).await {
                        rest.into_iter().for_each(|queued| queued.lose(lost(&error)));
                    }
                }
                Err((rest, error)) => rest.into_iter().for_each(|queued| queued.lose(lost(&error))),
            }
        }
    }

    /// A new session; then what exists is settled, and the rest is written again as one group.
    async fn again(&mut self, group: Vec<Queued>) -> Result<(), (Vec<Queued>, Error)> {
        if let Err(error) = self.open.reopen().await {
            return Err((group, error));
        }
        let rest = self.settle_charged(group).await?;
        self.charges(rest).await
    }

    /// Answers those that exist; gives the others back.
    async fn settle_charged(&mut self, group: Vec<Queued>) -> Result<Vec<Queued>, (Vec<Queued>, Error)> {
        let charged = match self.find_charged(&group).await {
            Ok(charged) => charged,
            Err(error) => return Err((group, error)),
        };
        let mut rest = Vec::new();
        for queued in group {
            match charged.get(&*queued.rows.record.id) {
                Some(charge) if *charge == queued.rows.record.charge => queued.settle(&self.intake.shared, None),
                Some(_) => queued.lose(Lost::Conflict),
                None => rest.push(queued),
            }
        }
        Ok(rest)
    }

    async fn find_charged(&mut self, group: &[Queued]) -> Result<HashMap<String, i64>, Error> {
        let organizations: Vec<&str> = group.iter().map(|queued| &*queued.rows.record.organization).collect();
        let ids: Vec<&str> = group.iter().map(|queued| &*queued.rows.record.id).collect();
        let rows =
            sqlx::query(group::FIND_CHARGED).bind(organizations).bind(ids).fetch_all(&mut self.open.connection).await?;
        rows.iter().map(|row| Ok((row.text("id")?, row.int("charge")?))).collect()
    }
}

fn lost(error: &Error) -> Lost {
    match error {
        // The only check that a charge alone can break is the wallet's.
        Error::Unavailable(cause) if cause.is_constraint => Lost::Overdrawn,
        Error::Conflict(_) => Lost::Conflict,
        _ => Lost::Unavailable,
    }
}

fn is_answered(error: &Error) -> bool {
    match error {
        Error::Unavailable(cause) | Error::OutcomeUnknown(cause) => cause.is_answered,
        _ => true,
    }
}
