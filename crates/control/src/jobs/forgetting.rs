//! Lets nodes forget secrets that ended 30 days ago, and answers that need not be repeated any more.

use super::{JobError, Progress};
use crate::serve::Control;
use claviger_domain::time::Now;
use std::time::Duration;

pub(super) const NAME: &str = "forgetting";
pub(super) const PERIOD: Duration = Duration::from_secs(600);

pub(super) async fn reconcile(control: &Control, now: Now) -> Result<Progress, JobError> {
    let (done, has_more) = control.store().forget(now.wall).await?;
    Ok(Progress { done, has_more })
}
