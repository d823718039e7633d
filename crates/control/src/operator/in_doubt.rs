//! Charges that stand although their delivery is not known: the operator.

use crate::authorize::Operator;
use crate::page::List;
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;
use claviger_storage::InDoubt;
use serde::Serialize;

#[derive(Serialize)]
pub(crate) struct InDoubtObject {
    object: &'static str,
    id: String,
    organization: String,
    charge: String,
    created_at: i64,
}

pub(crate) async fn handler(
    State(call): State<Call<Operator>>,
    query: Query,
) -> Result<Json<List<InDoubtObject>>, Refusal> {
    query.finish()?;
    let found = call.control.store().list_in_doubt().await?;
    Ok(Json(List::whole(&found, |row| row.request.to_string(), object)))
}

fn object(row: &InDoubt) -> InDoubtObject {
    InDoubtObject {
        object: "ledger.in_doubt",
        id: row.request.to_string(),
        organization: row.organization.to_string(),
        charge: row.charge.to_string(),
        created_at: row.at.seconds(),
    }
}
