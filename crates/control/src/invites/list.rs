//! List invites: owners and admins.

use super::InviteObject;
use crate::authorize::Member;
use crate::page::List;
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;
use claviger_domain::error::Code;

pub(crate) async fn handler(
    State(call): State<Call<Member>>,
    mut query: Query,
) -> Result<Json<List<InviteObject>>, Refusal> {
    let page = query.page()?;
    query.finish()?;
    let found = call.control.store().list_invites(call.actor.scope(), &page).await?.ok_or(Code::InvalidCursor)?;
    Ok(Json(List::of(found, |invite| invite.id.to_string(), |invite| InviteObject::new(invite, call.now.wall))))
}
