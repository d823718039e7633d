//! The audit log, newest first unless asked otherwise, with OpenAI's filters; of an organization, or of the instance.

use super::object::shown;
use crate::authorize::{Member, Operator};
use crate::page::List;
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::{Call, Control};
use axum::Json;
use axum::extract::State;
use claviger_domain::audit::{Action, Chain};
use claviger_domain::error::Code;
use claviger_domain::time::Timestamp;
use claviger_storage::AuditFilter;
use serde_json::Value;

pub(crate) async fn handler(State(call): State<Call<Member>>, query: Query) -> Result<Json<List<Value>>, Refusal> {
    let environments = call.control.store().list_environments(call.actor.scope()).await?;
    let name = |id: &str| {
        let found = environments.iter().find(|environment| environment.id.to_string() == id);
        found.map(|environment| environment.name.to_string())
    };
    list(&call.control, Chain::Organization(call.actor.scope().0), query, name).await
}

/// The instance's own chain: the operator.
pub(crate) async fn of_instance(
    State(call): State<Call<Operator>>,
    query: Query,
) -> Result<Json<List<Value>>, Refusal> {
    list(&call.control, Chain::Instance, query, |_| None).await
}

async fn list(
    control: &Control,
    chain: Chain,
    mut query: Query,
    environment_name: impl Fn(&str) -> Option<String>,
) -> Result<Json<List<Value>>, Refusal> {
    let page = query.page()?;
    let Some(filter) = filter(&mut query)? else {
        query.finish()?;
        return Ok(Json(List::empty()));
    };
    query.finish()?;
    let found = control.store().list_audit_of(chain, &filter, &page).await?;
    let found = found.ok_or(Code::InvalidCursor)?;
    Ok(Json(List::of(found, |entry| entry.record.id.clone(), |entry| shown(entry, &environment_name))))
}

/// `None` = the filter names only words that no record has.
fn filter(query: &mut Query) -> Result<Option<AuditFilter>, Refusal> {
    let second = |seconds: i64| Timestamp::from_seconds(seconds);
    let mut bound = |name: &str| query.integer(&format!("effective_at[{name}]"));
    let (gt, gte, lt, lte) = (bound("gt")?, bound("gte")?, bound("lt")?, bound("lte")?);
    let from = [gte.map(second), gt.map(|after| second(after.saturating_add(1)))].into_iter().flatten().max();
    let until = [lt.map(second), lte.map(|last| second(last.saturating_add(1)))].into_iter().flatten().min();
    let words = query.list("event_types");
    let actions: Vec<Action> = words.iter().filter_map(|word| Action::from_name(word)).collect();
    if !words.is_empty() && actions.is_empty() {
        return Ok(None);
    }
    Ok(Some(AuditFilter {
        from,
        until,
        actions,
        actors: query.list("actor_ids"),
        actor_emails: query.list("actor_emails").iter().map(|email| email.to_lowercase()).collect(),
        targets: query.list("resource_ids"),
        environments: query.list("project_ids"),
    }))
}
