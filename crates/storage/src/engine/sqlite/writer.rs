//! The one writer: whatever queued during the last fsync is the next group.
//!
//! Acts run in savepoints, charges are data; then one commit and all answers. A group that fails before its COMMIT has
//! changed nothing: the connection is replaced and everything is run again one by one, each looked up by its id first, so
//! a group whose COMMIT failed counts once too. An error of the disk at COMMIT ends writing for good: an fsync that failed
//! once is never believed again.

use super::group::{self, Texts};
use super::open::Open;
use crate::cells::Cells as _;
use crate::charges::shared::News;
use crate::charges::{Lost, Queued};
use crate::door::{Job, Link, Ran, Tx};
use crate::engine::{Batch, Intake, TICK, gather};
use crate::error::Error;
use claviger_domain::limits;
use claviger_domain::revocation::Epoch;
use sqlx::Connection as _;
use tokio::time::MissedTickBehavior;

/// Acts of one group at most; more would make charges wait.
const ACTS: usize = 64;

const FIND_CHARGED: &str = "SELECT charge FROM request WHERE org_id = ? AND id = ?";

pub(crate) struct Writer {
    open: Open,
    intake: Intake,
    texts: Texts,
    /// Set for good by an error of the disk.
    is_broken: bool,
}

/// How an attempt to commit a group ended before its end.
struct Failed {
    error: Error,
    /// The act that panicked, by its place.
    panicked: Option<usize>,
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self { error, panicked: None }
    }
}

impl From<sqlx::Error> for Failed {
    fn from(error: sqlx::Error) -> Self {
        Error::from(error).into()
    }
}

impl Writer {
    pub(crate) fn new(open: Open, intake: Intake) -> Self {
        Self { open, intake, texts: Texts::default(), is_broken: false }
    }

