//! The private listener: `/livez`, `/readyz`, `/metrics`. Cheap, and never calls a model or the database.

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Probes and scrapers at once.
const CONNECTIONS: usize = 64;
const HEAD: Duration = Duration::from_secs(10);

/// What the node says about itself.
pub(crate) trait Condition: Send + Sync + 'static {
    /// Whether it admits requests.
    fn is_ready(&self) -> bool;
    /// Its metrics in Prometheus' text form.
    fn metrics(&self) -> String;
}

/// Serves until `stop` turns true.
pub(crate) async fn serve(listener: TcpListener, condition: Arc<dyn Condition>, mut stop: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.len() >= CONNECTIONS {
            connections.join_next().await;
        }
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "the private listener did not accept");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
            () = stopped(&mut stop) => break,
        };
        let condition = condition.clone();
        connections.spawn(async move {
            let service = service_fn(move |request| {
                let response = answer(condition.as_ref(), &request);
                async move { Ok::<_, Infallible>(response) }
            });
            let served = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD)
                .serve_connection(TokioIo::new(stream), service)
                .await;
            if let Err(error) = served {
                tracing::debug!(%error, "a private connection ended early");
            }
        });
    }
}

/// Resolves when the flag turns true, or nobody can turn it any more.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    // The value seen is a borrow of the channel: it must not live across another await.
    let _ = stop.wait_for(|stop| *stop).await;
}

fn answer(condition: &dyn Condition, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let (status, text) = match request.uri().path() {
        "/livez" => (StatusCode::OK, "live\n".to_owned()),
        "/readyz" if condition.is_ready() => (StatusCode::OK, "ready\n".to_owned()),
        "/readyz" => (StatusCode::SERVICE_UNAVAILABLE, "not ready\n".to_owned()),
        "/metrics" => (StatusCode::OK, condition.metrics()),
        _ => (StatusCode::NOT_FOUND, "There are /livez, /readyz and /metrics here.\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let kind = header::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}
