//! A task: work at an upstream that outlives the call which asked for it (`money.md` §9, `wire.md` §2.10).
//!
//! One machine: what is known of a task, what happened, and when, give its next state and what is to be done with its
//! hold. A hold is captured or released exactly once, because only an open task has effects on it and every end closes it.
//! An upstream that changes its verdict behind the end is heard once more: what was paid for and failed is given back,
//! what was given back and is done all the same is ours to pay. Rows, upstreams and prices are not known here.

use crate::endpoint::EndpointName;
use crate::id::{EnvironmentId, KeyId, OrganizationId, ProviderId, TaskId};
use crate::limits;
use crate::money::Nano;
use crate::right::words;
use crate::time::Timestamp;
use std::time::Duration;

words! {
    /// Where a task is.
    TaskState {
        /// Its hold is durable; the upstream has not said that it took it.
        Created = "created";
        /// The upstream has it and has not begun.
        Queued = "queued";
        /// The upstream works on it.
        Running = "running";
        /// Done and paid for.
        Completed = "completed";
        /// It failed, and cost nothing.
        Failed = "failed";
        /// Somebody did not want it any more; it cost nothing.
        Cancelled = "cancelled";
        /// It was not done in time, and cost nothing.
        Expired = "expired";
    }
}

impl TaskState {
    /// Whether its hold is still to be captured or released.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Created | Self::Queued | Self::Running)
    }
}

words! {
    /// What became of a task whose upstream changed its verdict behind the end.
    Late {
        /// It had been paid for, and failed: the charge was given back.
        Refunded = "refunded";
        /// It had been given up, and is done: what it cost is ours.
        Absorbed = "absorbed";
    }
}

/// What was asked for, as it is shown again and paid for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VideoTerms {
    /// The text it is made from.
    pub prompt: String,
    /// Seconds asked for of each video; the most that is paid.
    pub seconds: u64,
    /// Videos asked for.
    pub count: u64,
    /// Width and height, as the caller wrote them.
    pub size: Option<String>,
}

/// Where the work is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskPlace {
    /// The provider's name.
    pub provider: String,
    /// Which row the provider is, unless the configuration declares it.
    pub row: Option<ProviderId>,
    /// The model's name there.
    pub upstream_model: String,
    /// The upstream's id of it: stored, never shown.
    pub upstream_id: String,
}

/// Why a task did not complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskError {
    /// A code of the catalogue.
    pub code: String,
    /// In words for the caller.
    pub message: String,
}

/// Where its end is told, when somebody asked for that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Callback {
    /// An address that [`crate::egress::Destination`] reads.
    pub url: String,
    /// What the telling is signed with: whoever holds the key that asked can make it too.
    pub signing: [u8; 32],
}

/// One task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// Its id; the only one that is shown.
    pub id: TaskId,
    /// Whose it is: ids of others are unknown.
    pub organization: OrganizationId,
    /// The environment of the key that asked.
    pub environment: EnvironmentId,
    /// That key, which may have ended since.
    pub key: KeyId,
    /// What it counts as.
    pub kind: EndpointName,
    /// The public model, as the caller named it.
    pub model: String,
    /// What was asked for, if it is a video.
    pub terms: Option<VideoTerms>,
    /// The caller's own words about it: a JSON object of texts.
    pub metadata: String,
    /// Where its end is told.
    pub callback: Option<Callback>,
    /// Where it is.
    pub state: TaskState,
    /// In hundredths.
    pub progress: u8,
    /// Seconds that were made, once it is completed.
    pub made_seconds: Option<u64>,
    /// `None` until an upstream has taken it.
    pub place: Option<TaskPlace>,
    /// Why it did not complete.
    pub error: Option<TaskError>,
    /// What is held for it.
    pub hold: Nano,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When an upstream was first known to work on it.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub completed_at: Option<Timestamp>,
    /// While it is open: when it is given up. Then: when it is forgotten.
    pub expires_at: Timestamp,
    /// When somebody looks after it next.
    pub due_at: Timestamp,
    /// What its upstream said behind its end, once that was another verdict.
    pub late: Option<Late>,
}