    /// Writes until the store is closed or dropped, then commits what is queued.
    pub(crate) async fn run(mut self) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut group: Vec<Queued> = Vec::with_capacity(limits::CHARGE_GROUP);
        let mut acts: Vec<Box<dyn Job>> = Vec::with_capacity(ACTS);
        loop {
            let mut is_over = false;
            tokio::select! {
                count = self.intake.charges.recv_many(&mut group, limits::CHARGE_GROUP) => is_over |= count == 0,
                count = self.intake.acts.recv_many(&mut acts, ACTS) => is_over |= count == 0,
                _ = ticks.tick() => self.intake.shared.tick(),
                stopped = self.intake.stop.changed() => is_over |= stopped.is_err() || *self.intake.stop.borrow(),
            }
            self.take_waiting(&mut group, &mut acts);
            self.round(std::mem::take(&mut acts), std::mem::take(&mut group)).await;
            if is_over {
                break;
            }
        }
        self.finish().await;
    }

    fn take_waiting(&mut self, group: &mut Vec<Queued>, acts: &mut Vec<Box<dyn Job>>) {
        gather(&mut self.intake.charges, &self.intake.shared, group);
        while acts.len() < ACTS
            && let Ok(job) = self.intake.acts.try_recv()
        {
            acts.push(job);
        }
    }

    async fn finish(mut self) {
        self.intake.charges.close();
        self.intake.acts.close();
        loop {
            let (mut group, mut acts) = (Vec::new(), Vec::new());
            self.take_waiting(&mut group, &mut acts);
            let is_last = group.is_empty() && acts.is_empty();
            self.round(acts, group).await;
            if is_last {
                break;
            }
        }
        // The last connection's close moves the WAL into the database. Then the lock goes.
        let _ = self.open.connection.close().await;
        drop(self.open.lock);
    }

    async fn round(&mut self, acts: Vec<Box<dyn Job>>, group: Vec<Queued>) {
        #[cfg(feature = "bugs")]
        if !group.is_empty() && crate::bugs::is_acking_before_commit() {
            tokio::time::sleep(crate::bugs::COMMIT_LAG).await;
        }
        let (news, numbers) = self.intake.shared.take(&group);
        if acts.is_empty() && group.is_empty() && news.is_empty() {
            return;
        }
        if self.is_broken {
            self.intake.shared.give_back(news, &numbers);
            return refuse(acts, group);
        }
        let mut acts = acts;
        match self.attempt(&mut acts, &group, &news).await {
            Ok(epoch) => {
                self.intake.publish(epoch);
                acts.into_iter().for_each(|act| act.answer(Ok(())));
                for (queued, number) in group.into_iter().zip(numbers) {
                    queued.settle(&self.intake.shared, number);
                }
            }
            Err(failed) => {
                self.intake.shared.give_back(news, &numbers);
                self.recover(acts, group, failed).await;
            }
        }
    }

    /// One transaction: acts in savepoints, then charges, then COMMIT.
    async fn attempt(
        &mut self,
        acts: &mut [Box<dyn Job>],
        group: &[Queued],
        news: &News,
    ) -> Result<Option<Epoch>, Failed> {
        let batch = Batch::of(group, news);
        let connection = &mut self.open.connection;
        if acts.is_empty() {
            group::write(connection, &mut self.texts, &batch, false).await?;
            return Ok(None);
        }
        sqlx::query("BEGIN IMMEDIATE").execute(&mut *connection).await?;
        let mut epoch = None;
        for (index, act) in acts.iter_mut().enumerate() {
            sqlx::query("SAVEPOINT act").execute(&mut *connection).await?;
            let mut tx = Tx::new(Link::Sqlite(&mut *connection), &self.intake.audit_key);
            match act.run(&mut tx).await {
                Ran::Done => epoch = tx.epoch.or(epoch),
                Ran::Refused => {
                    sqlx::query("ROLLBACK TO act").execute(&mut *connection).await?;
                }
                Ran::Broken(error) => return Err(error.into()),
                Ran::Panicked => {
                    return Err(Failed { error: Error::unavailable("the act panicked"), panicked: Some(index) });
                }
            }
            sqlx::query("RELEASE act").execute(&mut *connection).await?;
        }
        if !batch.is_empty() {
            group::write(connection, &mut self.texts, &batch, true).await?;
        }
        let committed = sqlx::query("COMMIT").execute(&mut *connection).await;
        committed.map_err(|error| Error::from(error).at_commit())?;
        Ok(epoch)
    }

    /// Runs a failed group again on a fresh connection: all charges together, then one by one, then acts one by one.
    async fn recover(&mut self, mut acts: Vec<Box<dyn Job>>, group: Vec<Queued>, failed: Failed) {
        let was_mixed = !acts.is_empty() && !group.is_empty();
        if !self.reopen(&failed.error).await {
            // If the disk failed at COMMIT, the acts may be in force after all.
            let is_unknown = matches!(failed.error, Error::OutcomeUnknown(_));
            let rest = if is_unknown { Vec::new() } else { std::mem::take(&mut acts) };
            acts.into_iter().for_each(|act| act.answer(Err(failed.error.again())));
            return refuse(rest, group);
        }
        let is_alone = acts.len().saturating_add(group.len()) == 1;
        let rest = if was_mixed { self.charges(group).await.err().map_or(Vec::new(), |(rest, _)| rest) } else { group };
        for queued in rest {
            self.charge_alone(queued).await;
        }
        for (index, act) in acts.into_iter().enumerate() {
            if failed.panicked == Some(index) || (is_alone && failed.panicked.is_none()) {
                act.answer(Err(failed.error.again()));
            } else {
                self.act_alone(act).await;
            }
        }
    }

    /// A fresh connection, or none ever again.
    async fn reopen(&mut self, error: &Error) -> bool {
        let is_disk = matches!(error, Error::Unavailable(cause) | Error::OutcomeUnknown(cause) if cause.is_disk);
        if is_disk {
            self.is_broken = true;
            tracing::error!(%error, "the disk failed: nothing is written any more, restart the process: {error}");
            return false;
        }
        tracing::debug!(%error, "a group failed and is run again one by one: {error}");
        if let Err(error) = self.open.reopen().await {
            self.is_broken = true;
            tracing::error!(%error, "the database cannot be opened again: {error}");
        }
        !self.is_broken
    }

    /// Charges without acts, in one group; given back, on a fresh connection, when they were not written.
    async fn charges(&mut self, group: Vec<Queued>) -> Result<(), (Vec<Queued>, Error)> {
        let (news, numbers) = self.intake.shared.take(&group);
        match self.attempt(&mut [], &group, &news).await {
            Ok(_) => {
                for (queued, number) in group.into_iter().zip(numbers) {
                    queued.settle(&self.intake.shared, number);
                }
                Ok(())
            }
            Err(failed) => {
                self.intake.shared.give_back(news, &numbers);
                self.reopen(&failed.error).await;
                Err((group, failed.error))
            }
        }
    }

    /// One charge by its id: what an unknown COMMIT may have written is found, not written twice.
    async fn charge_alone(&mut self, queued: Queued) {
        if self.is_broken {
            return queued.lose(Lost::Unavailable);
        }
        match self.find_charged(&queued).await {
            Ok(Some(charge)) if charge == queued.rows.record.charge => {
                return queued.settle(&self.intake.shared, None);
            }
            Ok(Some(_)) => return queued.lose(Lost::Conflict),
            Ok(None) => {}
            Err(error) => {
                self.reopen(&error).await;
                return queued.lose(Lost::Unavailable);
            }
        }
        if let Err((group, error)) = self.charges(vec![queued]).await {
            group.into_iter().for_each(|queued| queued.lose(lost(&error)));
        }
    }

    async fn find_charged(&mut self, queued: &Queued) -> Result<Option<i64>, Error> {
        let record = &queued.rows.record;
        let row = sqlx::query(FIND_CHARGED)
            .bind(&*record.organization)
            .bind(&*record.id)
            .fetch_optional(&mut self.open.connection)
            .await?;
        row.map(|row| row.int("charge")).transpose()
    }

    async fn act_alone(&mut self, act: Box<dyn Job>) {
        if self.is_broken {
            return act.answer(Err(Error::unavailable("the disk failed")));
        }
        let mut acts = [act];
        let result = self.attempt(&mut acts, &[], &News::default()).await;
        let [act] = acts;
        match result {
            Ok(epoch) => {
                self.intake.publish(epoch);
                act.answer(Ok(()));
            }
            Err(failed) => {
                self.reopen(&failed.error).await;
                act.answer(Err(failed.error));
            }
        }
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

fn refuse(acts: Vec<Box<dyn Job>>, group: Vec<Queued>) {
    for act in acts {
        act.answer(Err(Error::unavailable("the disk failed")));
    }
    for queued in group {
        queued.lose(Lost::Unavailable);
    }
}

#[cfg(test)]
mod tests;
