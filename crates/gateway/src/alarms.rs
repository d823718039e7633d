//! What owners want to know within seconds: bait that was taken, ended keys in use, keys in URLs.
//!
//! The request only notes it, so its answer costs what any other refusal costs; a task writes it a moment later. The same
//! fact about the same key is told once in a while, because whoever has a key's text can present it for ever.

use crate::node::Node;
use claviger_domain::audit::{Actor, Attribution};
use claviger_domain::id::{KeyId, OrganizationId, SecretId};
use claviger_domain::limits;
use claviger_domain::notice::NoticeKind;
use claviger_domain::tenancy::{LeakAction, TenantScope};
use claviger_domain::time::Monotonic;
use claviger_storage::{Alarm, Error, Sighting};
use http::{HeaderMap, header};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// How long one that could not be written waits.
const AGAIN: Duration = Duration::from_secs(1);

/// One fact.
#[derive(Clone, Debug)]
pub(crate) struct Fact {
    pub(crate) kind: NoticeKind,
    pub(crate) organization: OrganizationId,
    pub(crate) key: KeyId,
    pub(crate) secret: SecretId,
    /// The endpoint's name.
    pub(crate) path: &'static str,
    pub(crate) by: Attribution,
}

/// Facts that wait, and when which was told.
#[derive(Default)]
pub(crate) struct Alarms {
    waiting: Mutex<Vec<Fact>>,
    told: Mutex<HashMap<(KeyId, NoticeKind), Monotonic>>,
    wake: Notify,
}

impl Alarms {
    /// Notes a fact, unless it was told lately or too many wait.
    pub(crate) fn raise(&self, now: Monotonic, fact: impl FnOnce() -> Fact, key: KeyId, kind: NoticeKind) {
        {
            let mut told = self.told.lock();
            if told.get(&(key, kind)).is_some_and(|at| now.since(*at) < limits::ALARM_AGAIN) {
                return;
            }
            if told.len() >= limits::ALARMS {
                told.retain(|_, at| now.since(*at) < limits::ALARM_AGAIN);
            }
            if told.len() >= limits::ALARMS {
                return;
            }
            told.insert((key, kind), now);
        }
        let mut waiting = self.waiting.lock();
        if waiting.len() < limits::ALARMS {
            waiting.push(fact());
        }
        drop(waiting);
        self.wake.notify_one();
    }
}

impl Node {
    /// Writes what waits, at once; what cannot be written is tried again until the node stops.
    pub(crate) async fn tell_alarms(self: Arc<Self>) {
        let mut stopped = self.stopping();
        loop {
            let is_last = tokio::select! {
                _ = stopped.wait_for(|stop| *stop) => true,
                () = self.alarms.wake.notified() => false,
            };
            let taken = std::mem::take(&mut *self.alarms.waiting.lock());
            let mut left = Vec::new();
            for fact in taken {
                if let Err(error) = self.tell(&fact).await {
                    tracing::warn!(%error, key = %fact.key, kind = fact.kind.name(), "an alarm waits to be written");
                    left.push(fact);
                }
            }
            if is_last {
                return;
            }
            if !left.is_empty() {
                self.alarms.waiting.lock().extend(left);
                let _ = tokio::time::timeout(AGAIN, stopped.wait_for(|stop| *stop)).await;
                self.alarms.wake.notify_one();
            }
        }
    }

    async fn tell(&self, fact: &Fact) -> Result<(), Error> {
        let scope = TenantScope(fact.organization);
        if fact.kind == NoticeKind::KeyExposed {
            let (source, url) = ("url".to_owned(), fact.path.to_owned());
            let sighting = Sighting { scope, key: fact.key, secret: fact.secret, source, url };
            return self.store.report_leak(sighting, LeakAction::Notify, &fact.by).await.map(drop);
        }
        let alarm = Alarm {
            kind: fact.kind,
            scope,
            key: fact.key,
            path: fact.path.to_owned(),
            disables_beside: self.settings.canary_disables,
        };
        self.store.raise_alarm(alarm, &fact.by).await
    }

    /// Who came, as far as is known of somebody who was refused.
    pub(crate) fn stranger(&self, address: std::net::IpAddr, headers: &HeaderMap, request_id: String) -> Attribution {
        let agent = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let client = agent.split(' ').next().unwrap_or_default().chars().take(limits::CLIENT_CHARACTERS).collect();
        let by = Attribution::local(Actor::Nobody, request_id, self.now().wall);
        Attribution { address: address.to_string(), client, ..by }
    }
}
