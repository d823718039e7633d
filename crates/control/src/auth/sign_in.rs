//! Sign in with a password: whoever has one.
//!
//! Unknown address, wrong password, disabled person: the same 401 `invalid_login`, after the same work. Five tries a
//! minute for a person and for an address, then 429; no lock-out (`reliability.md` §4, row 68).

use super::{Tries, begin};
use crate::authorize::Visitor;
use crate::body::Fields;
use crate::password::{self, Checked};
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::{Call, Control};
use axum::extract::State;
use axum::response::Response;
use claviger_domain::error::Code;
use claviger_domain::person::{EmailAddress, User, UserState};
use claviger_domain::secret::Secret;
use http::HeaderMap;

/// Whom an address that is none is looked up as, so that it costs the same.
const NOBODY: &str = "nobody@invalid";

pub(crate) async fn handler(
    State(call): State<Call<Visitor>>,
    headers: HeaderMap,
    query: Query,
    mut fields: Fields,
) -> Result<Response, Refusal> {
    query.finish()?;
    let email = fields.required_text("email")?;
    let password = Secret::new(fields.required_text("password")?);
    fields.finish(&[])?;
    let by = call.actor.attribution();
    let email = EmailAddress::parse(&email).or_else(|| EmailAddress::parse(NOBODY)).ok_or(Code::InternalError)?;
    let tries = Tries::take(&call.control, by, &[email.as_str()], call.now)?;
    let found =
        if call.control.settings().people.has_passwords { check(&call.control, &email, password).await? } else { None };
    let Some(user) = found else {
        tracing::info!(target: "claviger::security", address = by.address, "a sign-in was refused");
        return Err(Code::InvalidLogin.into());
    };
    tries.give_back(&call.control);
    begin(&call.control, &user, &headers, by, call.now).await
}

/// The active person whose password it is; a stored hash under weaker parameters is replaced.
pub(crate) async fn check(
    control: &Control,
    email: &EmailAddress,
    password: Secret<String>,
) -> Result<Option<User>, Refusal> {
    if password.expose().len() > 4 * claviger_domain::limits::PASSWORD_CHARACTERS_MAX {
        return Ok(None);
    }
    let (user, stored) = control.store().find_login(email).await?.unzip();
    let stored = stored.flatten();
    let checked = password::check(control, password, stored.clone()).await?;
    let (Checked::Right { better }, Some(user)) = (checked, user) else { return Ok(None) };
    if user.state != UserState::Active {
        return Ok(None);
    }
    if let (Some(better), Some(stored)) = (better, stored)
        && let Err(error) = control.store().rehash_password(user.id, stored, better).await
    {
        // The old hash is as good as it was; the next sign-in tries again.
        tracing::warn!(%error, user = %user.id, "a password could not be hashed again");
    }
    Ok(Some(user))
}
