//! The simulator in process: the script of `wire`, played on the runtime's timer.

use super::client::Call;
use super::{Fault, Head, reply};
use bytes::{Bytes, BytesMut};
use claviger_domain::endpoint::Method;
use claviger_wire::simulator::{Ending, Script, Shape, SimCall, SimEndpoint, Step, refuse_path, simulate};
use http::{HeaderName, HeaderValue, header};
use std::pin::Pin;
use std::time::Duration;
use tokio::time::Sleep;

/// A conversation with the simulator.
pub(crate) struct SimulatedConversation {
    script: Script,
    next: Option<Step>,
    /// Survives a cancelled await, so that asking again waits on instead of anew.
    timer: Option<Pin<Box<Sleep>>>,
}

impl SimulatedConversation {
    pub(super) fn begin(call: &Call<'_>) -> Self {
        let mut body = BytesMut::new();
        for piece in &call.body {
            body.extend_from_slice(piece);
        }
        let path = call.path.split_once('?').map_or(&*call.path, |(path, _)| path);
        let path = path.trim_start_matches("/v1/");
        let endpoint = match call.method {
            Method::Post => SimEndpoint::posted(path),
            other => SimEndpoint::of_video(other.name(), path),
        };
        let script = match endpoint {
            None => refuse_path(Shape::OpenAi, call.method.name(), &call.path),
            Some(endpoint) => simulate(&SimCall {
                endpoint,
                body: &body,
                request_id: call.request_id,
                shape: Shape::OpenAi,
                now_seconds: call.now_seconds,
                standalone: None,
            }),
        };
        Self { script, next: None, timer: None }
    }

    pub(super) async fn head(&mut self) -> Head {
        self.wait(self.script.head_wait_ms).await;
        let status = http::StatusCode::from_u16(self.script.status).unwrap_or(http::StatusCode::OK);
        let headers = &self.script.headers;
        let value = |name: HeaderName| headers.get(name).map(HeaderValue::as_bytes);
        Head {
            status,
            is_event_stream: value(header::CONTENT_TYPE).is_some_and(reply::is_event_stream),
            request_id: headers.get("x-request-id").and_then(|id| id.to_str().ok()).map(str::to_owned),
            retry_after: value(header::RETRY_AFTER).and_then(reply::seconds),
            media_type: value(header::CONTENT_TYPE).and_then(reply::media_type),
            compute_tokens: None,
            verbatim: Some(Box::new(headers.clone())),
        }
    }

    pub(super) async fn piece(&mut self) -> Result<Option<Bytes>, Fault> {
        if self.next.is_none() {
            self.next = self.script.steps.next();
        }
        let Some(wait_ms) = self.next.as_ref().map(|step| step.wait_ms) else {
            return match self.script.ending {
                Ending::Clean => Ok(None),
                Ending::Cut { .. } => Err(Fault::Broken),
                Ending::Stall => std::future::pending().await,
            };
        };
        self.wait(wait_ms).await;
        Ok(self.next.take().map(|step| step.bytes))
    }

    async fn wait(&mut self, milliseconds: u64) {
        if milliseconds == 0 {
            return;
        }
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(Duration::from_millis(milliseconds))));
        timer.as_mut().await;
        self.timer = None;
    }
}
