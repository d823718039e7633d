//! Denied attempts of the management plane, on their way to the log and, a minute at a time, to the database.
//!
//! How they are counted is `claviger_domain::denied`'s business; the data plane has counts of its own.

use crate::serve::{Control, Origin};
use claviger_domain::denied::DeniedAttempts;
use claviger_domain::error::Code;
use claviger_domain::time::Now;
use claviger_storage as storage;

/// Counts a refusal, if it denied somebody.
pub(crate) fn note(control: &Control, origin: Origin, code: Code, operation: &str, now: Now) {
    if !DeniedAttempts::is_denial(code) {
        return;
    }
    let from = match origin {
        Origin::Network { address, .. } => Some(address.ip()),
        Origin::LocalOperator => None,
    };
    let shown = control.audit().state.denied.lock().note(now.wall, code, from, operation);
    if let Some(hidden) = shown {
        tracing::warn!(target: "claviger::security", code = code.text(), operation, hidden, "an attempt was denied");
    }
}

/// Writes the minutes that have passed; at the end also the running one. What cannot be written is lost, as its line in
/// the log is not.
pub(crate) async fn reconcile(control: &Control, now: Now, is_last: bool) -> Result<u64, storage::Error> {
    let rows = {
        let mut denied = control.audit().state.denied.lock();
        if is_last { denied.rest() } else { denied.passed(now.wall) }
    };
    if rows.is_empty() {
        return Ok(0);
    }
    control.store().save_security_minutes(&rows).await?;
    Ok(u64::try_from(rows.len()).unwrap_or(u64::MAX))
}
