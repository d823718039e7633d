//! Alarms of the management plane on their way to the store: the answer does not wait for them, so that bait answers as
//! fast as any unknown key.

use crate::serve::Control;
use claviger_domain::audit::Attribution;
use claviger_domain::key::Key;
use claviger_domain::limits;
use claviger_domain::notice::NoticeKind;
use claviger_domain::tenancy::TenantScope;
use claviger_storage as storage;
use claviger_storage::Alarm;

/// Alarms that wait; bounded, because whoever knows a canary's text can present it for ever.
#[derive(Debug, Default)]
pub(crate) struct Waiting(Vec<(Alarm, Attribution)>);

/// Notes that a canary was presented, or an ended key.
pub(crate) fn raise(control: &Control, kind: NoticeKind, key: &Key, path: &str, by: Attribution) {
    let alarm = Alarm {
        kind,
        scope: TenantScope(key.organization),
        key: key.id,
        path: path.to_owned(),
        disables_beside: control.leaks().canary_disables,
    };
    let mut waiting = control.leaks().waiting.lock();
    let is_known = waiting.0.iter().any(|(other, _)| (other.key, other.kind) == (alarm.key, kind));
    if !is_known && waiting.0.len() < limits::ALARMS {
        waiting.0.push((alarm, by));
    }
}

/// Writes what waits. What fails waits on.
pub(crate) async fn reconcile(control: &Control) -> Result<u64, storage::Error> {
    let taken = std::mem::take(&mut control.leaks().waiting.lock().0);
    let (mut written, mut left, mut failure) = (0, Vec::new(), None);
    for (alarm, by) in taken {
        match control.store().raise_alarm(alarm.clone(), &by).await {
            Ok(()) => written += 1,
            Err(error) => {
                failure = Some(error);
                left.push((alarm, by));
            }
        }
    }
    control.leaks().waiting.lock().0.extend(left);
    failure.map_or(Ok(written), Err)
}
