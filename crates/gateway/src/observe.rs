//! What is known of one request from its first byte on, and the one line that is logged of it.
//!
//! The pipeline owns the [`Trace`] and lends it to every stage, so a refusal at any of them finds id, times, caller and
//! model where it needs them.

use crate::authenticated::Caller;
use crate::callers::CallerCount;
use crate::node::Node;
use claviger_domain::address::ClientAddress;
use claviger_domain::endpoint::{ErrorShape, Operation};
use claviger_domain::error::Code;
use claviger_domain::id::{IdText, RequestId};
use claviger_domain::time::Now;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// One request, as far as it has come.
#[derive(Debug)]
pub(crate) struct Trace {
    pub(crate) request_id: RequestId,
    pub(crate) request_id_text: IdText<{ RequestId::PREFIX.len() + 22 }>,
    pub(crate) arrived: Now,
    pub(crate) client: SocketAddr,
    pub(crate) client_request_id: Option<String>,
    pub(crate) operation: Option<Operation>,
    /// How errors are told there.
    pub(crate) error_shape: ErrorShape,
    pub(crate) caller: Option<Caller>,
    /// Where it is counted, as one of those who use the key.
    pub(crate) counted: Option<Arc<CallerCount>>,
    pub(crate) model: String,
    /// The alias that was sent in its place.
    pub(crate) alias: Option<String>,
    pub(crate) is_stream: bool,
    /// Who calls, behind proxies that are trusted.
    pub(crate) address: ClientAddress,
    /// What the key's shadow would have refused it with.
    pub(crate) would_refuse: Option<Code>,
}

impl Trace {
    pub(crate) fn new(node: &Node, client: SocketAddr) -> Self {
        let arrived = node.now();
        let request_id = node.new_request_id(arrived.wall);
        Self {
            request_id,
            request_id_text: request_id.text(),
            arrived,
            client,
            client_request_id: None,
            operation: None,
            error_shape: ErrorShape::OpenAi,
            caller: None,
            counted: None,
            model: String::new(),
            alias: None,
            is_stream: false,
            address: ClientAddress::Known(client.ip().to_canonical()),
            would_refuse: None,
        }
    }

    /// What is needed to answer when the trace itself has gone with the exchange.
    pub(crate) fn spare(&self) -> Self {
        Self { client_request_id: None, caller: None, counted: None, model: String::new(), alias: None, ..*self }
    }

    /// The client's address, or the peer's where the client is not known.
    pub(crate) fn client_ip(&self) -> IpAddr {
        match self.address {
            ClientAddress::Known(address) => address,
            ClientAddress::Unknown => self.client.ip(),
        }
    }

    /// The first thing that a shadow would have refused is told.
    pub(crate) const fn note_would_refuse(&mut self, code: Code) {
        if self.would_refuse.is_none() {
            self.would_refuse = Some(code);
        }
    }

    /// Milliseconds since the request arrived.
    pub(crate) fn elapsed_ms(&self, node: &Node) -> u64 {
        u64::try_from(node.monotonic().since(self.arrived.monotonic).as_millis()).unwrap_or(u64::MAX)
    }

    /// Counts and logs the end of the request: one line, with its id, and nothing of its content.
    pub(crate) fn ended(&self, node: &Node, status: u16, code: Option<Code>) {
        node.metrics.request_ended(self.operation, code);
        if let Some(counted) = &self.counted {
            counted.ended(&self.model, status, code);
        }
        if !node.settings.has_access_log {
            return;
        }
        tracing::info!(
            target: "claviger::access",
            request_id = &*self.request_id_text,
            operation = self.operation.map_or("", Operation::name),
            status,
            code = code.map_or("", Code::text),
            key = self.caller.as_ref().map(|caller| tracing::field::display(caller.key.id)),
            model = %self.model,
            milliseconds = self.elapsed_ms(node),
            "request"
        );
    }
}
