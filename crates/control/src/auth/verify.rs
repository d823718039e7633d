//! Prove an address with the token of the mail that was sent to it, once.

use super::{Done, Tries};
use crate::authorize::Visitor;
use crate::body::Fields;
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;
use claviger_domain::error::Code;
use claviger_domain::person::token::Token;

pub(crate) async fn handler(
    State(call): State<Call<Visitor>>,
    query: Query,
    mut fields: Fields,
) -> Result<Json<Done>, Refusal> {
    query.finish()?;
    let token = Token::parse(&fields.required_text("token")?).ok_or(Code::InvalidLink)?;
    fields.finish(&[])?;
    let tries = Tries::take(&call.control, call.actor.attribution(), &[], call.now)?;
    let verified = call.control.store().verify_email(token.digest(), call.actor.attribution()).await;
    verified.map_err(Refusal::of_write)?.ok_or(Code::InvalidLink)?;
    tries.give_back(&call.control);
    Ok(Json(Done::new("email", "verified")))
}
