//! The way back from an identity provider: its code becomes a token, the token an account, the account a person.

use super::{COOKIE, Trip, arrive, callback_url, derived, encoded, form, redirect};
use crate::auth::{Tries, new_session};
use crate::authorize::Visitor;
use crate::issuers::verify::{Disbelief, endpoints, verify};
use crate::issuers::{self, Issuer};
use crate::ports::Question;
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use crate::session;
use axum::extract::State;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use claviger_domain::error::Code;
use claviger_domain::id::UserId;
use claviger_domain::id_token::Claims;
use claviger_domain::person::token::{Token, TokenKind};
use claviger_domain::secret::Secret;
use claviger_domain::time::Timestamp;
use http::HeaderMap;
use jsonwebtoken::Algorithm;
use serde::Deserialize;

/// Signatures of people's tokens (`keys.md` §7).
const ALGORITHMS: &[Algorithm] = &[Algorithm::RS256, Algorithm::ES256];

/// What the token endpoint gives; the rest is not for us.
#[derive(Deserialize)]
struct Given {
    id_token: String,
}

pub(crate) async fn handler(State(call): State<Call<Visitor>>, headers: HeaderMap, query: Query) -> Response {
    let url = &call.control.settings().public_url;
    let spent = session::cleared(url, &session::cookie_name(COOKIE, url));
    match come_back(&call, &headers, query).await {
        Ok((page, cookie)) => redirect(&format!("{url}{page}"), cookie.into_iter().chain(spent)),
        Err(refusal) => {
            let code = refusal.code().unwrap_or(Code::InternalError).text();
            let address = &call.actor.attribution().address;
            tracing::info!(target: "claviger::security", address, code, "a sign-on was refused");
            redirect(&format!("{url}/sign-in#error={code}"), spent)
        }
    }
}

/// The page to go to, and the session's cookie of whoever signed in.
async fn come_back(
    call: &Call<Visitor>,
    headers: &HeaderMap,
    mut query: Query,
) -> Result<(String, Option<http::HeaderValue>), Refusal> {
    let (control, now) = (&call.control, call.now);
    let by = call.actor.attribution();
    let tries = Tries::take(control, by, &[], now)?;
    let state = query.text("state")?.and_then(|text| Token::parse(&text)).ok_or(Code::InvalidLink)?;
    let url = &control.settings().public_url;
    let browser = session::read(headers, &session::cookie_name(COOKIE, url)).ok_or(Code::InvalidLink)?;
    let taken = control.store().take_token(TokenKind::Oidc, state.digest(), now.wall).await;
    let taken = taken.map_err(Refusal::of_write)?.ok_or(Code::InvalidLink)?;
    let trip: Trip = serde_json::from_str(&taken.detail).map_err(|_| Code::InvalidLink)?;
    let name = call.matched.captured("issuer").unwrap_or_default();
    let issuer = issuers::find_by_name(control, name).ok_or_else(Refusal::not_found)?;
    // Another provider's answer must not pass for this one's (RFC 9207).
    let named = query.text("iss")?;
    let is_theirs = trip.issuer == issuer.issuer && named.is_none_or(|named| named == issuer.issuer);
    if trip.browser != derived(&browser, "cookie") || !is_theirs {
        return Err(Code::InvalidLink.into());
    }
    let code = query.text("code")?.ok_or(Code::InvalidLogin)?;
    let claims = exchange(call, issuer, &code, &browser).await?;
    tries.give_back(control);
    Tries::forgive(control, by);
    if let Some(user) = taken.user {
        link(call, headers, &claims, user, trip.linked_from.as_deref()).await?;
        return Ok((trip.return_to, None));
    }
    let user = arrive::person(call, issuer, &claims).await?;
    let former = match session::presented(headers, url) {
        Some(token) => session::find(control, &token, now.wall).await?,
        None => None,
    };
    let former = former.filter(|live| live.user.id == user.id).map(|live| live.session.id);
    // As fresh as the provider says that they were asked; a provider that says nothing asked them at no known time.
    let signed_in_at = claims.signed_in_at().unwrap_or(Timestamp(0)).min(now.wall);
    let (_, cookie) = new_session(control, user.id, former, headers, by, signed_in_at, now).await?;
    Ok((trip.return_to, Some(cookie)))
}

/// What the provider says about whoever came back.
async fn exchange(call: &Call<Visitor>, issuer: &Issuer, code: &str, browser: &Token) -> Result<Claims, Refusal> {
    let (control, sign_on) = (&call.control, &issuer.sign_on);
    let endpoint = endpoints(control, issuer, call.now).await?.token;
    let endpoint = endpoint.filter(|url| super::is_safe(issuer, url)).ok_or(Code::ServiceUnavailable)?;
    let (redirect, verifier) = (callback_url(control, issuer), derived(browser, "verifier"));
    let form = form(&[
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", &redirect),
        ("client_id", &sign_on.client_id),
        ("code_verifier", &verifier),
    ]);
    let authorization = sign_on.client_secret.as_ref().map(|secret| {
        let pair = format!("{}:{}", encoded(&sign_on.client_id), encoded(secret.expose()));
        Secret::new(format!("Basic {}", STANDARD.encode(pair)))
    });
    let ask = control.settings().issuers.ask.as_ref().ok_or(Code::ServiceUnavailable)?;
    let told = ask.ask(Question { url: endpoint, form: Some(Secret::new(form)), authorization }).await;
    let told = told.map_err(|error| {
        tracing::warn!(issuer = issuer.issuer, why = error.0, "a code could not be exchanged");
        Disbelief::Unavailable(error.0)
    })?;
    if told.status != 200 {
        tracing::warn!(issuer = issuer.issuer, status = told.status, "a code was not exchanged");
        return Err(Code::InvalidToken.into());
    }
    let given: Given = serde_json::from_slice(&told.body).map_err(|_| Code::InvalidToken)?;
    let claims = verify(control, issuer, &given.id_token, ALGORITHMS, &sign_on.client_id, call.now).await?;
    claims.check_nonce(&derived(browser, "nonce")).map_err(Disbelief::from)?;
    Ok(claims)
}

/// Links the account to whoever asked for that, if they are still signed in as then.
async fn link(
    call: &Call<Visitor>,
    headers: &HeaderMap,
    claims: &Claims,
    user: UserId,
    session: Option<&str>,
) -> Result<(), Refusal> {
    let control = &call.control;
    let token = session::presented(headers, &control.settings().public_url).ok_or(Code::SessionRequired)?;
    let live = session::find(control, &token, call.now.wall).await?.ok_or(Code::SessionRequired)?;
    if live.user.id != user || session != Some(live.session.id.to_string().as_str()) {
        return Err(Code::SessionRequired.into());
    }
    let by = arrive::as_person(call, user);
    match control.store().link_identity(&claims.issuer, &claims.subject, user, &by).await {
        Err(claviger_storage::Error::Conflict(_)) => Err(Code::NameTaken.into()),
        linked => linked.map_err(Refusal::of_write),
    }
}
