//! Ask for a new passkey, with a fresh sign-in: it will be a way in.
//!
//! It must be found by itself (a resident key), since signing in names nobody; and it must verify its user, since it
//! stands for a password and more.

use crate::authorize::Signed;
use crate::body::OptionalFields;
use crate::passkeys::{Asked, challenge, require_relying_party};
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use claviger_domain::{limits, webauthn};
use serde_json::{Value, json};

pub(crate) async fn handler(
    State(call): State<Call<Signed>>,
    query: Query,
    OptionalFields(fields): OptionalFields,
) -> Result<Json<Asked>, Refusal> {
    query.finish()?;
    fields.finish(&[])?;
    let party = require_relying_party(&call.control)?;
    call.actor.require_fresh()?;
    let user = &call.actor.live().user;
    let held = call.control.store().list_passkeys(user.id).await?;
    let held: Vec<Value> = held
        .iter()
        .map(|passkey| json!({ "type": "public-key", "id": URL_SAFE_NO_PAD.encode(&passkey.credential_id) }))
        .collect();
    let shown = if user.name.is_empty() { user.email.as_str() } else { &user.name };
    let kinds = webauthn::ALGORITHMS.map(|algorithm| json!({ "type": "public-key", "alg": algorithm }));
    Ok(Json(Asked::new(json!({
        "challenge": challenge(&call.control, Some(user.id), call.now).await?,
        "rp": { "id": party.id, "name": "Claviger" },
        "user": {
            "id": URL_SAFE_NO_PAD.encode(user.id.to_string()),
            "name": user.email.as_str(),
            "displayName": shown,
        },
        "pubKeyCredParams": kinds,
        "timeout": u64::try_from(limits::PASSKEY_CHALLENGE.as_millis()).unwrap_or(u64::MAX),
        "excludeCredentials": held,
        "authenticatorSelection": {
            "residentKey": "required",
            "requireResidentKey": true,
            "userVerification": "required",
        },
        "attestation": "none",
    }))))
}
