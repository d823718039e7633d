//! Brings what was used into the sums that reports read, a few seconds behind the requests.

use super::{JobError, Progress};
use crate::serve::Control;
use claviger_domain::limits;
use claviger_domain::time::Now;
use claviger_storage::RollUpLimits;
use std::time::Duration;

pub(super) const NAME: &str = "usage";
pub(super) const PERIOD: Duration = limits::USAGE_EVERY;

/// What one batch may be.
pub(super) const BATCH: RollUpLimits = RollUpLimits { records: limits::USAGE_RECORDS, sums: limits::USAGE_SUMS };

pub(super) async fn reconcile(control: &Control, _now: Now) -> Result<Progress, JobError> {
    let rolled = control.store().roll_up_usage(BATCH).await?;
    Ok(Progress { done: rolled.records, has_more: rolled.has_more })
}
