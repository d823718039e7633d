//! The driver of this node's standing: registers, loads, polls, applies, and admits nothing while it cannot show that it
//! follows (`architecture.md` §8, `reliability.md` §6).
//!
//! What to do is decided by `domain::revocation::Member`; here it is done. Events are applied in commit order; what an
//! event names is read again, so an old record never comes back (R5): a read begins after the event was committed.

use super::own::OwnModels;
use super::{Openers, Snapshot, Tenant};
use crate::limits::{Limiters, Places};
use crate::wallets::Wallets;
use claviger_domain::audit::{Actor, Attribution};
use claviger_domain::id::{NodeId, OrganizationId};
use claviger_domain::key::{Key, RevocationReason};
use claviger_domain::limits;
use claviger_domain::money::Nano;
use claviger_domain::own_provider::Shown;
use claviger_domain::place::TenantRules;
use claviger_domain::revocation::{Change, Event, Member, Position, RightsEvent, Step};
use claviger_domain::tenancy::TenantScope;
use claviger_domain::time::{Clock, Monotonic, OtherClock};
use claviger_storage::{Engine, Error, PollAsk, Store};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// A poll that takes longer counts as unanswered: a connection may have gone without a word.
const PATIENCE_MAX: Duration = Duration::from_secs(3);
const PATIENCE_MIN: Duration = Duration::from_millis(250);

/// Applying the news of one poll.
const APPLY_MAX: Duration = Duration::from_secs(10);

/// Between two tries to join, after the first.
const JOIN_PAUSE: Duration = Duration::from_millis(500);

/// Keeps a snapshot level with the database.
pub(crate) struct Follower {
    pub(crate) store: Store,
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) wallets: Arc<Wallets>,
    pub(crate) clock: Arc<dyn Clock>,
    /// This start of the node.
    pub(crate) id: NodeId,
    /// S.
    pub(crate) validity: Duration,
    /// What makes providers of organizations' rows.
    openers: Openers,
    member: Member,
    /// How often somebody else had closed the books of this seat; `None` = not known yet.
    closed: Option<i64>,
}

impl Follower {
    pub(crate) fn new(
        store: Store,
        wallets: Arc<Wallets>,
        limiters: Limiters,
        clock: Arc<dyn Clock>,
        id: NodeId,
        validity: Duration,
        openers: Openers,
    ) -> Self {
        let (member, snapshot) = (Member::new(validity), Arc::new(Snapshot::new(limiters)));
        Self { store, snapshot, wallets, clock, id, validity, openers, member, closed: None }
    }

    /// Registers, reads everything at one consistent point behind that, and follows until it is level.
    ///
    /// # Errors
    /// The store's; nothing may be admitted.
    pub(crate) async fn join(&mut self) -> Result<(), Error> {
        self.show();
        #[cfg(feature = "bugs")]
        if crate::bugs::joins_late() {
            return self.join_late().await;
        }
        let epoch = self.store.register_node(self.id, self.validity, self.clock.now().wall).await?;
        self.member.step(Event::Registered(epoch));
        self.own_leases().await?;
        let position = self.load().await?;
        self.member.step(Event::Loaded(position));
        self.advance().await
    }

    /// A seat is closed only while its node is not registered, so whatever this node still has after registering is its
    /// own; what it had before is not, if somebody took it for dead.
    async fn own_leases(&mut self) -> Result<(), Error> {
        let closed = self.store.times_closed().await?;
        if self.closed.replace(closed).is_some_and(|known| known != closed) {
            tracing::error!("this node was taken for dead and its credit went back: it draws anew");
            self.wallets.forget_leases(true);
        }
        Ok(())
    }

    /// The seeded bug "node joins after its snapshot": it takes its place in the feed from its registration.
    #[cfg(feature = "bugs")]
    async fn join_late(&mut self) -> Result<(), Error> {
        self.load().await?;
        tokio::time::sleep(crate::bugs::JOIN_LAG).await;
        let epoch = self.store.register_node(self.id, self.validity, self.clock.now().wall).await?;
        self.member.step(Event::Registered(epoch));
        self.member.step(Event::Loaded(Position { epoch, mark: 0 }));
        self.advance().await
    }

