//! Sign in once more with the password, for what needs a fresh sign-in. A passkey does the same by its own operation.
//!
//! A new session takes the old one's place, with a new token.

use super::{Tries, begin, sign_in};
use crate::authorize::Signed;
use crate::body::Fields;
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::extract::State;
use axum::response::Response;
use claviger_domain::error::Code;
use claviger_domain::secret::Secret;
use http::HeaderMap;

pub(crate) async fn handler(
    State(call): State<Call<Signed>>,
    headers: HeaderMap,
    query: Query,
    mut fields: Fields,
) -> Result<Response, Refusal> {
    query.finish()?;
    let password = Secret::new(fields.required_text("password")?);
    fields.finish(&[])?;
    let (user, by) = (&call.actor.live().user, call.actor.attribution());
    let tries = Tries::take(&call.control, by, &[user.email.as_str()], call.now)?;
    let found = sign_in::check(&call.control, &user.email, password).await?.ok_or(Code::InvalidLogin)?;
    tries.give_back(&call.control);
    begin(&call.control, &found, &headers, by, call.now).await
}
