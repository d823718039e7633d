//! Ask for another mail that proves one's address.

use crate::auth::{Done, Tries};
use crate::authorize::Signed;
use crate::mail;
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;
use claviger_domain::notice::MailKind;
use claviger_domain::person::token::Token;
use claviger_storage::NewMail;

pub(crate) async fn handler(State(call): State<Call<Signed>>, query: Query) -> Result<Json<Done>, Refusal> {
    query.finish()?;
    let user = &call.actor.live().user;
    if user.email_verified_at.is_some() {
        return Ok(Json(Done::new("email", "verified")));
    }
    Tries::take(&call.control, call.actor.attribution(), &[user.email.as_str()], call.now)?;
    if call.control.settings().people.has_mail() {
        let id = call.control.draw(|random| Token::draw(random));
        let letter = NewMail {
            id: format!("verify_{}", id.expose()),
            kind: MailKind::Verify,
            recipient: user.email.clone(),
            user: Some(user.id),
            organization: None,
            object: String::new(),
            detail: "{}".to_owned(),
            at: call.now.wall,
        };
        call.control.store().post_mail(letter).await.map_err(Refusal::of_write)?;
        mail::ring(&call.control);
    }
    Ok(Json(Done::new("email", "check_mail")))
}
