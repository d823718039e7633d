//! Re-reads every chain, and compares it with the checkpoints in the database and in every sink that can be read.

use crate::authorize::Operator;
use crate::body::OptionalFields;
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;
use claviger_domain::audit::read_checkpoint;
use serde::Serialize;

#[derive(Serialize)]
pub(crate) struct AuditReportObject {
    object: &'static str,
    ok: bool,
    chains: u64,
    records: u64,
    checkpoints: u64,
    faults: Vec<FaultObject>,
}

#[derive(Serialize)]
struct FaultObject {
    chain: String,
    seq: i64,
    what: String,
}

pub(crate) async fn handler(
    State(call): State<Call<Operator>>,
    query: Query,
    OptionalFields(fields): OptionalFields,
) -> Result<Json<AuditReportObject>, Refusal> {
    query.finish()?;
    fields.finish(&[])?;
    let mut faults = Vec::new();
    let mut elsewhere = Vec::new();
    for sink in &call.control.audit().sinks {
        let unreadable = |what: String| FaultObject { chain: sink.name(), seq: 0, what };
        match sink.lines() {
            Err(error) => faults.push(unreadable(format!("the sink cannot be read: {error}"))),
            Ok(lines) => {
                for (index, line) in lines.iter().enumerate() {
                    match read_checkpoint(line) {
                        Some(checkpoint) => elsewhere.push(checkpoint),
                        None => faults.push(unreadable(format!("line {} is no checkpoint", index + 1))),
                    }
                }
            }
        }
    }
    let report = call.control.store().verify_audit_with(&elsewhere).await?;
    let found = report.faults.into_iter();
    faults.extend(found.map(|fault| FaultObject { chain: fault.chain, seq: fault.sequence, what: fault.what }));
    if let Some(first) = faults.first() {
        tracing::error!(faults = faults.len(), chain = first.chain, seq = first.seq, "the audit log was tampered with");
    }
    Ok(Json(AuditReportObject {
        object: "audit.report",
        ok: faults.is_empty(),
        chains: report.chains,
        records: report.records,
        checkpoints: report.checkpoints,
        faults,
    }))
}
