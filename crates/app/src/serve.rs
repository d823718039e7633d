//! `claviger serve`: opens the instance, joins the planes, listens, and ends in good order.

use crate::cli::{Failure, Kind};
use crate::config::{self, Autodetect, Flags, PlainHttp, ServeConfig, Variables};
use crate::data_directory::DataDirectory;
use crate::enable::{self, Enabled};
use crate::first_run;
use crate::instance::Instance;
use crate::private::{self, Condition};
use crate::random::BufferedRandom;
use crate::reload::{InForce, Reload, Sources};
use crate::socket::LocalDoor;
use anyhow::Context as _;
use claviger_control::{AwaitRights, Awaited, Control, ControlBody, Found, Origin};
use claviger_domain::audit::Attribution;
use claviger_domain::catalog::{Catalog, Difference};
use claviger_domain::endpoint::Match;
use claviger_domain::error::PublicError;
use claviger_domain::id::{KeyId, OrganizationId};
use claviger_domain::key::{Verified, VerifyAsk};
use claviger_domain::money::Nano;
use claviger_domain::revocation::Epoch;
use claviger_domain::secret::Secret;
use claviger_domain::time::{Monotonic, Now, Timestamp};
use claviger_gateway::{BodyError, Gateway, PacedBody, RequestContext, Waited, Watchtower};
use claviger_storage::Store;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 4096;

/// Serves until SIGTERM or SIGINT. A second signal skips the wait for running answers.
pub(crate) fn run(flags: &Flags, variables: &Variables) -> Result<(), Failure> {
    let config = config::load_for_serving(flags, variables)?;
    check_listen(&config)?;
    crate::telemetry::start(&config.config);
    wake_bug(variables)?;
    let runtime = runtime().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(Kind::Failed, format!("no runtime: {error}")))?;
    let sources = Sources { flags: flags.clone(), variables: variables.clone() };
    runtime.block_on(serve(config, sources)).map_err(Failure::from)
}

/// One thread a core; on a single core no other worker exists that could take work over, so none is woken for it.
fn runtime() -> tokio::runtime::Builder {
    match std::thread::available_parallelism() {
        Ok(cores) if cores.get() == 1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    }
}

/// Keys must not cross a network in the clear, unless the operator says that something in front ends TLS.
fn check_listen(config: &ServeConfig) -> Result<(), Failure> {
    if config.listen.ip().is_loopback() || config.plain_http != PlainHttp::Loopback {
        return Ok(());
    }
    let what = format!(
        "{} is not a loopback address, and without TLS every key would cross the network in the clear",
        config.listen
    );
    Err(Failure::new(Kind::Usage, what).next("put a TLS proxy in front and add --plain-http, or listen on 127.0.0.1"))
}

