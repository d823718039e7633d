//! Requests rebuilt from our own struct, over one pool of connections for each origin (W21, W22, W50).
//!
//! No redirects, no decompression, nothing of the client's headers but the closed list of W22. The provider's
//! credential is added last.

use super::connection::Outgoing;
use super::conversation::HttpConversation;
use super::dial::Origin;
use super::pool::Pool;
use super::{Conversation, Fault, simulator};
use crate::health::Place;
use bytes::{Bytes, BytesMut};
use claviger_domain::catalog::{Dialect, Provider};
use claviger_domain::endpoint::Method;
use claviger_domain::id::RequestId;
use claviger_domain::secret::Secret;
use claviger_wire::headers;
use http::{HeaderMap, HeaderValue, Uri};
use parking_lot::{Mutex, RwLock};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::time::Instant;

/// Without it Anthropic refuses; not every client of its dialect sends one.
const ANTHROPIC_VERSION: &str = "anthropic-version";

/// Pieces of a body up to this are sent behind the head in one write: copying them costs less than another part of it.
const COPIED_BYTES: usize = 16 * 1024;

/// What is asked again and again: the address of a provider, a method, and a path.
type Asked = (usize, &'static str, &'static str);

/// The connections to all providers.
pub(crate) struct Upstreams {
    pools: Mutex<BTreeMap<Origin, Arc<Pool>>>,
    /// By the address of the provider, which no other can have while the entry knows it, the method and the path.
    prepared: RwLock<BTreeMap<Asked, Arc<Prepared>>>,
}

/// What every request to a provider has in common.
struct Prepared {
    pool: Arc<Pool>,
    /// The head up to what differs between requests.
    opening: String,
    /// The line of the credential.
    credential: Option<Secret<String>>,
    /// By whose address it is found. What is gone from every catalog goes from here too, its credential first of all.
    provider: Weak<Provider>,
}

/// What is asked of a provider.
pub(crate) struct Call<'a> {
    pub(crate) provider: &'a Arc<Provider>,
    pub(crate) method: Method,
    /// Behind the base URL, of characters that need no escapes: `/v1/chat/completions`. One that is borrowed is asked
    /// again and again, and its head is kept; one that names an object is made for this call.
    pub(crate) path: Cow<'static, str>,
    pub(crate) request: RequestId,
    pub(crate) request_id: &'a str,
    /// Those of the client's headers that are passed on.
    pub(crate) client_headers: &'a HeaderMap,
    /// What the body is; without a body nobody is told.
    pub(crate) content_type: &'a str,
    pub(crate) body: Vec<Bytes>,
    pub(crate) now_seconds: i64,
    pub(crate) now: Instant,
    /// The most time until the connection stands.
    pub(crate) connect: Duration,
    /// Its place among the provider's requests, if they are limited.
    pub(crate) place: Option<Place>,
}

impl Upstreams {
    pub(crate) fn new() -> Self {
        Self { pools: Mutex::default(), prepared: RwLock::default() }
    }

    /// Begins a conversation; nothing is awaited here.
    ///
    /// # Errors
    /// `Unreachable` when the provider's address makes no request.
    pub(crate) fn begin(&self, mut call: Call<'_>) -> Result<Conversation, Fault> {
        if call.provider.dialect == Dialect::Simulator {
            return Ok(Conversation::Simulated(Box::pin(simulator::SimulatedConversation::begin(&call))));
        }
        let prepared = match &call.path {
            Cow::Borrowed(path) => self.prepared(call.provider, call.method, path)?,
            Cow::Owned(path) => Arc::new(self.prepare(call.provider, call.method, path)?),
        };
        let (connect, now, place) = (call.connect, call.now, call.place.take());
        let request = prepared.request(call);
        Ok(Conversation::Http(HttpConversation::begin(&prepared.pool, request, (connect, now), place)))
    }

    fn prepared(&self, provider: &Arc<Provider>, method: Method, path: &'static str) -> Result<Arc<Prepared>, Fault> {
        let place = (Arc::as_ptr(provider).addr(), method.name(), path);
        if let Some(prepared) = self.prepared.read().get(&place) {
            return Ok(Arc::clone(prepared));
        }
        let prepared = Arc::new(self.prepare(provider, method, path)?);
        self.prepared.write().insert(place, Arc::clone(&prepared));
        Ok(prepared)
    }

    fn prepare(&self, provider: &Arc<Provider>, method: Method, path: &str) -> Result<Prepared, Fault> {
        let uri = Uri::try_from(address(provider, path)).map_err(|_| Fault::Unreachable)?;
        let origin = Origin::of(&uri, provider.reach.clone()).ok_or(Fault::Unreachable)?;
        let pool = {
            let mut pools = self.pools.lock();
            Arc::clone(pools.entry(origin.clone()).or_insert_with(|| Arc::new(Pool::new(origin))))
        };
        Prepared::of(provider, method, &uri, pool).ok_or(Fault::Unreachable)
    }

    /// Forgets the providers of a catalog that is no longer in force.
    pub(crate) fn forget(&self) {
        self.prepared.write().clear();
    }

    /// Closes connections that have been idle for too long, and forgets providers and origins that nobody asks any more.
    pub(crate) fn sweep(&self, now: Instant) {
        self.prepared.write().retain(|_, prepared| prepared.provider.strong_count() > 0);
        self.pools.lock().retain(|_, pool| !pool.sweep(now) || Arc::strong_count(pool) > 1);
    }
}

