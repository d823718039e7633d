//! List environments, asked by a body: any key, whatever client it sits in.

use super::EnvironmentObject;
use crate::ask::Ask;
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
    query: Query,
    ask: Ask,
) -> Result<Json<List<EnvironmentObject>>, Refusal> {
    query.finish()?;
    let page = ask.page(&call.actor)?;
    let found =
        call.control.store().page_environments(call.actor.scope(), call.actor.seen_from(), false, &page).await?;
    let found = found.ok_or(Code::InvalidCursor)?;
    Ok(Json(List::of(found, |row| row.id.to_string(), EnvironmentObject::new)))
}
