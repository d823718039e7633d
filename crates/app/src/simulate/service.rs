//! One request: record it, check its credential, find its rule, ask the simulator, play the answer.

use super::connection::{Doomed, Fate, FateSlot};
use super::control;
use super::kept::Kept;
use super::reply::{Reply, Ticket};
use super::requests::{Arrival, Ended, Requests};
use super::rules::Rules;
use crate::clock::MachineClock;
use bytes::Bytes;
use claviger_domain::limits::JSON_ANSWER_BYTES;
use claviger_domain::time::Clock as _;
use claviger_wire::simulator::{self, Ending, Script, Shape, SimCall, SimEndpoint, Standalone};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Body as _, Incoming};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What the server knows and keeps.
#[derive(Debug)]
pub(super) struct Simulator {
    pub(super) shape: Shape,
    /// The accepted credentials; `None`: every one, and none.
    pub(super) keys: Option<Vec<String>>,
    pub(super) context_tokens: Option<u64>,
    pub(super) has_open_control: bool,
    /// `None`: nothing is recorded.
    pub(super) requests: Option<Requests>,
    pub(super) rules: Rules,
    pub(super) stats: Stats,
    pub(super) kept: Kept,
    pub(super) clock: MachineClock,
}

/// What is counted.
#[derive(Debug, Default)]
pub(super) struct Stats {
    /// Connections that are open now.
    pub(super) connections: AtomicU64,
    /// Requests whose answer has not ended.
    pub(super) in_flight: AtomicU64,
    /// Requests in all; also the ids of requests that bring none.
    pub(super) requests: AtomicU64,
}

impl Simulator {
    /// Answers one request.
    pub(super) async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        peer: SocketAddr,
        fate: FateSlot,
    ) -> Result<Response<Reply>, Doomed> {
        let (parts, body) = request.into_parts();
        let Some(body) = read(body).await else { return Err(Doomed) };
        let mut ticket = Ticket::new(Arc::clone(&self));
        if parts.uri.path().starts_with(control::PREFIX) {
            if !(self.has_open_control || peer.ip().to_canonical().is_loopback()) {
                return Ok(control::refused(ticket, fate));
            }
            return Ok(control::answer(&self, &parts.method, &parts.uri, &body, ticket, fate));
        }
        let counted = self.stats.requests.fetch_add(1, Ordering::Relaxed) + 1;
        let arrived = self.clock.now().wall;
        let given = parts.headers.get("x-request-id").and_then(|id| id.to_str().ok());
        let id = given.map_or_else(|| counted.to_string(), str::to_owned);
        let mut script = self.script(&parts.method, &parts.uri, &parts.headers, &body, &id, arrived.seconds());
        let own_id = match self.shape {
            Shape::OpenAi => Some("x-request-id"),
            Shape::Anthropic => Some("request-id"),
            _ => None,
        };
        if let (Some(name), Ok(value)) = (own_id, HeaderValue::from_str(&id)) {
            script.headers.insert(name, value);
        }
        if let Some(requests) = &self.requests {
            let path = parts.uri.path_and_query().map_or_else(|| parts.uri.path().to_owned(), ToString::to_string);
            ticket.number =
                Some(requests.add(Arrival { method: parts.method, path, headers: parts.headers, body, arrived }));
        }
        play(script, ticket, fate).await
    }

    /// What to answer.
    fn script(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        body: &[u8],
        id: &str,
        now_seconds: i64,
    ) -> Script {
        if let Some(keys) = &self.keys {
            let presented = credential(self.shape, headers);
            if !presented.is_some_and(|presented| keys.iter().any(|key| key == presented)) {
                return simulator::refuse_credential(self.shape, presented.is_none());
            }
        }
        let path = uri.path();
        if let Some(answer) = self.about_kept(method, uri, body) {
            return answer;
        }
        let mut decoded = String::new();
        let found = self.endpoint(method, path, &mut decoded);
        let Some(endpoint) = found.filter(|endpoint| self.shape.serves(*endpoint)) else {
            return simulator::refuse_path(self.shape, method.as_str(), path);
        };
        let mode = self.rules.mode_of(path, headers, body);
        let standalone = Some(Standalone { mode: mode.as_ref(), headers, context_tokens: self.context_tokens });
        let call = SimCall { endpoint, body, request_id: id, shape: self.shape, now_seconds, standalone };
        let script = simulator::simulate(&call);
        if endpoint == SimEndpoint::Responses && script.status == 200 {
            simulator::kept_response(&call).into_iter().for_each(|kept| self.kept.add(kept));
        }
        script
    }

    /// What is said of responses that were made before; `None` when the call is not about one that decides its answer.
    fn about_kept(&self, method: &Method, uri: &Uri, body: &[u8]) -> Option<Script> {
        if !uri.path().starts_with("/v1/responses") || !self.shape.serves(SimEndpoint::Responses) {
            return None;
        }
        if let Some((status, value)) = self.kept.answer(method, uri.path(), uri.query().unwrap_or_default()) {
            return Some(simulator::told(status, value.to_string().into()));
        }
        let asked: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
        let previous = asked["previous_response_id"].as_str().filter(|id| !self.kept.has(id))?;
        let message = format!("Previous response with id '{previous}' not found.");
        let error = serde_json::json!({ "message": message, "type": "invalid_request_error",
            "param": "previous_response_id", "code": "previous_response_not_found" });
        Some(simulator::told(400, serde_json::json!({ "error": error }).to_string().into()))
    }

    /// The endpoint that is called; `model` takes the id that a path names.
    fn endpoint<'a>(&self, method: &Method, path: &str, model: &'a mut String) -> Option<SimEndpoint<'a>> {
        let bare = path.strip_prefix('/')?;
        let path = match bare.strip_prefix("v1/") {
            Some(rest) => rest,
            None => Some(bare).filter(|_| self.shape.serves_bare_paths())?,
        };
        match (method, path) {
            (&Method::POST, path) => SimEndpoint::posted(path),
            (&Method::GET | &Method::HEAD, "models") => Some(SimEndpoint::Models),
            (method, tail) if tail.starts_with("videos/") => {
                tail.clone_into(model);
                SimEndpoint::of_video(method.as_str(), model)
            }
            (&Method::GET | &Method::HEAD, tail) => {
                *model = percent_decoded(tail.strip_prefix("models/")?);
                Some(SimEndpoint::Model(model))
            }
            _ => None,
        }
    }
}

