//! Signing in and out, one file per operation; and what all ways of signing in end with.
//!
//! Which of several reasons refuses a sign-in is not told: the same bytes, after the same work.

pub(crate) mod device;
pub(crate) mod forgot;
pub(crate) mod oidc;
pub(crate) mod options;
pub(crate) mod passkey;
pub(crate) mod reauthenticate;
pub(crate) mod reset;
pub(crate) mod sessions;
pub(crate) mod set_up;
pub(crate) mod sign_in;
pub(crate) mod sign_out;
pub(crate) mod sign_up;
pub(crate) mod verify;

use crate::authorize::Signed;
use crate::me;
use crate::respond::Refusal;
use crate::serve::Control;
use crate::session;
use axum::Json;
use axum::response::{IntoResponse, Response};
use claviger_domain::audit::{Actor, Attribution};
use claviger_domain::error::{Code, PublicError, Retry};
use claviger_domain::id::{SessionId, UserId};
use claviger_domain::person::User;
use claviger_domain::person::throttle::guesser;
use claviger_domain::person::token::Token;
use claviger_domain::time::{Now, Timestamp};
use http::{HeaderMap, HeaderValue, header};
use serde::Serialize;
use std::hash::BuildHasher as _;

/// An answer without content of its own: something was begun or done.
#[derive(Serialize)]
pub(crate) struct Done {
    object: &'static str,
    status: &'static str,
}

impl Done {
    pub(crate) const fn new(object: &'static str, status: &'static str) -> Self {
        Self { object, status }
    }
}

/// Tries of one request to guess something, counted until they are given back.
pub(crate) struct Tries(Vec<u64>);

impl Tries {
    /// Counts a try for the client's address and for each further subject.
    ///
    /// # Errors
    /// `RateLimitExceeded`, with the time to wait.
    pub(crate) fn take(control: &Control, by: &Attribution, subjects: &[&str], now: Now) -> Result<Self, Refusal> {
        let state = control.throttle_hash();
        let mut numbers: Vec<u64> = subjects.iter().map(|subject| state.hash_one(("subject", subject))).collect();
        // The operator at this machine has no address to guess from.
        if !by.address.is_empty() {
            numbers.push(state.hash_one(("address", guesser(&by.address))));
        }
        match control.throttle().lock().take(&numbers, now.monotonic) {
            Ok(()) => Ok(Self(numbers)),
            Err(wait) => {
                let seconds = wait.as_secs().saturating_add(1);
                let message = format!("Too many tries. Please try again in {seconds}s.");
                let error = PublicError::with_message(Code::RateLimitExceeded, message);
                Err(PublicError { retry: Retry::After(wait), ..error }.into())
            }
        }
    }

    /// Gives back the try of an earlier request of this client: it was the beginning of what has now ended well.
    pub(crate) fn forgive(control: &Control, by: &Attribution) {
        let number = control.throttle_hash().hash_one(("address", guesser(&by.address)));
        control.throttle().lock().give_back(&[number]);
    }

    /// Gives them back: it was no guess.
    pub(crate) fn give_back(self, control: &Control) {
        control.throttle().lock().give_back(&self.0);
    }
}

/// Begins a session in place of whatever the browser had, and answers with its cookie and the person.
pub(crate) async fn begin(
    control: &Control,
    user: &User,
    headers: &HeaderMap,
    by: &Attribution,
    now: Now,
) -> Result<Response, Refusal> {
    let former = match session::presented(headers, &control.settings().public_url) {
        Some(token) => session::find(control, &token, now.wall).await?,
        None => None,
    };
    let former = former.filter(|live| live.user.id == user.id).map(|live| live.session.id);
    let (id, cookie) = new_session(control, user.id, former, headers, by, now.wall, now).await?;
    let signed = Signed::new(control, user.id, id, by, now).await?;
    let object = me::object(control, &signed).await?;
    Ok(with_cookie(Json(object), cookie))
}

/// Stores a new session of somebody who was asked at `asked_at` who they are; its id and the header that gives it to the
/// browser.
pub(crate) async fn new_session(
    control: &Control,
    user: UserId,
    replaces: Option<SessionId>,
    headers: &HeaderMap,
    by: &Attribution,
    asked_at: Timestamp,
    now: Now,
) -> Result<(SessionId, HeaderValue), Refusal> {
    let settings = control.settings();
    let rules = &settings.people.sessions;
    let (id, token) = control.draw(|random| (SessionId::generate(now.wall, random), Token::draw(random)));
    let agent = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let new = rules.begin(id, user, &by.address, agent, now.wall).signed_in_at(asked_at);
    let by = Attribution { actor: Actor::User(user.to_string()), credential: id.to_string(), ..by.clone() };
    control.store().begin_session(new, token.digest(), replaces, &by).await.map_err(Refusal::of_write)?;
    let cookie = session::set(&settings.public_url, &token, rules).ok_or(Code::InternalError)?;
    Ok((id, cookie))
}

/// An answer that sets a cookie, and that nobody keeps.
pub(crate) fn with_cookie(answer: impl IntoResponse, cookie: HeaderValue) -> Response {
    let mut response = answer.into_response();
    response.headers_mut().append(header::SET_COOKIE, cookie);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
