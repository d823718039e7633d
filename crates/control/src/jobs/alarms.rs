//! Tells of bait that was touched and keys that were seen where others could read them, within seconds.

use super::{JobError, Progress};
use crate::serve::Control;
use claviger_domain::time::Now;
use std::time::Duration;

pub(super) const NAME: &str = "alarms";
pub(super) const PERIOD: Duration = Duration::from_secs(1);

pub(super) async fn reconcile(control: &Control, _now: Now) -> Result<Progress, JobError> {
    Ok(Progress { done: crate::leaks::alarms::reconcile(control).await?, has_more: false })
}
