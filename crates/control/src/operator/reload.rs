//! Have this node read its configuration again, or say what that would change. For the operator.

use crate::authorize::Operator;
use crate::body::Fields;
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;
use claviger_domain::catalog::Difference;
use serde::Serialize;

#[derive(Serialize)]
pub(crate) struct ReloadObject {
    object: &'static str,
    /// Whether it was put in force; a check puts nothing in force.
    in_force: bool,
    models_added: Vec<String>,
    models_removed: Vec<String>,
    models_changed: Vec<String>,
}

/// Other nodes of the database read their own files, when they are told.
pub(crate) async fn handler(
    State(call): State<Call<Operator>>,
    query: Query,
    mut fields: Fields,
) -> Result<Json<ReloadObject>, Refusal> {
    query.finish()?;
    let is_check = fields.flag("check")?;
    fields.finish(&[])?;
    let difference = call.control.rights().reload(is_check, call.actor.attribution()).await?;
    let Difference { added, removed, changed } = difference;
    Ok(Json(ReloadObject {
        object: "configuration",
        in_force: !is_check,
        models_added: added,
        models_removed: removed,
        models_changed: changed,
    }))
}
