//! Issuers of tokens are asked over HTTPS: what is sent to them, and the time they have.
//!
//! What they are asked, how often, and what is believed of the answer is the management plane's business.

use crate::https::{Failed, Https};
use bytes::Bytes;
use claviger_control::{AskIssuers, Question, Told, Unanswered};
use claviger_domain::limits;
use http::{HeaderValue, Request, Uri, header};
use http_body_util::Full;
use std::future::Future;
use std::pin::Pin;

/// The way to issuers.
#[derive(Clone, Debug)]
pub(crate) struct IssuerClient(Https);

impl IssuerClient {
    pub(crate) fn new() -> Self {
        Self(Https::new())
    }

    async fn exchange(&self, question: Question) -> Result<Told, Failed> {
        let uri: Uri = question.url.parse()?;
        let request = request(&uri, question)?;
        let (status, body) = self.0.exchange(uri, request, limits::ISSUER_DOCUMENT_BYTES).await?;
        Ok(Told { status, body })
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
