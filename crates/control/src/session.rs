//! The cookie of a session, and the rule that keeps other sites from using it (`keys.md` §7, `reliability.md` §9).
//!
//! The form of the cookie follows the scheme of the console's URL, never a request header: `__Host-` and Secure over TLS;
//! on plain-HTTP loopback a name without them. What a session may do is not known here.

use crate::respond::Refusal;
use crate::serve::Control;
use claviger_domain::endpoint::Method;
use claviger_domain::error::Code;
use claviger_domain::person::session::{Session, SessionRules, Standing};
use claviger_domain::person::token::Token;
use claviger_domain::person::{User, UserState};
use claviger_domain::time::Timestamp;
use http::{HeaderMap, HeaderValue, header};
use std::time::Duration;

const NAME: &str = "claviger-session";

/// A session that stands for its user, and whether its sign-in is recent.
#[derive(Clone, Debug)]
pub(crate) struct LiveSession {
    pub(crate) session: Session,
    pub(crate) user: User,
    pub(crate) is_fresh: bool,
}

/// The token in the request's cookie, if one is there; anything that cannot be one counts as absent.
pub(crate) fn presented(headers: &HeaderMap, public_url: &str) -> Option<Token> {
    read(headers, &cookie_name(NAME, public_url))
}

/// The token in the cookie of this name.
pub(crate) fn read(headers: &HeaderMap, name: &str) -> Option<Token> {
    let mut found = headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(candidate, _)| *candidate == name)
        .map(|(_, value)| value);
    let token = Token::parse(found.next()?)?;
    // Two cookies of one name come from two hands; neither is believed.
    found.next().is_none().then_some(token)
}

/// The living session of a token, as the store has it now.
pub(crate) async fn find(control: &Control, token: &Token, now: Timestamp) -> Result<Option<LiveSession>, Refusal> {
    let Some((session, user)) = control.store().find_session(&token.digest()).await? else { return Ok(None) };
    let rules: &SessionRules = &control.settings().people.sessions;
    Ok(match (rules.standing(&session, now), user.state) {
        (Standing::Live { is_fresh }, UserState::Active) => Some(LiveSession { session, user, is_fresh }),
        _ => None,
    })
}

/// Refuses a write with a session that a page of another site could have sent (`reliability.md` §4, row 67).
pub(crate) fn check_origin(control: &Control, method: Method, headers: &HeaderMap) -> Result<(), Refusal> {
    if method == Method::Get {
        return Ok(());
    }
    let is_json = || {
        let mut types = headers.get_all(header::CONTENT_TYPE).iter();
        let kind = types.next().and_then(|value| value.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        types.next().is_none() && kind.eq_ignore_ascii_case("application/json")
    };
    // A write without a body has no type to show: DELETE, which no form can send.
    let is_typed = method == Method::Delete && !headers.contains_key(header::CONTENT_TYPE) || is_json();
    if is_typed && is_own_page(control, headers) { Ok(()) } else { Err(Code::CrossSiteRequest.into()) }
}

/// Refuses a request of a page of another site; a program that says nothing about pages passes. For what is open to
/// everybody, where there is no session to abuse but one to plant.
pub(crate) fn check_open_origin(control: &Control, method: Method, headers: &HeaderMap) -> Result<(), Refusal> {
    let says_nothing =
        method == Method::Get || !headers.contains_key(header::ORIGIN) && !headers.contains_key("sec-fetch-site");
    if says_nothing || is_own_page(control, headers) { Ok(()) } else { Err(Code::CrossSiteRequest.into()) }
}

fn is_own_page(control: &Control, headers: &HeaderMap) -> bool {
    let mut origins = headers.get_all(header::ORIGIN).iter();
    match (origins.next(), origins.next()) {
        (Some(origin), None) => {
            let urls = &control.settings().people.console_urls;
            let is_known = |url: &String| origin_of(url).is_some_and(|known| known.as_bytes() == origin.as_bytes());
            urls.iter().any(is_known) || origin_of(&control.settings().public_url).is_some_and(|own| own == *origin)
        }
        (None, _) => headers.get("sec-fetch-site").is_some_and(|site| site == "same-origin"),
        (Some(_), Some(_)) => false,
    }
}

/// `scheme://host[:port]` of a URL, as browsers write it in `Origin`.
pub(crate) fn origin_of(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let default = if scheme == "https" { ":443" } else { ":80" };
    let host = authority.strip_suffix(default).unwrap_or(authority);
    Some(format!("{}://{}", scheme.to_ascii_lowercase(), host.to_ascii_lowercase()))
}

/// The header that gives a browser its session.
pub(crate) fn set(public_url: &str, token: &Token, rules: &SessionRules) -> Option<HeaderValue> {
    written(public_url, &cookie_name(NAME, public_url), token.expose(), rules.max)
}

/// The header that gives a browser a cookie for so long.
pub(crate) fn written(public_url: &str, name: &str, token: &str, lives: Duration) -> Option<HeaderValue> {
    let (secure, age) = (if is_tls(public_url) { " Secure;" } else { "" }, lives.as_secs());
    let text = format!("{name}={token}; Path=/; HttpOnly;{secure} SameSite=Lax; Max-Age={age}");
    let mut value = HeaderValue::try_from(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// The header that takes it away.
pub(crate) fn clear(public_url: &str) -> Option<HeaderValue> {
    cleared(public_url, &cookie_name(NAME, public_url))
}

/// The header that takes a cookie away.
pub(crate) fn cleared(public_url: &str, name: &str) -> Option<HeaderValue> {
    written(public_url, name, "", Duration::ZERO)
}

/// What a cookie is called at a console: over TLS no other host can set it.
pub(crate) fn cookie_name(name: &str, public_url: &str) -> String {
    if is_tls(public_url) { format!("__Host-{name}") } else { name.to_owned() }
}

fn is_tls(public_url: &str) -> bool {
    public_url.starts_with("https://")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cookie_follows_the_scheme_of_the_console() {
        let token = Token::parse(&"a".repeat(43)).expect("43 symbols");
        let rules = SessionRules { idle: std::time::Duration::from_secs(1), max: std::time::Duration::from_secs(60) };
        let text = |url: &str| set(url, &token, &rules).and_then(|value| value.to_str().map(str::to_owned).ok());
        let value = "a".repeat(43);
        assert_eq!(
            text("https://console.acme.io").unwrap_or_default(),
            format!("__Host-claviger-session={value}; Path=/; HttpOnly; Secure; SameSite=Lax; Max-Age=60")
        );
        assert_eq!(
            text("http://127.0.0.1:8080").unwrap_or_default(),
            format!("claviger-session={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age=60")
        );
        let mut headers = HeaderMap::new();
        let line = format!("a=b; __Host-claviger-session={value}");
        headers.insert(header::COOKIE, HeaderValue::try_from(&line).expect("a header"));
        assert!(presented(&headers, "https://console.acme.io").is_some());
        assert!(presented(&headers, "http://127.0.0.1:8080").is_none(), "another name");
        headers.append(header::COOKIE, HeaderValue::try_from(&line).expect("a header"));
        assert!(presented(&headers, "https://console.acme.io").is_none(), "two of one name");
    }

    #[test]
    fn an_origin_is_written_as_browsers_write_it() {
        for (url, origin) in [
            ("https://Console.Acme.io/a/b", "https://console.acme.io"),
            ("https://acme.io:443", "https://acme.io"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("http://[::1]:8080/", "http://[::1]:8080"),
        ] {
            assert_eq!(origin_of(url).as_deref(), Some(origin), "{url}");
        }
    }
}
