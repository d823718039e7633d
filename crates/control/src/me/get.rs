//! Who is signed in, and where they belong.

use super::{MeObject, object};
use crate::authorize::Signed;
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;

pub(crate) async fn handler(State(call): State<Call<Signed>>, query: Query) -> Result<Json<MeObject>, Refusal> {
    query.finish()?;
    object(&call.control, &call.actor).await.map(Json)
}
