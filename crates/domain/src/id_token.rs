//! What a signed token of another issuer must say before it is believed: who issued it, for whom, until when
//! (RFC 7519 §4.1, OpenID Connect Core §3.1.3.7).
//!
//! That its signature holds is proved before; whom its subject means here is decided after. A claim that is not of its
//! registered shape makes the whole token malformed: two readers could take it for different things.

use crate::limits;
use crate::right::words;
use crate::time::Timestamp;
use serde_json::{Map, Value};

words! {
    /// Why a token is not believed. For the log and the audit record of whom it concerns, never for the presenter.
    Untrusted {
        /// It is no token, or a claim is missing or has another shape.
        Malformed = "malformed";
        /// Signed in a way that is not accepted, or by a key of another kind.
        Algorithm = "algorithm";
        /// No key of the issuer made the signature.
        Signature = "signature";
        /// Another issuer's, or one that nobody configured.
        Issuer = "issuer";
        /// For somebody else.
        Audience = "audience";
        /// Made for another party, which passes it on.
        AuthorizedParty = "authorized_party";
        /// Its time is over.
        Expired = "expired";
        /// Its time has not come.
        NotYet = "not_yet";
        /// The answer to another question, or a second answer.
        Nonce = "nonce";
    }
}

/// What a token says, whoever may believe it.
#[derive(Clone, Debug, PartialEq)]
pub struct Claims {
    /// Who says so.
    pub issuer: String,
    /// About whom; unique at the issuer for ever.
    pub subject: String,
    /// For whom.
    pub audiences: Vec<String>,
    /// The one of several audiences that asked for it.
    pub authorized_party: Option<String>,
    /// Until when.
    pub expires_at: Timestamp,
    /// Since when, if it says so.
    pub not_before: Option<Timestamp>,
    /// When it was made.
    pub issued_at: Timestamp,
    /// The question it answers.
    pub nonce: Option<String>,
    members: Map<String, Value>,
}

impl Claims {
    /// Reads the members of a token's payload.
    ///
    /// # Errors
    /// `Malformed`: `iss`, `sub`, `aud`, `exp`, `iat` are required, and each has its registered shape.
    pub fn read(members: Map<String, Value>) -> Result<Self, Untrusted> {
        let text = |name: &str| match members.get(name) {
            None => Ok(None),
            Some(Value::String(text)) if !text.is_empty() && text.len() <= limits::CLAIM_BYTES => {
                Ok(Some(text.clone()))
            }
            Some(_) => Err(Untrusted::Malformed),
        };
        let time = |name: &str| match members.get(name) {
            None => Ok(None),
            Some(value) => value.as_i64().map(|at| Some(Timestamp::from_seconds(at))).ok_or(Untrusted::Malformed),
        };
        let audiences = match members.get("aud") {
            Some(Value::String(one)) => vec![one.clone()],
            Some(Value::Array(several)) => {
                let texts = several.iter().map(|one| one.as_str().map(str::to_owned));
                texts.collect::<Option<Vec<String>>>().ok_or(Untrusted::Malformed)?
            }
            _ => return Err(Untrusted::Malformed),
        };
        Ok(Self {
            issuer: text("iss")?.ok_or(Untrusted::Malformed)?,
            subject: text("sub")?.ok_or(Untrusted::Malformed)?,
            audiences,
            authorized_party: text("azp")?,
            expires_at: time("exp")?.ok_or(Untrusted::Malformed)?,
            not_before: time("nbf")?,
            issued_at: time("iat")?.ok_or(Untrusted::Malformed)?,
            nonce: text("nonce")?,
            members,
        })
    }

    /// Whether it is this issuer's, for this audience, and holds now; clocks may differ by a minute (`keys.md` §4).
    ///
    /// # Errors
    /// The first reason not to believe it.
    pub fn check(&self, issuer: &str, audience: &str, now: Timestamp) -> Result<(), Untrusted> {
        if self.issuer != issuer {
            return Err(Untrusted::Issuer);
        }
        if !self.audiences.iter().any(|one| one == audience) {
            return Err(Untrusted::Audience);
        }
        if self.authorized_party.as_ref().is_some_and(|party| party != audience) {
            return Err(Untrusted::AuthorizedParty);
        }
        self.check_times(now)
    }

    /// Whether it holds now, whoever it is for.
    ///
    /// # Errors
    /// `Expired`, `NotYet`.
    pub fn check_times(&self, now: Timestamp) -> Result<(), Untrusted> {
        if now >= self.expires_at.plus(limits::TOKEN_LEEWAY) {
            return Err(Untrusted::Expired);
        }
        let begins = self.not_before.map_or(self.issued_at, |not_before| not_before.max(self.issued_at));
        if now < begins.minus(limits::TOKEN_LEEWAY) {
            return Err(Untrusted::NotYet);
        }
        Ok(())
    }

