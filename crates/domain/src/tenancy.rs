//! Organizations, environments and the scope that every finder takes.

use crate::id::{EnvironmentId, OrganizationId};
use crate::right::words;
use crate::time::Timestamp;

/// Proof that the caller acts inside this organization; finders take it, so a query without a tenant does not exist.
///
/// Made by authentication (the organization of the credential) and by the local operator's choice, nowhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TenantScope(pub OrganizationId);

words! {
    /// The life of an organization.
    OrganizationState {
        /// Made by the first start, without a name or members.
        SetUp = "setup";
        /// In use.
        Active = "active";
        /// Refused everywhere, by the operator.
        Suspended = "suspended";
        /// Ended.
        Closed = "closed";
    }
}

/// A tenant: owns wallet, keys, members, environments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Organization {
    /// Its id.
    pub id: OrganizationId,
    /// `[a-z0-9]+(-[a-z0-9]+)*`, at most 40 characters, unique.
    pub slug: String,
    /// As people wrote it, 1 to 100 characters.
    pub name: String,
    /// Where it stands in its life.
    pub state: OrganizationState,
    /// Where keys go that name no environment.
    pub default_environment: EnvironmentId,
    /// Keys it may have that are neither revoked nor expired.
    pub keys_max: u32,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A grouping inside an organization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    /// Its id.
    pub id: EnvironmentId,
    /// 1 to 100 characters, unique in the organization.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Makes a slug of a name: lower-case ASCII letters and digits, other runs become one `-`; never empty.
pub fn slug_of(name: &str) -> String {
    let mut slug = String::new();
    for character in name.chars() {
        if slug.len() >= 40 {
            break;
        }
        if character.is_ascii_alphanumeric() {
            slug.push(character.to_ascii_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    let slug = slug.trim_end_matches('-');
    if slug.is_empty() { "organization".to_owned() } else { slug.to_owned() }
}
