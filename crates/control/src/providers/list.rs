//! List providers: every role.

use super::ProviderObject;
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
) -> Result<Json<List<ProviderObject>>, Refusal> {
    let page = query.page()?;
    query.finish()?;
    let found = call.control.store().page_providers(call.actor.scope(), call.actor.seen_from(), &page).await?;
    let found = found.ok_or(Code::InvalidCursor)?;
    Ok(Json(List::of(found, |row| row.id.to_string(), ProviderObject::new)))
}
