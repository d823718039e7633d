//! Make a trust: owners and admins who may also make keys that are not their own. What it gives is never more than
//! whoever makes it.

use super::super::found;
use super::TrustObject;
use crate::authorize::Member;
use crate::body::Fields;
use crate::issuers;
use crate::keys::writable::edit;
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;
use claviger_domain::error::Code;
use claviger_domain::id::{EnvironmentId, TrustId};
use claviger_domain::key::{Policy, Set};
use claviger_domain::limits;
use claviger_domain::right::{INFERENCE_KEY_PERMISSIONS, Permission, Standing};
use claviger_domain::rights::Rights;
use claviger_domain::time::Now;
use claviger_domain::trust::{Trust, is_claim};
use claviger_storage::CreateTrustOutcome;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// Members of the object that a body must not set.
const READ_ONLY: &[&str] = &["id", "object", "service_account_id", "created_at", "created_by"];

pub(crate) async fn handler(
    State(call): State<Call<Member>>,
    query: Query,
    fields: Fields,
) -> Result<Json<TrustObject>, Refusal> {
    query.finish()?;
    let agent = found(&call).await?;
    // What a trust lets in makes keys whenever it likes.
    call.actor.require_own(Permission::KeysCreate, false)?;
    let id = call.control.draw(|random| TrustId::generate(call.now.wall, random));
    let blank = Trust {
        id,
        organization: call.actor.scope().0,
        agent: agent.id,
        issuer: String::new(),
        audience: String::new(),
        subject: "-".parse().map_err(|_| Code::InternalError)?,
        claims: BTreeMap::new(),
        ttl: limits::TRUST_TTL,
        is_single_use: true,
        source_tag: None,
        policy: Policy::default(),
        created_at: call.now.wall,
        created_by: call.actor.attribution().actor.parts().1.to_owned(),
    };
    let trust = read(fields, blank, call.now)?;
    if issuers::find_for_agents(&call.control, &trust.issuer).is_none() {
        return Err(Refusal::invalid("issuer", "an issuer whose tokens the operator lets agents exchange"));
    }
    if call.actor.organization().policy.require_source_tag && trust.source_tag.is_none() {
        return Err(Refusal::from(Code::SourceTagRequired).about("source_tag"));
    }
    call.actor.require_within(&rights(&trust, agent.environment))?;
    let made = call.control.store().create_trust(call.actor.scope(), trust.clone(), call.actor.attribution()).await;
    match made.map_err(Refusal::of_write)? {
        CreateTrustOutcome::Created => Ok(Json(TrustObject::new(&trust))),
        CreateTrustOutcome::UnknownAgent => Err(Refusal::not_found()),
        CreateTrustOutcome::AgentEnded => Err(Code::AgentEnded.into()),
        CreateTrustOutcome::TooMany => {
            let message = format!("This service account has {} trusts, as many as it may.", limits::TRUSTS_PER_AGENT);
            Err(Refusal::because(Code::InvalidValue, message))
        }
    }
}

fn read(mut fields: Fields, blank: Trust, now: Now) -> Result<Trust, Refusal> {
    let claim = |fields: &mut Fields, name: &str| {
        let text = fields.required_text(name)?;
        if is_claim(&text) { Ok(text) } else { Err(Refusal::invalid(name, "the text of a claim")) }
    };
    let issuer = claim(&mut fields, "issuer")?;
    let audience = claim(&mut fields, "audience")?;
    let subject = fields.required_text("subject")?;
    let subject =
        subject.parse().map_err(|_| Refusal::invalid("subject", "a subject, or the beginning of some and a '*'"))?;
    let claims = claims(&mut fields)?;
    let (least, most) = (limits::TRUST_TTL_MIN.as_secs(), limits::TRUST_TTL_MAX.as_secs());
    let ttl = match fields.integer("ttl_seconds")? {
        None => limits::TRUST_TTL,
        Some(seconds) => {
            let seconds = u64::try_from(seconds).ok().filter(|seconds| (least..=most).contains(seconds));
            let expected = || Refusal::invalid("ttl_seconds", format_args!("whole seconds from {least} to {most}"));
            Duration::from_secs(seconds.ok_or_else(expected)?)
        }
    };
    let is_single_use = if fields.has("single_use") { fields.flag("single_use")? } else { true };
    // What keys are narrowed by; the rest of what an edit takes is not a trust's.
    for name in ["name", "owner", "stored_in", "expires_at", "expires_in_seconds"] {
        if fields.has(name) {
            return Err(Refusal::because(Code::UnknownField, format!("Unknown parameter: '{name}'.")).about(name));
        }
    }
    let edited = edit(&mut fields, now)?;
    fields.finish(READ_ONLY)?;
    let mut policy = Policy::default();
    edited.enforced.onto(&mut policy.enforced);
    if let Set::To(shadow) = edited.shadow {
        policy.shadow = Some(Box::new(shadow));
    }
    policy.reach = edited.reach.unwrap_or(policy.reach);
    policy.permissions = edited.permissions.unwrap_or_default();
    let source_tag = edited.source_tag.or_none().map(|tag| tag.as_str().to_owned());
    Ok(Trust { issuer, audience, subject, claims, ttl, is_single_use, source_tag, policy, ..blank })
}

fn claims(fields: &mut Fields) -> Result<BTreeMap<String, String>, Refusal> {
    let expected = || Refusal::invalid("claims", format_args!("at most {} claims and texts", limits::TRUST_CLAIMS));
    let Some(members) = fields.object("claims")? else { return Ok(BTreeMap::new()) };
    if members.len() > limits::TRUST_CLAIMS {
        return Err(expected());
    }
    let claim = |(name, value): (String, Value)| match value {
        Value::String(text) if is_claim(&name) && is_claim(&text) => Ok((name, text)),
        _ => Err(expected()),
    };
    members.into_iter().map(claim).collect()
}

/// What a key of the trust may do.
fn rights(trust: &Trust, environment: EnvironmentId) -> Rights {
    let extra = trust.policy.permissions.iter().copied();
    Rights {
        standing: Standing::InferenceKey(INFERENCE_KEY_PERMISSIONS.iter().copied().chain(extra).collect()),
        restrictions: trust.policy.enforced.clone(),
        reach: trust.policy.reach,
        environment: Some(environment),
    }
}
