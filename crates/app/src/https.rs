//! One request to a place that the operator named, over TLS or on this machine: issuers of tokens, receivers of checkpoints.
//!
//! A connection a request, since there are few. No redirect is followed; how long it may take is the caller's business.

use bytes::Bytes;
use http::{Request, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower::Service as _;

/// Why there is no answer; for the operator.
pub(crate) type Failed = Box<dyn std::error::Error + Send + Sync>;

/// The way out.
#[derive(Clone, Debug)]
pub(crate) struct Https {
    connector: HttpsConnector<HttpConnector>,
}

impl Https {
    pub(crate) fn new() -> Self {
        let connector = hyper_rustls::HttpsConnectorBuilder::new().with_webpki_roots().https_or_http().enable_http1();
        Self { connector: connector.build() }
    }

    /// Sends a request in origin form to `uri` and gives the status and the body, of `most` bytes.
    ///
    /// # Errors
    /// When the place is neither https:// nor on this machine, or no whole answer comes.
    pub(crate) async fn exchange(
        &self,
        uri: Uri,
        request: Request<Full<Bytes>>,
        most: usize,
    ) -> Result<(u16, Bytes), Failed> {
        if !is_private(&uri) {
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

/// Whether nobody on the way can read or change what is said: TLS, or this machine.
pub(crate) fn is_private(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let is_local = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    !host.is_empty() && (uri.scheme_str() == Some("https") || uri.scheme_str() == Some("http") && is_local)
}

#[cfg(test)]
mod tests {
    use super::*;

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
