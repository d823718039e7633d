//! `POST /v1/agents/exchange`: a token of another issuer becomes a short-lived key of the agent that trusts it (`keys.md`
//! §4, "Keyless machines"). Whoever brings a good token needs no credential of ours.
//!
//! Why a token is refused is told to the organization whose trust it missed, in its audit log, at most a few times a
//! minute; whoever presents it learns nothing but that it was refused.

use super::create::AgentKeyObject;
use crate::authorize::Visitor;
use crate::body::Fields;
use crate::confirmation::widened;
use crate::issuers::{self, verify};
use crate::keys::create::{Ask, mint};
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use claviger_domain::audit::{Action, Actor, Attribution, Chain, FieldChange, Outcome};
use claviger_domain::error::Code;
use claviger_domain::id_token::{Claims, Untrusted};
use claviger_domain::key::{Class, Name, Owner, SourceTag};
use claviger_domain::limits;
use claviger_domain::tenancy::TenantScope;
use claviger_domain::trust::{Trust, Unfit};
use claviger_storage::{AuditEvent, ExchangeOutcome, PresentedToken};
use http::{HeaderValue, header};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use std::hash::BuildHasher as _;

/// Draws of an id before giving up; one collision in 62¹² is already unlikely.
const ID_DRAWS: usize = 4;

/// The key, and whose it is.
#[derive(Serialize)]
pub(crate) struct Reply {
    #[serde(flatten)]
    key: AgentKeyObject,
    service_account_id: String,
    project_id: String,
}

pub(crate) async fn handler(
    State(call): State<Call<Visitor>>,
    query: Query,
    mut fields: Fields,
) -> Result<Response, Refusal> {
    query.finish()?;
    if !issuers::has_any_for_agents(&call.control) {
        return Err(Code::UnknownUrl.into());
    }
    let token = fields.required_text("token")?;
    let agent = fields.text("service_account_id")?;
    fields.finish(&[])?;
    let url = verify::issuer_named(&token).map_err(verify::Disbelief::from)?;
    let issuer = issuers::find_for_agents(&call.control, &url);
    let issuer = issuer.ok_or(verify::Disbelief::Untrusted(Untrusted::Issuer))?;
    let claims = verify::signed(&call.control, issuer, &token, verify::ALGORITHMS, call.now).await?;
    let trust = choose(&call, &claims, agent.as_deref()).await?;
    exchange(&call, &trust, &claims, &token).await
}

/// The trust that the token fits: the oldest of one organization.
async fn choose(call: &Call<Visitor>, claims: &Claims, agent: Option<&str>) -> Result<Trust, Refusal> {
    let store = call.control.store();
    let mut meant = store.find_meant_trusts(&claims.issuer, &claims.audiences, &claims.subject).await?;
    meant.trusts.retain(|trust| agent.is_none_or(|agent| trust.agent.to_string() == agent));
    let mut unfit = meant.missed.into_iter().map(|trust| (trust, Unfit::Subject)).next();
    let mut fitting: Vec<Trust> = Vec::new();
    for trust in meant.trusts {
        match trust.check(claims, call.now.wall) {
            Ok(()) => fitting.push(trust),
            Err(why) => unfit = unfit.or(Some((trust, why))),
        }
    }
    // Whoever trusts the same tokens as another organization must not get its machines by being there first.
    let is_ambiguous = fitting.iter().any(|trust| Some(trust.organization) != fitting.first().map(|t| t.organization));
    match (fitting.into_iter().next(), unfit) {
        (Some(trust), _) if is_ambiguous => Err(refuse(call, &trust, claims, Unfit::Ambiguous).await),
        (Some(trust), _) => Ok(trust),
        (None, Some((trust, why))) => Err(refuse(call, &trust, claims, why).await),
        (None, None) => Err(verify::Disbelief::Untrusted(Untrusted::Audience).into()),
    }
}

async fn exchange(call: &Call<Visitor>, trust: &Trust, claims: &Claims, token: &str) -> Result<Response, Refusal> {
    let presented = PresentedToken {
        hash: Sha256::digest(token.as_bytes()).into(),
        holds_until: claims.expires_at.plus(limits::TOKEN_LEEWAY),
        subject: claims.subject.clone(),
    };
    // A subject is as long as its issuer likes, and the name only has to be recognised.
    let name: String = claims.subject.chars().filter(|letter| !letter.is_control()).take(100).collect();
    let name = Name::parse(&name).or_else(|_| Name::parse("exchanged")).map_err(|_| Code::InternalError)?;
    let tag = trust.source_tag.as_deref().map(SourceTag::parse).transpose().map_err(|_| Code::InternalError)?;
    let ask = Ask {
        owner: Some(Owner::Agent(trust.agent)),
        expires_at: Some(call.now.wall.plus(trust.ttl)),
        policy: trust.policy.clone(),
        source_tag: tag,
        ..Ask::new(name, Class::Inference)
    };
    let by = attribution(call, trust);
    let scope = TenantScope(trust.organization);
    for _ in 0..ID_DRAWS {
        let (minted, mut new) = mint(&call.control, &ask, call.now)?;
        // Whoever loses the reply comes with another token.
        new.secret.reissue_until = None;
        let made = call.control.store().exchange_token(scope, trust.id, presented.clone(), new, &by).await;
        match made.map_err(Refusal::of_write)? {
            ExchangeOutcome::Made { key, epoch } => {
                widened(call, epoch).await;
                let reply = Reply {
                    key: AgentKeyObject::new(&key, &minted),
                    service_account_id: trust.agent.to_string(),
                    project_id: key.environment.to_string(),
                };
                let mut response = Json(reply).into_response();
                response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
                return Ok(response);
            }
            ExchangeOutcome::Unfit(why) => return Err(refuse(call, trust, claims, why).await),
            ExchangeOutcome::Gone => return Err(Code::InvalidToken.into()),
            ExchangeOutcome::IdTaken => {}
        }
    }
    Err(Code::InternalError.into())
}

/// Tells the organization why, unless it was told often a moment ago; a record that cannot be written changes nothing.
async fn refuse(call: &Call<Visitor>, trust: &Trust, claims: &Claims, why: Unfit) -> Refusal {
    tracing::info!(target: "claviger::security", trust = %trust.id, why = why.name(), "a token became no key");
    let subject = call.control.throttle_hash().hash_one(("trust", trust.id.to_string()));
    let is_told = call.control.throttle().lock().take(&[subject], call.now.monotonic).is_ok();
    if is_told {
        let change =
            |field: &str, to: &str| FieldChange { field: field.to_owned(), from: None, to: Some(to.to_owned()) };
        let changes = vec![change("reason", why.name()), change("subject", &claims.subject)];
        let event = AuditEvent {
            outcome: Outcome::Denied,
            ..AuditEvent::done(Action::TrustRefused, trust.id.to_string(), changes)
        };
        let chain = Chain::Organization(trust.organization);
        if let Err(error) = call.control.store().record_event(chain, event, &attribution(call, trust)).await {
            tracing::warn!(%error, trust = %trust.id, "a refused token could not be recorded");
        }
    }
    match why {
        Unfit::TooManyKeys => {
            let message = "As many keys of this trust live as may: wait until one has ended.";
            Refusal::because(Code::RateLimitExceeded, message)
        }
        _ => Code::InvalidToken.into(),
    }
}

/// The agent acts, by the credential of its trust.
fn attribution(call: &Call<Visitor>, trust: &Trust) -> Attribution {
    Attribution {
        actor: Actor::Agent(trust.agent.to_string()),
        credential: trust.id.to_string(),
        ..call.actor.attribution().clone()
    }
}
