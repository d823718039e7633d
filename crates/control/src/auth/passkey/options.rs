//! A challenge for whoever signs in. It names no credential, so it tells nothing about anybody.

use crate::auth::Tries;
use crate::authorize::Visitor;
use crate::body::OptionalFields;
use crate::passkeys::{Asked, challenge, require_relying_party};
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;
use claviger_domain::limits;
use serde_json::json;

pub(crate) async fn handler(
    State(call): State<Call<Visitor>>,
    query: Query,
    OptionalFields(fields): OptionalFields,
) -> Result<Json<Asked>, Refusal> {
    query.finish()?;
    fields.finish(&[])?;
    let party = require_relying_party(&call.control)?;
    Tries::take(&call.control, call.actor.attribution(), &[], call.now)?;
    Ok(Json(Asked::new(json!({
        "challenge": challenge(&call.control, None, call.now).await?,
        "rpId": party.id,
        "timeout": u64::try_from(limits::PASSKEY_CHALLENGE.as_millis()).unwrap_or(u64::MAX),
        "userVerification": "required",
        "allowCredentials": [],
    }))))
}
