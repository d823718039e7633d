//! Passkeys at the API: who asks, challenges that are answered once, and the browser's answer taken apart.
//!
//! What makes an answer believable is `domain::webauthn`. A challenge is a one-time token that only its digest is kept of,
//! so it needs no session: whoever presents it, presents it once, within five minutes.

use crate::body::Fields;
use crate::respond::Refusal;
use crate::serve::Control;
use crate::session;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use claviger_domain::error::Code;
use claviger_domain::id::UserId;
use claviger_domain::limits;
use claviger_domain::person::token::{Token, TokenKind};
use claviger_domain::time::Now;
use claviger_domain::webauthn::{ClientData, RelyingParty, Unproven};
use claviger_storage::{GoodToken, NewToken, Replaces};
use serde::Serialize;
use serde_json::{Map, Value};

/// What a browser is asked to do: the members of `PublicKeyCredentialCreationOptions` or of `…RequestOptions` as JSON.
#[derive(Serialize)]
pub(crate) struct Asked {
    object: &'static str,
    public_key: Value,
}

impl Asked {
    pub(crate) const fn new(public_key: Value) -> Self {
        Self { object: "passkey.options", public_key }
    }
}

/// Who asks for passkeys here; `None` where the operator has none, or where the console has no host name, which the
/// standard asks for: a number is no relying party.
pub(crate) fn relying_party(control: &Control) -> Option<RelyingParty> {
    let settings = control.settings();
    let origin = session::origin_of(&settings.public_url)?;
    let (_, authority) = origin.split_once("://")?;
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    let is_name = !host.is_empty() && !host.starts_with('[') && host.parse::<std::net::IpAddr>().is_err();
    let further = settings.people.console_urls.iter().filter_map(|url| session::origin_of(url));
    let origins = further.chain([origin.clone()]).collect();
    (settings.people.has_passkeys && is_name).then(|| RelyingParty { id: host.to_owned(), origins })
}

/// The same where a row cannot do without: it does not exist then.
pub(crate) fn require_relying_party(control: &Control) -> Result<RelyingParty, Refusal> {
    relying_party(control).ok_or_else(|| Code::UnknownUrl.into())
}

/// Draws a challenge: for whoever signs in, or for a new passkey of a person.
pub(crate) async fn challenge(control: &Control, user: Option<UserId>, now: Now) -> Result<String, Refusal> {
    let token = control.draw(|random| Token::draw(random));
    let new = NewToken {
        digest: token.digest(),
        kind: TokenKind::Passkey,
        user,
        detail: "{}".to_owned(),
        created_at: now.wall,
        expires_at: now.wall.plus(limits::PASSKEY_CHALLENGE),
        replaces: Replaces::Nothing,
    };
    control.store().save_token(new).await.map_err(Refusal::of_write)?;
    Ok(URL_SAFE_NO_PAD.encode(token.expose()))
}

/// A browser's answer, a `PublicKeyCredential` as its `toJSON` writes it.
pub(crate) struct Answer {
    /// The credential's id.
    pub(crate) id: Vec<u8>,
    /// The browser's words.
    pub(crate) client_data: ClientData,
    response: Map<String, Value>,
}

impl Answer {
    pub(crate) fn read(fields: &mut Fields) -> Result<Self, Refusal> {
        let mut credential = fields.object("credential")?.ok_or_else(malformed)?;
        let id = credential.get("id").and_then(bytes_of).ok_or_else(malformed)?;
        let Some(Value::Object(response)) = credential.remove("response") else { return Err(malformed()) };
        let client_data = response.get("clientDataJSON").and_then(bytes_of).ok_or_else(malformed)?;
        let client_data = ClientData::read(&client_data).map_err(|_| malformed())?;
        Ok(Self { id, client_data, response })
    }

    /// One of the answer's parts.
    pub(crate) fn part(&self, name: &str) -> Result<Vec<u8>, Refusal> {
        self.find_part(name).ok_or_else(malformed)
    }

    /// The same, where it may be missing.
    pub(crate) fn find_part(&self, name: &str) -> Option<Vec<u8>> {
        self.response.get(name).and_then(bytes_of)
    }

    /// Uses the challenge up that it answers. `None` = it was none of ours, or was answered, or took too long.
    pub(crate) async fn challenge(&self, control: &Control, now: Now) -> Result<Option<GoodToken>, Refusal> {
        let bytes = URL_SAFE_NO_PAD.decode(self.client_data.challenge()).ok();
        let token = bytes.and_then(|bytes| Token::parse(std::str::from_utf8(&bytes).ok()?));
        let Some(token) = token else { return Ok(None) };
        control.store().take_token(TokenKind::Passkey, token.digest(), now.wall).await.map_err(Refusal::of_write)
    }
}

/// Says in the log why an answer was not believed.
pub(crate) fn note(why: Unproven) {
    tracing::info!(target: "claviger::security", %why, "a passkey was not believed");
}

fn bytes_of(value: &Value) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(value.as_str()?.trim_end_matches('=')).ok()
}

fn malformed() -> Refusal {
    Refusal::invalid("credential", "a PublicKeyCredential as its toJSON writes it")
}
