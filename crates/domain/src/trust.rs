//! Whom an agent trusts: which tokens of which issuer become one of its keys (`keys.md` §3, §4 "Keyless machines").
//!
//! That a token is its issuer's, by a signature, is proved before; what the key may do, its policy says. Here is only
//! decided whether the two fit, from the claims and the time, so every reason has a test.

use crate::id::{AgentId, OrganizationId, TrustId};
use crate::id_token::{Claims, Untrusted};
use crate::key::Policy;
use crate::limits;
use crate::right::words;
use crate::time::Timestamp;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A subject, or the beginning of subjects when it ends in `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubjectPattern(String);

/// A text that is no pattern of subjects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MalformedPattern;

/// A trust.
#[derive(Clone, Debug, PartialEq)]
pub struct Trust {
    /// Its id.
    pub id: TrustId,
    /// Whose it is.
    pub organization: OrganizationId,
    /// Who owns the keys.
    pub agent: AgentId,
    /// The issuer's URL, exactly as in its tokens.
    pub issuer: String,
    /// For whom tokens must be.
    pub audience: String,
    /// About whom.
    pub subject: SubjectPattern,
    /// What they must say besides: claims that are texts, with their exact values.
    pub claims: BTreeMap<String, String>,
    /// How long a key lives.
    pub ttl: Duration,
    /// Whether a token becomes a key once only. Otherwise it does as long as it holds: for tokens that lie in files.
    pub is_single_use: bool,
    /// The billing label of the keys.
    pub source_tag: Option<String>,
    /// What they may do.
    pub policy: Policy,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who made it.
    pub created_by: String,
}

words! {
    /// Why a token is no key's, although its issuer signed it. Told to the organization, never to the presenter.
    Unfit {
        /// It is for somebody else.
        Audience = "audience";
        /// It is about somebody else.
        Subject = "subject";
        /// A claim is missing or has another value.
        Claim = "claim";
        /// Its time is over.
        Expired = "expired";
        /// Its time has not come.
        NotYet = "not_yet";
        /// It became a key before.
        Replayed = "replayed";
        /// As many keys of the trust live as may.
        TooManyKeys = "too_many_keys";
        /// Several organizations trust it, and it does not say which it means.
        Ambiguous = "ambiguous";
    }
}

impl Trust {
    /// Whether a token that its issuer signed becomes a key of this trust. Clocks may differ by a minute.
    ///
    /// # Errors
    /// The first reason why not.
    pub fn check(&self, claims: &Claims, now: Timestamp) -> Result<(), Unfit> {
        if !claims.audiences.contains(&self.audience) {
            return Err(Unfit::Audience);
        }
        if !self.subject.matches(&claims.subject) {
            return Err(Unfit::Subject);
        }
        if self.claims.iter().any(|(name, value)| claims.claim(name) != Some(value.as_str())) {
            return Err(Unfit::Claim);
        }
        claims.check_times(now).map_err(|why| if why == Untrusted::NotYet { Unfit::NotYet } else { Unfit::Expired })
    }
}

impl SubjectPattern {
    /// Whether it means this subject.
    pub fn matches(&self, subject: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some(beginning) => subject.starts_with(beginning),
            None => subject == self.0,
        }
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SubjectPattern {
    type Err = MalformedPattern;

    /// A `*` stands at the end or nowhere, and never alone: that would be everybody whom the issuer knows.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let body = text.strip_suffix('*').unwrap_or(text);
        let is_good = !body.is_empty() && !body.contains('*') && is_claim(text);
        if is_good { Ok(Self(text.to_owned())) } else { Err(MalformedPattern) }
    }
}

impl fmt::Display for SubjectPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a text can be compared with a claim: not empty, not too long, no control characters.
pub fn is_claim(text: &str) -> bool {
    !text.is_empty() && text.len() <= limits::CLAIM_BYTES && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const NOW: i64 = 1_800_000_000;

    fn trust() -> Trust {
        Trust {
            id: TrustId::from_u128(1),
            organization: OrganizationId::from_u128(1),
            agent: AgentId::from_u128(1),
            issuer: "https://id.acme.io".to_owned(),
            audience: "claviger".to_owned(),
            subject: "repo:acme/shop:*".parse().unwrap(),
            claims: BTreeMap::from([("ref".to_owned(), "refs/heads/main".to_owned())]),
            ttl: limits::TRUST_TTL,
            is_single_use: true,
            source_tag: None,
            policy: Policy::default(),
            created_at: Timestamp(0),
            created_by: String::new(),
        }
    }

    #[test]
    fn a_token_fits_or_the_first_reason_is_told() {
        let good = json!({ "iss": "https://id.acme.io", "sub": "repo:acme/shop:ref", "aud": ["x", "claviger"],
            "exp": NOW + 300, "iat": NOW, "ref": "refs/heads/main", "azp": "somebody" });
        for (member, value, expected) in [
            ("other", json!("more"), Ok(())),
            ("sub", json!("repo:acme/shop:"), Ok(())),
            ("aud", json!("other"), Err(Unfit::Audience)),
            ("aud", json!("clavige"), Err(Unfit::Audience)),
            ("sub", json!("repo:acme/shopping"), Err(Unfit::Subject)),
            ("ref", json!("refs/heads/mainx"), Err(Unfit::Claim)),
            ("ref", json!(["refs/heads/main"]), Err(Unfit::Claim)),
            ("ref", Value::Null, Err(Unfit::Claim)),
            ("exp", json!(NOW - 60), Err(Unfit::Expired)),
            ("exp", json!(NOW - 59), Ok(())),
            ("nbf", json!(NOW + 61), Err(Unfit::NotYet)),
            ("nbf", json!(NOW + 60), Ok(())),
            ("iat", json!(NOW + 61), Err(Unfit::NotYet)),
        ] {
            let mut members = good.as_object().cloned().unwrap();
            members.insert(member.to_owned(), value.clone());
            let claims = Claims::read(members).unwrap();
            assert_eq!(trust().check(&claims, Timestamp::from_seconds(NOW)), expected, "{member} {value}");
        }
    }

    #[test]
    fn a_star_stands_at_the_end_and_never_alone() {
        for (text, is_good) in [
            ("system:serviceaccount:prod:shop", true),
            ("repo:acme/*", true),
            ("*", false),
            ("**", false),
            ("repo:*/shop", false),
            ("", false),
            ("a\u{0}b", false),
        ] {
            assert_eq!(text.parse::<SubjectPattern>().is_ok(), is_good, "{text:?}");
        }
        let exact: SubjectPattern = "repo:acme/shop".parse().unwrap();
        assert!(exact.matches("repo:acme/shop") && !exact.matches("repo:acme/shop2") && !exact.matches("repo:acme"));
    }
}
