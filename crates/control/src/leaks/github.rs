//! `POST /api/github/secret_scanning`: reports in the form of GitHub's partner programme (`keys.md` §4, "Leaks").
//!
//! The signature is over the bytes as they came, so it is checked before anything is read in them. Each token is answered
//! `true_positive` or `false_positive`; a true one is acted on as its organization's policy says.

use crate::authorize::Visitor;
use crate::body::RawBody;
use crate::presented::{self, Presented};
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::{Call, Control};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use axum::Json;
use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use claviger_domain::audit::Attribution;
use claviger_domain::error::Code;
use claviger_domain::id::SecretId;
use claviger_domain::key::Key;
use claviger_domain::limits;
use claviger_domain::tenancy::{Organization, TenantScope};
use claviger_storage::Sighting;
use http::HeaderMap;
use serde::{Deserialize, Serialize};

const KEY_ID: &str = "github-public-key-identifier";
const SIGNATURE: &str = "github-public-key-signature";

/// Characters of a URL or source that are kept of a report.
const TOLD: usize = 500;

#[derive(Deserialize)]
struct Report {
    token: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    url: Option<String>,
    #[serde(default)]
    source: Option<String>,
}

/// The scanner's own form of an answer: the token comes back as it came.
#[derive(Serialize)]
pub(crate) struct Label {
    token_raw: String,
    token_type: String,
    label: &'static str,
}

pub(crate) async fn handler(
    State(call): State<Call<Visitor>>,
    query: Query,
    headers: HeaderMap,
    RawBody(body): RawBody,
) -> Result<Json<Vec<Label>>, Refusal> {
    query.finish()?;
    if call.control.leaks().github.is_empty() {
        return Err(Code::UnknownUrl.into());
    }
    check_signature(&call.control, &headers, &body)?;
    let reports: Vec<Report> = serde_json::from_slice(&body).map_err(|_| Refusal::from(Code::InvalidJson))?;
    if reports.len() > limits::LEAK_REPORTS {
        return Err(Refusal::because(Code::RequestTooLarge, "A report has at most 1,000 tokens."));
    }
    let mut labels = Vec::with_capacity(reports.len());
    for report in reports {
        let found = presented::find(&call.control, report.token.as_bytes()).await?.ok();
        let label = if found.is_some() { "true_positive" } else { "false_positive" };
        if let Some(Presented { key, secret, organization }) = found {
            act(&call.control, &report, &key, secret.id, &organization, call.actor.attribution()).await?;
        }
        labels.push(Label { token_raw: report.token, token_type: report.kind, label });
    }
    Ok(Json(labels))
}

fn check_signature(control: &Control, headers: &HeaderMap, body: &[u8]) -> Result<(), Refusal> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let key = control.leaks().github.iter().find(|key| key.id == text(KEY_ID)).ok_or(Code::InvalidSignature)?;
    let signature = STANDARD.decode(text(SIGNATURE)).map_err(|_| Code::InvalidSignature)?;
    let verified = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &key.point).verify(body, &signature);
    verified.map_err(|_| Code::InvalidSignature.into())
}

async fn act(
    control: &Control,
    report: &Report,
    key: &Key,
    secret: SecretId,
    organization: &Organization,
    by: &Attribution,
) -> Result<(), Refusal> {
    let told = |text: &Option<String>| text.as_deref().unwrap_or_default().chars().take(TOLD).collect::<String>();
    // A URL may hold the very key that it tells of.
    let clean = |text: String| claviger_domain::key::redacted(&text, &control.settings().prefixes).into_owned();
    let sighting = Sighting {
        scope: TenantScope(organization.id),
        key: key.id,
        secret,
        source: clean(format!("github {}", told(&report.source)).trim().to_owned()),
        url: clean(told(&report.url)),
    };
    let action = organization.policy.leak_action;
    control.store().report_leak(sighting, action, by).await.map_err(Refusal::of_write)?;
    tracing::warn!(key = %key.id, action = action.name(), "a key was reported as leaked");
    Ok(())
}
