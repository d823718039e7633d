//! One HTTP/1.1 exchange over a Unix socket or TCP.

use super::{Failure, Kind};
use bytes::Bytes;
use claviger_domain::secret::Secret;
use http::{HeaderValue, Request, Uri, header};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::path::Path;
use std::time::Duration;
use tokio::net::UnixStream;

/// Status, our request id, body.
pub(super) type Raw = (u16, Option<String>, Bytes);

/// `ledger verify` walks everything; nothing else comes near.
const EXCHANGE: Duration = Duration::from_secs(600);
const CONNECT: Duration = Duration::from_secs(10);

/// Whether somebody accepts on the socket; a file left by a dead server does not count.
pub(super) async fn is_served(path: &Path) -> bool {
    UnixStream::connect(path).await.is_ok()
}

/// Asks the server on the data directory.
pub(super) async fn over_socket(path: &Path, request: Request<Full<Bytes>>) -> Result<Raw, Failure> {
    let stream = UnixStream::connect(path).await.map_err(|error| network("the local server", &error))?;
    exchange(TokioIo::new(stream), request, "the local server").await
}

/// Asks a server elsewhere, as the holder of a key or as nobody.
pub(super) async fn over_tcp(
    url: &str,
    key: Option<&Secret<String>>,
    mut request: Request<Full<Bytes>>,
) -> Result<Raw, Failure> {
    let base: Uri = url.parse().map_err(|error| Failure::new(Kind::Usage, format!("--url {url}: {error}")))?;
    let prefix = base.path().trim_end_matches('/');
    let target = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
    *request.uri_mut() = format!("{prefix}{target}")
        .parse()
        .map_err(|error| Failure::new(Kind::Usage, format!("--url {url}: {error}")))?;
    let host = base.authority().map(ToString::to_string).unwrap_or_default();
    let headers = request.headers_mut();
    if let Some(key) = key {
        let mut bearer = HeaderValue::try_from(format!("Bearer {}", key.expose()))
            .map_err(|_| Failure::new(Kind::Usage, "the admin key file holds no key"))?;
        bearer.set_sensitive(true);
        headers.insert(header::AUTHORIZATION, bearer);
    }
    headers.insert(header::HOST, HeaderValue::try_from(&host).map_err(|error| network(url, &error))?);
    let connector =
        hyper_rustls::HttpsConnectorBuilder::new().with_webpki_roots().https_or_http().enable_http1().build();
    let connected = tokio::time::timeout(CONNECT, connect(connector, base)).await;
    let stream = connected.map_err(|_| Failure::new(Kind::Network, format!("{url} does not answer")))?;
    exchange(stream.map_err(|error| network(url, error.as_ref()))?, request, url).await
}

type Stream = hyper_rustls::MaybeHttpsStream<TokioIo<tokio::net::TcpStream>>;
type Connector = hyper_rustls::HttpsConnector<hyper_util::client::legacy::connect::HttpConnector>;

async fn connect(mut connector: Connector, base: Uri) -> Result<Stream, Box<dyn std::error::Error + Send + Sync>> {
    use tower::Service as _;
    std::future::poll_fn(|context| connector.poll_ready(context)).await?;
    connector.call(base).await
}

/// A key goes over TLS, or stays on this machine.
pub(super) fn checked_url(url: &str) -> Result<String, Failure> {
    let trimmed = url.trim_end_matches('/');
    let trimmed = trimmed.strip_suffix("/v1").unwrap_or(trimmed);
    let uri: Uri = trimmed.parse().map_err(|error| Failure::new(Kind::Usage, format!("--url {url}: {error}")))?;
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let is_local = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    match uri.scheme_str() {
        Some("https") => Ok(trimmed.to_owned()),
        Some("http") if is_local => Ok(trimmed.to_owned()),
        Some("http") => {
            Err(Failure::new(Kind::Usage, "an admin key is not sent over plain HTTP to another machine: use https"))
        }
        _ => Err(Failure::new(Kind::Usage, format!("--url {url}: begins with https:// or http://"))),
    }
}

async fn exchange<S>(stream: S, request: Request<Full<Bytes>>, who: &str) -> Result<Raw, Failure>
where
    S: hyper::rt::Read + hyper::rt::Write + Unpin + 'static,
{
    let (mut sender, connection) = http1::handshake(stream).await.map_err(|error| network(who, &error))?;
    let answer = async {
        let response = sender.send_request(request).await?;
        let (head, body) = response.into_parts();
        let id = head.headers.get("x-request-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
        Ok::<Raw, hyper::Error>((head.status.as_u16(), id, body.collect().await?.to_bytes()))
    };
    // The connection makes no progress by itself: both are driven here, until the answer is whole.
    let both = async {
        tokio::pin!(answer, connection);
        tokio::select! {
            answer = &mut answer => answer,
            _ = &mut connection => answer.await,
        }
    };
    match tokio::time::timeout(EXCHANGE, both).await {
        Ok(answer) => answer.map_err(|error| network(who, &error)),
        Err(_elapsed) => Err(Failure::new(Kind::Network, format!("{who} did not answer in {} s", EXCHANGE.as_secs()))),
    }
}

fn network(who: &str, error: &(dyn std::error::Error + 'static)) -> Failure {
    let mut text = format!("{who}: {error}");
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    Failure::new(Kind::Network, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_does_not_travel_in_the_clear() {
        assert!(checked_url("https://api.acme.io/v1").is_ok_and(|url| url == "https://api.acme.io"));
        assert!(checked_url("http://127.0.0.1:8080/").is_ok());
        assert!(checked_url("http://[::1]:8080").is_ok());
        assert!(checked_url("http://10.0.0.1:8080").is_err());
        assert!(checked_url("ftp://localhost").is_err());
    }
}
