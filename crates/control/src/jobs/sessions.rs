//! Forgets sessions, one-time tokens, delivered mails and sealed texts whose time is long over.

use super::{JobError, Progress};
use crate::serve::Control;
use claviger_domain::limits;
use claviger_domain::time::{Now, Timestamp};
use std::time::Duration;

pub(super) const NAME: &str = "sessions";
pub(super) const PERIOD: Duration = Duration::from_secs(3600);

/// All that is over; each statement walks an index.
pub(super) async fn reconcile(control: &Control, now: Now) -> Result<Progress, JobError> {
    let ago = |age: Duration| {
        let age = i64::try_from(age.as_micros()).unwrap_or(i64::MAX);
        Timestamp(now.wall.0.saturating_sub(age))
    };
    let store = control.store();
    let sessions = store.forget_sessions(ago(limits::REMEMBER_SESSIONS)).await?;
    let mails = store.forget_mails(ago(limits::REMEMBER_MAILS)).await?;
    let handovers = store.forget_handovers(now.wall).await?;
    Ok(Progress { done: sessions.saturating_add(mails).saturating_add(handovers), has_more: false })
}
