//! The control endpoints under `/_sim/`: the record, the script, the counters. Never part of what is imitated.

use super::connection::FateSlot;
use super::reply::{Reply, Ticket};
use super::rules::Rules;
use super::service::Simulator;
use bytes::Bytes;
use claviger_wire::simulator::{Ending, Script, Steps};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri, header};
use serde_json::{Value, json};
use std::sync::atomic::Ordering;

/// What every control path begins with.
pub(super) const PREFIX: &str = "/_sim/";

/// Answers a control request.
pub(super) fn answer(
    simulator: &Simulator,
    method: &Method,
    uri: &Uri,
    body: &[u8],
    ticket: Ticket,
    fate: FateSlot,
) -> Response<Reply> {
    let (status, value) = match (method.as_str(), uri.path().strip_prefix(PREFIX).unwrap_or_default()) {
        ("GET", "requests") => list(simulator, uri.query().unwrap_or_default()),
        ("DELETE", "requests") => {
            if let Some(requests) = &simulator.requests {
                requests.clear();
            }
            (StatusCode::NO_CONTENT, None)
        }
        ("PUT", "script") => match Rules::parse(body) {
            Ok(rules) => {
                simulator.rules.replace(rules);
                (StatusCode::NO_CONTENT, None)
            }
            Err(error) => (StatusCode::BAD_REQUEST, Some(json!({ "error": format!("not a script: {error}") }))),
        },
        ("GET", "stats") => (StatusCode::OK, Some(stats(simulator))),
        _ => (StatusCode::NOT_FOUND, Some(json!({ "error": "no such control endpoint" }))),
    };
    respond(status, value, ticket, fate)
}

/// The answer to a control request from another machine.
pub(super) fn refused(ticket: Ticket, fate: FateSlot) -> Response<Reply> {
    let why = "control endpoints answer on this machine only; --open-control opens them";
    respond(StatusCode::FORBIDDEN, Some(json!({ "error": why })), ticket, fate)
}

fn list(simulator: &Simulator, query: &str) -> (StatusCode, Option<Value>) {
    let Some(requests) = &simulator.requests else {
        return (StatusCode::NOT_FOUND, Some(json!({ "error": "requests are not recorded here (--no-log)" })));
    };
    let after = query.split('&').find_map(|pair| pair.strip_prefix("after="));
    match after.map_or(Ok(0), str::parse) {
        Ok(after) => (StatusCode::OK, Some(requests.list(after))),
        Err(_) => (StatusCode::BAD_REQUEST, Some(json!({ "error": "after is the number of a request" }))),
    }
}

/// The request that asks is not counted.
fn stats(simulator: &Simulator) -> Value {
    let stats = &simulator.stats;
    json!({
        "connections_open": stats.connections.load(Ordering::Relaxed),
        "in_flight": stats.in_flight.load(Ordering::Relaxed).saturating_sub(1),
        "requests": stats.requests.load(Ordering::Relaxed),
    })
}

fn respond(status: StatusCode, value: Option<Value>, ticket: Ticket, fate: FateSlot) -> Response<Reply> {
    let body = value.map_or_else(Bytes::new, |value| value.to_string().into());
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let script = Script {
        head_wait_ms: 0,
        status: status.as_u16(),
        headers: HeaderMap::new(),
        steps: Steps::whole(body),
        ending: Ending::Clean,
        is_raw: false,
    };
    let mut response = Response::new(Reply::new(script, ticket, fate));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}
