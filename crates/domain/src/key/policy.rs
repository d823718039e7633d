//! What a key may do: its class, its restrictions, and the same once more in shadow (`keys.md` §3 to §5).
//!
//! Who enforces a restriction is not known here; a list that is `None` restricts nothing, and an empty one does not exist.

use crate::address::Cidr;
use crate::endpoint::EndpointName;
use crate::id::{AgentId, UserId};
use crate::right::{Permission, words};
use std::fmt;
use std::str::FromStr;

words! {
    /// What a key is for.
    Class {
        /// Inference, and reading.
        Inference = "inference";
        /// Management only.
        Admin = "admin";
    }
}

words! {
    /// How far a key sees agents, registries and tasks.
    Reach {
        /// The whole organization.
        Organization = "organization";
        /// Its environment; others answer 404.
        Environment = "environment";
    }
}

/// Whose key it is; exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Owner {
    /// A person.
    User(UserId),
    /// A machine.
    Agent(AgentId),
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(id) => id.fmt(f),
            Self::Agent(id) => id.fmt(f),
        }
    }
}

impl FromStr for Owner {
    type Err = crate::id::MalformedId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self::User).or_else(|_| text.parse().map(Self::Agent))
    }
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

/// What narrows a key. Every list is `None` (no restriction) or has an entry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Restrictions {
    /// The models it may call.
    pub models: Option<Vec<ModelPattern>>,
    /// The endpoints it may call; its own reading and ending are always allowed.
    pub endpoints: Option<Vec<EndpointName>>,
    /// The addresses it may come from.
    pub ips: Option<Vec<Cidr>>,
    /// The addresses it may not come from; judged first.
    pub ips_denied: Option<Vec<Cidr>>,
    /// Its rates.
    pub limits: Limits,
}

/// Everything about what a key may do, beyond class and role.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Policy {
    /// What is refused.
    pub enforced: Restrictions,
    /// What would be refused: judged after the real ones have passed, told in the record only.
    pub shadow: Option<Box<Restrictions>>,
    /// How far it sees.
    pub reach: Reach,
    /// What an inference key may beyond inference: `keys.verify` or nothing.
    pub permissions: Vec<Permission>,
}

impl Default for Policy {
    fn default() -> Self {
        Self { enforced: Restrictions::default(), shadow: None, reach: Reach::Organization, permissions: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_entry_is_an_id_or_ends_in_a_slash_and_a_star() {
        for (text, hit, miss) in [("acme/chat", "acme/chat", "acme/chat-2"), ("acme/*", "acme/x/y", "acmex/y")] {
            let pattern: ModelPattern = text.parse().unwrap();
            assert_eq!(pattern.to_string(), text);
            assert!(pattern.matches(hit) && !pattern.matches(miss), "{text}");
        }
        for bad in ["", "*", "/*", "acme*", "a*/b", "acme/*/*", "a\nb", &"x".repeat(257)] {
            assert_eq!(bad.parse::<ModelPattern>(), Err(InvalidPattern), "{bad}");
        }
    }

    #[test]
    fn an_owner_is_a_person_or_a_machine() {
        let owner = Owner::Agent(AgentId::from_u128(7));
        assert_eq!(owner.to_string().parse(), Ok(owner));
        let owner = Owner::User(UserId::from_u128(7));
        assert_eq!(owner.to_string().parse(), Ok(owner));
        assert!("env_0000000000000000000007".parse::<Owner>().is_err());
    }
}
