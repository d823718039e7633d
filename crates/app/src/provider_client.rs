//! Model servers are asked for what they have: before a provider is used, and when this machine is looked over.
//!
//! The way out is the guarded one (`https.rs`): a provider's reach holds for its test as it does for its requests. What is
//! made of the answer is the management plane's business.

use crate::config::Variables;
use crate::https::{Failed, Https};
use bytes::Bytes;
use claviger_control::{Found, ProbeProviders, Told, Unanswered};
use claviger_domain::catalog::{Dialect, Provider};
use claviger_domain::limits;
use http::{HeaderValue, Request, Uri, header};
use http_body_util::Full;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

/// The way to model servers.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ProviderClient;

impl ProbeProviders for ProviderClient {
    fn detect(&self) -> Pin<Box<dyn Future<Output = Vec<Found>> + Send + '_>> {
        Box::pin(async { crate::detect::look(&Variables::of_process()).await })
    }

    fn list_models(&self, provider: Provider) -> Pin<Box<dyn Future<Output = Result<Told, Unanswered>> + Send + '_>> {
        Box::pin(async move { list_models(&provider, limits::PROVIDER_PATIENCE).await })
    }
}

/// `GET models`, within `patience`.
pub(crate) async fn list_models(provider: &Provider, patience: Duration) -> Result<Told, Unanswered> {
    match tokio::time::timeout(patience, ask(provider)).await {
        Ok(Ok((status, body))) => Ok(Told { status, body }),
        Ok(Err(error)) => Err(Unanswered(causes(error.as_ref()))),
        Err(_elapsed) => Err(Unanswered(format!("It did not answer in {} s.", patience.as_secs()))),
    }
}

async fn ask(provider: &Provider) -> Result<(u16, Bytes), Failed> {
    // Gemini's compatible surface has no `/v1` of its own behind its base.
    let path = if provider.dialect == Dialect::Gemini { "/models" } else { "/v1/models" };
    let uri: Uri = format!("{}{path}", provider.base_url).parse()?;
    let target = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let host = uri.authority().map(ToString::to_string).unwrap_or_default();
    let mut request =
        Request::builder().uri(target).header(header::HOST, host).header(header::ACCEPT, "application/json");
    if let Some(credential) = &provider.credential {
        let (name, text) = match provider.dialect {
            Dialect::Anthropic => ("x-api-key", credential.expose().clone()),
            Dialect::AzureOpenAi => ("api-key", credential.expose().clone()),
            _ => ("authorization", format!("Bearer {}", credential.expose())),
        };
        let mut value = HeaderValue::try_from(text)?;
        value.set_sensitive(true);
        request = request.header(name, value);
    }
    if provider.dialect == Dialect::Anthropic {
        request = request.header("anthropic-version", "2023-06-01");
    }
    let request = request.body(Full::default())?;
    Https::guarded(provider.reach.clone()).exchange(uri, request, limits::PROVIDER_LIST_BYTES).await
}

/// An error with what is behind it, each said once.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(behind) = cause {
        let said = behind.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = behind.source();
    }
    text
}
