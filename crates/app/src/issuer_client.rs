//! Issuers of tokens are asked over HTTPS: the one place that speaks to them.
//!
//! What they are asked, how often, and what is believed of the answer is the management plane's business.

use bytes::Bytes;
use claviger_control::{AskIssuers, Question, Told, Unanswered};
use claviger_domain::limits;
use http::{HeaderValue, Request, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use std::future::Future;
use std::pin::Pin;
use tokio::net::TcpStream;
use tower::Service as _;

type Failed = Box<dyn std::error::Error + Send + Sync>;

/// The way to issuers: a connection a question, since they are asked a few times an hour.
#[derive(Clone, Debug)]
pub(crate) struct IssuerClient {
    connector: HttpsConnector<HttpConnector>,
}

impl IssuerClient {
    pub(crate) fn new() -> Self {
        let connector = hyper_rustls::HttpsConnectorBuilder::new().with_webpki_roots().https_or_http().enable_http1();
        Self { connector: connector.build() }
    }

    async fn exchange(&self, question: Question) -> Result<Told, Failed> {
        let uri: Uri = question.url.parse()?;
        if !is_private(&uri) {
            return Err("it is neither https:// nor on this machine".into());
        }
        let request = request(&uri, question)?;
        let stream = self.connect(uri).await?;
        let (mut sender, connection) = http1::handshake(stream).await?;
        let answer = async {
            let response = sender.send_request(request).await?;
            let status = response.status().as_u16();
            let body = Limited::new(response.into_body(), limits::ISSUER_DOCUMENT_BYTES).collect().await?.to_bytes();
            Ok(Told { status, body })
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

impl AskIssuers for IssuerClient {
    fn ask(&self, question: Question) -> Pin<Box<dyn Future<Output = Result<Told, Unanswered>> + Send + '_>> {
        Box::pin(async move {
            match tokio::time::timeout(limits::ISSUER_PATIENCE, self.exchange(question)).await {
                Ok(answer) => answer.map_err(|error| Unanswered(error.to_string())),
                Err(_elapsed) => Err(Unanswered(format!("no answer in {} s", limits::ISSUER_PATIENCE.as_secs()))),
            }
        })
    }
}

/// Whether nobody on the way can read or change what is said: TLS, or this machine.
pub(crate) fn is_private(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let is_local = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    !host.is_empty() && (uri.scheme_str() == Some("https") || uri.scheme_str() == Some("http") && is_local)
}

fn request(uri: &Uri, question: Question) -> Result<Request<Full<Bytes>>, Failed> {
    let target = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let host = uri.authority().map(ToString::to_string).unwrap_or_default();
    let mut request =
        Request::builder().uri(target).header(header::HOST, host).header(header::ACCEPT, "application/json");
    if let Some(line) = question.authorization {
        let mut line = HeaderValue::try_from(line.expose())?;
        line.set_sensitive(true);
        request = request.header(header::AUTHORIZATION, line);
    }
    Ok(match question.form {
        None => request.body(Full::default())?,
        Some(form) => request
            .method("POST")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Full::from(form.expose().clone()))?,
    })
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
