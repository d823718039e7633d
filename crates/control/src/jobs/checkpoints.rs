//! Signs the audit chains every minute or thousand records, and brings checkpoints to the sinks outside the database.

use super::{JobError, Progress};
use crate::serve::Control;
use claviger_domain::time::Now;
use std::time::Duration;

pub(super) const NAME: &str = "checkpoints";
pub(super) const PERIOD: Duration = Duration::from_secs(1);

pub(super) async fn reconcile(control: &Control, now: Now) -> Result<Progress, JobError> {
    Ok(Progress { done: crate::audit::checkpoints::reconcile(control, now).await?, has_more: false })
}
