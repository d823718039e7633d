//! Organizations, environments and the scope that every finder takes.

use crate::address::Cidr;
use crate::id::{AgentId, EnvironmentId, OrganizationId, RegistryId};
use crate::key::Set;
use crate::lifetime::Lifetimes;
use crate::right::{Creators, Role, words};
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
    /// Why it is suspended or closed, in the operator's words for its members.
    pub state_reason: Option<String>,
    /// Keys it may have that are neither revoked nor expired.
    pub keys_max: u32,
    /// Its own one of the instance's prefixes, for new keys.
    pub key_prefix: Option<String>,
    /// The IANA zone of its days, weeks and months.
    pub reporting_zone: String,
    /// What it asks of its keys.
    pub policy: OrganizationPolicy,
    /// Counts what people changed of it.
    pub version: i64,
    /// When it was made.
    pub created_at: Timestamp,
}

/// What is told to the keys and members of an organization that takes no part any more; `None` = it does. The reason is
/// its own words or the operator's, meant for its members.
pub fn told_of_standstill(state: OrganizationState, reason: Option<&str>) -> Option<String> {
    let word = match state {
        OrganizationState::Suspended => "suspended",
        OrganizationState::Closed => "closed",
        OrganizationState::SetUp | OrganizationState::Active => return None,
    };
    let reason = reason.map(|reason| reason.trim_end_matches(['.', ' '])).filter(|reason| !reason.is_empty());
    let why = reason.map_or(String::new(), |reason| format!(": {reason}"));
    Some(format!("This organization is {word}{why}. Ask the operator."))
}

words! {
    /// What happens to a key that was found in public.
    LeakAction {
        /// It is revoked at once.
        Revoke = "revoke";
        /// It is flagged, and its owners are told.
        Notify = "notify";
    }
}

/// What an organization asks of its keys (`keys.md` §3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrganizationPolicy {
    /// Who makes keys.
    pub creators: Creators,
    /// How long a secret may live.
    pub lifetimes: Lifetimes,
    /// The expiry that dialogs propose, in days.
    pub suggested_expiry_days: Option<u32>,
    /// Whether every key needs a source tag.
    pub require_source_tag: bool,
    /// Where its keys may be used from; `None` = anywhere.
    pub allowed_ips: Option<Vec<Cidr>>,
    /// What happens to a leaked key.
    pub leak_action: LeakAction,
    /// After how many quiet hours a replaced secret ends by itself, unless the rotation says otherwise.
    pub finish_when_quiet_hours: Option<u32>,
    /// Whether developers see everybody's usage and requests.
    pub developers_see_all: bool,
}

/// What an edit says of an organization's policy; it is laid onto the policy that stands when it is written, so that of
/// two edits at once neither takes back what the other changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyEdit {
    /// Who makes keys.
    pub creators: Option<Creators>,
    /// How many days a secret may live.
    pub lifetime_days: Set<u32>,
    /// How many days a new maximum spares secrets that are older than it.
    pub lifetime_grace_days: u32,
    /// The expiry that dialogs propose.
    pub suggested_expiry_days: Set<u32>,
    /// Whether every key needs a source tag.
    pub require_source_tag: Option<bool>,
    /// Where its keys may be used from.
    pub allowed_ips: Set<Vec<Cidr>>,
    /// What happens to a leaked key.
    pub leak_action: Option<LeakAction>,
    /// After how many quiet hours a replaced secret ends.
    pub finish_when_quiet_hours: Set<u32>,
    /// Whether developers see everybody's usage.
    pub developers_see_all: Option<bool>,
}

impl PolicyEdit {
    /// The policy with what is changed of it, now.
    pub fn onto(&self, former: &OrganizationPolicy, now: Timestamp) -> OrganizationPolicy {
        let mut days = former.lifetimes.current.map(|current| current.days);
        self.lifetime_days.onto(&mut days);
        let mut next = OrganizationPolicy {
            creators: self.creators.unwrap_or(former.creators),
            lifetimes: former.lifetimes.changed(days, self.lifetime_grace_days, now),
            require_source_tag: self.require_source_tag.unwrap_or(former.require_source_tag),
            leak_action: self.leak_action.unwrap_or(former.leak_action),
            developers_see_all: self.developers_see_all.unwrap_or(former.developers_see_all),
            ..former.clone()
        };
        self.suggested_expiry_days.onto(&mut next.suggested_expiry_days);
        self.allowed_ips.onto(&mut next.allowed_ips);
        self.finish_when_quiet_hours.onto(&mut next.finish_when_quiet_hours);
        next
    }
}

impl OrganizationState {
    /// Whether an operator may move an organization from this state to the other.
    pub const fn may_become(self, next: Self) -> bool {
        use OrganizationState::{Active, Closed, SetUp, Suspended};
        matches!((self, next), (Active | SetUp, Suspended) | (Suspended, Active) | (Active | SetUp | Suspended, Closed))
    }
}

impl Default for OrganizationPolicy {
    fn default() -> Self {
        Self {
            creators: Creators::Owners,
            lifetimes: Lifetimes::default(),
            suggested_expiry_days: Some(90),
            require_source_tag: false,
            allowed_ips: None,
            leak_action: LeakAction::Revoke,
            finish_when_quiet_hours: None,
            developers_see_all: false,
        }
    }
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
    /// When it was archived, which is final.
    pub archived_at: Option<Timestamp>,
    /// Counts changes.
    pub version: i64,
}

/// A non-human principal that owns keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    /// Its id.
    pub id: AgentId,
    /// Where it lives.
    pub environment: EnvironmentId,
    /// 1 to 100 characters.
    pub name: String,
    /// What bounds its admin keys; without one it has none.
    pub role: Option<Role>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was ended, which is final.
    pub ended_at: Option<Timestamp>,
    /// Counts changes.
    pub version: i64,
}

words! {
    /// Whether a registry offers its models.
    RegistryState {
        /// It does.
        Active = "active";
        /// It does not, for now.
        Disabled = "disabled";
    }
}

/// A named source of models: an organization's own deployments, under `<slug>/…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registry {
    /// Its id.
    pub id: RegistryId,
    /// The only environment that sees it; `None` = all of the organization.
    pub environment: Option<EnvironmentId>,
    /// 1 to 100 characters.
    pub name: String,
    /// What its model ids begin with, unique in the organization.
    pub slug: String,
    /// Whether it is in use.
    pub state: RegistryState,
    /// When it was made.
    pub created_at: Timestamp,
    /// Counts changes.
    pub version: i64,
}

/// Whether a text is a slug: `[a-z0-9]+(-[a-z0-9]+)*`, at most 40 characters.
pub fn is_slug(text: &str) -> bool {
    let is_word = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    text.len() <= 40 && text.split('-').all(is_word)
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
