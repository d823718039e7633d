//! List environments: every role.

use super::EnvironmentObject;
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
) -> Result<Json<List<EnvironmentObject>>, Refusal> {
    let page = query.page()?;
    let has_archived = query.flag("include_archived")?;
    query.finish()?;
    let found =
        call.control.store().page_environments(call.actor.scope(), call.actor.seen_from(), has_archived, &page).await?;
    let found = found.ok_or(Code::InvalidCursor)?;
    Ok(Json(List::of(found, |row| row.id.to_string(), EnvironmentObject::new)))
}
