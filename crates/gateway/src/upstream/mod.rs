//! Conversations with model servers, real or simulated, behind one face.
//!
//! A conversation is a value that can be awaited piece by piece and moved: when its client leaves, it goes on in the
//! drain. Tenants and prices are not known here.

mod client;
mod simulator;

pub(crate) use client::{Call, Upstreams};

use bytes::Bytes;
use claviger_domain::error::Code;
use http::{HeaderMap, StatusCode};
use std::pin::Pin;

/// Why a conversation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The provider has as many requests in flight as it may have.
    Full,
    /// No connection: nothing of the request arrived.
    Unreachable,
    /// The connection went away before any byte of a reply: usually an idle one that the server had just closed.
    Dropped,
    /// The connection broke, or what came is not HTTP.
    Broken,
    /// A time limit of the provider passed.
    TimedOut,
}

impl Fault {
    /// The public code once nothing else can be tried.
    pub(crate) const fn code(self) -> Code {
        match self {
            Self::Full => Code::Overloaded,
            Self::Unreachable => Code::ServiceUnavailable,
            Self::Dropped | Self::Broken => Code::UpstreamError,
            Self::TimedOut => Code::UpstreamTimeout,
        }
    }
}

/// The head of an upstream's reply.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
}

/// One exchange with an upstream.
pub(crate) enum Conversation {
    Http(client::HttpConversation),
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