async fn serve(mut config: ServeConfig, sources: Sources) -> anyhow::Result<()> {
    let directory = DataDirectory::open_or_make(&config.config.data)?;
    // Bound first: an address that is taken ends the start before anything is made.
    let listener = listen(config.listen)?;
    let private = TcpListener::bind(config.private_listen)
        .await
        .with_context(|| format!("cannot listen on {}", config.private_listen))?;
    let (api, private_address) = (listener.local_addr()?, private.local_addr()?);
    let instance = Instance::open_when_reachable(&config.config, &directory).await?;
    instance.store.save_price_versions(&config.sheets, instance.clock.now()).await?;
    let is_for_trial = instance.is_fresh && (api.ip().is_loopback() || config.is_quickstart);
    let test_key = if is_for_trial { Some(instance.make_test_key(&config.config).await?) } else { None };

    let in_force = in_force(&mut config, &sources.variables).await;
    let found = look_around(&config, &instance, &sources.variables, &in_force.enabled).await;
    let public_url = config.config.public_url.clone().unwrap_or_else(|| url_of(api));
    let settings = gateway_settings(&config, &instance, &public_url);
    let gateway = Gateway::start(
        instance.store.clone(),
        Arc::clone(&in_force.catalog),
        settings,
        instance.clock.clone(),
        Box::new(BufferedRandom::new()),
    )
    .await?;
    let reload = Arc::new(Reload::new(sources, &config.config, &gateway, &instance, in_force));
    let this_node = Arc::new(ThisNode { gateway: gateway.clone(), reload: Arc::clone(&reload) });
    let control = instance.control(&config.config, this_node.clone(), public_url.clone());

    let (stop, stopping) = watch::channel(false);
    let mut sides = JoinSet::new();
    let door = LocalDoor::bind(&directory.socket()).context("cannot make the local socket")?;
    sides.spawn(door.serve(control.clone(), instance.clock.clone(), stopping.clone()));
    let (audited, until) = (control.clone(), stopping.clone());
    sides.spawn(async move { audited.keep_audit(until).await });
    sides.spawn(control.clone().run_jobs(stopping.clone()));
    sides.spawn(reload.at_hangup(stopping.clone())?);
    sides.spawn(private::serve(private, this_node, stopping));

    let addresses = Addresses { api, private: private_address, public_url: &public_url };
    let link = control.first_set_up_link().await;
    directory.keep_set_up_link(link.as_deref())?;
    announce(&config, &instance, &addresses, (test_key.as_ref(), link.as_deref()), &found);
    let (mut second, store) = (Signals::new()?, instance.store.clone());
    let ended = async {
        answer_until_told(listener, &gateway, &instance.store, control).await?;
        stop.send_replace(true);
        gateway.stop().await;
        while sides.join_next().await.is_some() {}
        instance.store.close().await;
        anyhow::Ok(())
    };
    tokio::select! {
        ended = ended => ended?,
        // A second signal skips the wait for running answers; the next start settles them as after a kill.
        () = async { second.next().await; second.next().await } => {
            tracing::warn!("stopped without waiting for running answers");
        }
    }
    tracing::info!("stopped");
    if store.is_taken() {
        let what = "another process has taken this node's place in the database: each data directory serves once";
        return Err(Failure::new(Kind::Conflict, what).into());
    }
    if gateway.has_lost_ledger() {
        let what = "the ledger could not be written: see the log, check the disk, then start again";
        return Err(Failure::new(Kind::Failed, what).into());
    }
    Ok(())
}

/// What the configuration declares, and what is found if that is to be used.
async fn in_force(config: &mut ServeConfig, variables: &Variables) -> InForce {
    let enabled = enable::look(config.autodetect, variables).await;
    let catalog = Arc::new(enable::join(std::mem::take(&mut config.catalog), &enabled));
    InForce { catalog, enabled }
}

/// What is told of this machine: what is used, or what a start without anything offers. Later ones are asked to look, by
/// `providers detect`.
async fn look_around(
    config: &ServeConfig,
    instance: &Instance,
    variables: &Variables,
    enabled: &[Enabled],
) -> Vec<Found> {
    match config.autodetect {
        Autodetect::Enable => enabled.iter().map(Enabled::told).collect(),
        Autodetect::Offer if instance.is_fresh => crate::detect::look(variables).await,
        Autodetect::Offer | Autodetect::Off => Vec::new(),
    }
}

/// Where a server is to be found.
struct Addresses<'a> {
    api: SocketAddr,
    private: SocketAddr,
    public_url: &'a str,
}

/// Says on standard output where the server is, and in the log that it serves.
fn announce(
    config: &ServeConfig,
    instance: &Instance,
    at: &Addresses<'_>,
    (test_key, set_up_link): (Option<&Secret<String>>, Option<&str>),
    found: &[Found],
) {
    let start = first_run::Start {
        serve: config,
        engine: instance.store.engine(),
        is_fresh: instance.is_fresh,
        api: at.api,
        private: at.private,
        public_url: at.public_url,
        // The clock's monotonic zero is the opening of the instance.
        took: instance.clock.now().monotonic.since(Monotonic(0)),
        set_up_link,
        found,
        test_key,
    };
    // A closed standard output is no reason not to serve.
    let _ = std::io::stdout().write_all(first_run::block(&start).as_bytes());
    let _ = std::io::stdout().flush();
    tracing::info!(listen = %at.api, private = %at.private, engine = instance.store.engine().name(), "serving");
}

