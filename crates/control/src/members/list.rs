//! List members: every role. OpenAI's filter by address is there, too.

use super::MemberObject;
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
) -> Result<Json<List<MemberObject>>, Refusal> {
    let page = query.page()?;
    let emails: Vec<String> = query.list("emails").iter().map(|email| email.to_lowercase()).collect();
    query.finish()?;
    let found = call.control.store().list_members(call.actor.scope(), &emails, &page).await?;
    let found = found.ok_or(Code::InvalidCursor)?;
    Ok(Json(List::of(found, |member| member.user.id.to_string(), MemberObject::new)))
}
