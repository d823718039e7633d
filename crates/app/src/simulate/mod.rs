//! `claviger simulate`: the simulator as a server of its own, a scripted upstream for tests and benchmarks.
//!
//! What it answers is `claviger_wire::simulator`'s; here are the sockets, the waits, the record of requests and the
//! control endpoints. Everything it keeps is in memory and bounded.

mod connection;
mod control;
mod kept;
mod reply;
mod requests;
mod rules;
mod service;

#[cfg(test)]
mod tests;

use crate::clock::MachineClock;
use anyhow::Context as _;
use claviger_wire::simulator::Shape;
use requests::Requests;
use rules::Rules;
use service::Simulator;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How long open answers may go on after a signal.
const STOPPING: Duration = Duration::from_secs(2);
/// Connections that wait to be accepted.
const BACKLOG: u32 = 4096;
/// The pause after an accept that failed for lack of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The options of `claviger simulate`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// Where to listen; port 0 takes a free one, which the first line of output names
    #[arg(long, default_value = "127.0.0.1:9100", value_name = "ADDRESS")]
    pub(crate) listen: SocketAddr,
    /// Whose answers to imitate: openai, vllm, sglang, llamacpp, ollama or anthropic
    #[arg(long, default_value = "openai", value_name = "SHAPE")]
    pub(crate) shape: Shape,
    /// A file with the accepted credentials, one a line; without it every credential is good
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
    /// A file with the rules that bend answers, as PUT /_sim/script takes them
    #[arg(long, value_name = "FILE")]
    pub(crate) script: Option<PathBuf>,
    /// The context length to pretend, in tokens; llamacpp has 8192 unless told otherwise
    #[arg(long, value_name = "TOKENS")]
    pub(crate) context_tokens: Option<u64>,
    /// Keep no record of requests: for benchmarks
    #[arg(long)]
    pub(crate) no_log: bool,
    /// Serve /_sim/… to other machines too
    #[arg(long)]
    pub(crate) open_control: bool,
}

/// Serves until SIGTERM or SIGINT; prints the address it listens on as its first line.
///
/// # Errors
/// An option that cannot be used: an address that is taken, a file that cannot be read, a script that is not one.
pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let simulator = Arc::new(simulator(&options)?);
    let listener = listen(options.listen).with_context(|| format!("cannot listen on {}", options.listen))?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
    crate::cli::say(format_args!(
        "listening on http://{}",
        listener.local_addr().context("the listener has no address")?
    ));
    serve(listener, simulator, async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
    .await;
    Ok(())
}

/// Listens with room for thousands of callers at once: one that is dropped comes back a second later, and spoils a
/// benchmark.
fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// The simulator that the options describe.
fn simulator(options: &Options) -> anyhow::Result<Simulator> {
    let read =
        |file: &PathBuf| std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()));
    let keys = match &options.key_file {
        Some(file) => {
            let text = read(file)?;
            let keys: Vec<String> =
                text.lines().map(str::trim).filter(|key| !key.is_empty()).map(str::to_owned).collect();
            anyhow::ensure!(!keys.is_empty(), "{} holds no credential", file.display());
            Some(keys)
        }
        None => None,
    };
    let rules = match &options.script {
        Some(file) => {
            let text = read(file)?;
            Rules::parse(text.as_bytes()).with_context(|| format!("{} is not a script", file.display()))?
        }
        None => Rules::default(),
    };
    Ok(Simulator {
        shape: options.shape,
        keys,
        context_tokens: options.context_tokens.or(options.shape.default_context_tokens()),
        has_open_control: options.open_control,
        requests: (!options.no_log).then(Requests::default),
        rules,
        stats: service::Stats::default(),
        kept: kept::Kept::default(),
        clock: MachineClock::new(),
    })
}

/// Accepts until `stop`, then lets open answers end for a moment.
async fn serve(listener: TcpListener, simulator: Arc<Simulator>, stop: impl Future<Output = ()>) {
    let (stopping, watched) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    connections.spawn(connection::serve(stream, peer, Arc::clone(&simulator), watched.clone()));
                }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            () = &mut stop => break,
        }
    }
    drop(listener);
    stopping.send_replace(true);
    let drained = tokio::time::timeout(STOPPING, async { while connections.join_next().await.is_some() {} }).await;
    if drained.is_err() {
        connections.shutdown().await;
    }
}