    /// Whether it answers the question that was asked.
    ///
    /// # Errors
    /// `Nonce`: it answers another one, or none.
    pub fn check_nonce(&self, nonce: &str) -> Result<(), Untrusted> {
        if self.nonce.as_deref() == Some(nonce) { Ok(()) } else { Err(Untrusted::Nonce) }
    }

    /// When the issuer last asked its subject who they are, if it says so.
    pub fn signed_in_at(&self) -> Option<Timestamp> {
        self.members.get("auth_time").and_then(Value::as_i64).map(Timestamp::from_seconds)
    }

    /// The address that its issuer has proved; `None` where it has not, whatever else the token names.
    pub fn verified_email(&self) -> Option<&str> {
        let is_verified = self.members.get("email_verified") == Some(&Value::Bool(true));
        self.claim("email").filter(|_| is_verified)
    }

    /// A further claim that is a text.
    pub fn claim(&self, name: &str) -> Option<&str> {
        self.members.get(name).and_then(Value::as_str)
    }

    /// The texts of a further claim that is one or several.
    pub fn texts(&self, name: &str) -> Vec<&str> {
        match self.members.get(name) {
            Some(Value::String(text)) => vec![text],
            Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn members(change: &[(&str, Value)]) -> Map<String, Value> {
        let base = json!({ "iss": "https://id.acme.io", "sub": "7", "aud": "claviger", "exp": 1_000, "iat": 700 });
        let mut members = base.as_object().cloned().unwrap_or_default();
        for (name, value) in change {
            if value.is_null() {
                members.remove(*name);
            } else {
                members.insert((*name).to_owned(), value.clone());
            }
        }
        members
    }

    fn outcome(change: &[(&str, Value)], seconds: i64) -> Result<(), Untrusted> {
        Claims::read(members(change))?.check("https://id.acme.io", "claviger", Timestamp::from_seconds(seconds))
    }

    #[test]
    fn a_token_holds_for_its_issuer_audience_and_time_only() {
        for (change, seconds, expected) in [
            (vec![], 800, Ok(())),
            (vec![], 640, Ok(())),
            (vec![], 639, Err(Untrusted::NotYet)),
            (vec![], 1_059, Ok(())),
            (vec![], 1_060, Err(Untrusted::Expired)),
            (vec![("nbf", json!(900))], 839, Err(Untrusted::NotYet)),
            (vec![("nbf", json!(900))], 840, Ok(())),
            (vec![("iss", json!("https://id.acme.io/"))], 800, Err(Untrusted::Issuer)),
            (vec![("aud", json!("other"))], 800, Err(Untrusted::Audience)),
            (vec![("aud", json!(["other", "claviger"]))], 800, Ok(())),
            (vec![("aud", json!([]))], 800, Err(Untrusted::Audience)),
            (vec![("azp", json!("claviger"))], 800, Ok(())),
            (vec![("azp", json!("other"))], 800, Err(Untrusted::AuthorizedParty)),
        ] {
            assert_eq!(outcome(&change, seconds), expected, "{change:?} at {seconds}");
        }
    }

    #[test]
    fn what_is_not_of_its_shape_makes_the_token_malformed() {
        for (name, value) in [
            ("iss", json!(null)),
            ("iss", json!(7)),
            ("iss", json!("")),
            ("sub", json!(null)),
            ("sub", json!(["7"])),
            ("sub", json!("7".repeat(limits::CLAIM_BYTES + 1))),
            ("aud", json!(null)),
            ("aud", json!({})),
            ("aud", json!(["claviger", 7])),
            ("exp", json!(null)),
            ("exp", json!("1000")),
            ("exp", json!(1000.5)),
            ("iat", json!(null)),
            ("nbf", json!("soon")),
            ("nonce", json!(7)),
        ] {
            assert_eq!(outcome(&[(name, value.clone())], 800), Err(Untrusted::Malformed), "{name}: {value}");
        }
    }

    #[test]
    fn an_address_counts_only_when_its_issuer_has_proved_it() {
        for (change, expected) in [
            (vec![("email", json!("li@acme.io")), ("email_verified", json!(true))], Some("li@acme.io")),
            (vec![("email", json!("li@acme.io"))], None),
            (vec![("email", json!("li@acme.io")), ("email_verified", json!(false))], None),
            (vec![("email", json!("li@acme.io")), ("email_verified", json!("true"))], None),
            (vec![("email_verified", json!(true))], None),
        ] {
            let claims = Claims::read(members(&change)).unwrap();
            assert_eq!(claims.verified_email(), expected, "{change:?}");
        }
        let claims = Claims::read(members(&[("nonce", json!("n1")), ("groups", json!(["a", "b"]))])).unwrap();
        assert_eq!((claims.check_nonce("n1"), claims.check_nonce("n2")), (Ok(()), Err(Untrusted::Nonce)));
        assert_eq!(claims.texts("groups"), ["a", "b"]);
        assert_eq!(Claims::read(members(&[])).unwrap().check_nonce("n1"), Err(Untrusted::Nonce));
    }
}
