//! The running data plane: what it was started with, what it knows, and what ends with it.

use crate::alarms::Alarms;
use crate::authenticated::Caller;
use crate::callers::Callers;
use crate::drain::Drains;
use crate::exchange::Open;
use crate::health::Health;
use crate::limits::Limiters;
use crate::memory::BodyMemory;
use crate::metrics::Metrics;
use crate::once::{Claims, Ended};
use crate::refusals::RefusalCounts;
use crate::running::Running;
use crate::snapshot::{Follower, Neighbours, Openers, Snapshot, Waited, Watchtower};
use crate::task::TaskDesk;
use crate::tasks::Tasks;
use crate::upstream::Upstreams;
use crate::wallets::Wallets;
use arc_swap::ArcSwap;
use claviger_domain::address::{Cidr, ForwardingHeader};
use claviger_domain::catalog::Catalog;
use claviger_domain::denied::DeniedAttempts;
use claviger_domain::egress::Reach;
use claviger_domain::endpoint::EndpointTable;
use claviger_domain::id::{KeyId, NodeId, OrganizationId, RequestId};
use claviger_domain::key::Prefixes;
use claviger_domain::limits;
use claviger_domain::money::Nano;
use claviger_domain::revocation::{Epoch, How, NodeConfirmation};
use claviger_domain::secret::Pepper;
use claviger_domain::settlement::UpstreamCut;
use claviger_domain::time::{Clock, Monotonic, Now, Random, Timestamp};
use claviger_storage::{Charges, Engine, Store};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, mpsc, watch};

/// How requests are put to targets.
#[derive(Clone, Copy, Debug)]
pub struct RouteSettings {
    /// Attempts over all targets of one request, 1 to 5.
    pub attempts: usize,
    /// Silence of a committed stream before a comment is sent.
    pub keep_alive: Duration,
    /// How long the headers of a stream wait for the first upstream event.
    pub commit_headers: Duration,
}

impl Default for RouteSettings {
    fn default() -> Self {
        Self { attempts: limits::ATTEMPTS, keep_alive: limits::KEEP_ALIVE, commit_headers: limits::COMMIT_HEADERS }
    }
}

/// What the operator decides about the data plane.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The key prefixes that are read.
    pub prefixes: Prefixes,
    /// The peppers, oldest first; the last is for new secrets.
    pub peppers: Vec<Pepper>,
    /// What callers of other machines reach it by, without a trailing `/`: signed links begin with it.
    pub public_url: String,
    /// Whether live keys see the simulator's models.
    pub has_simulator_for_live_keys: bool,
    /// Whether keys are refused on plain HTTP from other than loopback addresses.
    pub is_tls_required: bool,
    /// Whether a canary that was presented disables the keys that are kept in the same place.
    pub canary_disables: bool,
    /// Whether one line per request is logged.
    pub has_access_log: bool,
    /// What OpenAI-shaped endpoints answer when credit is used up: 429 or 402.
    pub out_of_credit_status: u16,
    /// Row 12 of the cut-off rule.
    pub upstream_cut: UpstreamCut,
    /// Networks whose forwarding header is believed.
    pub trusted_proxies: Vec<Cidr>,
    /// The header they write the client into.
    pub forwarded: ForwardingHeader,
    /// The most that any one key may.
    pub key_limits: claviger_domain::key::Limits,
    /// Requests a minute of one key to what answers about itself; 0 = no limit.
    pub self_service_rpm: u32,
    /// S: how long a node may admit without news from the database.
    pub validity_lease: Duration,
    /// How long running answers may go on when the node stops.
    pub drain: Duration,
    /// How requests are put to targets.
    pub routes: RouteSettings,
    /// How far connections to organizations' own providers may go.
    pub reach: Reach,
    /// Whether models of organizations' own providers cost nothing where the price book is silent; else they are refused.
    pub are_own_models_free: bool,
}

