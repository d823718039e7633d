//! Ends older secrets whose overlap is over or that have fallen quiet, and extends those still in use where the rotation
//! said so. Nodes judge every end by their own clocks; this writes it down.

use super::{JobError, Progress};
use crate::serve::Control;
use claviger_domain::audit::{Action, Actor, Attribution};
use claviger_domain::key::{self, Key, Unwilling};
use claviger_domain::tenancy::TenantScope;
use claviger_domain::time::Now;
use claviger_storage::ChangeKeyOutcome;
use std::time::Duration;

pub(super) const NAME: &str = "overlaps";
pub(super) const PERIOD: Duration = Duration::from_secs(30);

/// Keys of one run.
const BATCH: u32 = 500;

pub(super) async fn reconcile(control: &Control, now: Now) -> Result<Progress, JobError> {
    let by = Attribution::local(Actor::System, "", now.wall);
    let keys = control.store().list_overlaps(now.wall, BATCH).await?;
    let mut done = 0;
    for (organization, id) in &keys {
        let at = now.wall;
        let decide = move |key: &Key| Ok::<_, Unwilling>(key::tend(key, at));
        let scope = TenantScope(*organization);
        let outcome = control.store().change_key(scope, *id, Action::SecretEnded, decide, &by).await?;
        if matches!(outcome, Some(ChangeKeyOutcome::Changed(changed)) if changed.is_new) {
            done += 1;
        }
    }
    // Keys that only wait for quiet stay in the list: a full batch without news is no backlog.
    Ok(Progress { done, has_more: done > 0 && keys.len() >= usize::try_from(BATCH)? })
}
