//! Set out to link an account of an identity provider, with a fresh sign-in: it will be a way in.
//!
//! A write and not a page, so that no other site can begin it: whoever could would link their own account to the person.

use crate::auth::oidc::{Traveller, depart};
use crate::auth::with_cookie;
use crate::authorize::Signed;
use crate::body::Fields;
use crate::issuers;
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;
use axum::response::Response;
use serde::Serialize;

#[derive(Serialize)]
struct Departure {
    object: &'static str,
    /// Where the browser goes on.
    url: String,
}

pub(crate) async fn handler(
    State(call): State<Call<Signed>>,
    query: Query,
    mut fields: Fields,
) -> Result<Response, Refusal> {
    query.finish()?;
    let name = fields.required_text("issuer")?;
    fields.finish(&["id", "linked_at"])?;
    call.actor.require_fresh()?;
    let issuer = issuers::find_by_name(&call.control, &name).ok_or_else(Refusal::not_found)?;
    let live = call.actor.live();
    let traveller = Traveller {
        return_to: "/account".to_owned(),
        linking: Some((live.user.id, live.session.id.to_string())),
        is_again: true,
    };
    let (url, cookie) = depart(&call.control, issuer, traveller, call.now).await?;
    Ok(with_cookie(Json(Departure { object: "identity.departure", url }), cookie))
}