/// Why the data plane did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No pepper: no key could be recognised.
    #[error("there is no pepper")]
    NoPepper,
    /// What this node must know could not be read.
    #[error("keys and wallets could not be loaded")]
    Load(#[from] claviger_storage::Error),
}

/// The data plane of one node.
#[derive(Clone)]
pub struct Gateway(pub(crate) Arc<Node>);

/// What every request of this node shares.
pub(crate) struct Node {
    pub(crate) store: Store,
    pub(crate) charges: Charges,
    pub(crate) catalog: ArcSwap<Catalog>,
    pub(crate) settings: Settings,
    pub(crate) endpoints: EndpointTable,
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) wallets: Arc<Wallets>,
    pub(crate) upstreams: Upstreams,
    pub(crate) health: Health,
    pub(crate) drains: Drains,
    /// Requests that run once, under the name their callers gave them.
    pub(crate) claims: Claims,
    /// Tasks of callers, beside their rows.
    pub(crate) desk: TaskDesk,
    pub(crate) memory: BodyMemory,
    pub(crate) running: Running,
    pub(crate) tasks: Tasks,
    pub(crate) metrics: Metrics,
    pub(crate) refusals: RefusalCounts,
    /// Who uses which secret.
    pub(crate) callers: Callers,
    /// Attempts that were denied somebody, for the security log.
    pub(crate) denied: Mutex<DeniedAttempts>,
    clock: Arc<dyn Clock>,
    random: Mutex<Box<dyn Random>>,
    /// This start of this node.
    id: NodeId,
    /// A secret was used that never was before.
    first_use: Notify,
    watchtower: Watchtower,
    /// What owners want to know within seconds.
    pub(crate) alarms: Alarms,
    /// Set when a charge could not be made durable: nothing is admitted any more.
    lost_ledger: watch::Sender<bool>,
    /// Set when the time for running answers is over: they are ended and settled.
    cutting: watch::Sender<bool>,
    /// Set when the node no longer accepts connections.
    is_draining: AtomicBool,
    stop: watch::Sender<bool>,
}

impl Gateway {
    /// Loads what the node must know and begins to follow the change feed. Ready when it returns.
    ///
    /// # Errors
    /// [`StartError`]: nothing runs.
    pub async fn start(
        store: Store,
        catalog: Arc<Catalog>,
        settings: Settings,
        clock: Arc<dyn Clock>,
        random: Box<dyn Random>,
    ) -> Result<Self, StartError> {
        if settings.peppers.is_empty() {
            return Err(StartError::NoPepper);
        }
        let mut random = random;
        let id = NodeId::generate(clock.now().wall, &mut *random);
        let validity = settings.validity_lease;
        let wallets = Arc::new(Wallets::new(store.engine() == Engine::Postgres));
        let limiters = Limiters::new(clock.now(), settings.key_limits, settings.self_service_rpm);
        let openers = Openers::of(&settings);
        let mut follower =
            Follower::new(store.clone(), Arc::clone(&wallets), limiters, Arc::clone(&clock), id, validity, openers);
        follower.join().await?;
        store.end_former_replays().await?;
        match store.wake_lost_tasks(clock.now().wall).await? {
            0 => {}
            lost => tracing::warn!(lost, "tasks were in hand when this node ended: they are released"),
        }
        let snapshot = Arc::clone(&follower.snapshot);
        let watchtower = Watchtower::new(store.clone(), Arc::clone(&clock), validity);
        let (drains, abandoned) = Drains::new();
        let (claims, ended) = Claims::new();
        let node = Arc::new(Node {
            charges: store.charges(),
            store,
            catalog: ArcSwap::new(catalog),
            settings,
            endpoints: EndpointTable::new(),
            snapshot,
            wallets,
            upstreams: Upstreams::new(),
            health: Health::default(),
            drains,
            claims,
            desk: TaskDesk::new(),
            memory: BodyMemory::new(),
            running: Running::new(),
            tasks: Tasks::default(),
            metrics: Metrics::default(),
            refusals: RefusalCounts::default(),
            callers: Callers::default(),
            denied: Mutex::default(),
            clock,
            random: Mutex::new(random),
            id,
            first_use: Notify::new(),
            watchtower,
            alarms: Alarms::default(),
            lost_ledger: watch::Sender::new(false),
            cutting: watch::Sender::new(false),
            is_draining: AtomicBool::new(false),
            stop: watch::Sender::new(false),
        });
        node.charges.time_syncs(Arc::clone(&node.clock));
        node.tasks.spawn(follower.run(node.stop.subscribe()));
        if node.store.engine() == Engine::Postgres {
            let neighbours = Neighbours { store: node.store.clone(), clock: Arc::clone(&node.clock), id, validity };
            node.tasks.spawn(neighbours.run(node.stop.subscribe()));
            let wallets = Arc::clone(&node.wallets);
            node.tasks.spawn(wallets.run(node.store.clone(), Arc::clone(&node.clock), node.stop.subscribe()));
        }
        node.begin(abandoned, ended);
        Ok(Self(node))
    }

