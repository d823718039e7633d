//! Jobs: what runs beside requests (`architecture.md` §8).
//!
//! A job is a reconciler: no input, it reads the state and moves it one bounded batch toward what it should be, and is
//! safe to run twice, or on two nodes at once. One file has `NAME`, `PERIOD` and `reconcile`; it is woken by its period
//! and by [`Control::wake`], so a lost signal costs time and nothing else. What a job does is not known here.

use crate::serve::Control;
use claviger_domain::time::{Now, Timestamp};
use parking_lot::Mutex;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

/// How long a failed job waits before it is tried again, if its period is longer.
const AFTER_FAILURE: Duration = Duration::from_secs(10);

/// What one run has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Rows moved.
    pub(crate) done: u64,
    /// Whether the batch was full, so that more waits: it is run again at once.
    pub(crate) has_more: bool,
}

/// Why a run failed; told once in the log, and in the list of jobs until a run succeeds.
pub(crate) type JobError = Box<dyn std::error::Error + Send + Sync>;

type Run<'a> = Pin<Box<dyn Future<Output = Result<Progress, JobError>> + Send + 'a>>;

struct Job {
    name: &'static str,
    period: Duration,
    reconcile: for<'a> fn(&'a Control, Now) -> Run<'a>,
}

/// Declares the files and puts their jobs into the one table.
macro_rules! jobs {
    ($($module:ident,)*) => {
        $(mod $module;)*

        const JOBS: &[Job] = &[$(Job {
            name: $module::NAME,
            period: $module::PERIOD,
            reconcile: |control, now| Box::pin($module::reconcile(control, now)),
        },)*];
    };
}

jobs! {
    alarms,
    checkpoints,
    confirmations,
    denied,
    ends,
    forgetting,
    notices,
    sessions,
    spikes,
    overlaps,
    usage,
}

/// The job that empties the outbox.
pub(crate) const NOTICES: &str = notices::NAME;

/// The batch of the job that adds usage up.
pub(crate) const ROLL_UP: claviger_storage::RollUpLimits = usage::BATCH;

/// What is known of the jobs of this process.
pub(crate) struct Jobs(Vec<Seat>);

#[derive(Default)]
struct Seat {
    wake: Notify,
    status: Mutex<JobStatus>,
}

/// How a job fares.
#[derive(Clone, Debug, Default)]
pub struct JobStatus {
    /// Its name.
    pub name: &'static str,
    /// How often it runs.
    pub period: Duration,
    /// When it last succeeded.
    pub last_success: Option<Timestamp>,
    /// Rows moved since the start of this process.
    pub done: u64,
    /// Whether more was waiting after the last run.
    pub has_backlog: bool,
    /// Why the last run failed; `None` once one succeeds.
    pub last_error: Option<String>,
}

impl Default for Jobs {
    fn default() -> Self {
        let seat = |job: &Job| Seat {
            wake: Notify::new(),
            status: Mutex::new(JobStatus { name: job.name, period: job.period, ..JobStatus::default() }),
        };
        Self(JOBS.iter().map(seat).collect())
    }
}

impl Control {
    /// Runs every job until `stopping`; running ones finish their batch.
    pub async fn run_jobs(self, stopping: watch::Receiver<bool>) {
        let mut running = JoinSet::new();
        for (place, job) in JOBS.iter().enumerate() {
            running.spawn(self.clone().run_job(place, job, stopping.clone()));
        }
        while running.join_next().await.is_some() {}
    }

    /// Wakes a job before its time.
    pub(crate) fn wake(&self, name: &str) {
        for (seat, _) in self.jobs().0.iter().zip(JOBS).filter(|(_, job)| job.name == name) {
            seat.wake.notify_one();
        }
    }

    /// How every job of this process fares.
    pub fn job_statuses(&self) -> Vec<JobStatus> {
        self.jobs().0.iter().map(|seat| seat.status.lock().clone()).collect()
    }

    /// One run of the job of this name, whatever its time; `None` = there is no such job.
    ///
    /// # Errors
    /// The job's own.
    pub(crate) async fn run_job_once(&self, name: &str) -> Option<Result<Progress, JobError>> {
        let (place, job) = JOBS.iter().enumerate().find(|(_, job)| job.name == name)?;
        let result = (job.reconcile)(self, self.clock().now()).await;
        self.note(place, job, &result);
        Some(result)
    }

    async fn run_job(self, place: usize, job: &'static Job, mut stopping: watch::Receiver<bool>) {
        let jobs = self.jobs();
        let Some(seat) = jobs.0.get(place) else { return };
        loop {
            let result = (job.reconcile)(&self, self.clock().now()).await;
            self.note(place, job, &result);
            let pause = match &result {
                Ok(progress) if progress.has_more => Duration::ZERO,
                Ok(_) => job.period,
                Err(_) => job.period.min(AFTER_FAILURE),
            };
            tokio::select! {
                biased;
                _ = stopping.wait_for(|stop| *stop) => return,
                () = seat.wake.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    fn note(&self, place: usize, job: &Job, result: &Result<Progress, JobError>) {
        let Some(seat) = self.jobs().0.get(place) else { return };
        let mut status = seat.status.lock();
        match result {
            Ok(progress) => {
                status.last_success = Some(self.clock().now().wall);
                status.done = status.done.saturating_add(progress.done);
                status.has_backlog = progress.has_more;
                status.last_error = None;
            }
            Err(error) => {
                let said = error.to_string();
                if status.last_error.as_ref() != Some(&said) {
                    tracing::error!(job = job.name, error = %said, "a job failed; it is tried again");
                }
                status.last_error = Some(said);
            }
        }
    }
}
