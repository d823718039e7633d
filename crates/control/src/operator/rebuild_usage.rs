//! Make the sums of usage again from the records: the operator. Reports stay exact meanwhile, and are slower.

use crate::authorize::Operator;
use crate::body::OptionalFields;
use crate::jobs;
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;
use serde::Serialize;

#[derive(Serialize)]
pub(crate) struct RebuiltObject {
    object: &'static str,
    records: u64,
}

pub(crate) async fn handler(
    State(call): State<Call<Operator>>,
    query: Query,
    OptionalFields(fields): OptionalFields,
) -> Result<Json<RebuiltObject>, Refusal> {
    query.finish()?;
    fields.finish(&[])?;
    let store = call.control.store();
    store.rebuild_usage(call.actor.attribution()).await.map_err(Refusal::of_write)?;
    let mut records = 0_u64;
    // The job does the same beside it; where no server runs there is none.
    loop {
        let rolled = store.roll_up_usage(jobs::ROLL_UP).await.map_err(Refusal::of_write)?;
        records = records.saturating_add(rolled.records);
        if !rolled.has_more {
            return Ok(Json(RebuiltObject { object: "usage.rebuilt", records }));
        }
    }
}
