//! People: who they are, what they belong to, and the rules of their coming and going (`keys.md` §7).
//!
//! Rows and mails are not known here, nor is how a password or a passkey is checked; only what follows from it.

pub mod invite;
pub mod ownership;
pub mod session;
pub mod throttle;
pub mod token;

use crate::id::{OrganizationId, UserId};
use crate::right::{Role, words};
use crate::time::Timestamp;
use std::fmt;
use unicode_normalization::UnicodeNormalization;

words! {
    /// Whether a person may come at all.
    UserState {
        /// In use.
        Active = "active";
        /// Refused everywhere, as if unknown.
        Disabled = "disabled";
    }
}

words! {
    /// The language of mails and pages.
    Locale {
        /// English.
        En = "en";
        /// Chinese.
        Zh = "zh";
    }
}

/// An e-mail address in the one form in which addresses are stored and compared: NFC, lower case, at most 254 bytes.
///
/// Whether mail arrives there is proved by sending it, not here.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EmailAddress(String);

impl EmailAddress {
    /// Reads an address: one `@` with something on both sides, no spaces, no control characters.
    pub fn parse(text: &str) -> Option<Self> {
        let text: String = text.trim().nfc().collect::<String>().to_lowercase();
        let (local, host) = text.split_once('@')?;
        let is_bad = |character: char| {
            character.is_whitespace()
                || character.is_control()
                || matches!(character, '<' | '>' | '"' | ',' | ';' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
        };
        let is_good = text.len() <= 254
            && (1..=64).contains(&local.len())
            && !host.is_empty()
            && !host.contains('@')
            && !text.chars().any(is_bad);
        is_good.then_some(Self(text))
    }

    /// The address.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands before the `@`.
    pub fn local_part(&self) -> &str {
        self.0.split_once('@').map_or(&self.0, |(local, _)| local)
    }

    /// What stands behind the `@`.
    pub fn domain(&self) -> &str {
        self.0.split_once('@').map_or("", |(_, domain)| domain)
    }
}

impl fmt::Display for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for EmailAddress {
    type Err = NotAnAddress;

    fn from_str(text: &str) -> Result<Self, NotAnAddress> {
        Self::parse(text).ok_or(NotAnAddress)
    }
}

/// A text that is no e-mail address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an e-mail address")]
pub struct NotAnAddress;

/// A person. Their password is not part of it: only the act that checks it reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Their id.
    pub id: UserId,
    /// Their address, unique.
    pub email: EmailAddress,
    /// When they proved that mail to it arrives.
    pub email_verified_at: Option<Timestamp>,
    /// As they write it; may be empty.
    pub name: String,
    /// Whether they are an operator of the instance.
    pub is_operator: bool,
    /// Their language, if they chose one.
    pub locale: Option<Locale>,
    /// Whether they may come at all.
    pub state: UserState,
    /// When they were made.
    pub created_at: Timestamp,
    /// When they last acted; at most a minute late.
    pub last_seen_at: Option<Timestamp>,
}

/// A person's place in one organization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// Where.
    pub organization: OrganizationId,
    /// Who.
    pub user: UserId,
    /// What they may.
    pub role: Role,
    /// Who invited them: `usr_…`, `key_…`, or `operator`.
    pub invited_by: Option<String>,
    /// Since when.
    pub created_at: Timestamp,
    /// When they last acted there; at most a minute late.
    pub last_active_at: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_one_form() {
        for text in ["Li@Acme.io", " li@acme.io ", "LI@ACME.IO"] {
            assert_eq!(EmailAddress::parse(text).unwrap().as_str(), "li@acme.io");
        }
        assert_eq!(EmailAddress::parse("e\u{301}@x.io"), EmailAddress::parse("É@x.io"));
        let long = format!("{}@acme.io", "a".repeat(65));
        for text in
            ["", "li", "@acme.io", "li@", "li@a@b", "l i@acme.io", "li@acme.io\r\nbcc: x@y.z", "<li@acme.io>", &long]
        {
            assert_eq!(EmailAddress::parse(text), None, "{text}");
        }
    }
}
