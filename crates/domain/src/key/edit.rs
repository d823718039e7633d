//! An edit of a key: what it sets, what it clears, what it leaves (`keys.md` §4). Whether the caller may is asked of the
//! result, elsewhere.

use super::life::Unwilling;
use super::name::{Name, SourceTag, StoredIn};
use super::policy::{Limits, ModelPattern, Owner, Reach, Restrictions};
use super::record::Key;
use super::state::StoredState;
use crate::address::Cidr;
use crate::endpoint::EndpointName;
use crate::right::{Permission, Role};
use crate::time::Timestamp;

/// What an edit says of a member that may be empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Set<T> {
    /// Nothing: it stays.
    #[default]
    Keep,
    /// It is emptied: `null`.
    Clear,
    /// It becomes this.
    To(T),
}

impl<T: Clone> Set<T> {
    /// What becomes of a member.
    pub fn onto(&self, member: &mut Option<T>) {
        match self {
            Self::Keep => {}
            Self::Clear => *member = None,
            Self::To(value) => *member = Some(value.clone()),
        }
    }

    /// The value it becomes, where there was none before.
    pub fn or_none(self) -> Option<T> {
        match self {
            Self::To(value) => Some(value),
            Self::Keep | Self::Clear => None,
        }
    }
}

/// What an edit says of lists and limits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EditedRestrictions {
    /// Models.
    pub models: Set<Vec<ModelPattern>>,
    /// Endpoints.
    pub endpoints: Set<Vec<EndpointName>>,
    /// Addresses allowed.
    pub ips: Set<Vec<Cidr>>,
    /// Addresses denied.
    pub ips_denied: Set<Vec<Cidr>>,
    /// Requests a minute.
    pub rpm: Set<u32>,
    /// Tokens a minute.
    pub tpm: Set<u32>,
    /// Requests in flight.
    pub concurrency: Set<u32>,
    /// How many at once.
    pub burst: Set<u32>,
}

impl EditedRestrictions {
    /// What becomes of restrictions.
    pub fn onto(&self, restrictions: &mut Restrictions) {
        self.models.onto(&mut restrictions.models);
        self.endpoints.onto(&mut restrictions.endpoints);
        self.ips.onto(&mut restrictions.ips);
        self.ips_denied.onto(&mut restrictions.ips_denied);
        let Limits { rpm, tpm, concurrency, burst } = &mut restrictions.limits;
        self.rpm.onto(rpm);
        self.tpm.onto(tpm);
        self.concurrency.onto(concurrency);
        self.burst.onto(burst);
    }
}

/// An edit; by default it says nothing.
#[derive(Clone, Debug, Default)]
pub struct Edit {
    /// The name, which cannot be empty.
    pub name: Option<Name>,
    /// The billing label; it counts from the next request.
    pub source_tag: Set<SourceTag>,
    /// The expiry. An expired key may get a later one.
    pub expires_at: Set<Timestamp>,
    /// Whose it is.
    pub owner: Set<Owner>,
    /// The role of an admin key.
    pub role: Option<Role>,
    /// Where people keep it.
    pub stored_in: Set<StoredIn>,
    /// Lists and limits.
    pub enforced: EditedRestrictions,
    /// The whole shadow.
    pub shadow: Set<Restrictions>,
    /// How far it sees.
    pub reach: Option<Reach>,
    /// What it may beyond inference.
    pub permissions: Option<Vec<Permission>>,
}

impl Edit {
    /// The key as edited; `None` = it is so already.
    ///
    /// # Errors
    /// It is revoked.
    pub fn onto(&self, key: &Key) -> Result<Option<Key>, Unwilling> {
        if let StoredState::Revoked { .. } = key.state {
            return Err(Unwilling::Revoked);
        }
        let mut next = key.clone();
        if let Some(name) = &self.name {
            name.as_str().clone_into(&mut next.name);
        }
        match &self.source_tag {
            Set::Keep => {}
            Set::Clear => next.source_tag = None,
            Set::To(tag) => next.source_tag = Some(tag.as_str().to_owned()),
        }
        match &self.stored_in {
            Set::Keep => {}
            Set::Clear => next.stored_in = None,
            Set::To(place) => next.stored_in = Some(place.as_str().to_owned()),
        }
        self.expires_at.onto(&mut next.expires_at);
        self.owner.onto(&mut next.owner);
        next.role = self.role.or(next.role);
        self.enforced.onto(&mut next.policy.enforced);
        match &self.shadow {
            Set::Keep => {}
            Set::Clear => next.policy.shadow = None,
            Set::To(shadow) => next.policy.shadow = Some(Box::new(shadow.clone())),
        }
        next.policy.reach = self.reach.unwrap_or(next.policy.reach);
        if let Some(permissions) = &self.permissions {
            next.policy.permissions.clone_from(permissions);
        }
        Ok((!is_same(key, &next)).then_some(next))
    }
}

fn is_same(key: &Key, next: &Key) -> bool {
    let told = |key: &Key| {
        (key.name.clone(), key.source_tag.clone(), key.stored_in.clone(), key.expires_at, key.owner, key.role)
    };
    told(key) == told(next) && key.policy == next.policy
}