    /// Reads everything at one point; what is known here and not there is forgotten.
    async fn load(&self) -> Result<Position, Error> {
        let is_again = self.snapshot.keys.count() > 0;
        let mut known = HashSet::new();
        let mut learn = |key: Key| {
            if is_again {
                known.insert(key.id);
            }
            self.learn(key);
        };
        let ended_after = self.clock.now().wall.minus(limits::REMEMBER_KEYS);
        let mut rights = self.store.load_rights(ended_after, &mut learn).await?;
        if is_again {
            self.snapshot.keys.forget_others(&known);
        }
        for (organization, balance) in rights.organizations {
            let rules = rights.rules.get(&organization.id);
            let places = rules.and_then(|rules| self.places(rules, organization.id));
            let own = self.own(rights.providers.remove(&organization.id).unwrap_or_default(), organization.id);
            self.snapshot.learn_organization(Tenant::of(&organization, places, own));
            self.wallets.learn(organization.id, balance);
        }
        self.snapshot.applied.send_replace(rights.position.epoch);
        Ok(rights.position)
    }

    /// Polls, applies and polls again until nothing is news.
    ///
    /// # Errors
    /// The store's; nothing was renewed, what was applied stays applied.
    async fn advance(&mut self) -> Result<(), Error> {
        loop {
            let step = self.poll().await?;
            let step = match step {
                Step::Apply(events) => self.apply_all(events).await?,
                other => other,
            };
            self.show();
            match step {
                Step::PollAgain => {}
                Step::Reassert => return self.reassert().await,
                _ => return Ok(()),
            }
        }
    }

    async fn poll(&mut self) -> Result<Step, Error> {
        let now = self.clock.now();
        let patience = self.validity.checked_div(2).unwrap_or_default().clamp(PATIENCE_MIN, PATIENCE_MAX);
        let ask =
            PollAsk { id: self.id, applied: self.member.applied(), validity: self.validity, at: now.wall, patience };
        let polled = self.store.poll_node(ask).await?;
        if let Some(clock) = polled.clock {
            self.snapshot.hear(OtherClock::said(clock, self.clock.now().monotonic));
        }
        let sent_at = now.monotonic;
        #[cfg(feature = "bugs")]
        let (sent_at, polled) = crate::bugs::misread(sent_at, self.clock.now().monotonic, polled);
        self.wallets.recalled(&polled.recalled);
        if polled.nodes > 1 {
            self.snapshot.limiters.share_from(self.clock.now().monotonic);
        }
        if polled.is_draining {
            self.snapshot.leaving.send_replace(true);
        }
        Ok(self.member.step(Event::Answered { sent_at, answer: polled.answer }))
    }

    async fn apply_all(&mut self, events: Vec<RightsEvent>) -> Result<Step, Error> {
        let applied = tokio::time::timeout(APPLY_MAX, async {
            let mut last = self.member.applied();
            for event in events {
                self.apply(&event).await?;
                last = Position { epoch: event.epoch, mark: event.mark };
            }
            Ok::<_, Error>(last)
        });
        let last = applied.await.map_err(|_| Error::unanswered())??;
        let step = self.member.step(Event::Applied(last));
        self.snapshot.applied.send_replace(last.epoch);
        Ok(step)
    }

    async fn apply(&self, event: &RightsEvent) -> Result<(), Error> {
        match event.change {
            Change::Key(id) => {
                if let Some(key) = self.store.find_rights_key(id).await? {
                    self.learn(key);
                }
            }
            Change::Organization => {
                if let Some(organization) = self.store.find_organization(event.organization).await? {
                    let rules = self.store.find_tenant_rules(event.organization).await?;
                    let places = self.places(&rules, event.organization);
                    let own = self.own(self.store.find_shown_providers(event.organization).await?, event.organization);
                    self.snapshot.learn_organization(Tenant::of(&organization, places, own));
                    // A new organization starts with nothing; what it is funded with comes as events of its own.
                    self.wallets.learn(event.organization, Nano::ZERO);
                }
            }
            Change::Funding(amount) => self.wallets.fund(event.organization, amount),
        }
        Ok(())
    }

