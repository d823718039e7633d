//! Closed loop: N connections, each sends its next request when the last answer is complete. Measures capacity.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::{Answer, CALL_TIMEOUT, READ_BYTES};
use crate::arguments::Arguments;
use crate::call::Calls;
use crate::clock;
use crate::latency::Latencies;
use crate::reply::Reply;

/// What one connection or all of them did.
#[derive(Debug, Default)]
struct Tally {
    ok: u64,
    bad: u64,
    last_fault: Option<String>,
    latencies: Latencies,
}

/// Runs `--connections` for `--seconds` and returns one JSON line.
pub(crate) fn run(mut arguments: Arguments) -> anyhow::Result<Value> {
    let connections: usize = arguments.required("connections")?;
    let seconds: f64 = arguments.required("seconds")?;
    let answer = arguments.optional::<String>("ask")?.map_or(Ok(Answer::Json), |name| Answer::from_name(&name))?;
    let calls = Arc::new(Calls::from_arguments(&mut arguments, answer)?);
    arguments.finish()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let begin = clock::now();
        let until = begin + Duration::from_secs_f64(seconds);
        let next = Arc::new(AtomicU64::new(0));
        let mut tasks = JoinSet::new();
        for _ in 0..connections {
            tasks.spawn(keep_calling(calls.clone(), next.clone(), until));
        }
        let mut total = Tally::default();
        while let Some(tally) = tasks.join_next().await {
            let tally = tally.context("a connection's task ended early")?;
            total.ok += tally.ok;
            total.bad += tally.bad;
            total.last_fault = tally.last_fault.or(total.last_fault);
            total.latencies.merge(tally.latencies);
        }
        let took = clock::now().duration_since(begin).as_secs_f64();
        Ok(json!({
            "ok": total.ok,
            "bad": total.bad,
            "fault": total.last_fault,
            "seconds": took,
            "per_second": total.ok as f64 / took,
            "latency": total.latencies.summary(),
        }))
    })
}

async fn keep_calling(calls: Arc<Calls>, next: Arc<AtomicU64>, until: Instant) -> Tally {
    let mut tally = Tally::default();
    while clock::now() < until {
        if let Err(fault) = call_until(&calls, &next, until, &mut tally).await {
            tally.bad += 1;
            tally.last_fault = Some(format!("{fault:#}"));
            // A target that refuses at once must not turn this into a busy loop.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    tally
}

/// Calls on one connection until the time is over, the connection closes or an answer is wrong.
async fn call_until(calls: &Calls, next: &AtomicU64, until: Instant, tally: &mut Tally) -> anyhow::Result<()> {
    let mut socket = TcpStream::connect(calls.address).await?;
    socket.set_nodelay(true)?;
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let begin = clock::now();
        if begin >= until {
            return Ok(());
        }
        let request = calls.request(next.fetch_add(1, Ordering::Relaxed));
        let answered = tokio::time::timeout(CALL_TIMEOUT, call(&mut socket, request, &mut buffer)).await;
        let reply = answered.context("no complete answer in time")??;
        if !calls.answer.is_met_by(&reply) {
            bail!("status {} with {} bytes", reply.status(), reply.body_bytes());
        }
        tally.ok += 1;
        tally.latencies.record(clock::now().duration_since(begin));
        if reply.is_closing() {
            return Ok(());
        }
    }
}

async fn call(socket: &mut TcpStream, request: &[u8], buffer: &mut [u8]) -> anyhow::Result<Reply> {
    socket.write_all(request).await?;
    let mut reply = Reply::new();
    while !reply.is_complete() {
        match socket.read(buffer).await? {
            0 => bail!("the connection was closed within an answer"),
            count => reply.feed(&buffer[..count])?,
        }
    }
    Ok(reply)
}
