//! The command line asks whether somebody consented, and takes its admin key, once.

use super::{Decision, Waiting};
use crate::auth::Tries;
use crate::authorize::{Visitor, require_moving};
use crate::body::Fields;
use crate::keys::KeyObject;
use crate::keys::create::{Ask, Created, Made, Maker, make};
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;
use claviger_domain::audit::{Actor, Attribution};
use claviger_domain::error::Code;
use claviger_domain::id::{OrganizationId, UserId};
use claviger_domain::key::{Class, Name, Owner};
use claviger_domain::limits;
use claviger_domain::person::session::Standing;
use claviger_domain::person::token::{Token, TokenKind};
use claviger_domain::person::{Membership, UserState};
use claviger_domain::right;
use claviger_domain::rights::Rights;
use claviger_domain::tenancy::{Organization, TenantScope};
use claviger_storage::Demand;
use serde::Serialize;

/// What has become of the question.
#[derive(Serialize)]
pub(crate) struct Answer {
    object: &'static str,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    granted: Option<Granted>,
}

/// The key of a command line.
#[derive(Serialize)]
struct Granted {
    organization: String,
    email: String,
    key: KeyObject,
    value: String,
}

pub(crate) async fn handler(
    State(call): State<Call<Visitor>>,
    query: Query,
    mut fields: Fields,
) -> Result<Json<Answer>, Refusal> {
    query.finish()?;
    let presented = fields.required_text("device_code")?;
    fields.finish(&[])?;
    let (store, now) = (call.control.store(), call.now.wall);
    let digest = Token::parse(&presented).map(|token| token.digest());
    let found = match &digest {
        Some(digest) => store.find_token(TokenKind::Device, digest, now).await?,
        None => None,
    };
    let (Some(found), Some(digest)) = (found, digest) else {
        // Whoever holds a good code may ask again and again; whoever guesses is braked.
        Tries::take(&call.control, call.actor.attribution(), &[], call.now)?;
        return Err(Code::InvalidLink.into());
    };
    let status = |status| Ok(Json(Answer { object: "device.token", status, granted: None }));
    let waiting = Waiting::read(&found.detail)?;
    let (organization, session) = match &waiting.decision {
        None => return status("waiting"),
        Some(Decision::Refused) => {
            store.take_token(TokenKind::Device, digest, now).await.map_err(Refusal::of_write)?;
            return status("refused");
        }
        Some(Decision::Granted { organization, session }) => (organization, session),
    };
    // Used up first: of two that come with one code, one gets a key.
    store.take_token(TokenKind::Device, digest, now).await.map_err(Refusal::of_write)?.ok_or(Code::InvalidLink)?;
    let user = found.user.ok_or(Code::InvalidLink)?;
    let (organization, membership) = standing(&call, user, organization, session).await?;
    let granted = grant(&call, &waiting, &organization, &membership).await?;
    Ok(Json(Answer { object: "device.token", status: "approved", granted: Some(granted) }))
}

/// Where the person who consented stands now: in the same session, still a member.
async fn standing(
    call: &Call<Visitor>,
    user: UserId,
    organization: &str,
    session: &str,
) -> Result<(Organization, Membership), Refusal> {
    let (store, now) = (call.control.store(), call.now.wall);
    let person = store.find_user(user).await?.filter(|person| person.state == UserState::Active);
    person.ok_or(Code::InvalidLink)?;
    let rules = &call.control.settings().people.sessions;
    let sessions = store.list_sessions(user, now).await?;
    let is_live = |live: &&claviger_domain::person::session::Session| {
        live.id.to_string() == session && rules.standing(live, now) != Standing::Over
    };
    sessions.iter().find(is_live).ok_or(Code::InvalidLink)?;
    let id: OrganizationId = organization.parse().map_err(|_| Code::InvalidLink)?;
    let memberships = store.list_memberships(user).await?;
    let found = memberships.into_iter().find(|(candidate, _)| candidate.id == id).ok_or(Code::InvalidLink)?;
    require_moving(&found.0)?;
    Ok(found)
}

async fn grant(
    call: &Call<Visitor>,
    waiting: &Waiting,
    organization: &Organization,
    membership: &Membership,
) -> Result<Granted, Refusal> {
    let now = call.now;
    let name = Name::parse(&format!("CLI on {}", waiting.host)).map_err(Refusal::from)?;
    let ask = Ask {
        role: Some(membership.role),
        owner: Some(Owner::User(membership.user)),
        expires_at: Some(now.wall.plus(limits::CLI_KEY_LIFE)),
        ..Ask::new(name, Class::Admin)
    };
    let maker = Rights { standing: right::Standing::Member(membership.role), ..Rights::of_member(membership.role) };
    let by = Attribution { actor: Actor::User(membership.user.to_string()), ..call.actor.attribution().clone() };
    let scope = TenantScope(organization.id);
    let user = call.control.store().find_user(membership.user).await?.ok_or(Code::InvalidLink)?;
    // Whoever consents need not manage keys: it is no more than they are.
    let maker = Maker { rights: &maker, demand: Demand::OwnStrength };
    match make(&call.control, scope, ask, None, maker, &by, now).await? {
        Made::Now(Created { key, value, .. }) => Ok(Granted {
            organization: organization.slug.clone(),
            email: user.email.to_string(),
            key: KeyObject::new(&key, &organization.policy.lifetimes, now.wall),
            value: value.expose().clone(),
        }),
        Made::Before(_) => Err(Code::InternalError.into()),
    }
}
