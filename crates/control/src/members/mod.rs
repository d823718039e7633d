//! Members of an organization: one file per operation, and the object that all of them show.

pub(crate) mod get;
pub(crate) mod keys;
pub(crate) mod list;
pub(crate) mod remove;
pub(crate) mod update;

use crate::authorize::Member as Caller;
use crate::body::Fields;
use crate::respond::Refusal;
use crate::serve::Call;
use claviger_domain::error::Code;
use claviger_domain::id::UserId;
use claviger_domain::revocation::Confirmation;
use claviger_domain::right::{Role, Standing};
use claviger_storage::Member;
use serde::Serialize;

/// A member as OpenAI's administration API shows one, with what we know besides.
#[derive(Serialize)]
pub(crate) struct MemberObject {
    object: &'static str,
    id: String,
    name: String,
    email: String,
    role: &'static str,
    added_at: i64,
    state: &'static str,
    email_verified: bool,
    invited_by: Option<String>,
    last_active_at: Option<i64>,
}

/// A member after a change of rights, and the proof that it is in force.
#[derive(Serialize)]
pub(crate) struct Confirmed {
    #[serde(flatten)]
    member: MemberObject,
    confirmation: Confirmation,
}

impl MemberObject {
    pub(crate) fn new(member: &Member) -> Self {
        Self {
            object: "organization.user",
            id: member.user.id.to_string(),
            name: member.user.name.clone(),
            email: member.user.email.to_string(),
            role: word(member.membership.role),
            added_at: member.membership.created_at.seconds(),
            state: member.user.state.name(),
            email_verified: member.user.email_verified_at.is_some(),
            invited_by: member.membership.invited_by.clone(),
            last_active_at: member.membership.last_active_at.map(claviger_domain::time::Timestamp::seconds),
        }
    }
}

/// The member of the path.
async fn find(call: &Call<Caller>) -> Result<Member, Refusal> {
    let id: UserId = call.id("user")?;
    call.control.store().find_member(call.actor.scope(), id).await?.ok_or_else(Refusal::not_found)
}

/// What a refused role is told.
pub(crate) const ROLE_NAMES: &str = "owner, admin, developer, billing or viewer";

/// A role in the words of OpenAI's Administration API: a developer is a member, a viewer a reader.
pub(crate) const fn word(role: Role) -> &'static str {
    match role {
        Role::Developer => "member",
        Role::Viewer => "reader",
        other => other.name(),
    }
}

/// The role of this name, ours or OpenAI's.
pub(crate) fn named(text: &str) -> Option<Role> {
    match text {
        "reader" => Some(Role::Viewer),
        "member" => Some(Role::Developer),
        other => Role::from_name(other),
    }
}

/// Takes a role by its name here, or by OpenAI's.
pub(crate) fn role(fields: &mut Fields) -> Result<Role, Refusal> {
    named(&fields.required_text("role")?).ok_or_else(|| Refusal::invalid("role", ROLE_NAMES))
}

/// Refuses to give, change or take a role that may more than the caller; owners and admins need a fresh sign-in besides.
pub(crate) fn check_role(caller: &Caller, role: Role) -> Result<(), Refusal> {
    let creators = caller.organization().policy.creators;
    if !Standing::Member(role).is_at_most(caller.standing(), creators) {
        return Err(Refusal::because(
            Code::PermissionDenied,
            format!("The role {} may more than your role {}.", role.name(), caller.role().name()),
        ));
    }
    if matches!(role, Role::Owner | Role::Admin) { caller.require_fresh() } else { Ok(()) }
}
