//! The local door: the management endpoints on a Unix socket in the data directory.
//!
//! Whoever can open it can read the data directory, so it speaks as the local operator and needs no credential. The
//! directory is 0700 and the socket 0600.

use crate::private::stopped;
use crate::random::SystemRandom;
use bytes::Bytes;
use claviger_control::{Control, ControlBody, Origin};
use claviger_domain::endpoint::{EndpointTable, ErrorShape, Miss, Plane};
use claviger_domain::error::{Code, PublicError};
use claviger_domain::id::RequestId;
use claviger_domain::time::Clock;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UnixListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Command lines at once.
const CONNECTIONS: usize = 32;
/// A local client that sends nothing.
const HEAD: Duration = Duration::from_secs(10);

/// A bound socket, removed when dropped.
pub(crate) struct LocalDoor {
    listener: UnixListener,
    path: PathBuf,
}

/// How long answers may run on when the server stops.
const FAREWELL: Duration = Duration::from_secs(2);

/// A pause after a failed accept: asking again at once would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

impl LocalDoor {
    /// Binds. A socket file left by a dead server is replaced: the caller holds the store's lock, so nobody serves it.
    pub(crate) fn bind(path: &Path) -> std::io::Result<Self> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        Ok(Self { listener, path: path.to_path_buf() })
    }

    /// Serves until `stop` turns true, then lets running answers end.
    pub(crate) async fn serve(self, control: Control, clock: Arc<dyn Clock>, mut stop: watch::Receiver<bool>) {
        let table = Arc::new(EndpointTable::new());
        let mut connections = JoinSet::new();
        loop {
            while connections.len() >= CONNECTIONS {
                connections.join_next().await;
            }
            let stream = tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => stream,
                    Err(error) => {
                        tracing::warn!(%error, "the local socket did not accept");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                        continue;
                    }
                },
                () = stopped(&mut stop) => break,
            };
            let (control, clock, table) = (control.clone(), clock.clone(), table.clone());
            connections.spawn(async move {
                let service = service_fn(move |request| {
                    let (control, clock, table) = (control.clone(), clock.clone(), table.clone());
                    async move { Ok::<_, Infallible>(answer(&control, clock.as_ref(), &table, request).await) }
                });
                let served = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(HEAD)
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
                if let Err(error) = served {
                    tracing::debug!(%error, "a local connection ended early");
                }
            });
        }
        // A command that was stopped in the middle of its request must not hold the server up.
        let rest = async { while connections.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(FAREWELL, rest).await;
    }
}

impl Drop for LocalDoor {
    fn drop(&mut self) {
        // A file left behind is replaced at the next start.
        let _ = std::fs::remove_file(&self.path);
    }
}

async fn answer(
    control: &Control,
    clock: &dyn Clock,
    table: &EndpointTable,
    request: Request<Incoming>,
) -> Response<ControlBody> {
    let request_id = RequestId::generate(clock.now().wall, &mut SystemRandom);
    match table.find(request.method().as_str(), request.uri().path()) {
        Ok(matched) if matched.row.plane == Plane::Management => {
            control.answer(Origin::LocalOperator, matched, request, request_id).await
        }
        Ok(_) | Err(Miss::UnknownPath) => refusal(&PublicError::new(Code::UnknownUrl)),
        Err(Miss::OtherMethod(allowed)) => {
            refusal(&PublicError { allow: Some(allowed.join(", ").into()), ..PublicError::new(Code::MethodNotAllowed) })
        }
    }
}

/// A refusal as every other endpoint words it.
pub(crate) fn refusal(error: &PublicError) -> Response<Full<Bytes>> {
    let reply = claviger_wire::error_body::render(error, ErrorShape::OpenAi, "");
    let mut response = Response::new(Full::new(reply.body));
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in reply.headers {
        if let (Ok(name), Ok(value)) = (http::HeaderName::try_from(name), http::HeaderValue::try_from(value)) {
            response.headers_mut().append(name, value);
        }
    }
    response
}