    /// Puts another catalog in force; requests keep the one they were admitted under.
    pub fn swap_catalog(&self, catalog: Arc<Catalog>) {
        self.0.health.keep(&catalog);
        self.0.catalog.store(catalog);
        self.0.upstreams.forget();
        self.0.tell_of_shared_segments();
    }

    /// The platform's catalog in force.
    pub fn catalog(&self) -> Arc<Catalog> {
        self.0.catalog.load_full()
    }

    /// Waits, `patience` at most, until no node admits by rights older than `epoch`. Asked after the commit.
    pub async fn confirmed(&self, epoch: Epoch, patience: Duration) -> Waited {
        if self.0.store.engine() == Engine::Postgres {
            return self.0.watchtower.confirmed(epoch, patience).await;
        }
        // The one process that writes is the one that reads.
        let begun = self.0.now().monotonic;
        match tokio::time::timeout(patience, self.0.snapshot.applied(epoch)).await {
            Ok(()) => {
                let ms = u64::try_from(self.0.now().monotonic.since(begun).as_millis()).unwrap_or(u64::MAX);
                Waited::Confirmed(vec![NodeConfirmation { id: self.0.id, how: How::Acknowledged, ms }])
            }
            Err(_elapsed) => Waited::Pending(vec![self.0.id]),
        }
    }

    /// By which time limits are judged at `now`: the later one of this machine's clock and the database's.
    pub fn latest(&self, now: Now) -> Timestamp {
        self.0.snapshot.latest(now)
    }

    /// How long a confirmation can take while nodes and database do what they should.
    pub fn patience(&self) -> Duration {
        self.0.watchtower.patience()
    }

    /// This start of this node.
    pub fn id(&self) -> NodeId {
        self.0.id
    }

    /// Requests of a key that were admitted here and have not settled.
    pub fn running(&self, key: KeyId) -> u64 {
        self.0.running.count(key)
    }

    /// Balance and open holds of an organization on this node.
    pub fn credit(&self, organization: OrganizationId) -> Option<(Nano, Nano)> {
        self.0.wallets.find(organization).map(|wallet| wallet.reading())
    }

    /// Whether the node admits requests: started, not stopping, own ledger good.
    pub fn is_ready(&self) -> bool {
        !self.0.is_stopping() && !self.0.has_lost_ledger()
    }

    /// Resolves when a charge could not be made durable, on whatever the store has tried: the process must end, and say
    /// so by its exit code. What memory believes of the wallets is read anew by the next start.
    pub async fn ledger_failed(&self) {
        // The sender lives as long as the node that is borrowed here.
        let _ = self.0.lost_ledger.subscribe().wait_for(|is_lost| *is_lost).await;
    }

    /// Resolves when an operator told this node to leave: as after SIGTERM, running answers end first.
    pub async fn told_to_leave(&self) {
        // The sender lives as long as the node that is borrowed here.
        let _ = self.0.snapshot.leaving.subscribe().wait_for(|is_leaving| *is_leaving).await;
    }

