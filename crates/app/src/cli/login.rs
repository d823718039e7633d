//! `claviger login`, `logout`, `whoami`: an admin key of one's own for the command line, by a page in the browser.
//!
//! The key comes once, over the connection that asked for it, and goes straight into the profile's file; it is never
//! printed. What is asked and when it is given is the server's business (`/api/auth/device`).

use super::arguments::Global;
use super::connection;
use super::output::{Output, note, say, text, time};
use super::profiles::{DEFAULT, Profile, Profiles};
use super::transport::Transport;
use super::{Failure, Kind};
use crate::config::Variables;
use bytes::Bytes;
use claviger_domain::limits;
use claviger_domain::secret::Secret;
use http::{Method, Request, header};
use http_body_util::Full;
use serde_json::{Value, json};
use std::process::ExitCode;
use std::time::Duration;

/// The server of whoever names none.
const HERE: &str = "http://127.0.0.1:8080";

/// Asks for a person's consent, waits for it, keeps the key.
pub(super) async fn login(global: &Global, variables: &Variables, output: &Output) -> Result<ExitCode, Failure> {
    let profiles = Profiles::of(variables)?;
    let name = global.profile.as_deref().unwrap_or(DEFAULT);
    let former = profiles.find(name).ok().flatten().map(|(profile, _)| profile.url);
    let url = connection::checked_url(&global.url.clone().or(former).unwrap_or_else(|| HERE.to_owned()))?;
    let begun = ask(&url, "/api/auth/device", &json!({ "host": host() })).await?;
    note(format_args!("Open {} in a browser", text(&begun, "verification_uri_complete")));
    note(format_args!("and compare the code: {}", text(&begun, "user_code")));
    let granted = wait(&url, &begun).await?;
    let key = &granted["key"];
    let profile = Profile {
        url,
        organization: text(&granted, "organization").to_owned(),
        email: text(&granted, "email").to_owned(),
        key_id: text(key, "id").to_owned(),
        expires_at: key["expires_at"].as_i64().unwrap_or_default(),
    };
    let file = profiles.save(name, &profile, &Secret::new(text(&granted, "value").to_owned()))?;
    note(format_args!("The admin key is in {}, which only you can read; no keychain is used.", file.display()));
    print(output, name, &profile);
    Ok(ExitCode::SUCCESS)
}

/// Revokes the key of a profile and forgets it.
pub(super) async fn logout(global: &Global, variables: &Variables) -> Result<ExitCode, Failure> {
    let profiles = Profiles::of(variables)?;
    let name = global.profile.as_deref().unwrap_or(DEFAULT);
    let Some((profile, key)) = profiles.find(name)? else { return Err(nobody(name)) };
    let id = profile.key_id.clone();
    let transport = Transport::with_key(&profile.url, key)?;
    let by_possession = transport.post("/v1/key/revoke", &json!({ "reason": "signed out" })).await;
    let revoked = match by_possession {
        // A server that does not know this yet; there the key itself may, if its person manages admin keys.
        Err(failure) if failure.is(Kind::NotFound) => {
            transport.post(&format!("/v1/organization/api_keys/{id}/revoke"), &json!({ "reason": "other" })).await
        }
        other => other,
    };
    match revoked {
        Ok(_) => {}
        // It ended before: there is nothing to revoke.
        Err(failure) if failure.tells("was revoked") || failure.tells("expired") => {}
        Err(failure) => return Err(failure.next("revoke it in the console, then try again")),
    }
    profiles.forget(name)?;
    say(format_args!("Signed out of {}; {id} is revoked", profile.url));
    Ok(ExitCode::SUCCESS)
}

/// Whose key a profile has, if it still is one.
pub(super) async fn whoami(global: &Global, variables: &Variables, output: &Output) -> Result<ExitCode, Failure> {
    let name = global.profile.as_deref().unwrap_or(DEFAULT);
    let Some((profile, key)) = Profiles::of(variables)?.find(name)? else { return Err(nobody(name)) };
    // Asked, and not only read: a key that was revoked elsewhere signs nobody in any more.
    Transport::with_key(&profile.url, key)?.get(&format!("/v1/organization/api_keys/{}", profile.key_id)).await?;
    print(output, name, &profile);
    Ok(ExitCode::SUCCESS)
}

fn print(output: &Output, name: &str, profile: &Profile) {
    let shown = json!({
        "profile": name,
        "url": profile.url,
        "organization": profile.organization,
        "email": profile.email,
        "key_id": profile.key_id,
        "expires_at": profile.expires_at,
    });
    if !output.json(&shown) {
        let until = time(&shown["expires_at"]);
        say(format_args!("{} in {} at {}", profile.email, profile.organization, profile.url));
        say(format_args!("{} until {until}, profile {name}", profile.key_id));
    }
}

pub(super) fn nobody(name: &str) -> Failure {
    Failure::new(Kind::NotAllowed, format!("nobody is signed in as `{name}`")).next("claviger login --url URL")
}

/// Asks again and again, as often as the server likes, until it is decided.
async fn wait(url: &str, begun: &Value) -> Result<Value, Failure> {
    let pause = begun["interval"].as_u64().unwrap_or(limits::DEVICE_PAUSE.as_secs()).clamp(1, 60);
    let rounds = begun["expires_in"].as_u64().unwrap_or(limits::DEVICE_WAIT.as_secs()) / pause;
    let body = json!({ "device_code": begun["device_code"] });
    for _ in 0..=rounds {
        tokio::time::sleep(Duration::from_secs(pause)).await;
        let mut answer = ask(url, "/api/auth/device/token", &body).await?;
        match text(&answer, "status") {
            "waiting" => {}
            "approved" => return Ok(answer["granted"].take()),
            _ => return Err(Failure::new(Kind::NotAllowed, "it was refused in the browser")),
        }
    }
    Err(Failure::new(Kind::NotAllowed, "nobody confirmed the code in time").next("claviger login"))
}

/// A request of somebody who has no key yet.
async fn ask(url: &str, path: &str, body: &Value) -> Result<Value, Failure> {
    let request = Request::builder().method(Method::POST).uri(path).header(header::CONTENT_TYPE, "application/json");
    let request = request.body(Full::new(Bytes::from(body.to_string())));
    let request = request.map_err(|error| Failure::new(Kind::Usage, format!("this cannot be asked: {error}")))?;
    let (status, request_id, body) = connection::over_tcp(url, None, request).await?;
    let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
    if status >= 400 { Err(Failure::of_reply(status, &answer, request_id.as_deref())) } else { Ok(answer) }
}

/// What this machine is called, as far as it may stand in a key's name.
fn host() -> String {
    let named = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
    let plain = named.trim().bytes().filter(u8::is_ascii_graphic).take(limits::DEVICE_HOST_CHARACTERS);
    let plain: String = plain.map(char::from).collect();
    if plain.is_empty() { "unnamed".to_owned() } else { plain }
}