/// Serves both planes until a signal comes, an operator drains the node, the ledger is lost or the database is another
/// node's, and running answers have ended.
async fn answer_until_told(
    listener: TcpListener,
    gateway: &Gateway,
    store: &Store,
    control: Control,
) -> anyhow::Result<()> {
    let management = move |matched: Match, request: Request<PacedBody>, context: RequestContext| {
        let control = control.clone();
        async move { manage(&control, matched, request, context).await }
    };
    let mut first = Signals::new()?;
    let (node, database) = (gateway.clone(), store.clone());
    let told = async move {
        tokio::select! {
            () = first.next() => {}
            () = node.told_to_leave() => tracing::info!("an operator told this node to leave"),
            () = node.ledger_failed() => {}
            () = database.taken() => {}
        }
    };
    claviger_gateway::serve(listener, gateway.clone(), management, told).await;
    Ok(())
}

/// A listener whose connections inherit a bounded send buffer, so that "handed to the kernel" stays close to what the
/// client has.
fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let bind = || -> std::io::Result<TcpListener> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        socket.set_send_buffer_size(claviger_domain::limits::SEND_BUFFER_BYTES)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    bind().with_context(|| format!("cannot listen on {address}"))
}

fn gateway_settings(config: &ServeConfig, instance: &Instance, public_url: &str) -> claviger_gateway::Settings {
    let mut peppers = instance.peppers.clone();
    peppers.sort_by_key(|pepper| pepper.version);
    claviger_gateway::Settings {
        prefixes: config.config.prefixes.clone(),
        peppers,
        public_url: public_url.trim_end_matches('/').to_owned(),
        has_simulator_for_live_keys: config.simulator_for_live_keys,
        is_tls_required: config.plain_http == PlainHttp::Loopback,
        canary_disables: config.config.canary_disables,
        has_access_log: config.access_log,
        out_of_credit_status: config.out_of_credit_status,
        upstream_cut: config.upstream_cut,
        trusted_proxies: config.trusted_proxies.clone(),
        forwarded: config.forwarded,
        key_limits: config.key_limits,
        self_service_rpm: config.self_service_rpm,
        validity_lease: config.validity_lease,
        drain: config.drain,
        routes: config.routes,
        reach: config.config.reach.clone(),
        are_own_models_free: config.are_own_models_free,
    }
}

/// What to print for clients on this machine: never an address that means "all".
pub(crate) fn url_of(address: SocketAddr) -> String {
    let shown = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => SocketAddr::from((Ipv4Addr::LOCALHOST, address.port())),
        IpAddr::V6(ip) if ip.is_unspecified() => SocketAddr::from((Ipv6Addr::LOCALHOST, address.port())),
        _ => address,
    };
    format!("http://{shown}")
}

/// The management plane behind the listener: its bodies come paced, and say so when they fail.
async fn manage(
    control: &Control,
    matched: Match,
    request: Request<PacedBody>,
    context: RequestContext,
) -> Response<ControlBody> {
    let request = request.map(|body| {
        body.map_err(|error: BodyError| {
            let kind = match error {
                BodyError::TooSlow => std::io::ErrorKind::TimedOut,
                BodyError::TooLarge => std::io::ErrorKind::FileTooLarge,
                BodyError::Incomplete | BodyError::NoRoom => std::io::ErrorKind::UnexpectedEof,
            };
            std::io::Error::new(kind, error)
        })
    });
    let origin = Origin::Network { address: context.client, is_known: context.is_client_known };
    control.answer(origin, matched, request, context.request_id).await
}

/// SIGTERM and SIGINT.
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

fn awaited(waited: Waited) -> Awaited {
    match waited {
        Waited::Confirmed(nodes) => Awaited::Confirmed(nodes),
        Waited::Pending(nodes) => Awaited::Pending(nodes),
        Waited::Lost => Awaited::Lost,
    }
}

/// The nodes of a database, seen by a command that serves nothing itself: on Postgres others may run elsewhere.
pub(crate) struct OtherNodes(pub(crate) Watchtower);

impl AwaitRights for OtherNodes {
    fn confirmed(&self, epoch: Epoch, patience: Duration) -> Pin<Box<dyn Future<Output = Awaited> + Send + '_>> {
        Box::pin(async move { awaited(self.0.confirmed(epoch, patience).await) })
    }

    fn patience(&self) -> Duration {
        self.0.patience()
    }

    fn held(&self, _organization: OrganizationId) -> Option<Nano> {
        None
    }

    fn running(&self, _key: KeyId) -> u64 {
        0
    }

    fn has_foreign_keys(&self) -> bool {
        true
    }

    fn self_service(&self, _key: KeyId) -> Result<(), PublicError> {
        Ok(())
    }

    fn verify(&self, _ask: &VerifyAsk<'_>) -> Result<Verified, PublicError> {
        Err(claviger_control::no_node())
    }
}

