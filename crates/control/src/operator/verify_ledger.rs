//! Re-prove the ledger from zero: the operator. A fault is an answer, not an error.

use crate::authorize::Operator;
use crate::body::OptionalFields;
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;
use serde::Serialize;

#[derive(Serialize)]
pub(crate) struct LedgerObject {
    object: &'static str,
    ok: bool,
    transfers: u64,
    organizations: u64,
    faults: Vec<String>,
}

pub(crate) async fn handler(
    State(call): State<Call<Operator>>,
    query: Query,
    OptionalFields(fields): OptionalFields,
) -> Result<Json<LedgerObject>, Refusal> {
    query.finish()?;
    fields.finish(&[])?;
    let report = call.control.store().verify_ledger().await?;
    let faults: Vec<String> = report.faults.into_iter().map(|fault| fault.what).collect();
    if let Some(first) = faults.first() {
        tracing::error!(faults = faults.len(), first, "the ledger does not add up");
    }
    Ok(Json(LedgerObject {
        object: "ledger.report",
        ok: faults.is_empty(),
        transfers: report.transfers,
        organizations: report.organizations,
        faults,
    }))
}
