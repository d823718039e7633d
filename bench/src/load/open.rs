//! Open loop: calls start at a fixed rate whether earlier ones have ended or not, and each latency counts from the
//! instant the call was meant to start. A server that stalls is charged for everybody it kept waiting.
//!
//! Threads with blocking sockets, because the runtime's timer has a resolution of one millisecond and the differences
//! looked for are a tenth of that.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};

use super::{Answer, CALL_TIMEOUT, READ_BYTES, STREAM_CHUNKS};
use crate::arguments::Arguments;
use crate::call::Calls;
use crate::clock;
use crate::latency::Latencies;

/// The wake-up slack asked of the kernel; its default is 50 µs.
const TIMER_SLACK_NANOSECONDS: &str = "1000";
/// Threads are small: they hold one socket and one buffer.
const STACK_BYTES: usize = 128 * 1024;

#[derive(Debug, Default)]
struct Tally {
    ok: u64,
    bad: u64,
    last_fault: Option<String>,
    /// To the complete answer; for streams, to the first byte of content.
    latencies: Latencies,
    /// Between two pieces of content of one stream.
    gaps: Latencies,
    /// How late the generator itself was.
    lateness: Latencies,
}

struct Plan<'a> {
    calls: &'a Calls,
    answer: Answer,
    begin: Instant,
    gap: Duration,
    count: u64,
    next: AtomicU64,
}

/// Runs `--rate` calls a second on at most `--connections` for `--seconds` and returns one JSON line.
pub(crate) fn run(mut arguments: Arguments, answer: Answer) -> anyhow::Result<Value> {
    let rate: f64 = arguments.required("rate")?;
    let connections: usize = arguments.required("connections")?;
    let seconds: f64 = arguments.required("seconds")?;
    let calls = Calls::from_arguments(&mut arguments, answer)?;
    arguments.finish()?;
    ensure!(rate > 0.0 && rate <= 100_000.0 && connections > 0, "a rate in 0..=100,000 and at least one connection");
    // Best effort: without it all targets are measured with the same coarser slack.
    let _ = std::fs::write("/proc/self/timerslack_ns", TIMER_SLACK_NANOSECONDS);

    let sockets = warm(&calls, connections)?;
    let plan = Plan {
        calls: &calls,
        answer,
        begin: clock::now() + Duration::from_millis(50),
        gap: Duration::from_secs_f64(1.0 / rate),
        count: (rate * seconds) as u64,
        next: AtomicU64::new(0),
    };
    let mut total = Tally::default();
    std::thread::scope(|scope| -> anyhow::Result<()> {
        let mut threads = Vec::new();
        for socket in sockets {
            let builder = std::thread::Builder::new().stack_size(STACK_BYTES);
            threads.push(builder.spawn_scoped(scope, || keep_calling(&plan, socket))?);
        }
        for thread in threads {
            let Ok(tally) = thread.join() else { bail!("a connection's thread ended early") };
            total.ok += tally.ok;
            total.bad += tally.bad;
            total.last_fault = tally.last_fault.or(total.last_fault.take());
            total.latencies.merge(tally.latencies);
            total.gaps.merge(tally.gaps);
            total.lateness.merge(tally.lateness);
        }
        Ok(())
    })?;
    Ok(json!({
        "ok": total.ok,
        "bad": total.bad,
        "fault": total.last_fault,
        "per_second": rate,
        "latency": total.latencies.summary(),
        "gap": total.gaps.summary(),
        "lateness": total.lateness.summary(),
    }))
}

/// Opens every connection and makes one call on each, all at once, so that no measured call pays for a connection.
fn warm(calls: &Calls, connections: usize) -> anyhow::Result<Vec<TcpStream>> {
    std::thread::scope(|scope| {
        let mut threads = Vec::new();
        for number in 0..connections as u64 {
            let builder = std::thread::Builder::new().stack_size(STACK_BYTES);
            threads.push(builder.spawn_scoped(scope, move || -> anyhow::Result<TcpStream> {
                let mut socket = connect(calls)?;
                call(&mut socket, calls.request(number), Answer::Json, clock::now(), &mut Latencies::default())
                    .context("a warming call")?;
                Ok(socket)
            })?);
        }
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| bail!("a warming thread ended"))).collect()
    })
}

fn keep_calling(plan: &Plan<'_>, socket: TcpStream) -> Tally {
    let mut tally = Tally::default();
    let mut open = Some(socket);
    loop {
        let number = plan.next.fetch_add(1, Ordering::Relaxed);
        if number >= plan.count {
            return tally;
        }
        let intended = plan.begin + plan.gap.mul_f64(number as f64);
        std::thread::sleep(intended.saturating_duration_since(clock::now()));
        tally.lateness.record(clock::now().saturating_duration_since(intended));
        let connected = open.take().map_or_else(|| connect(plan.calls), Ok);
        let outcome = connected.and_then(|mut socket| {
            let called = call(&mut socket, plan.calls.request(number), plan.answer, intended, &mut tally.gaps)?;
            Ok((socket, called))
        });
        match outcome {
            Ok((socket, called)) => {
                tally.ok += 1;
                tally.latencies.record(called.latency);
                open = (!called.is_closing).then_some(socket);
            }
            Err(fault) => {
                tally.bad += 1;
                tally.last_fault = Some(format!("{fault:#}"));
            }
        }
    }
}

struct Called {
    latency: Duration,
    is_closing: bool,
}

fn connect(calls: &Calls) -> anyhow::Result<TcpStream> {
    let socket = TcpStream::connect_timeout(&calls.address.into(), CALL_TIMEOUT)?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(CALL_TIMEOUT))?;
    Ok(socket)
}

fn call(
    socket: &mut TcpStream,
    request: &[u8],
    answer: Answer,
    intended: Instant,
    gaps: &mut Latencies,
) -> anyhow::Result<Called> {
    socket.write_all(request)?;
    let mut buffer = [0; READ_BYTES];
    let mut reply = answer.reply();
    let (mut first_content, mut last, mut left) = (None, None, STREAM_CHUNKS - 1);
    while !reply.is_complete() {
        let count = socket.read(&mut buffer)?;
        if count == 0 {
            bail!("the connection was closed within an answer");
        }
        reply.feed(&buffer[..count])?;
        if reply.has_content() {
            let now = clock::now();
            first_content = first_content.or(Some(now));
            // Behind the last piece come the finish, the usage and the end at once: they are no pieces.
            if let Some(before) = last.replace(now).filter(|_| left > 0) {
                gaps.record(now.duration_since(before));
                left -= 1;
            }
        }
    }
    let end = first_content.unwrap_or_else(clock::now);
    // A warming call is judged as `Json` even when it asks for a stream: its status and its end are enough.
    if !answer.is_met_by(&reply) {
        bail!("status {} with {} bytes, or no content, or no [DONE]", reply.status(), reply.body_bytes());
    }
    Ok(Called { latency: end.saturating_duration_since(intended), is_closing: reply.is_closing() })
}