/// Gemini's compatible surface has no `/v1` of its own behind its base.
fn address(provider: &Provider, path: &str) -> String {
    let path = match provider.dialect {
        Dialect::Gemini => path.strip_prefix("/v1").unwrap_or(path),
        _ => path,
    };
    format!("{}{path}", provider.base_url)
}

impl Prepared {
    /// `None` when address or credential make no request; configuration has checked both.
    fn of(provider: &Arc<Provider>, method: Method, uri: &Uri, pool: Arc<Pool>) -> Option<Self> {
        let credential = match &provider.credential {
            None => None,
            Some(credential) => {
                let line = match provider.dialect {
                    Dialect::Anthropic => format!("x-api-key: {}\r\n", credential.expose()),
                    Dialect::AzureOpenAi => format!("api-key: {}\r\n", credential.expose()),
                    _ => format!("authorization: Bearer {}\r\n", credential.expose()),
                };
                let line = Secret::new(line);
                // A line end in it would make it two lines.
                HeaderValue::from_str(credential.expose()).ok()?;
                Some(line)
            }
        };
        let opening = format!(
            "{} {} HTTP/1.1\r\nhost: {}\r\naccept-encoding: identity\r\n",
            method.name(),
            uri.path_and_query()?,
            pool.origin.authority(),
        );
        Some(Self { pool, opening, credential, provider: Arc::downgrade(provider) })
    }

    /// The request as it is sent.
    fn request(&self, call: Call<'_>) -> Outgoing {
        let length = call.body.iter().map(Bytes::len).fold(0, usize::saturating_add);
        let mut first =
            BytesMut::with_capacity(self.opening.len().saturating_add(512).saturating_add(if length <= COPIED_BYTES {
                length
            } else {
                0
            }));
        first.extend_from_slice(self.opening.as_bytes());
        let mut line = |name: &str, value: &[u8]| {
            for part in [name.as_bytes(), b": ", value, b"\r\n"] {
                first.extend_from_slice(part);
            }
        };
        if length > 0 {
            line("content-type", call.content_type.as_bytes());
        }
        let dialect = call.provider.dialect;
        for (name, value) in call.client_headers.iter().filter(|(name, _)| headers::is_for(dialect, name)) {
            line(name.as_str(), value.as_bytes());
        }
        if dialect == Dialect::Anthropic && !call.client_headers.contains_key(ANTHROPIC_VERSION) {
            line(ANTHROPIC_VERSION, b"2023-06-01");
        }
        match call.provider.dialect {
            // llama.cpp's Python server validates the header as a UUID, and so may other servers that are nobody's dialect.
            Dialect::LlamaCpp | Dialect::Compatible => line("x-request-id", call.request.uuid().as_bytes()),
            _ => line("x-request-id", call.request_id.as_bytes()),
        }
        if length > 0 || call.method == Method::Post {
            line("content-length", length.to_string().as_bytes());
        }
        if let Some(credential) = &self.credential {
            first.extend_from_slice(credential.expose().as_bytes());
        }
        first.extend_from_slice(b"\r\n");
        if length > COPIED_BYTES {
            return Outgoing::new(first.freeze(), call.body);
        }
        call.body.iter().for_each(|piece| first.extend_from_slice(piece));
        Outgoing::new(first.freeze(), Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use claviger_domain::catalog::Timeouts;
    use claviger_domain::egress::Reach;

    /// What every request to such a provider begins with, and the line of its credential.
    fn opening(dialect: Dialect, base_url: &str) -> String {
        let provider = Arc::new(Provider {
            name: "upstream".to_owned(),
            row: None,
            reach: Reach::Anywhere,
            dialect,
            base_url: base_url.to_owned(),
            credential: Some(Secret::new("sk-1".to_owned())),
            concurrency_max: 0,
            timeouts: Timeouts::default(),
            drain: Duration::ZERO,
        });
        let uri = Uri::try_from(address(&provider, "/v1/chat/completions")).unwrap();
        let pool = Arc::new(Pool::new(Origin::of(&uri, Reach::Anywhere).unwrap()));
        let prepared = Prepared::of(&provider, Method::Post, &uri, pool).unwrap();
        format!("{}{}", prepared.opening, prepared.credential.as_ref().unwrap().expose())
    }

    #[test]
    fn each_dialect_is_asked_at_its_own_path_with_its_own_line_of_the_credential() {
        let head = |path: &str, host: &str, line: &str| {
            format!("POST {path} HTTP/1.1\r\nhost: {host}\r\naccept-encoding: identity\r\n{line}: ")
        };
        for (dialect, base, path, host, line) in [
            (Dialect::OpenAi, "https://a.io", "/v1/chat/completions", "a.io", "authorization"),
            (Dialect::Anthropic, "https://a.io", "/v1/chat/completions", "a.io", "x-api-key"),
            (Dialect::AzureOpenAi, "https://a.io/openai", "/openai/v1/chat/completions", "a.io", "api-key"),
            (Dialect::Gemini, "https://a.io/v1beta/openai", "/v1beta/openai/chat/completions", "a.io", "authorization"),
        ] {
            let opening = opening(dialect, base);
            assert!(opening.starts_with(&head(path, host, line)), "{}: {opening}", dialect.name());
            assert!(opening.ends_with("sk-1\r\n"), "{}", dialect.name());
        }
    }
}
