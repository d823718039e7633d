//! The only dialler: requests rebuilt from our own struct, over one shared pool (W21, W22, W50).
//!
//! No redirects, no decompression, nothing of the client's headers but the closed list of W22. The provider's
//! credential is added last.

use super::{Conversation, Fault, Head, simulator};
use bytes::Bytes;
use claviger_domain::catalog::{Dialect, Provider};
use claviger_domain::id::RequestId;
use claviger_domain::limits;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri, header};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use parking_lot::{Mutex, RwLock};
use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Idle upstream connections are closed before common servers close them (60 to 75 s).
const POOL_IDLE: Duration = Duration::from_secs(45);

type HttpClient = Client<HttpsConnector<HttpConnector>, SentBody>;
type Reply = Pin<Box<dyn Future<Output = Result<Response<Incoming>, hyper_util::client::legacy::Error>> + Send>>;

/// The shared pool of connections to all providers.
pub(crate) struct Upstreams {
    /// One pool for each connect limit that providers have; usually one.
    clients: Mutex<HashMap<Duration, HttpClient>>,
    /// By path and the address of the provider, which the entry keeps alive.
    prepared: RwLock<HashMap<(usize, &'static str), Arc<Prepared>>>,
}

/// What every request to a provider has in common.
struct Prepared {
    client: HttpClient,
    /// Requests in flight; `None` = no limit.
    places: Option<Arc<Semaphore>>,
    uri: Uri,
    credential: Option<HeaderValue>,
    _provider: Arc<Provider>,
}

impl Prepared {
    /// `None` when address or credential make no request; configuration has checked both.
    fn of(provider: &Arc<Provider>, path: &str, client: HttpClient) -> Option<Self> {
        let credential = match &provider.credential {
            None => None,
            Some(credential) => {
                let mut value = HeaderValue::from_str(&format!("Bearer {}", credential.expose())).ok()?;
                value.set_sensitive(true);
                Some(value)
            }
        };
        let uri = Uri::try_from(format!("{}{path}", provider.base_url)).ok()?;
        let concurrency = usize::try_from(provider.concurrency_max).unwrap_or(0);
        let places = (concurrency > 0).then(|| Arc::new(Semaphore::new(concurrency)));
        Some(Self { client, places, uri, credential, _provider: Arc::clone(provider) })
    }
}

/// What is asked of a provider.
pub(crate) struct Call<'a> {
    pub(crate) provider: &'a Arc<Provider>,
    /// Behind the base URL: `/v1/chat/completions`.
    pub(crate) path: &'static str,
    pub(crate) request: RequestId,
    pub(crate) request_id: &'a str,
    /// The client's headers, of which the closed list is passed on.
    pub(crate) client_headers: &'a HeaderMap,
    pub(crate) body: Vec<Bytes>,
    pub(crate) now_seconds: i64,
}

impl Upstreams {
    pub(crate) fn new() -> Self {
        Self { clients: Mutex::default(), prepared: RwLock::default() }
    }

    fn client(&self, connect: Duration) -> HttpClient {
        self.clients.lock().entry(connect).or_insert_with(|| dialler(connect)).clone()
    }

    /// Begins a conversation; nothing is awaited here.
    ///
    /// # Errors
    /// `Unreachable` when the provider's address makes no request; `Full` when it has as many as it may have.
    pub(crate) fn begin(&self, call: Call<'_>) -> Result<Conversation, Fault> {
        if call.provider.dialect == Dialect::Simulator {
            return Ok(Conversation::Simulated(Box::pin(simulator::SimulatedConversation::begin(&call))));
        }
        let is_sent = Arc::new(AtomicBool::new(false));
        let prepared = self.prepared(call.provider, call.path)?;
        let place = match &prepared.places {
            None => None,
            Some(places) => Some(Arc::clone(places).try_acquire_owned().map_err(|_| Fault::Full)?),
        };
        let request = request(call, &prepared, &is_sent);
        Ok(Conversation::Http(HttpConversation {
            stage: Stage::Asking(Box::pin(prepared.client.request(request))),
            is_sent,
            _place: place,
        }))
    }
}

impl Upstreams {
    fn prepared(&self, provider: &Arc<Provider>, path: &'static str) -> Result<Arc<Prepared>, Fault> {
        let place = (Arc::as_ptr(provider).addr(), path);
        if let Some(prepared) = self.prepared.read().get(&place) {
            return Ok(Arc::clone(prepared));
        }
        let prepared =
            Arc::new(Prepared::of(provider, path, self.client(provider.timeouts.connect)).ok_or(Fault::Unreachable)?);
        self.prepared.write().insert(place, Arc::clone(&prepared));
        Ok(prepared)
    }

