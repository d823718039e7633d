//! Writes what the management plane denied, a row a minute and code.

use super::{JobError, Progress};
use crate::serve::Control;
use claviger_domain::time::Now;
use std::time::Duration;

pub(super) const NAME: &str = "denied";
pub(super) const PERIOD: Duration = Duration::from_secs(10);

pub(super) async fn reconcile(control: &Control, now: Now) -> Result<Progress, JobError> {
    Ok(Progress { done: crate::audit::security::reconcile(control, now, false).await?, has_more: false })
}
