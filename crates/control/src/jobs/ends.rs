//! Tells owners of keys that expire in 14, 3 and 1 days, and of replaced secrets that are still used when their overlap
//! is nearly over.

use super::{JobError, Progress};
use crate::serve::Control;
use claviger_domain::time::Now;
use std::time::Duration;

pub(super) const NAME: &str = "ends";
pub(super) const PERIOD: Duration = Duration::from_secs(60);

pub(super) async fn reconcile(control: &Control, now: Now) -> Result<Progress, JobError> {
    let (done, has_more) = control.store().tell_ends(now.wall).await?;
    if done > 0 {
        control.wake(super::NOTICES);
    }
    Ok(Progress { done, has_more })
}
