//! List one's passkeys.

use super::PasskeyObject;
use crate::authorize::Signed;
use crate::page::List;
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;

pub(crate) async fn handler(
    State(call): State<Call<Signed>>,
    query: Query,
) -> Result<Json<List<PasskeyObject>>, Refusal> {
    query.finish()?;
    let passkeys = call.control.store().list_passkeys(call.actor.live().user.id).await?;
    Ok(Json(List::whole(&passkeys, |passkey| passkey.id.to_string(), PasskeyObject::new)))
}
