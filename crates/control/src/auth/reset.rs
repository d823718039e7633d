//! Set a new password with the token of a link, once. Every session ends; a link that came by mail proves the
//! address, and takes away what a stranger may have left there before.

use super::{Done, Tries};
use crate::authorize::Visitor;
use crate::body::Fields;
use crate::password;
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;
use claviger_domain::audit::{Actor, Attribution};
use claviger_domain::error::Code;
use claviger_domain::person::UserState;
use claviger_domain::person::token::{Token, TokenKind};
use claviger_domain::secret::Secret;

pub(crate) async fn handler(
    State(call): State<Call<Visitor>>,
    query: Query,
    mut fields: Fields,
) -> Result<Json<Done>, Refusal> {
    query.finish()?;
    let token = Token::parse(&fields.required_text("token")?).ok_or(Code::InvalidLink)?;
    let password = Secret::new(fields.required_text("password")?);
    fields.finish(&[])?;
    let tries = Tries::take(&call.control, call.actor.attribution(), &[], call.now)?;
    let store = call.control.store();
    // Looked at first: a password that is refused must not use the link up.
    let found = store.find_token(TokenKind::Reset, &token.digest(), call.now.wall).await?.ok_or(Code::InvalidLink)?;
    let user = store.find_user(found.user.ok_or(Code::InvalidLink)?).await?;
    let user = user.filter(|user| user.state == UserState::Active).ok_or(Code::InvalidLink)?;
    tries.give_back(&call.control);
    password::check_choice(&call.control, &password, &user.email)?;
    let hash = password::hash(&call.control, password).await?;
    let by = Attribution { actor: Actor::User(user.id.to_string()), ..call.actor.attribution().clone() };
    let is_mailed = found.detail.contains("\"mailed\":true");
    let reset = store.reset_password(token.digest(), hash, is_mailed, &by).await.map_err(Refusal::of_write)?;
    reset.ok_or(Code::InvalidLink)?;
    Ok(Json(Done::new("password", "changed")))
}
