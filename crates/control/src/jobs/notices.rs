//! Delivers the outbox: notices, invites, links. Without mail nothing is taken out of it.

use super::{JobError, Progress};
use crate::mail;
use crate::serve::Control;
use claviger_domain::time::Now;
use std::time::Duration;

pub(super) const NAME: &str = "notices";
pub(super) const PERIOD: Duration = Duration::from_secs(5);

/// One batch of mails that are due.
pub(super) async fn reconcile(control: &Control, now: Now) -> Result<Progress, JobError> {
    let (done, has_more) = mail::deliver_due(control, now).await?;
    Ok(Progress { done, has_more })
}
