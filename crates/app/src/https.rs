//! One request to a place outside: issuers of tokens and receivers of checkpoints, which the operator named, and whatever
//! members name ([`Https::guarded`]), which goes no further than `domain::egress` lets it.
//!
//! A connection a request, since there are few. The name is asked for once, and only the addresses that were judged are
//! dialled. No redirect is followed; how long it may take is the caller's business.

use bytes::Bytes;
use claviger_domain::egress::Reach;
use http::{Request, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::rt::TokioIo;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::net::TcpStream;
use tower::Service;

/// Why there is no answer; for the operator.
pub(crate) type Failed = Box<dyn std::error::Error + Send + Sync>;

/// The way out.
#[derive(Clone, Debug)]
pub(crate) struct Https {
    connector: HttpsConnector<Dialler>,
    reach: Reach,
}

/// Name, addresses, judgement, TCP.
#[derive(Clone, Debug)]
struct Dialler(Reach);

impl Https {
    /// To places that the operator named.
    pub(crate) fn new() -> Self {
        Self::guarded(Reach::Anywhere)
    }

    /// To places that somebody else named, as far as the operator lets them.
    pub(crate) fn guarded(reach: Reach) -> Self {
        let connector = hyper_rustls::HttpsConnectorBuilder::new().with_webpki_roots().https_or_http().enable_http1();
        Self { connector: connector.wrap_connector(Dialler(reach.clone())), reach }
    }

    /// Sends a request in origin form to `uri` and gives the status and the body, of `most` bytes.
    ///
    /// # Errors
    /// When the place is neither https:// nor on this machine, or out of reach, or no whole answer comes.
    pub(crate) async fn exchange(
        &self,
        uri: Uri,
        request: Request<Full<Bytes>>,
        most: usize,
    ) -> Result<(u16, Bytes), Failed> {
        // Within what the operator lists for others, plain HTTP is theirs to choose; the dialler sees to the rest.
        if self.reach == Reach::Anywhere && !is_private(&uri) {
            return Err("it is neither https:// nor on this machine".into());
        }
        let stream = self.connect(uri).await?;
        let (mut sender, connection) = http1::handshake(stream).await?;
        let answer = async {
            let response = sender.send_request(request).await?;
            let status = response.status().as_u16();
            let body = Limited::new(response.into_body(), most).collect().await?.to_bytes();
            Ok((status, body))
        };
        // The connection makes no progress by itself: both are driven here, until the answer is whole.
        tokio::pin!(answer, connection);
        tokio::select! {
            answer = &mut answer => answer,
            _ = &mut connection => answer.await,
        }
    }

    async fn connect(&self, uri: Uri) -> Result<MaybeHttpsStream<TokioIo<TcpStream>>, Failed> {
        let mut connector = self.connector.clone();
        std::future::poll_fn(|context| connector.poll_ready(context)).await?;
        connector.call(uri).await
    }
}

impl Service<Uri> for Dialler {
    type Response = TokioIo<TcpStream>;
    type Error = Failed;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Failed>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Failed>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let reach = self.0.clone();
        Box::pin(async move {
            let is_tls = uri.scheme_str() == Some("https");
            let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
            let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
            let addresses: Vec<SocketAddr> = tokio::net::lookup_host((host, port)).await?.collect();
            let addresses = reach.choose(is_tls, addresses)?;
            let stream = TcpStream::connect(&*addresses).await?;
            stream.set_nodelay(true)?;
            Ok(TokioIo::new(stream))
        })
    }
}

/// Whether nobody on the way can read or change what is said: TLS, or this machine.
pub(crate) fn is_private(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let is_local = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    !host.is_empty() && (uri.scheme_str() == Some("https") || uri.scheme_str() == Some("http") && is_local)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_place_that_somebody_else_named_is_reached_only_where_the_operator_lists_it() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let port = listener.local_addr().expect("bound").port();
        let ask = async |reach: Reach, host: &str| {
            let uri: Uri = format!("http://{host}:{port}/").parse().expect("a URL");
            let request = Request::builder().uri("/").header("host", host).body(Full::default()).expect("a request");
            Https::guarded(reach).exchange(uri, request, 100).await
        };
        for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"] {
            let refused = ask(Reach::Guarded([].into()), host).await.expect_err("out of reach");
            assert!(format!("{refused:?}").contains("Closed"), "{host}: {refused:?}");
        }
        let none = tokio::time::timeout(std::time::Duration::from_millis(50), listener.accept()).await;
        assert!(none.is_err(), "nobody came");
        let listed = Reach::Guarded(["127.0.0.0/8".parse().expect("a network")].into());
        let (answer, ()) = tokio::join!(ask(listed, "127.0.0.1"), async {
            use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
            let (mut stream, _) = listener.accept().await.expect("accepted");
            stream.read_exact(&mut [0; 4]).await.expect("asked");
            let redirect = b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1/\r\ncontent-length: 0\r\n\r\n";
            stream.write_all(redirect).await.expect("answered");
        });
        assert_eq!(answer.expect("an answer").0, 302, "and no redirect is followed");
    }

    #[test]
    fn issuers_are_asked_over_tls_or_on_this_machine() {
        for (url, expected) in [
            ("https://id.acme.io", true),
            ("http://127.0.0.1:9000/a", true),
            ("http://[::1]:9000", true),
            ("http://localhost:9000", true),
            ("http://id.acme.io", false),
            ("http://127.0.0.1.acme.io", false),
            ("ftp://127.0.0.1", false),
            ("/path", false),
        ] {
            assert_eq!(url.parse().is_ok_and(|uri| is_private(&uri)), expected, "{url}");
        }
    }
}
