//! The one writer: acts, each group of them one commit; and what the journal holds, in large groups.
//!
//! Acts run in savepoints, charges are data. A group that fails before its COMMIT has changed nothing: the connection is
//! replaced and everything is run again one by one, charges looked up by their ids first, so each counts once whatever
//! came of the first try. The journal's position is written with the last of its charges, so a crash in between repeats
//! some of them and never one twice. An error of the disk at COMMIT ends writing for good: an fsync that failed once is
//! never believed again.

use super::group::{self, Texts};
use super::open::Open;
use crate::cells::Cells as _;
use crate::charges::shared::News;
use crate::charges::{Lost, Queued};
use crate::door::{Job, Link, Ran, Tx};
use crate::engine::{Batch, Committed, Intake, TICK};
use crate::error::Error;
use crate::journal::backlog::Taken;
use crate::journal::item::{self, Item};
use crate::journal::{Journal, Position};
use claviger_domain::limits;
use sqlx::{Connection as _, SqliteConnection};
use std::sync::Arc;
use tokio::sync::oneshot;
use tokio::time::MissedTickBehavior;

/// Acts of one group at most; more would make charges wait.
const ACTS: usize = 64;

const FIND_CHARGED: &str = "SELECT charge FROM request WHERE org_id = ? AND id = ?";
const REFUSE: &str = "INSERT OR IGNORE INTO journal_refused (request_id, org_id, charge, at, reason, detail) \
    VALUES (?, ?, ?, ?, ?, ?)";

pub(crate) struct Writer {
    open: Open,
    intake: Intake,
    journal: Arc<Journal>,
    texts: Texts,
    /// Set for good by an error of the disk.
    is_broken: bool,
    /// Whether the last flush failed; it was said once.
    is_behind: bool,
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
    pub(crate) fn new(open: Open, intake: Intake, journal: Arc<Journal>) -> Self {
        Self { open, intake, journal, texts: Texts::default(), is_broken: false, is_behind: false }
    }

    pub(super) fn connection(&mut self) -> &mut SqliteConnection {
        &mut self.open.connection
    }

