//! Records confirmations whose records could not be written when they were given.

use super::{JobError, Progress};
use crate::confirmation::catch_up;
use crate::serve::Control;
use claviger_domain::time::Now;
use std::time::Duration;

pub(super) const NAME: &str = "confirmations";
pub(super) const PERIOD: Duration = Duration::from_secs(5);

pub(super) async fn reconcile(control: &Control, _now: Now) -> Result<Progress, JobError> {
    Ok(Progress { done: catch_up(control).await?, has_more: false })
}