/// The node of this process, as the other rooms see it.
struct ThisNode {
    gateway: Gateway,
    reload: Arc<Reload>,
}

impl AwaitRights for ThisNode {
    fn confirmed(&self, epoch: Epoch, patience: Duration) -> Pin<Box<dyn Future<Output = Awaited> + Send + '_>> {
        Box::pin(async move { awaited(self.gateway.confirmed(epoch, patience).await) })
    }

    fn patience(&self) -> Duration {
        self.gateway.patience()
    }

    fn held(&self, organization: OrganizationId) -> Option<Nano> {
        self.gateway.credit(organization).map(|(_, held)| held)
    }

    fn running(&self, key: KeyId) -> u64 {
        self.gateway.running(key)
    }

    fn catalog(&self) -> Option<Arc<Catalog>> {
        Some(self.gateway.catalog())
    }

    fn has_foreign_keys(&self) -> bool {
        self.gateway.has_foreign_keys()
    }

    fn self_service(&self, key: KeyId) -> Result<(), PublicError> {
        self.gateway.self_service(key)
    }

    fn latest(&self, now: Now) -> Timestamp {
        self.gateway.latest(now)
    }

    fn verify(&self, ask: &VerifyAsk<'_>) -> Result<Verified, PublicError> {
        self.gateway.verify(ask)
    }

    fn reload<'a>(
        &'a self,
        is_check: bool,
        by: &'a Attribution,
    ) -> Pin<Box<dyn Future<Output = Result<Difference, PublicError>> + Send + 'a>> {
        Box::pin(self.reload.take_over(is_check, by))
    }
}

impl Condition for ThisNode {
    fn is_ready(&self) -> bool {
        self.gateway.is_ready()
    }

    fn metrics(&self) -> String {
        self.gateway.metrics_text()
    }
}

/// Wakes one seeded bug of a test build, and gives its clocks another rate or another time.
#[cfg(feature = "bugs")]
fn wake_bug(variables: &Variables) -> Result<(), Failure> {
    match variables.find("CLAVIGER_BUG").unwrap_or_default() {
        "" => {}
        "no_fsync_before_last_byte" => claviger_storage::bugs::ack_before_commit(true),
        "hold_not_released_on_cancel" => claviger_gateway::bugs::plant_hold_not_released_on_cancel(),
        "update_lacks_check" => claviger_control::bugs::plant_update_lacks_check(),
        "charge_on_retry" => claviger_gateway::bugs::plant_charge_on_retry(),
        "organization_filter_missing" => claviger_storage::bugs::organization_filter_missing(true),
        "audit_after_commit" => claviger_storage::bugs::audit_after_commit(true),
        "epoch_from_a_sequence" => claviger_storage::bugs::epoch_from_a_sequence(true),
        "secret_in_one_log_line" => claviger_gateway::bugs::plant_secret_in_a_log_line(),
        "secrets_compared_by_equals" => claviger_domain::bugs::plant_secrets_compared_by_equals(),
        "duplicate_json_key_accepted" => claviger_wire::bugs::plant_duplicate_key_accepted(),
        other if claviger_gateway::bugs::plant_revocation(other) => {}
        other => return Err(Failure::new(Kind::Usage, format!("there is no seeded bug `{other}`"))),
    }
    if let Some(rate) = variables.find("CLAVIGER_CLOCK_RATE").and_then(|rate| rate.parse().ok()) {
        crate::clock::run_at(rate);
    }
    if let Some(seconds) = variables.find("CLAVIGER_CLOCK_AHEAD").and_then(|seconds| seconds.parse().ok()) {
        crate::clock::set_ahead(seconds);
    }
    Ok(())
}

/// Builds without seeded bugs have nothing to wake.
#[cfg(not(feature = "bugs"))]
#[expect(clippy::unnecessary_wraps, reason = "the build with seeded bugs can refuse")]
fn wake_bug(_variables: &Variables) -> Result<(), Failure> {
    Ok(())
}
