//! Sign-on by an identity provider: the authorization code with PKCE, state and nonce (OpenID Connect Core §3.1, RFC 7636).
//!
//! ```text
//! start      state: a one-time token · cookie: a token of this browser alone
//!            verifier, nonce: derived from the cookie, so that the database holds neither
//! provider   authenticates the person and sends the browser back with a code
//! callback   state used up, cookie the same browser's → code and verifier for a token → verified, nonce compared
//! ```
//! Whoever carries another's answer into a browser has no cookie for it. Every end is a redirect: these are pages of a
//! browser, not calls of a program; what went wrong stands behind `#error=` on the page that can say it.

pub(crate) mod arrive;
pub(crate) mod callback;
pub(crate) mod start;

use crate::issuers::Issuer;
use crate::issuers::verify::endpoints;
use crate::respond::Refusal;
use crate::serve::Control;
use crate::session;
use axum::body::Body;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use claviger_domain::error::Code;
use claviger_domain::id::UserId;
use claviger_domain::limits;
use claviger_domain::person::token::{Token, TokenKind};
use claviger_domain::time::Now;
use claviger_storage::{NewToken, Replaces};
use http::{HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

const COOKIE: &str = "claviger-sign-on";

/// A way to a provider and back, as its state keeps it.
#[derive(Debug, Deserialize, Serialize)]
struct Trip {
    /// To whom.
    issuer: String,
    /// The digest of the browser's cookie.
    browser: String,
    /// The page that was asked for.
    return_to: String,
    /// The session whose person links the account; none = they sign in.
    linked_from: Option<String>,
}

/// Who sets out.
pub(crate) struct Traveller {
    /// The page to come back to, of this console.
    pub(crate) return_to: String,
    /// A person who links the account, and their session.
    pub(crate) linking: Option<(UserId, String)>,
    /// Whether the provider shall ask them again who they are.
    pub(crate) is_again: bool,
}

/// Where the browser goes, and the cookie it takes along.
pub(crate) async fn depart(
    control: &Control,
    issuer: &Issuer,
    traveller: Traveller,
    now: Now,
) -> Result<(String, HeaderValue), Refusal> {
    let endpoint = endpoints(control, issuer, now).await?.authorization;
    let endpoint = endpoint.filter(|url| is_safe(issuer, url)).ok_or(Code::ServiceUnavailable)?;
    let (state, browser) = control.draw(|random| (Token::draw(random), Token::draw(random)));
    let (user, linked_from) = traveller.linking.unzip();
    let trip = Trip {
        issuer: issuer.issuer.clone(),
        browser: derived(&browser, "cookie"),
        return_to: traveller.return_to,
        linked_from,
    };
    let new = NewToken {
        digest: state.digest(),
        kind: TokenKind::Oidc,
        user,
        detail: serde_json::to_string(&trip).map_err(|_| Code::InternalError)?,
        created_at: now.wall,
        expires_at: now.wall.plus(limits::OIDC_ROUND_TRIP),
        replaces: Replaces::Nothing,
    };
    control.store().save_token(new).await.map_err(Refusal::of_write)?;
    let verifier = derived(&browser, "verifier");
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()));
    let redirect = callback_url(control, issuer);
    let (scope, nonce) = (issuer.sign_on.scopes.join(" "), derived(&browser, "nonce"));
    let mut parameters = vec![
        ("response_type", "code"),
        ("client_id", &issuer.sign_on.client_id),
        ("redirect_uri", &redirect),
        ("scope", &scope),
        ("state", state.expose()),
        ("nonce", &nonce),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
    ];
    let age = limits::FRESH_SIGN_IN.as_secs().to_string();
    if traveller.is_again {
        parameters.push(("max_age", &age));
    }
    let joint = if endpoint.contains('?') { '&' } else { '?' };
    let settings = control.settings();
    let name = session::cookie_name(COOKIE, &settings.public_url);
    let cookie = session::written(&settings.public_url, &name, browser.expose(), limits::OIDC_ROUND_TRIP);
    Ok((format!("{endpoint}{joint}{}", form(&parameters)), cookie.ok_or(Code::InternalError)?))
}

/// Where the provider sends the browser back to; registered there, so it depends on nothing of a request.
pub(crate) fn callback_url(control: &Control, issuer: &Issuer) -> String {
    format!("{}/api/auth/oidc/{}/callback", control.settings().public_url, issuer.name)
}

/// On the way back: goes to a page of this console, with cookies.
fn redirect(to: &str, cookies: impl IntoIterator<Item = HeaderValue>) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SEE_OTHER;
    let headers = response.headers_mut();
    if let Ok(to) = HeaderValue::try_from(to) {
        headers.insert(header::LOCATION, to);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // The page behind must not learn code and state from where it was come from.
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    for cookie in cookies {
        headers.append(header::SET_COOKIE, cookie);
    }
    response
}

/// A page of this console: a path, so that nobody is sent elsewhere by a link to us.
pub(crate) fn own_page(typed: Option<String>) -> String {
    let is_own = |path: &String| {
        let is_graphic = path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
        path.starts_with('/') && !path.starts_with("//") && is_graphic && path.len() <= 500
    };
    typed.filter(is_own).unwrap_or_else(|| "/".to_owned())
}

/// 256 bits of the browser's token for one use.
fn derived(browser: &Token, purpose: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(format!("claviger sign-on {purpose} {}", browser.expose())))
}

/// Over TLS, unless the issuer itself is on this machine.
fn is_safe(issuer: &Issuer, url: &str) -> bool {
    url.starts_with("https://") || url.starts_with("http://") && issuer.issuer.starts_with("http://")
}

/// `application/x-www-form-urlencoded`.
fn form(parameters: &[(&str, &str)]) -> String {
    let pairs = parameters.iter().map(|(name, value)| format!("{name}={}", encoded(value)));
    pairs.collect::<Vec<_>>().join("&")
}

fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_to_a_page_of_another_site() {
        for (typed, expected) in [
            (Some("/o/acme/keys?x=1#y"), "/o/acme/keys?x=1#y"),
            (Some("//evil.example"), "/"),
            (Some("/\\evil.example"), "/"),
            (Some("https://evil.example"), "/"),
            (Some("/a b"), "/"),
            (Some("/a\nSet-Cookie: x"), "/"),
            (Some(""), "/"),
            (None, "/"),
        ] {
            assert_eq!(own_page(typed.map(str::to_owned)), expected, "{typed:?}");
        }
        assert_eq!(form(&[("a", "b c&d"), ("e", "ü~")]), "a=b%20c%26d&e=%C3%BC~");
    }
}
