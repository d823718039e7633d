//! The session that writes charges in groups, and the proof that it still holds the database's lock.
//!
//! A charge group without an answer has an unknown fate. The writer then takes a new session and the advisory lock, looks
//! up which charges exist, and writes the others again under the same ids: each counts once. Groups are data, so this
//! goes on for as long as a failover takes. If another node has taken the lock meanwhile, nothing is written ever again.

use super::group;
use super::open::{Open, Reopened};
use super::patience::{ANSWER, GROUP_ANSWER, answer};
use crate::cells::Cells as _;
use crate::charges::shared::Shared;
use crate::charges::{Lost, Queued};
use crate::engine::{Batch, Holding, Intake, TICK, gather};
use crate::error::Error;
use claviger_domain::limits;
use std::collections::HashMap;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, Sleep};

/// How long a group that cannot be written is tried again before its charges are given up.
const PATIENCE: Duration = Duration::from_secs(30);

/// Pauses between the tries; the last one stands for all that follow.
const PAUSES: [Duration; 5] = [
    Duration::ZERO,
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(400),
    Duration::from_secs(1),
];

/// How often the session shows that it is there, and so its lock.
const PROOF: Duration = Duration::from_secs(1);

/// How old the last proof may be; its question was sent at most a second earlier.
const PROOF_AGE: Duration = Duration::from_secs(2);

/// Closing the pool of acts.
const POOL_CLOSE: Duration = Duration::from_secs(3);

/// Runs until the store is closed or dropped, then ends what runs and commits what is queued.
pub(crate) async fn run(
    open: Open,
    mut intake: Intake,
    charges: tokio::sync::mpsc::Receiver<Queued>,
    shared: Arc<Shared>,
) {
    let acts_pool = open.acts.clone();
    let listening = open.options();
    let (_, nothing) = tokio::sync::mpsc::channel(1);
    let acts = std::mem::replace(&mut intake.acts, nothing);
    let intake = Rc::new(intake);
    let (proofs, shown) = watch::channel(());
    let charging = Charging { open, intake: Rc::clone(&intake), charges, shared, proofs };
    let writing = async { tokio::join!(super::acts::run(acts_pool.clone(), acts, Rc::clone(&intake)), charging.run()) };
    tokio::select! {
        _ = writing => {}
        () = watch_age(shown, &intake.holding) => {}
        () = super::listen::run(listening, &intake.heard) => {}
    }
    let _ = tokio::time::timeout(POOL_CLOSE, acts_pool.close()).await;
}

/// Keeps what is said of the lock as old as its last proof. Never ends while the store is open, and it is nothing to
/// wait for after that.
async fn watch_age(mut proofs: watch::Receiver<()>, holding: &watch::Sender<Holding>) {
    let say = |now: Holding| {
        holding.send_if_modified(|said| {
            let is_news = *said != Holding::Lost && *said != now;
            if is_news {
                *said = now;
            }
            is_news
        })
    };
    loop {
        match tokio::time::timeout(PROOF_AGE, proofs.changed()).await {
            Ok(Ok(())) => {
                if say(Holding::Shown) {
                    tracing::info!("the database is this node's again");
                }
            }
            // The writer has ended; what it leaves behind ends with it.
            Ok(Err(_)) => return std::future::pending().await,
            Err(_) => {
                if say(Holding::Stale) {
                    tracing::error!("the database does not answer: its lock could not be shown for {PROOF_AGE:?}");
                }
            }
        }
    }
}

struct Charging {
    open: Open,
    intake: Rc<Intake>,
    charges: tokio::sync::mpsc::Receiver<Queued>,
    shared: Arc<Shared>,
    /// Told of every proof of the lock.
    proofs: watch::Sender<()>,
}

