//! List environments: every role.

use crate::authorize::Member;
use crate::page::List;
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;
use claviger_domain::error::Code;
use claviger_domain::tenancy::Environment;
use serde::Serialize;

#[derive(Serialize)]
pub(crate) struct EnvironmentObject {
    object: &'static str,
    id: String,
    name: String,
    created_at: i64,
    archived_at: Option<i64>,
    status: &'static str,
}

impl EnvironmentObject {
    fn new(environment: &Environment) -> Self {
        Self {
            object: "organization.project",
            id: environment.id.to_string(),
            name: environment.name.clone(),
            created_at: environment.created_at.seconds(),
            archived_at: None,
            status: "active",
        }
    }
}

pub(crate) async fn handler(
    State(call): State<Call<Member>>,
    mut query: Query,
) -> Result<Json<List<EnvironmentObject>>, Refusal> {
    let page = query.page()?;
    // OpenAI's parameter; nothing is archived yet, so it changes nothing.
    let _ = query.text("include_archived")?;
    query.finish()?;
    let environments = call.control.store().list_environments(call.actor.scope()).await?;
    let list = |rows: &[Environment]| List::whole(rows, |row| row.id.to_string(), EnvironmentObject::new);
    match page.after.or(page.before) {
        None => Ok(Json(list(&environments))),
        // They all fit on the first page, so nothing lies before or behind any of them.
        Some(cursor) if environments.iter().any(|row| row.id.to_string() == cursor) => Ok(Json(List::empty())),
        Some(_) => Err(Code::InvalidCursor.into()),
    }
}
