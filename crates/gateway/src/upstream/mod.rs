//! Conversations with model servers, real or simulated, behind one face.
//!
//! A conversation is a value that can be awaited piece by piece and moved: when its client leaves, it goes on in the
//! drain. Tenants and prices are not known here.

mod client;
mod connection;
mod conversation;
mod dial;
mod framing;
mod pool;
mod reply;
mod simulator;

pub(crate) use client::{Call, Upstreams};

use bytes::Bytes;
use claviger_domain::error::Code;
use claviger_domain::routing::Trouble;
use http::{HeaderMap, StatusCode};
use std::pin::Pin;
use std::time::Duration;

/// Why a conversation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// No connection: nothing of the request arrived.
    Unreachable,
    /// A connection that had been idle went away before any byte of a reply: its server had just closed it.
    Dropped,
    /// The connection broke, or what came is not HTTP.
    Broken,
    /// A time limit of the provider passed.
    TimedOut,
}

impl Fault {
    /// What a client is told whose answer it ended.
    pub(crate) const fn code(self) -> Code {
        match self {
            Self::TimedOut => Code::UpstreamTimeout,
            Self::Unreachable | Self::Dropped | Self::Broken => Code::UpstreamError,
        }
    }
}

impl From<Fault> for Trouble {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Unreachable => Self::Unreachable,
            Fault::Dropped => Self::Dropped,
            Fault::Broken => Self::Broken,
            Fault::TimedOut => Self::TimedOut,
        }
    }
}

/// What we act on of the head of an upstream's reply.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) status: StatusCode,
    pub(crate) is_event_stream: bool,
    /// What the body is, if it is sound, a picture or a file.
    pub(crate) media_type: Option<http::HeaderValue>,
    /// The upstream's own id of the request.
    pub(crate) request_id: Option<String>,
    pub(crate) retry_after: Option<Duration>,
    /// Input tokens, where a server tells them here (TEI).
    pub(crate) compute_tokens: Option<u64>,
    /// Its lines, where the answer leaves as it is: the simulator's (W60).
    pub(crate) verbatim: Option<Box<HeaderMap>>,
}

/// One exchange with an upstream.
pub(crate) enum Conversation {
    Http(conversation::HttpConversation),
    Simulated(Pin<Box<simulator::SimulatedConversation>>),
}

impl Conversation {
    /// The head of the reply. Cancel-safe: asked again, it waits on.
    pub(crate) async fn head(&mut self) -> Result<Head, Fault> {
        match self {
            Self::Http(http) => http.head().await,
            Self::Simulated(simulated) => Ok(simulated.head().await),
        }
    }

    /// The next piece of the body; `None` at its clean end. Cancel-safe.
    pub(crate) async fn piece(&mut self) -> Result<Option<Bytes>, Fault> {
        match self {
            Self::Http(http) => http.piece().await,
            Self::Simulated(simulated) => simulated.piece().await,
        }
    }

    /// Whether the whole request was handed to the upstream.
    pub(crate) fn is_dispatched(&self) -> bool {
        match self {
            Self::Http(http) => http.is_dispatched(),
            Self::Simulated(_) => true,
        }
    }
}