impl Charging {
    async fn run(mut self) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut proofs = tokio::time::interval(PROOF);
        proofs.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stop = self.intake.stop.clone();
        let mut group: Vec<Queued> = Vec::with_capacity(limits::CHARGE_GROUP);
        loop {
            let mut is_over = false;
            tokio::select! {
                count = self.charges.recv_many(&mut group, limits::CHARGE_GROUP) => is_over |= count == 0,
                _ = ticks.tick() => self.shared.tick(),
                _ = proofs.tick() => self.prove().await,
                stopped = stop.changed() => is_over |= stopped.is_err() || *stop.borrow(),
            }
            gather(&mut self.charges, &self.shared, &mut group);
            self.round(std::mem::take(&mut group)).await;
            if is_over {
                break;
            }
        }
        self.charges.close();
        loop {
            gather(&mut self.charges, &self.shared, &mut group);
            let is_last = group.is_empty();
            self.round(std::mem::take(&mut group)).await;
            if is_last {
                break;
            }
        }
        self.open.close().await;
    }

    fn is_lost(&self) -> bool {
        *self.intake.holding.borrow() == Holding::Lost
    }

    /// Shows that this process still holds the lock, or takes it again: idle or not, else another node could have taken
    /// the database without a word.
    async fn prove(&mut self) {
        if self.is_lost() {
            return;
        }
        let had_session = self.open.has_session();
        let Err(error) = self.open.prove().await else {
            self.proofs.send_replace(());
            return;
        };
        if had_session {
            tracing::warn!(%error, "the session that holds the database's lock is gone: {error}");
        }
        if let Err(error) = self.reopen().await {
            tracing::debug!(%error, "it cannot be opened again yet: {error}");
        }
    }

    /// A new session with the lock.
    async fn reopen(&mut self) -> Result<(), Error> {
        match self.open.reopen().await? {
            Reopened::Held => {
                self.proofs.send_replace(());
                Ok(())
            }
            Reopened::Taken => {
                self.intake.holding.send_replace(Holding::Lost);
                tracing::error!("another node took the database: this one writes nothing any more, restart it");
                Err(taken())
            }
        }
    }

    async fn round(&mut self, group: Vec<Queued>) {
        #[cfg(feature = "bugs")]
        if !group.is_empty() && crate::bugs::is_acking_before_commit() {
            tokio::time::sleep(crate::bugs::COMMIT_LAG).await;
        }
        if self.is_lost() {
            return group.into_iter().for_each(|queued| queued.lose(Lost::Unavailable));
        }
        if group.is_empty() && !self.open.has_session() {
            // Lazy news waits for the next proof.
            return;
        }
        if let Err((group, error)) = self.charges(group).await
            && !group.is_empty()
        {
            self.recover(group, error).await;
        }
    }

    /// One group, answered when it is written and given back when it is not.
    async fn charges(&mut self, group: Vec<Queued>) -> Result<(), (Vec<Queued>, Error)> {
        let (news, numbers) = self.shared.take(&group);
        if group.is_empty() && news.is_empty() {
            return Ok(());
        }
        match self.write(&Batch::of(&group, &news)).await {
            Ok(()) => {
                for (queued, number) in group.into_iter().zip(numbers) {
                    queued.settle(&self.shared, number);
                }
                Ok(())
            }
            Err(error) => {
                self.shared.give_back(news, &numbers);
                Err((group, error))
            }
        }
    }

    async fn write(&mut self, batch: &Batch<'_>) -> Result<(), Error> {
        let written = {
            let seat = self.open.seat();
            answer(GROUP_ANSWER, group::write(self.open.session()?, seat, batch)).await
        };
        self.heard(written)
    }

    /// A session that did not answer is not used again.
    fn heard<T>(&mut self, answered: Result<T, Error>) -> Result<T, Error> {
        if answered.as_ref().is_err_and(|error| !error.is_answered()) {
            self.open.drop_session();
        }
        answered
    }

    /// Writes a failed group again: together while the database was away, one by one when it refused.
    async fn recover(&mut self, group: Vec<Queued>, error: Error) {
        tracing::warn!(%error, "a group of {} charges was not written and is tried again: {error}", group.len());
        let mut patience = pin!(tokio::time::sleep(PATIENCE));
        let Err((group, error)) = self.insist(group, error, patience.as_mut()).await else { return };
        if !is_refusal(&error) {
            tracing::error!(%error, "charges are lost, the database does not answer: {error}");
            return group.into_iter().for_each(|queued| queued.lose(Lost::Unavailable));
        }
        for queued in group {
            let written = match self.settle_charged(vec![queued]).await {
                Ok(rest) => self.charges(rest).await,
                failed => failed.map(drop),
            };
            let Err((rest, error)) = written else { continue };
            if let Err((rest, error)) = self.insist(rest, error, patience.as_mut()).await {
                rest.into_iter().for_each(|queued| queued.lose(lost(&error)));
            }
        }
    }

    /// Tries again until it is written or refused, the patience is over, or another node has the database.
    async fn insist(
        &mut self,
        mut group: Vec<Queued>,
        mut error: Error,
        mut patience: Pin<&mut Sleep>,
    ) -> Result<(), (Vec<Queued>, Error)> {
        let mut pauses = PAUSES.into_iter();
        let mut pause = Duration::ZERO;
        loop {
            if group.is_empty() {
                return Ok(());
            }
            if is_refusal(&error) || self.is_lost() {
                return Err((group, error));
            }
            pause = pauses.next().unwrap_or(pause);
            tokio::select! {
                biased;
                () = patience.as_mut() => return Err((group, error)),
                () = tokio::time::sleep(pause) => {}
            }
            let again = if self.open.has_session() { self.charges(group).await } else { self.again(group).await };
            match again {
                Ok(()) => return Ok(()),
                Err((rest, later)) => (group, error) = (rest, later),
            }
        }
    }

    /// A new session; then what exists is settled, and the rest is written again as one group.
    async fn again(&mut self, group: Vec<Queued>) -> Result<(), (Vec<Queued>, Error)> {
        if let Err(error) = self.reopen().await {
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
                Some(charge) if *charge == queued.rows.record.charge => queued.settle(&self.shared, None),
                Some(_) => queued.lose(Lost::Conflict),
                None => rest.push(queued),
            }
        }
        Ok(rest)
    }

    async fn find_charged(&mut self, group: &[Queued]) -> Result<HashMap<String, i64>, Error> {
        let organizations: Vec<&str> = group.iter().map(|queued| &*queued.rows.record.organization).collect();
        let ids: Vec<&str> = group.iter().map(|queued| &*queued.rows.record.id).collect();
        let query = sqlx::query(group::FIND_CHARGED).bind(organizations).bind(ids);
        let found = answer(ANSWER, query.fetch_all(self.open.session()?)).await;
        let rows = self.heard(found)?;
        rows.iter().map(|row| Ok((row.text("id")?, row.int("charge")?))).collect()
    }
}

/// The statement itself was at fault: no repetition of the same helps.
fn is_refusal(error: &Error) -> bool {
    match error {
        Error::Unavailable(cause) | Error::OutcomeUnknown(cause) => {
            cause.is_answered && !cause.is_transient && !cause.is_busy
        }
        _ => true,
    }
}

fn taken() -> Error {
    Error::unavailable("another node took the database meanwhile")
}

fn lost(error: &Error) -> Lost {
    match error {
        // The only check that a charge alone can break is the wallet's.
        Error::Unavailable(cause) if cause.is_constraint => Lost::Overdrawn,
        Error::Conflict(_) => Lost::Conflict,
        _ => Lost::Unavailable,
    }
}
