//! Refused requests of valid keys: all are counted, some are recorded.
//!
//! A caller that is refused may come a thousand times a second, and each record is a row: so the first of a kind are
//! recorded, then one a second, and all of this node share a bound. The counts, by key, reason and hour, are whole; they
//! are written in batches.

use crate::authenticated::Caller;
use claviger_domain::error::Code;
use claviger_domain::gcra::{Level, Rate};
use claviger_domain::id::{KeyId, OrganizationId};
use claviger_domain::limits;
use claviger_domain::time::Monotonic;
use claviger_storage::Refusals;
use parking_lot::Mutex;
use std::collections::HashMap;

/// What is remembered until it is written.
#[derive(Default)]
pub(crate) struct RefusalCounts(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    kinds: HashMap<(KeyId, Code), Refused>,
    recorded: Level,
}

struct Refused {
    organization: OrganizationId,
    /// Since it was written last.
    count: u64,
    recorded: Level,
}

impl RefusalCounts {
    /// Counts one; whether it shall have a record too.
    pub(crate) fn note(&self, caller: &Caller, code: Code, now: Monotonic) -> bool {
        let mut inner = self.0.lock();
        let Inner { kinds, recorded } = &mut *inner;
        if kinds.len() >= limits::REFUSAL_KINDS && !kinds.contains_key(&(caller.key.id, code)) {
            return false;
        }
        let refused = kinds.entry((caller.key.id, code)).or_insert_with(|| Refused {
            organization: caller.key.organization(),
            count: 0,
            recorded: Level::default(),
        });
        refused.count = refused.count.saturating_add(1);
        let one = Rate::per_minute(limits::REFUSAL_RECORDS_RPM, Some(limits::REFUSAL_RECORDS_BURST));
        let all = Rate::per_minute(limits::NODE_REFUSAL_RECORDS_RPM, None);
        match (one.take(refused.recorded, 1, now), all.take(*recorded, 1, now)) {
            (Ok(of_kind), Ok(of_all)) => {
                refused.recorded = of_kind.level;
                *recorded = of_all.level;
                true
            }
            _ => false,
        }
    }

    /// What is to be written; kinds that have been quiet for long are forgotten.
    pub(crate) fn take(&self, now: Monotonic) -> Vec<Refusals> {
        let mut inner = self.0.lock();
        inner.kinds.retain(|_, refused| refused.count > 0 || !Rate::is_idle(refused.recorded, now));
        let counted = inner.kinds.iter_mut().filter(|(_, refused)| refused.count > 0);
        counted
            .map(|((key, code), refused)| Refusals {
                organization: refused.organization,
                key: *key,
                code: code.text().to_owned(),
                count: std::mem::take(&mut refused.count),
            })
            .collect()
    }
}
