//! Remove a member: owners and admins, up to their own role. Nobody has to be left behind without an owner.
//!
//! Their access ends, the invites they sent are withdrawn. The person stays, in other organizations and in the records.

use super::{check_role, find};
use crate::authorize::Member;
use crate::confirmation::narrowed;
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;
use claviger_domain::error::Code;
use claviger_domain::revocation::Confirmation;
use claviger_storage::MemberOutcome;
use serde::Serialize;

#[derive(Serialize)]
pub(crate) struct Deleted {
    object: &'static str,
    id: String,
    deleted: bool,
    confirmation: Confirmation,
}

pub(crate) async fn handler(State(call): State<Call<Member>>, query: Query) -> Result<Json<Deleted>, Refusal> {
    query.finish()?;
    let member = find(&call).await?;
    check_role(&call.actor, member.membership.role)?;
    let store = call.control.store();
    let removed = store.remove_member(call.actor.scope(), member.user.id, call.actor.attribution()).await;
    match removed.map_err(Refusal::of_write)?.ok_or_else(Refusal::not_found)? {
        MemberOutcome::LastOwner => Err(Code::LastOwner.into()),
        MemberOutcome::Done { epoch, .. } => Ok(Json(Deleted {
            object: "organization.user.deleted",
            id: member.user.id.to_string(),
            deleted: true,
            confirmation: narrowed(&call, epoch, None).await?,
        })),
    }
}
