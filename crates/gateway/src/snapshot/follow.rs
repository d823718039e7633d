//! Loading the snapshot, and following the change feed (`architecture.md` §8, `reliability.md` §6).
//!
//! Events are applied in commit order; what an event names is read again, so an old record never comes back (R5): a
//! read begins after the event was committed. Rights hold until the *sending* of the last answered poll + S.

use super::{Snapshot, Tenant};
use crate::wallets::Wallets;
use claviger_domain::limits;
use claviger_domain::revocation::{Change, Epoch, RightsEvent, ValidityLease};
use claviger_domain::time::{Clock, Timestamp};
use claviger_storage::{Engine, Error, Store};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How often the feed is asked when nothing wakes us; on Postgres this is the promise, on SQLite only a second line.
const POLL: Duration = Duration::from_millis(200);

/// A poll that takes longer counts as unanswered: a connection may have gone without a word.
const POLL_MAX: Duration = Duration::from_secs(4);

/// Reads everything at one consistent point.
pub(crate) async fn load(store: &Store, wallets: &Wallets, now: Timestamp) -> Result<Snapshot, Error> {
    let snapshot = Snapshot::new(Epoch::default());
    let ended_after = now.minus(limits::REMEMBER_KEYS);
    let rights = store.load_rights(ended_after, &mut |key| snapshot.keys.learn(key)).await?;
    snapshot.applied.send_replace(rights.epoch);
    for (organization, balance) in rights.organizations {
        snapshot.learn_organization(Tenant::of(&organization));
        wallets.learn(organization.id, balance);
    }
    Ok(snapshot)
}

/// Keeps a snapshot level with the database.
pub(crate) struct Follower {
    pub(crate) store: Store,
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) wallets: Arc<Wallets>,
    pub(crate) clock: Arc<dyn Clock>,
    /// S.
    pub(crate) validity: Duration,
}

impl Follower {
    /// Applies what is news, once, and renews the validity lease.
    ///
    /// # Errors
    /// The store's; nothing was renewed, what was applied stays applied.
    pub(crate) async fn poll(&self) -> Result<(), Error> {
        let sent_at = self.clock.now().monotonic;
        loop {
            let news = self.store.changes_since(self.snapshot.epoch()).await?;
            if news.is_empty() {
                break;
            }
            for event in news {
                self.apply(&event).await?;
                self.snapshot.applied.send_replace(event.epoch);
            }
        }
        let lease = match self.store.engine() {
            Engine::Sqlite => None,
            Engine::Postgres => Some(ValidityLease::new(sent_at, self.validity)),
        };
        self.snapshot.renew(lease);
        Ok(())
    }

    async fn apply(&self, event: &RightsEvent) -> Result<(), Error> {
        match event.change {
            Change::Key(id) => {
                if let Some(key) = self.store.find_rights_key(id).await? {
                    self.snapshot.keys.learn(key);
                }
            }
            Change::Organization => {
                if let Some(organization) = self.store.find_organization(event.organization).await? {
                    self.snapshot.learn_organization(Tenant::of(&organization));
                    // A new organization starts with nothing; what it is funded with comes as events of its own.
                    self.wallets.learn(event.organization, claviger_domain::money::Nano::ZERO);
                }
            }
            Change::Funding(amount) => self.wallets.fund(event.organization, amount),
        }
        Ok(())
    }

    /// Follows until `stopped`: woken by every commit of this process, and by a timer.
    pub(crate) async fn run(self, mut stopped: watch::Receiver<bool>) {
        let mut committed = self.store.committed();
        let mut is_failing = false;
        loop {
            tokio::select! {
                biased;
                _ = stopped.wait_for(|stop| *stop) => return,
                _ = committed.changed() => {}
                () = tokio::time::sleep(POLL) => {}
            }
            let polled = tokio::time::timeout(POLL_MAX, self.poll()).await;
            let failed = match polled {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(error.to_string()),
                Err(_) => Some("no answer in time".to_owned()),
            };
            match failed {
                None => is_failing = false,
                Some(error) if !is_failing => {
                    is_failing = true;
                    tracing::error!(error, "the change feed cannot be read; rights stay valid until their lease ends");
                }
                Some(_) => {}
            }
        }
    }
}
