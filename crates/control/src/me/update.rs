//! Change one's name, language or password.
//!
//! A new password needs the old one, or a fresh sign-in where there is none. It ends every other session, and this one
//! gets a new token.

use super::object;
use crate::auth::{self, Tries};
use crate::authorize::Signed;
use crate::body::Fields;
use crate::password::{self, Checked};
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use claviger_domain::error::Code;
use claviger_domain::key::Name;
use claviger_domain::person::Locale;
use claviger_domain::secret::Secret;
use claviger_storage::Profile;
use http::HeaderMap;

pub(crate) async fn handler(
    State(call): State<Call<Signed>>,
    headers: HeaderMap,
    query: Query,
    mut fields: Fields,
) -> Result<Response, Refusal> {
    query.finish()?;
    let user = &call.actor.live().user;
    let name = fields.text("name")?.map(|text| Name::parse(&text)).transpose();
    let name = name.map_err(|code| Refusal::from(code).about("name"))?;
    let locale = fields
        .text("locale")?
        .map(|text| Locale::from_name(&text).ok_or_else(|| Refusal::invalid("locale", "'en' or 'zh'")));
    let locale = locale.transpose()?;
    let old = fields.text("current_password")?.map(Secret::new);
    let new = fields.text("new_password")?.map(Secret::new);
    fields.finish(&["id", "email", "operator", "organizations"])?;
    if name.is_some() || locale.is_some() {
        let profile = Profile {
            name: name.map_or_else(|| user.name.clone(), |name| name.as_str().to_owned()),
            locale: locale.or(user.locale),
        };
        call.control.store().update_profile(user.id, profile).await.map_err(Refusal::of_write)?;
    }
    let by = call.actor.attribution();
    let Some(new) = new else {
        let signed = Signed::new(&call.control, user.id, call.actor.live().session.id, by, call.now).await?;
        return Ok(Json(object(&call.control, &signed).await?).into_response());
    };
    check_old(&call, old).await?;
    password::check_choice(&call.control, &new, &user.email).map_err(|refusal| refusal.about("new_password"))?;
    let hash = password::hash(&call.control, new).await?;
    call.control.store().set_password(user.id, hash, None, by).await.map_err(Refusal::of_write)?;
    auth::begin(&call.control, user, &headers, by, call.now).await
}

async fn check_old(call: &Call<Signed>, old: Option<Secret<String>>) -> Result<(), Refusal> {
    let live = call.actor.live();
    let Some(stored) = call.control.store().find_password(live.user.id).await? else {
        return if live.is_fresh { Ok(()) } else { Err(Code::ReauthenticationRequired.into()) };
    };
    let old = old.ok_or_else(|| {
        Refusal::because(Code::MissingRequiredParameter, "Missing required parameter: 'current_password'.")
            .about("current_password")
    })?;
    let tries = Tries::take(&call.control, call.actor.attribution(), &[live.user.email.as_str()], call.now)?;
    match password::check(&call.control, old, Some(stored)).await? {
        Checked::Right { .. } => {
            tries.give_back(&call.control);
            Ok(())
        }
        Checked::Wrong => Err(Code::InvalidLogin.into()),
    }
}
