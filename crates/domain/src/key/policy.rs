//! What a key is besides its text and state: names, class, limits.

use super::state::StoredState;
use crate::error::Code;
use crate::id::{EnvironmentId, KeyId, OrganizationId, SecretId};
use crate::right::{Role, words};
use crate::secret::Digest;
use crate::time::Timestamp;
use std::fmt;
use std::str::FromStr;
use unicode_normalization::UnicodeNormalization;

words! {
    /// What a key is for.
    Class {
        /// Inference, and reading.
        Inference = "inference";
        /// Management only.
        Admin = "admin";
    }
}

/// A name as people write it: 1 to 100 Unicode scalars, NFC, verbatim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(String);

/// A billing label: 1 to 64 Unicode scalars.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceTag(String);

impl Name {
    /// Checks and normalises.
    ///
    /// # Errors
    /// `InvalidName`: empty, too long, only spaces, control or bidi-override characters.
    pub fn parse(text: &str) -> Result<Self, Code> {
        label(text, 100).map(Self).ok_or(Code::InvalidName)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl SourceTag {
    /// Checks and normalises.
    ///
    /// # Errors
    /// `InvalidTag`: as for names, at most 64 characters.
    pub fn parse(text: &str) -> Result<Self, Code> {
        label(text, 64).map(Self).ok_or(Code::InvalidTag)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// `text n` of `keys.md` §3: NFC, no control or bidi-override characters, not only spaces.
fn label(text: &str, characters_max: usize) -> Option<String> {
    let normal: String = text.nfc().collect();
    let is_bad = |character: char| {
        character.is_control() || matches!(character, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
    };
    let count = normal.chars().count();
    let is_good = (1..=characters_max).contains(&count) && !normal.trim().is_empty() && !normal.chars().any(is_bad);
    is_good.then_some(normal)
}

/// An entry of a model list: a public id, or everything of one maker.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ModelPattern {
    /// This id.
    Exact(Box<str>),
    /// Every id that begins with this, which ends in `/`.
    Prefix(Box<str>),
}

/// A text that is no entry of a model list: empty, too long, or with a star elsewhere than in a final `/*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a model id, and not a prefix that ends in `/*`")]
pub struct InvalidPattern;

impl ModelPattern {
    /// Whether the list entry means this id; for an alias the caller asks again with the id it stands for.
    pub fn matches(&self, id: &str) -> bool {
        match self {
            Self::Exact(exact) => **exact == *id,
            Self::Prefix(prefix) => id.starts_with(&**prefix),
        }
    }
}

impl FromStr for ModelPattern {
    type Err = InvalidPattern;

    fn from_str(text: &str) -> Result<Self, InvalidPattern> {
        if text.is_empty() || text.len() > crate::limits::MODEL_ID_BYTES || text.chars().any(char::is_control) {
            return Err(InvalidPattern);
        }
        let (id, is_prefix) = text.strip_suffix('*').map_or((text, false), |prefix| (prefix, true));
        match (id.contains('*'), is_prefix) {
            (true, _) => Err(InvalidPattern),
            (false, false) => Ok(Self::Exact(id.into())),
            (false, true) if id.len() > 1 && id.ends_with('/') => Ok(Self::Prefix(id.into())),
            (false, true) => Err(InvalidPattern),
        }
    }
}

impl fmt::Display for ModelPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(id) => f.write_str(id),
            Self::Prefix(prefix) => write!(f, "{prefix}*"),
        }
    }
}

/// Limits that a key carries; `None` = none of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Limits {
    /// Requests a minute.
    pub rpm: Option<u32>,
    /// Tokens a minute.
    pub tpm: Option<u32>,
    /// Requests in flight.
    pub concurrency: Option<u32>,
    /// How many may come at once; ten seconds' worth when `None`.
    pub burst: Option<u32>,
}

/// A key as the database has it, without history.
#[derive(Clone, Debug)]
pub struct Key {
    /// Its id.
    pub id: KeyId,
    /// Its organization.
    pub organization: OrganizationId,
    /// Its environment.
    pub environment: EnvironmentId,
    /// What it is for.
    pub class: Class,
    /// Whether it reaches the simulator only.
    pub is_test: bool,
    /// Its name, verbatim.
    pub name: String,
    /// Its billing label.
    pub source_tag: Option<String>,
    /// The role of an admin key.
    pub role: Option<Role>,
    /// Its stored state.
    pub state: StoredState,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last used; at most 15 s late.
    pub last_used_at: Option<Timestamp>,
    /// Counts changes.
    pub version: i64,
    /// Its live secret.
    pub secret: StoredSecret,
}

/// What is kept of a secret.
#[derive(Clone, Debug)]
pub struct StoredSecret {
    /// Its id.
    pub id: SecretId,
    /// The peppered digest.
    pub digest: Digest,
    /// Which pepper.
    pub pepper_version: u16,
    /// How lists show it: prefix + `…` + last 4.
    pub redacted: String,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A key to be stored; its text is not part of it.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// Its id, drawn before.
    pub id: KeyId,
    /// Its environment; the organization's default one when absent.
    pub environment: Option<EnvironmentId>,
    /// What it is for.
    pub class: Class,
    /// Whether it reaches the simulator only.
    pub is_test: bool,
    /// Its name.
    pub name: Name,
    /// Its billing label.
    pub source_tag: Option<SourceTag>,
    /// The role of an admin key.
    pub role: Option<Role>,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
    /// Its first secret.
    pub secret: StoredSecret,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kept_verbatim_in_nfc() {
        assert_eq!(Name::parse("production backend").unwrap().as_str(), "production backend");
        assert_eq!(Name::parse("e\u{301}").unwrap().as_str(), "é");
        assert_eq!(Name::parse("<img src=x onerror=…>").unwrap().as_str(), "<img src=x onerror=…>");
        for bad in ["", "   ", "a\u{202E}b", "a\0", "a\nb", &"x".repeat(101)] {
            assert_eq!(Name::parse(bad), Err(Code::InvalidName));
        }
        assert_eq!(SourceTag::parse("=cmd|'/C calc'!A0").unwrap().as_str(), "=cmd|'/C calc'!A0");
        assert_eq!(SourceTag::parse(&"x".repeat(65)), Err(Code::InvalidTag));
    }
}
