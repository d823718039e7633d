//! Give a member another role: owners and admins, up to their own. The member's sessions end.

use super::{Confirmed, MemberObject, check_role, find, role};
use crate::authorize::Member;
use crate::body::Fields;
use crate::confirmation::narrowed;
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;
use claviger_domain::error::Code;
use claviger_storage::MemberOutcome;

pub(crate) async fn handler(
    State(call): State<Call<Member>>,
    query: Query,
    mut fields: Fields,
) -> Result<Json<Confirmed>, Refusal> {
    query.finish()?;
    let role = role(&mut fields)?;
    fields.finish(&["object", "id", "name", "email", "added_at"])?;
    let member = find(&call).await?;
    check_role(&call.actor, member.membership.role)?;
    check_role(&call.actor, role)?;
    let store = call.control.store();
    let changed = store.change_role(call.actor.scope(), member.user.id, role, call.actor.attribution()).await;
    match changed.map_err(Refusal::of_write)?.ok_or_else(Refusal::not_found)? {
        MemberOutcome::LastOwner => Err(Code::LastOwner.into()),
        MemberOutcome::Done { member, epoch } => {
            let confirmation = narrowed(&call, epoch, None).await?;
            Ok(Json(Confirmed { member: MemberObject::new(&member), confirmation }))
        }
    }
}