/// What an upstream says of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// It waits.
    Queued,
    /// So far, in hundredths.
    Running(u8),
    /// It is done; the seconds it has, rounded up, if that is told.
    Completed(Option<u64>),
    /// It failed; in the upstream's words.
    Failed(String),
    /// It was ended there.
    Cancelled,
    /// It is not kept there any more: of an open one, that it failed; of an ended one, nothing.
    Gone,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskEvent {
    /// The upstream took it.
    Submitted(TaskPlace),
    /// No upstream took it, as far as is known: it is never sent again.
    NotTaken(TaskError),
    /// The upstream was asked.
    Said(Said),
    /// It could not be asked.
    Unheard,
    /// A call that is answered as a whole is with an upstream.
    Started,
    /// Such a call was answered; its record says what it costs.
    Answered,
    /// Such a call was broken off because its caller did not want it any more; its record says what it costs.
    BrokenOff,
    /// Such a call took longer than its caller wants to wait.
    TooLate,
    /// The caller does not want it any more.
    Cancel,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskEffect {
    /// Nothing: it had ended before.
    Nothing,
    /// It has ended; keep when it is looked at next.
    Wait,
    /// Keep what is known, and look again when it is due.
    Save,
    /// Charge these seconds, of all videos together; the rest of the hold goes back.
    Capture(u64),
    /// Charge what the record of its call says; the rest of the hold goes back.
    Settle,
    /// The whole hold goes back.
    Release,
    /// Give back what was charged for it.
    Refund,
    /// Book what these seconds cost to ourselves.
    Absorb(u64),
}

impl Task {
    /// Takes in what happened.
    pub fn step(&mut self, event: TaskEvent, now: Timestamp) -> TaskEffect {
        if !self.state.is_open() {
            return self.step_behind_end(event, now);
        }
        let said = match event {
            TaskEvent::Submitted(place) => {
                self.place = Some(place);
                self.state = TaskState::Queued;
                Said::Queued
            }
            TaskEvent::NotTaken(error) => return self.end(TaskState::Failed, Some(error), now),
            TaskEvent::Cancel => return self.end(TaskState::Cancelled, None, now),
            TaskEvent::Started => {
                self.start(now);
                return TaskEffect::Save;
            }
            TaskEvent::Answered => {
                self.progress = 100;
                self.end(TaskState::Completed, None, now);
                return TaskEffect::Settle;
            }
            TaskEvent::BrokenOff => {
                self.end(TaskState::Cancelled, None, now);
                return TaskEffect::Settle;
            }
            TaskEvent::TooLate => return self.expire(now),
            // Nobody knows whether it was taken: whoever submitted it is gone.
            TaskEvent::Unheard if self.place.is_none() => {
                let message = "The node that worked on it is gone.".to_owned();
                let error = TaskError { code: "upstream_error".to_owned(), message };
                return self.end(TaskState::Failed, Some(error), now);
            }
            TaskEvent::Unheard => return self.wait(now),
            TaskEvent::Said(said) => said,
        };
        match said {
            Said::Queued => {}
            Said::Running(progress) => {
                self.start(now);
                self.progress = self.progress.max(progress.min(99));
            }
            Said::Completed(made) => return self.complete(made, now),
            Said::Failed(message) => {
                let error = TaskError { code: "upstream_error".to_owned(), message };
                return self.end(TaskState::Failed, Some(error), now);
            }
            Said::Cancelled => return self.end(TaskState::Cancelled, None, now),
            Said::Gone => {
                let message = "The upstream does not have it any more.".to_owned();
                let error = TaskError { code: "upstream_error".to_owned(), message };
                return self.end(TaskState::Failed, Some(error), now);
            }
        }
        self.wait(now)
    }

    /// Its hold is gone, but its upstream may still change its mind: once.
    fn step_behind_end(&mut self, event: TaskEvent, now: Timestamp) -> TaskEffect {
        if self.late.is_some() || self.place.is_none() {
            return TaskEffect::Nothing;
        }
        let is_paid = self.state == TaskState::Completed;
        match event {
            TaskEvent::Said(Said::Failed(message)) if is_paid => self.refund(message),
            TaskEvent::Said(Said::Cancelled) if is_paid => self.refund("The upstream has cancelled it.".to_owned()),
            TaskEvent::Said(Said::Completed(made)) if !is_paid => {
                self.late = Some(Late::Absorbed);
                self.due_at = Timestamp::NEVER;
                TaskEffect::Absorb(self.seconds(made))
            }
            // It agrees, or says nothing any more.
            TaskEvent::Said(Said::Failed(_) | Said::Cancelled | Said::Gone) => self.wait_until(Timestamp::NEVER),
            TaskEvent::Said(_) | TaskEvent::Unheard => self.wait_behind_end(now),
            _ => TaskEffect::Nothing,
        }
    }

    fn refund(&mut self, message: String) -> TaskEffect {
        self.late = Some(Late::Refunded);
        self.state = TaskState::Failed;
        self.error = Some(TaskError { code: "upstream_error".to_owned(), message });
        self.due_at = Timestamp::NEVER;
        TaskEffect::Refund
    }

    /// Ever more seldom: a verdict that holds for an hour mostly holds.
    fn wait_behind_end(&mut self, now: Timestamp) -> TaskEffect {
        let ended = self.completed_at.unwrap_or(now);
        let next = now.plus(since(ended, now).max(limits::TASK_LOOK_BEHIND));
        self.wait_until(if next < self.expires_at { next } else { Timestamp::NEVER })
    }

    fn wait_until(&mut self, at: Timestamp) -> TaskEffect {
        self.due_at = at;
        TaskEffect::Wait
    }

    /// Never more than was asked for, all videos together.
    fn seconds(&self, made: Option<u64>) -> u64 {
        let (asked, count) = self.terms.as_ref().map_or((0, 1), |terms| (terms.seconds, terms.count));
        made.unwrap_or(asked).min(asked).saturating_mul(count)
    }

    fn start(&mut self, now: Timestamp) {
        self.state = TaskState::Running;
        self.started_at = self.started_at.or(Some(now));
    }

    fn complete(&mut self, made: Option<u64>, now: Timestamp) -> TaskEffect {
        let asked = self.terms.as_ref().map_or(0, |terms| terms.seconds);
        self.made_seconds = Some(made.unwrap_or(asked).min(asked));
        self.progress = 100;
        self.end(TaskState::Completed, None, now);
        TaskEffect::Capture(self.seconds(made))
    }

    fn wait(&mut self, now: Timestamp) -> TaskEffect {
        if now >= self.expires_at {
            return self.expire(now);
        }
        // Young tasks are looked after often, old ones seldom.
        let wait = since(self.created_at, now).checked_div(10).unwrap_or_default();
        self.due_at = now.plus(wait.clamp(limits::TASK_LOOK_MIN, limits::TASK_LOOK_MAX));
        TaskEffect::Save
    }

    fn expire(&mut self, now: Timestamp) -> TaskEffect {
        let message = "The task was not done in time.".to_owned();
        let error = TaskError { code: "upstream_timeout".to_owned(), message };
        self.end(TaskState::Expired, Some(error), now)
    }

    fn end(&mut self, state: TaskState, error: Option<TaskError>, now: Timestamp) -> TaskEffect {
        self.state = state;
        self.error = error;
        self.completed_at = Some(now);
        self.expires_at = now.plus(limits::TASK_RESULT);
        let has_upstream = self.place.is_some();
        self.due_at = if has_upstream { now.plus(limits::TASK_LOOK_BEHIND) } else { Timestamp::NEVER };
        TaskEffect::Release
    }
}

fn since(then: Timestamp, now: Timestamp) -> Duration {
    Duration::from_micros(u64::try_from(now.0.saturating_sub(then.0)).unwrap_or(0))
}

#[cfg(test)]
mod tests;
