//! Opens very many streams, keeps them, and counts those still alive at the end.
//!
//! Prints one JSON line when all are open (`"state":"open"`), so that whoever measures the target's memory knows when,
//! and one at the end (`"state":"end"`). A stream is lost when it was refused, ended early or fell silent.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::{Answer, CALL_TIMEOUT};
use crate::arguments::Arguments;
use crate::call::{Calls, source_address};
use crate::clock;
use crate::latency::Latencies;

/// Streams send one chunk a second; silence beyond this is a loss.
const SILENCE: Duration = Duration::from_secs(5);
/// How long the last streams may take to open.
const SETTLE: Duration = Duration::from_secs(2);
/// Five thousand buffers: chunks are some 250 bytes.
const BUFFER_BYTES: usize = 2048;

/// How one stream ended.
enum Held {
    Alive { first_content: Duration },
    Lost { fault: String },
}

/// Opens `--streams` at `--ramp` a second and keeps them for `--seconds`.
pub(crate) fn run(mut arguments: Arguments) -> anyhow::Result<()> {
    let streams: usize = arguments.required("streams")?;
    let ramp: f64 = arguments.required("ramp")?;
    let seconds: f64 = arguments.required("seconds")?;
    let opening = Duration::from_secs_f64(streams as f64 / ramp) + SETTLE;
    let whole = opening + Duration::from_secs_f64(seconds);
    // Long enough that no stream ends by itself, on a machine that is late too.
    let answer = Answer::LongStream { seconds: whole.as_secs() * 2 + 30 };
    let calls = Arc::new(Calls::from_arguments(&mut arguments, answer)?);
    arguments.finish()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(hold(calls, streams, ramp, opening, whole))
}

async fn hold(calls: Arc<Calls>, streams: usize, ramp: f64, opening: Duration, whole: Duration) -> anyhow::Result<()> {
    let begin = clock::now();
    let (opened, watched) = watch::channel(0_u64);
    let opened = Arc::new(opened);
    let mut tasks = JoinSet::new();
    for number in 0..streams {
        let start = begin + Duration::from_secs_f64(number as f64 / ramp);
        tokio::time::sleep_until(start.into()).await;
        let (calls, opened) = (calls.clone(), opened.clone());
        tasks.spawn(async move {
            match keep(&calls, number, begin + whole, &opened).await {
                Ok(first_content) => Held::Alive { first_content },
                Err(fault) => Held::Lost { fault: format!("{fault:#}") },
            }
        });
    }
    tokio::time::sleep_until((begin + opening).into()).await;
    println!("{}", json!({ "state": "open", "open": *watched.borrow() }));

    let (mut alive, mut lost, mut last_fault, mut first) = (0, 0, None, Latencies::default());
    while let Some(held) = tasks.join_next().await {
        match held.context("a stream's task ended early")? {
            Held::Alive { first_content } => {
                alive += 1;
                first.record(first_content);
            }
            Held::Lost { fault } => {
                lost += 1;
                last_fault = Some(fault);
            }
        }
    }
    let line = json!({ "state": "end", "alive": alive, "lost": lost, "fault": last_fault, "first": first.summary() });
    println!("{line}");
    Ok(())
}

/// Opens one stream and reads it until `until`.
async fn keep(calls: &Calls, number: usize, until: Instant, opened: &watch::Sender<u64>) -> anyhow::Result<Duration> {
    let begin = clock::now();
    let mut socket = connect(calls, number).await?;
    socket.write_all(calls.request(number as u64)).await?;
    let mut reply = Answer::LongStream { seconds: 0 }.reply();
    let mut buffer = [0; BUFFER_BYTES];
    let mut first_content = None;
    while clock::now() < until {
        let patience = if first_content.is_none() { CALL_TIMEOUT } else { SILENCE };
        let wait = patience.min(until.saturating_duration_since(clock::now()) + Duration::from_millis(1));
        let count = match timeout(wait, socket.read(&mut buffer)).await {
            Ok(count) => count?,
            Err(_) if clock::now() >= until && first_content.is_some() => break,
            Err(_) => bail!("silence of {wait:?}"),
        };
        reply.feed(&buffer[..count])?;
        if count == 0 || reply.is_complete() {
            bail!("ended early with status {} and {} bytes", reply.status(), reply.body_bytes());
        }
        if first_content.is_none() && reply.has_content() {
            first_content = Some(clock::now().duration_since(begin));
            opened.send_modify(|open| *open += 1);
        }
    }
    first_content.context("no content before the end")
}

async fn connect(calls: &Calls, number: usize) -> anyhow::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(source_address(number).into())?;
    let stream =
        timeout(CALL_TIMEOUT, socket.connect(calls.address.into())).await.context("no connection in time")??;
    stream.set_nodelay(true)?;
    Ok(stream)
}
