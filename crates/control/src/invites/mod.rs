//! Invites: one file per operation, and the object that all of them show.

pub(crate) mod accept;
pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod get;
pub(crate) mod handover;
pub(crate) mod list;
pub(crate) mod resend;

use crate::authorize::Member;
use crate::respond::Refusal;
use crate::serve::Call;
use claviger_domain::audit::Actor;
use claviger_domain::error::{Code, PublicError, Retry};
use claviger_domain::id::InviteId;
use claviger_domain::limits;
use claviger_domain::person::invite::Invite;
use claviger_domain::time::Timestamp;
use serde::Serialize;

/// An invite as OpenAI's administration API shows one.
#[derive(Serialize)]
pub(crate) struct InviteObject {
    object: &'static str,
    id: String,
    email: String,
    role: &'static str,
    status: &'static str,
    created_at: i64,
    expires_at: i64,
    accepted_at: Option<i64>,
    invited_by: String,
    projects: [(); 0],
    /// The link to be copied, where no mail goes out; shown once.
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
}

impl InviteObject {
    pub(crate) fn new(invite: &Invite, now: Timestamp) -> Self {
        Self {
            object: "organization.invite",
            id: invite.id.to_string(),
            email: invite.email.to_string(),
            role: crate::members::word(invite.role),
            status: invite.status(now).name(),
            created_at: invite.created_at.seconds(),
            expires_at: invite.expires_at.seconds(),
            accepted_at: invite.accepted_at.map(Timestamp::seconds),
            invited_by: invite.invited_by.clone(),
            projects: [],
            url: None,
        }
    }

    fn with_url(self, url: Option<String>) -> Self {
        Self { url, ..self }
    }
}

/// The invite of the path.
async fn find(call: &Call<Member>) -> Result<Invite, Refusal> {
    let id: InviteId = call.id("invite")?;
    call.control.store().find_invite(call.actor.scope(), id).await?.ok_or_else(Refusal::not_found)
}

/// A day has brought as many as it may.
fn too_many() -> Refusal {
    let message = format!(
        "Too many invites: an organization sends {} a day, an address gets {} and each is sent {} times.",
        limits::INVITES_PER_ORGANIZATION,
        limits::INVITES_PER_ADDRESS,
        limits::INVITE_SENDS
    );
    let error = PublicError::with_message(Code::RateLimitExceeded, message);
    PublicError { retry: Retry::After(limits::INVITE_WINDOW), ..error }.into()
}

/// Who invites, as the invite keeps it.
fn inviter(actor: &Actor) -> String {
    match actor {
        Actor::LocalOperator | Actor::Operator(_) => "operator".to_owned(),
        other => other.parts().1.to_owned(),
    }
}
