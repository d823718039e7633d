//! Ask for a link to a new password: anybody, for any address.
//!
//! The answer never tells whether somebody has the address: the same row goes into the outbox either way, and whoever
//! delivers it finds out. Without mail the operator makes the link: `claviger users reset-password`.

use super::{Done, Tries};
use crate::authorize::Visitor;
use crate::body::Fields;
use crate::mail;
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;
use claviger_domain::notice::MailKind;
use claviger_domain::person::EmailAddress;
use claviger_domain::person::token::Token;
use claviger_storage::NewMail;

pub(crate) async fn handler(
    State(call): State<Call<Visitor>>,
    query: Query,
    mut fields: Fields,
) -> Result<Json<Done>, Refusal> {
    query.finish()?;
    let email = fields.required_text("email")?;
    fields.finish(&[])?;
    let email = EmailAddress::parse(&email).ok_or_else(|| Refusal::invalid("email", "an e-mail address"))?;
    Tries::take(&call.control, call.actor.attribution(), &[email.as_str()], call.now)?;
    if call.control.settings().people.has_mail() {
        let id = call.control.draw(|random| Token::draw(random));
        let letter = NewMail {
            id: format!("reset_{}", id.expose()),
            kind: MailKind::Reset,
            recipient: email,
            user: None,
            organization: None,
            object: String::new(),
            detail: "{}".to_owned(),
            at: call.now.wall,
        };
        call.control.store().post_mail(letter).await?;
        mail::ring(&call.control);
    }
    Ok(Json(Done::new("password.reset", "check_mail")))
}
