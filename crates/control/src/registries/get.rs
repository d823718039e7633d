//! Read one registry: every role.

use super::{RegistryObject, seen};
use crate::authorize::Member;
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;

pub(crate) async fn handler(State(call): State<Call<Member>>, query: Query) -> Result<Json<RegistryObject>, Refusal> {
    query.finish()?;
    let id = call.id("registry")?;
    Ok(Json(RegistryObject::new(&seen(&call, id).await?)))
}