    /// Forgets the providers of a catalog that is no longer in force.
    pub(crate) fn forget(&self) {
        self.prepared.write().clear();
    }
}

/// One pool of connections that each must stand within `connect`.
fn dialler(connect: Duration) -> HttpClient {
    let mut http = HttpConnector::new();
    http.set_nodelay(true);
    http.enforce_http(false);
    http.set_connect_timeout(Some(connect));
    let connector =
        HttpsConnectorBuilder::new().with_webpki_roots().https_or_http().enable_http1().wrap_connector(http);
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(POOL_IDLE)
        .http1_max_buf_size(limits::UPSTREAM_HEAD_BYTES)
        .build(connector)
}

fn request(call: Call<'_>, prepared: &Prepared, is_sent: &Arc<AtomicBool>) -> Request<SentBody> {
    let mut request = Request::new(SentBody::new(call.body, Arc::clone(is_sent)));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = prepared.uri.clone();
    let headers = request.headers_mut();
    for (name, value) in call.client_headers {
        if name != header::CONTENT_TYPE && claviger_wire::headers::forwardable(name, call.provider.dialect) {
            headers.append(name.clone(), value.clone());
        }
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    // llama.cpp's Python server validates the header as a UUID, and so may other servers that are nobody's dialect.
    let id = match call.provider.dialect {
        Dialect::LlamaCpp | Dialect::Compatible => HeaderValue::from_str(&call.request.uuid()),
        _ => HeaderValue::from_str(call.request_id),
    };
    if let Ok(id) = id {
        headers.insert(HeaderName::from_static("x-request-id"), id);
    }
    if let Some(credential) = &prepared.credential {
        headers.insert(header::AUTHORIZATION, credential.clone());
    }
    request
}

fn fault_of(error: &hyper_util::client::legacy::Error) -> Fault {
    if error.is_connect() {
        return Fault::Unreachable;
    }
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<hyper::Error>());
    if source.is_some_and(hyper::Error::is_incomplete_message) { Fault::Dropped } else { Fault::Broken }
}

/// A conversation over the network.
pub(crate) struct HttpConversation {
    stage: Stage,
    is_sent: Arc<AtomicBool>,
    _place: Option<OwnedSemaphorePermit>,
}

enum Stage {
    Asking(Reply),
    Answering(Incoming),
    Over,
}

impl HttpConversation {
    pub(super) async fn head(&mut self) -> Result<Head, Fault> {
        let Stage::Asking(reply) = &mut self.stage else { return Err(Fault::Broken) };
        match reply.as_mut().await {
            Ok(response) => {
                let (parts, body) = response.into_parts();
                self.stage = Stage::Answering(body);
                self.is_sent.store(true, Ordering::Relaxed);
                Ok(Head { status: parts.status, headers: parts.headers })
            }
            Err(error) => {
                self.stage = Stage::Over;
                Err(fault_of(&error))
            }
        }
    }

    pub(super) async fn piece(&mut self) -> Result<Option<Bytes>, Fault> {
        loop {
            let Stage::Answering(body) = &mut self.stage else { return Ok(None) };
            let frame = std::future::poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await;
            match frame {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
                Some(Err(_)) => {
                    self.stage = Stage::Over;
                    return Err(Fault::Broken);
                }
                None => {
                    self.stage = Stage::Over;
                    return Ok(None);
                }
            }
        }
    }

    pub(super) fn is_dispatched(&self) -> bool {
        self.is_sent.load(Ordering::Relaxed)
    }
}

/// A request body that says when hyper has taken it whole.
pub(crate) struct SentBody {
    pieces: std::vec::IntoIter<Bytes>,
    left: u64,
    is_sent: Arc<AtomicBool>,
}

impl SentBody {
    fn new(pieces: Vec<Bytes>, is_sent: Arc<AtomicBool>) -> Self {
        let left = pieces.iter().fold(0_u64, |sum, piece| sum.saturating_add(u64::try_from(piece.len()).unwrap_or(0)));
        Self { pieces: pieces.into_iter(), left, is_sent }
    }
}

impl Body for SentBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = self.pieces.next();
        let taken = piece.as_ref().map_or(0, |piece| u64::try_from(piece.len()).unwrap_or(0));
        self.left = self.left.saturating_sub(taken);
        if self.left == 0 {
            self.is_sent.store(true, Ordering::Relaxed);
        }
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
