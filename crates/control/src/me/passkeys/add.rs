//! Add the passkey that the browser just made. Every other session ends: there is a new way in.

use super::PasskeyObject;
use crate::authorize::Signed;
use crate::body::Fields;
use crate::passkeys::{Answer, note, require_relying_party};
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;
use claviger_domain::error::Code;
use claviger_domain::id::PasskeyId;
use claviger_domain::key::Name;
use claviger_domain::limits;
use claviger_domain::webauthn;
use claviger_storage::{Passkey, PasskeyOutcome};

pub(crate) async fn handler(
    State(call): State<Call<Signed>>,
    query: Query,
    mut fields: Fields,
) -> Result<Json<PasskeyObject>, Refusal> {
    query.finish()?;
    let name = fields.text("name")?.unwrap_or_else(|| "Passkey".to_owned());
    let name = Name::parse(&name).map_err(|code| Refusal::from(code).about("name"))?;
    let answer = Answer::read(&mut fields)?;
    fields.finish(&["id", "created_at", "last_used_at"])?;
    let party = require_relying_party(&call.control)?;
    call.actor.require_fresh()?;
    let (live, now) = (call.actor.live(), call.now);
    let challenge = answer.challenge(&call.control, now).await?;
    challenge.filter(|challenge| challenge.user == Some(live.user.id)).ok_or(Code::InvalidLink)?;
    let made = webauthn::registered(&party, &answer.client_data, &answer.part("attestationObject")?);
    let made = made.map_err(|why| {
        note(why);
        Refusal::invalid("credential", format_args!("the answer to this challenge, but {why}"))
    })?;
    let passkey = Passkey {
        id: call.control.draw(|random| PasskeyId::generate(now.wall, random)),
        user: live.user.id,
        credential_id: made.credential_id,
        public_key: made.public_key,
        sign_count: i64::from(made.sign_count),
        name: name.as_str().to_owned(),
        created_at: now.wall,
        last_used_at: None,
    };
    let store = call.control.store();
    let outcome = store.add_passkey(passkey.clone(), Some(live.session.id), call.actor.attribution()).await;
    match outcome.map_err(Refusal::of_write)? {
        PasskeyOutcome::Added => Ok(Json(PasskeyObject::new(&passkey))),
        PasskeyOutcome::Taken => Err(Refusal::invalid("credential", "a passkey that nobody has added yet")),
        PasskeyOutcome::TooMany => Err(Refusal::invalid(
            "credential",
            format_args!("at most {} passkeys; remove one first", limits::PASSKEYS_PER_USER),
        )),
    }
}
