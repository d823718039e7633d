//! Sign in with a passkey, or sign in once more: a session of the same person is replaced, and the new one is fresh.
//!
//! Unknown credential, used challenge, wrong signature, disabled person: the same 401 `invalid_login`.

use crate::auth::{Tries, begin};
use crate::authorize::Visitor;
use crate::body::Fields;
use crate::passkeys::{Answer, note, require_relying_party};
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::extract::State;
use axum::response::Response;
use claviger_domain::error::Code;
use claviger_domain::person::{User, UserState};
use claviger_domain::webauthn::{self, RelyingParty, Unproven};
use http::HeaderMap;

pub(crate) async fn handler(
    State(call): State<Call<Visitor>>,
    headers: HeaderMap,
    query: Query,
    mut fields: Fields,
) -> Result<Response, Refusal> {
    query.finish()?;
    let answer = Answer::read(&mut fields)?;
    fields.finish(&[])?;
    let party = require_relying_party(&call.control)?;
    let by = call.actor.attribution();
    let tries = Tries::take(&call.control, by, &[], call.now)?;
    let refused = || Refusal::because(Code::InvalidLogin, "This passkey signs nobody in here.");
    let Some(user) = check(&call, &party, &answer).await? else { return Err(refused()) };
    tries.give_back(&call.control);
    Tries::forgive(&call.control, by);
    begin(&call.control, &user, &headers, by, call.now).await
}

/// The active person whose passkey answered.
async fn check(call: &Call<Visitor>, party: &RelyingParty, answer: &Answer) -> Result<Option<User>, Refusal> {
    let (store, now) = (call.control.store(), call.now);
    // Used up before anything else, so that no challenge is answered twice, whatever the first answer was worth. One that
    // was drawn for a new passkey signs nobody in.
    let challenge = answer.challenge(&call.control, now).await?.filter(|challenge| challenge.user.is_none());
    let found = store.find_passkey(&answer.id).await?;
    let (Some(_), Some((passkey, user))) = (challenge, found) else { return Ok(None) };
    let handle = answer.find_part("userHandle").filter(|handle| !handle.is_empty());
    if handle.is_some_and(|handle| handle != user.id.to_string().as_bytes()) || user.state != UserState::Active {
        return Ok(None);
    }
    let former = u32::try_from(passkey.sign_count).unwrap_or(u32::MAX);
    let (data, signature) = (answer.part("authenticatorData")?, answer.part("signature")?);
    match webauthn::asserted(party, &answer.client_data, &data, &signature, &passkey.public_key, former) {
        Ok(count) => {
            let used = store.use_passkey(passkey.id, passkey.sign_count, i64::from(count), now.wall).await;
            Ok(used.map_err(Refusal::of_write)?.then_some(user))
        }
        Err(why) => {
            note(why);
            if why == Unproven::Counter {
                tracing::warn!(passkey = %passkey.id, user = %user.id, "two authenticators hold one passkey");
            }
            Ok(None)
        }
    }
}
