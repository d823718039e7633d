//! Tells owners of keys that spend far more than they did.

use super::{JobError, Progress};
use crate::serve::Control;
use claviger_domain::time::Now;
use std::time::Duration;

pub(super) const NAME: &str = "spikes";
pub(super) const PERIOD: Duration = Duration::from_secs(60);

pub(super) async fn reconcile(control: &Control, now: Now) -> Result<Progress, JobError> {
    let Some(least) = control.leaks().spend_alert else { return Ok(Progress::default()) };
    let done = control.store().tell_spend_spikes(least, now.wall).await?;
    if done > 0 {
        control.wake(super::NOTICES);
    }
    Ok(Progress { done, has_more: false })
}
