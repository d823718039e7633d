//! Take an invite back: owners and admins. One that was accepted stays as it is.

use super::find;
use crate::authorize::Member;
use crate::members::check_role;
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;
use claviger_domain::error::Code;
use claviger_domain::person::invite::InviteStatus;
use serde::Serialize;

#[derive(Serialize)]
pub(crate) struct Deleted {
    object: &'static str,
    id: String,
    deleted: bool,
}

pub(crate) async fn handler(State(call): State<Call<Member>>, query: Query) -> Result<Json<Deleted>, Refusal> {
    query.finish()?;
    let invite = find(&call).await?;
    check_role(&call.actor, invite.role)?;
    let (scope, by) = (call.actor.scope(), call.actor.attribution());
    let withdrawn = call.control.store().withdraw_invite(scope, invite.id, by).await.map_err(Refusal::of_write)?;
    let withdrawn = withdrawn.ok_or_else(Refusal::not_found)?;
    if withdrawn.status(call.now.wall) == InviteStatus::Accepted {
        return Err(Code::InviteUsed.into());
    }
    Ok(Json(Deleted { object: "organization.invite.deleted", id: invite.id.to_string(), deleted: true }))
}