    /// Puts a key into the table; what was counted under its former policy stays counted.
    fn learn(&self, key: Key) {
        let id = key.id;
        if let Some(change) = self.snapshot.keys.learn(key) {
            let now = self.clock.now().monotonic;
            self.snapshot.limiters.policy_changed(id, &change.former, &change.policy, now);
        }
    }

    /// The limiters of an organization's rules, with the counters of those it had. Those of an organization that is new
    /// to this node count as used up when the node began: what was used before is not known.
    fn places(&self, rules: &TenantRules, organization: OrganizationId) -> Option<Places> {
        let former = self.snapshot.find_organization(organization);
        let begun = former.is_none().then(|| self.snapshot.limiters.begun());
        let former = former.as_ref().and_then(|former| former.places.as_deref());
        Places::of(organization, rules, former, begun, self.clock.now().monotonic)
    }

    /// What an organization brings along.
    fn own(&self, shown: Vec<Shown>, organization: OrganizationId) -> Option<Arc<OwnModels>> {
        let former = self.snapshot.find_organization(organization).and_then(|tenant| tenant.own.clone());
        self.openers.open(shown, former.as_ref())
    }

    /// Makes the request path see what the machine says.
    fn show(&self) {
        let until = match self.store.engine() {
            // The one process that writes is the one that reads.
            Engine::Sqlite => Monotonic(u64::MAX),
            Engine::Postgres => self.member.lease().map_or(Monotonic(0), |lease| lease.ends_at()),
        };
        self.snapshot.believe_until(until);
    }

    /// History has forked: revocations that this node knows may be lost (R3). They are made again before anything else.
    async fn reassert(&mut self) -> Result<(), Error> {
        let revoked = self.snapshot.keys.revoked();
        tracing::error!(
            revoked = revoked.len(),
            "history_fork: the database lost what this node had seen; revocations are made again, then all is read anew"
        );
        // What is leased was granted in a history that is gone: what of it is still true is found out by asking.
        self.wallets.forget_leases(false);
        let now = self.clock.now();
        let by = Attribution::local(Actor::System, "", now.wall);
        for (organization, key, is_compromised) in revoked {
            let reason = if is_compromised { RevocationReason::Compromised } else { RevocationReason::Other };
            self.store.revoke_key(TenantScope(organization), key, reason, &by).await?;
        }
        Ok(())
    }

    /// Follows until `stopped`: woken by every commit of this process, by notifications, and by a timer.
    pub(crate) async fn run(mut self, mut stopped: watch::Receiver<bool>) {
        let (mut committed, mut heard) = (self.store.committed(), self.store.heard());
        let mut is_failing = false;
        loop {
            tokio::select! {
                biased;
                _ = stopped.wait_for(|stop| *stop) => break,
                Ok(()) = committed.changed() => {}
                Ok(()) = heard.changed() => {}
                () = tokio::time::sleep(limits::POLL) => {}
            }
            let worked = if self.member.is_following() { self.advance().await } else { self.rejoin().await };
            match worked {
                Ok(()) => is_failing = false,
                Err(error) if !is_failing => {
                    is_failing = true;
                    tracing::error!(%error, "the change feed cannot be read; rights stay valid until their lease ends");
                }
                Err(_) => {}
            }
        }
        // Nothing is admitted any more: what is left to do is done when the running answers have ended.
        self.member.step(Event::Leaving);
        self.snapshot.believe_until(Monotonic(0));
    }

    async fn rejoin(&mut self) -> Result<(), Error> {
        tracing::warn!("this node registers and loads anew; until then it admits nothing");
        let joined = self.join().await;
        if joined.is_err() {
            tokio::time::sleep(JOIN_PAUSE).await;
        }
        joined
    }
}