    /// Whether a charge could not be made durable.
    pub fn has_lost_ledger(&self) -> bool {
        self.0.has_lost_ledger()
    }

    /// The metrics of the private listener, in Prometheus' text format.
    pub fn metrics_text(&self) -> String {
        self.0.metrics.text(&self.0)
    }

    /// Ends the node's own tasks; call after [`crate::serve`] has returned. Last uses are written once more, credit goes
    /// back, and whoever waits for a revocation does not wait for this node any more.
    pub async fn stop(&self) {
        self.0.stop.send_replace(true);
        self.0.tasks.ended().await;
        let node = &self.0;
        node.wallets.return_all(&node.store, node.clock.as_ref()).await;
        if let Err(error) = node.store.deregister_node(node.id).await {
            tracing::warn!(%error, "this node could not deregister: a revocation waits for its silence");
        }
    }
}

impl Node {
    /// Slugs come first, ids of the platform later: that is lawful, and the operator shall know of it (ADR 0071).
    fn tell_of_shared_segments(&self) {
        let catalog = self.catalog.load();
        for slug in self.snapshot.slugs().iter().filter(|slug| catalog.has_segment(slug)) {
            tracing::warn!(
                slug,
                "ids of the platform begin with a slug that an organization has: to its members its own models of these ids go first"
            );
        }
    }

    /// Begins what runs beside requests on every node.
    fn begin(self: &Arc<Self>, abandoned: mpsc::Receiver<Box<Open>>, ended: mpsc::Receiver<Ended>) {
        self.tell_of_shared_segments();
        let debts = Arc::clone(&self.snapshot.limiters.debts);
        self.tasks.spawn(debts.run(Arc::clone(self), self.stop.subscribe()));
        self.tasks.spawn(crate::drain::run(Arc::downgrade(self), abandoned, self.stop.subscribe()));
        self.tasks.spawn(crate::once::run(Arc::downgrade(self), ended, self.stop.subscribe()));
        self.tasks.spawn(Self::write_last_uses(Arc::clone(self)));
        self.tasks.spawn(Self::tell_alarms(Arc::clone(self)));
        self.tasks.spawn(Self::keep_counts(Arc::clone(self)));
        self.tasks.spawn(Self::sweep_upstreams(Arc::clone(self)));
        self.tasks.spawn(Self::answer_charges(Arc::clone(self)));
        self.tasks.spawn(crate::task::run(Arc::clone(self), self.stop.subscribe()));
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        self.clock.as_ref()
    }

    pub(crate) fn now(&self) -> Now {
        self.clock.now()
    }

    pub(crate) fn wall(&self) -> Timestamp {
        self.clock.wall()
    }

    /// By which time limits are judged.
    pub(crate) fn latest(&self) -> Timestamp {
        self.snapshot.latest_of(self.clock.as_ref())
    }

    pub(crate) fn monotonic(&self) -> Monotonic {
        self.clock.monotonic()
    }

    /// The clock itself, for what outlives the call.
    pub(crate) const fn shared_clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Draws from the node's one source of randomness.
    pub(crate) fn with_random<T>(&self, draw: impl FnOnce(&mut dyn Random) -> T) -> T {
        draw(&mut **self.random.lock())
    }

    pub(crate) fn new_request_id(&self, at: Timestamp) -> RequestId {
        RequestId::generate(at, &mut **self.random.lock())
    }

    /// A number below `limit`, for weighted draws; 0 when `limit` is 0.
    pub(crate) fn draw_below(&self, limit: u64) -> u64 {
        let mut bytes = [0_u8; 8];
        self.random.lock().fill(&mut bytes);
        u64::from_le_bytes(bytes).checked_rem(limit).unwrap_or(0)
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.is_draining.load(Ordering::Relaxed)
    }

    /// No new connections: running answers finish.
    pub(crate) fn begin_draining(&self) {
        self.is_draining.store(true, Ordering::Relaxed);
    }