/// The whole body; `None` when the peer left in it, or it is larger than anybody sends.
async fn read(mut body: Incoming) -> Option<Bytes> {
    if body.is_end_stream() {
        return Some(Bytes::new());
    }
    // Most bodies come in one piece: nothing is copied then.
    let first = body.frame().await?.ok()?.into_data().unwrap_or_default();
    if body.is_end_stream() {
        return Some(first);
    }
    let rest = Limited::new(body, JSON_ANSWER_BYTES).collect().await.ok()?.to_bytes();
    Some(if rest.is_empty() { first } else { [first, rest].concat().into() })
}

/// The presented credential: Bearer, and for llama.cpp and Anthropic also `X-Api-Key`.
fn credential(shape: Shape, headers: &HeaderMap) -> Option<&str> {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let takes_key = matches!(shape, Shape::LlamaCpp | Shape::Anthropic);
    let key = || headers.get("x-api-key").filter(|_| takes_key)?.to_str().ok();
    bearer.or_else(key)
}

/// Undoes percent-encoding once; what is not encoded properly stays as it is.
pub(super) fn percent_decoded(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.as_bytes();
    while let Some((&byte, rest)) = bytes.split_first() {
        let code = rest.get(..2).filter(|_| byte == b'%').and_then(|code| std::str::from_utf8(code).ok());
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(decoded) => {
                out.push(decoded);
                bytes = &rest[2..];
            }
            None => {
                out.push(byte);
                bytes = rest;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Waits, then begins the answer.
async fn play(mut script: Script, mut ticket: Ticket, fate: FateSlot) -> Result<Response<Reply>, Doomed> {
    if script.head_wait_ms > 0 {
        tokio::time::sleep(Duration::from_millis(script.head_wait_ms)).await;
    }
    if script.is_raw {
        let is_reset = script.ending == Ending::Cut { is_reset: true };
        ticket.end(Ended::Cut);
        *fate.lock() = Some(Fate { raw: script.steps.map(|step| step.bytes).collect(), is_reset });
        return Err(Doomed);
    }
    let status = StatusCode::from_u16(script.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = std::mem::take(&mut script.headers);
    let mut response = Response::new(Reply::new(script, ticket, fate));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}