    pub(super) fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Writes until the store is closed or dropped, then what the journal still holds. `appended` resolves when the
    /// journal's thread has ended.
    pub(crate) async fn run(mut self, appended: oneshot::Receiver<()>) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut acts: Vec<Box<dyn Job>> = Vec::with_capacity(ACTS);
        let journal = Arc::clone(&self.journal);
        let mut has_more = false;
        loop {
            let (mut is_over, mut is_due) = (false, has_more);
            tokio::select! {
                count = self.intake.acts.recv_many(&mut acts, ACTS) => is_over |= count == 0,
                _ = ticks.tick() => {
                    self.tick();
                    is_due = true;
                }
                () = journal.backlog.wanted() => is_due = true,
                stopped = self.intake.stop.changed() => is_over |= stopped.is_err() || *self.intake.stop.borrow(),
                () = std::future::ready(()), if has_more => {}
            }
            while acts.len() < ACTS
                && let Ok(job) = self.intake.acts.try_recv()
            {
                acts.push(job);
            }
            self.round(std::mem::take(&mut acts)).await;
            if is_due {
                has_more = self.flush().await;
            }
            if is_over {
                break;
            }
        }
        self.finish(appended).await;
    }

    fn tick(&self) {
        self.journal.shared.tick();
        if self.journal.shared.has_told() {
            self.journal.inbox.bring_marks();
        }
    }

    async fn finish(mut self, appended: oneshot::Receiver<()>) {
        self.journal.inbox.close();
        self.intake.acts.close();
        // The sender only ever goes away, with the thread.
        let _ = appended.await;
        loop {
            let mut acts = Vec::new();
            while let Ok(job) = self.intake.acts.try_recv() {
                acts.push(job);
            }
            let has_more = !acts.is_empty();
            self.round(acts).await;
            if !self.flush().await && !has_more {
                break;
            }
        }
        self.journal.backlog.close();
        // The last connection's close moves the WAL into the database. Then the lock goes.
        let _ = self.open.connection.close().await;
        drop(self.open.lock);
    }

    async fn round(&mut self, mut acts: Vec<Box<dyn Job>>) {
        if acts.is_empty() {
            return;
        }
        if self.is_broken {
            return acts.into_iter().for_each(|act| act.answer(Err(Error::unavailable("the disk failed"))));
        }
        match self.attempt(&mut acts).await {
            Ok(committed) => {
                self.publish(committed);
                acts.into_iter().for_each(|act| act.answer(Ok(())));
            }
            Err(failed) => self.recover(acts, failed).await,
        }
    }

    /// Makes known what acts have done: credit first, since whoever hears of the epoch may spend it.
    fn publish(&self, committed: Committed) {
        if !committed.funded.is_empty() {
            let mut book = self.journal.book.lock();
            committed.funded.into_iter().for_each(|(organization, amount)| book.give(organization, amount));
        }
        self.intake.publish(committed.epoch);
    }

    /// One transaction: acts in savepoints, then COMMIT.
    async fn attempt(&mut self, acts: &mut [Box<dyn Job>]) -> Result<Committed, Failed> {
        let connection = &mut self.open.connection;
        sqlx::query("BEGIN IMMEDIATE").execute(&mut *connection).await?;
        let mut committed = Committed::default();
        for (index, act) in acts.iter_mut().enumerate() {
            sqlx::query("SAVEPOINT act").execute(&mut *connection).await?;
            let mut tx = Tx::new(Link::Sqlite(&mut *connection), &self.intake.audit_key);
            match act.run(&mut tx).await {
                Ran::Done => {
                    committed.epoch = tx.epoch.or(committed.epoch);
                    committed.funded.append(&mut tx.funded);
                }
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
        let done = sqlx::query("COMMIT").execute(&mut *connection).await;
        done.map_err(|error| Error::from(error).at_commit())?;
        Ok(committed)
    }

    /// Runs the acts of a failed group again on a fresh connection, one by one.
    async fn recover(&mut self, acts: Vec<Box<dyn Job>>, failed: Failed) {
        if !self.reopen(&failed.error).await {
            // If the disk failed at COMMIT, the acts may be in force after all.
            return acts.into_iter().for_each(|act| act.answer(Err(failed.error.again())));
        }
        let is_alone = acts.len() == 1;
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
            self.break_off();
            tracing::error!(%error, "the disk failed: nothing is written any more, restart the process: {error}");
            return false;
        }
        tracing::debug!(%error, "a group failed and is run again one by one: {error}");
        if let Err(error) = self.open.reopen().await {
            self.break_off();
            tracing::error!(%error, "the database cannot be opened again: {error}");
        }
        !self.is_broken
    }

    /// Nothing is written any more; and no charge is taken that would never arrive.
    fn break_off(&mut self) {
        self.is_broken = true;
        self.journal.inbox.close();
    }

    async fn act_alone(&mut self, act: Box<dyn Job>) {
        if self.is_broken {
            return act.answer(Err(Error::unavailable("the disk failed")));
        }
        let mut acts = [act];
        let result = self.attempt(&mut acts).await;
        let [act] = acts;
        match result {
            Ok(committed) => {
                self.publish(committed);
                act.answer(Ok(()));
            }
            Err(failed) => {
                self.reopen(&failed.error).await;
                act.answer(Err(failed.error));
            }
        }
    }

    /// Writes one group of what the journal holds, with records that cost nothing and lazy news; whether more waits.
    async fn flush(&mut self) -> bool {
        let mut taken = self.journal.backlog.take(limits::CHARGE_GROUP);
        let mut free = Vec::new();
        self.journal.shared.take_deferred(&mut free);
        taken.has_more |= free.len() >= limits::CHARGE_GROUP;
        let (news, _) = self.journal.shared.take_below(&[], taken.marks_end);
        let group = if self.is_broken { Err(Error::unavailable("the disk failed")) } else { read(&taken) };
        let written = match group {
            Ok(mut group) => {
                group.append(&mut free);
                self.write(group, &news, taken.position).await
            }
            Err(error) => {
                free.into_iter().for_each(|queued| queued.lose(Lost::Unavailable));
                Err(error)
            }
        };
        match written {
            Ok(()) => {
                if std::mem::take(&mut self.is_behind) {
                    tracing::info!("the database takes what the journal holds again");
                }
                self.journal.backlog.committed(&taken);
                taken.has_more
            }
            Err(error) => {
                if !std::mem::replace(&mut self.is_behind, true) {
                    tracing::error!(%error, "the database does not take what the journal holds: {error}");
                }
                self.journal.shared.give_back(news, &[]);
                self.journal.backlog.give_back(taken);
                false
            }
        }
    }

    /// Writes a group with the journal's position: in one transaction, or one by one when the database refuses it.
    pub(crate) async fn write(
        &mut self,
        group: Vec<Queued>,
        news: &News,
        position: Option<Position>,
    ) -> Result<(), Error> {
        let batch = Batch::of(&group, news);
        if batch.is_empty() && position.is_none() {
            return Ok(());
        }
        let written = group::write(&mut self.open.connection, &mut self.texts, &batch, position.as_ref()).await;
        let Err(error) = written else {
            group.into_iter().for_each(|queued| queued.settle(&self.journal.shared, None));
            return Ok(());
        };
        let is_refused = is_refusal(&error);
        if !self.reopen(&error).await || !is_refused {
            return Err(error);
        }
        for queued in group {
            self.write_alone(queued).await?;
        }
        let rest = Batch::of([], news);
        group::write(&mut self.open.connection, &mut self.texts, &rest, position.as_ref()).await?;
        Ok(())
    }

    /// One record by its id: what an earlier try has written is found, not written twice; what the ledger contradicts is
    /// put aside, where every check of the ledger names it.
    async fn write_alone(&mut self, queued: Queued) -> Result<(), Error> {
        let reason = match self.find_charged(&queued).await? {
            // By an earlier try of this very charge: the book has taken it, and rightly.
            Some(charge) if charge == queued.rows.record.charge => {
                queued.settle(&self.journal.shared, None);
                return Ok(());
            }
            Some(_) => "the request was charged before, with other content",
            None => {
                let nothing = News::default();
                let batch = Batch::of([&queued], &nothing);
                match group::write(&mut self.open.connection, &mut self.texts, &batch, None).await {
                    Ok(()) => {
                        queued.settle(&self.journal.shared, None);
                        return Ok(());
                    }
                    Err(error) => {
                        self.reopen(&error).await;
                        if !is_refusal(&error) {
                            return Err(error);
                        }
                        "the ledger refuses it"
                    }
                }
            }
        };
        self.put_aside(queued, reason).await
    }

    async fn put_aside(&mut self, queued: Queued, reason: &'static str) -> Result<(), Error> {
        let record = &queued.rows.record;
        if record.charge > 0 {
            tracing::error!(request = %record.id, reason, "the ledger contradicts a charge of the journal: {reason}");
            self.journal.book.lock().freeze(queued.place.organization);
            sqlx::query(REFUSE)
                .bind(record.id.to_string())
                .bind(record.organization.to_string())
                .bind(record.charge)
                .bind(record.completed_at)
                .bind(reason)
                .bind(hexadecimal(&record.body))
                .execute(&mut self.open.connection)
                .await?;
        }
        queued.lose(Lost::Conflict);
        Ok(())
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
}

/// The records of the frames that were taken.
fn read(taken: &Taken) -> Result<Vec<Queued>, Error> {
    let mut group: Vec<Queued> = Vec::with_capacity(limits::CHARGE_GROUP);
    for frame in &taken.frames {
        let items = item::read_all(&frame.payload)
            .ok_or_else(|| Error::Corrupt { table: "journal", row: frame.position.number.to_string() })?;
        for item in items {
            if let Item::Charge(body) = item {
                let has_written_intent = frame.closed.contains(&body.columns.id);
                group.push(Queued::journaled(&body.columns, has_written_intent, group.last()));
            }
        }
    }
    Ok(group)
}

/// Bytes as a text, for what is read by people only.
fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The database said no to what it was given: another try of the same is useless.
fn is_refusal(error: &Error) -> bool {
    match error {
        Error::Unavailable(cause) => cause.is_constraint,
        Error::Conflict(_) => true,
        Error::OutcomeUnknown(_) | Error::Beyond | Error::LastOwner | Error::Corrupt { .. } => false,
    }
}

/// The texts of this file, for the test that prepares them.
pub(crate) fn statements() -> Vec<(&'static str, String)> {
    [("charged", FIND_CHARGED), ("refuse", REFUSE)].map(|(name, sql)| (name, sql.to_owned())).into()
}

#[cfg(test)]
mod tests;
