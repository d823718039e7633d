//! List the trusts of an agent: owners and admins.

use super::super::found;
use super::TrustObject;
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
) -> Result<Json<List<TrustObject>>, Refusal> {
    let page = query.page()?;
    query.finish()?;
    let agent = found(&call).await?;
    let found = call.control.store().page_trusts(call.actor.scope(), agent.id, &page).await?;
    let found = found.ok_or(Code::InvalidCursor)?;
    Ok(Json(List::of(found, |trust| trust.id.to_string(), TrustObject::new)))
}
