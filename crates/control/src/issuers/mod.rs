//! Issuers of tokens that the operator named: identity providers of people, and CI systems or clusters of agents.
//!
//! [`verify::verify`] is the one place where a token is believed: the signature here, by keys from [`documents`]; issuer, audience
//! and times in `domain::id_token`. Whom a subject stands for is decided by who asks: sign-on by its identities, the
//! exchange of tokens for keys by its trusts.

pub(crate) mod documents;
pub(crate) mod verify;

#[cfg(test)]
pub(crate) mod tests;

pub(crate) use documents::Documents;

use crate::ports::AskIssuers;
use crate::serve::Control;
use claviger_domain::right::Role;
use claviger_domain::secret::Secret;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Every issuer, and the way to ask them.
#[derive(Clone, Debug, Default)]
pub struct IssuerSettings {
    /// Unique by name.
    pub all: Vec<Issuer>,
    /// The way out; without it no issuer is believed.
    pub ask: Option<Arc<dyn AskIssuers>>,
}

/// One issuer (`cli.md` §4, `oidc`).
#[derive(Clone, Debug)]
pub struct Issuer {
    /// The operator's name for it; stands in paths.
    pub name: String,
    /// Its URL, exactly as it stands in its tokens.
    pub issuer: String,
    /// Whether people sign in by it.
    pub is_for_people: bool,
    /// Whether agents exchange its tokens for keys.
    pub is_for_agents: bool,
    /// What sign-on needs.
    pub sign_on: SignOn,
}

/// How people sign in by an issuer.
#[derive(Clone, Debug)]
pub struct SignOn {
    /// Whom we are there.
    pub client_id: String,
    /// Its secret; a public client has none.
    pub client_secret: Option<Secret<String>>,
    /// What is asked for; holds `openid`.
    pub scopes: Vec<String>,
    /// Domains of addresses that may come as new people; empty = all.
    pub allowed_domains: Vec<String>,
    /// The slug of the organization that new people join; empty = none.
    pub organization: String,
    /// With this role,
    pub role: Role,
    /// or with the one that a value of this claim stands for.
    pub role_claim: String,
    /// Which values stand for which role.
    pub roles: BTreeMap<String, Role>,
    /// What the button says.
    pub button: String,
}

/// The issuer of this URL whose tokens become keys of agents.
pub(crate) fn find_for_agents<'a>(control: &'a Control, url: &str) -> Option<&'a Issuer> {
    control.settings().issuers.all.iter().find(|issuer| issuer.is_for_agents && issuer.issuer == url)
}

/// The issuer of this name by which people sign in.
pub(crate) fn find_by_name<'a>(control: &'a Control, name: &str) -> Option<&'a Issuer> {
    control.settings().issuers.all.iter().find(|issuer| issuer.is_for_people && issuer.name == name)
}

/// Whether the tokens of any issuer become keys of agents.
pub(crate) fn has_any_for_agents(control: &Control) -> bool {
    control.settings().issuers.all.iter().any(|issuer| issuer.is_for_agents)
}
