//! Set out to an identity provider: anybody who wants to sign in. Who is signed in already is asked again who they are.

use super::{Traveller, depart, own_page, redirect};
use crate::auth::Tries;
use crate::authorize::Visitor;
use crate::issuers;
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use crate::session;
use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;

pub(crate) async fn handler(
    State(call): State<Call<Visitor>>,
    headers: HeaderMap,
    mut query: Query,
) -> Result<Response, Refusal> {
    let return_to = own_page(query.text("return_to")?);
    query.finish()?;
    let name = call.matched.captured("issuer").unwrap_or_default();
    let issuer = issuers::find_by_name(&call.control, name).ok_or_else(Refusal::not_found)?;
    Tries::take(&call.control, call.actor.attribution(), &[], call.now)?;
    let is_again = session::presented(&headers, &call.control.settings().public_url).is_some();
    let traveller = Traveller { return_to, linking: None, is_again };
    let (url, cookie) = depart(&call.control, issuer, traveller, call.now).await?;
    Ok(redirect(&url, [cookie]))
}