    /// Stops admitting: a charge could not be made durable, and what is served now might be lost too.
    pub(crate) fn lose_ledger(&self) {
        if !self.lost_ledger.send_replace(true) {
            tracing::error!("a charge could not be made durable: this node admits nothing any more and ends");
        }
    }

    pub(crate) fn has_lost_ledger(&self) -> bool {
        *self.lost_ledger.borrow()
    }

    /// The drain time is over: streams end with `server_shutdown` at their next step.
    pub(crate) fn cut(&self) {
        self.cutting.send_replace(true);
    }

    /// Resolves when the drain time is over.
    pub(crate) async fn cutting(&self) {
        // The sender lives as long as the node that is borrowed here.
        let _ = self.cutting.subscribe().wait_for(|is_cutting| *is_cutting).await;
    }

    pub(crate) fn is_cutting(&self) -> bool {
        *self.cutting.borrow()
    }

    /// Tells requests of this runtime that their charges are durable, until the node stops.
    async fn answer_charges(self: Arc<Self>) {
        let mut stopped = self.stop.subscribe();
        self.charges.answer_here(async { drop(stopped.wait_for(|stop| *stop).await) }).await;
    }

    /// Turns true when the node stops.
    pub(crate) fn stopping(&self) -> watch::Receiver<bool> {
        self.stop.subscribe()
    }

    /// Closes connections to upstreams that nobody asks for, until the node stops.
    async fn sweep_upstreams(self: Arc<Self>) {
        let mut stopped = self.stop.subscribe();
        while tokio::time::timeout(limits::IDLE_UPSTREAM_SWEEP, stopped.wait_for(|stop| *stop)).await.is_err() {
            self.upstreams.sweep(crate::alarm::instant_now());
            self.health.sweep();
        }
    }

    /// Stamps a use. A secret's first is written at once: it ends the time in which the secret may be issued again.
    pub(crate) fn used(&self, caller: &Caller, at: Timestamp) {
        if self.snapshot.keys.used(&caller.key, caller.secret, at) {
            self.first_use.notify_one();
        }
    }

    /// Writes counts of refusals in batches, once more when the node stops, and drops counters that say nothing.
    async fn keep_counts(self: Arc<Self>) {
        let mut stopped = self.stop.subscribe();
        let mut swept = self.now().monotonic;
        loop {
            let is_last = tokio::select! {
                _ = stopped.wait_for(|stop| *stop) => true,
                () = tokio::time::sleep(limits::LAST_USE_FLUSH) => false,
            };
            let now = self.now();
            let refused = self.refusals.take(now.monotonic);
            if !refused.is_empty()
                && let Err(error) = self.store.add_refusals(refused, now.wall).await
            {
                tracing::warn!(%error, "counts of refused requests could not be written and are lost");
            }
            let denied = if is_last { self.denied.lock().rest() } else { self.denied.lock().passed(now.wall) };
            if !denied.is_empty()
                && let Err(error) = self.store.save_security_minutes(&denied).await
            {
                tracing::warn!(%error, "counts of denied attempts could not be written and are lost");
            }
            if now.monotonic.since(swept) >= limits::LIMITER_SWEEP {
                self.snapshot.limiters.sweep(now.monotonic);
                swept = now.monotonic;
            }
            if is_last {
                return;
            }
        }
    }

    /// Writes stamps of use back in batches, forward only, at most 15 s late; once more when the node stops.
    async fn write_last_uses(self: Arc<Self>) {
        let mut stopped = self.stop.subscribe();
        loop {
            let is_last = tokio::select! {
                _ = stopped.wait_for(|stop| *stop) => true,
                () = self.first_use.notified() => false,
                () = tokio::time::sleep(limits::LAST_USE_FLUSH) => false,
            };
            let used = self.snapshot.keys.take_uses();
            if let Err(error) = self.store.stamp_last_uses(&used).await {
                tracing::warn!(%error, "last uses could not be written; they are tried again");
                self.snapshot.keys.put_back(&used);
            }
            self.write_callers().await;
            if is_last {
                return;
            }
        }
    }
}
