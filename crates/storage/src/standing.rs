//! What whoever acts stands on at this very moment, read under the lock of the act.
//!
//! A request is allowed by what its caller was when it came in. Acts that end or change other people's rights ask once
//! more here: of two owners who remove each other at once the later is nobody any more. What goes beyond them ends the
//! act, so nothing of it is written.

use crate::agents;
use crate::door::Tx;
use crate::error::Error;
use crate::keys;
use crate::tenancy;
use claviger_domain::audit::{Actor, Attribution};
use claviger_domain::id::{KeyId, UserId};
use claviger_domain::key::{Class, Key, KeyState, Owner};
use claviger_domain::lifetime::Lifetimes;
use claviger_domain::right::{Bound, Creators, Extent, Permission, Role, Standing};
use claviger_domain::rights::{Rights, is_within};
use claviger_domain::tenancy::TenantScope;
use claviger_domain::time::Timestamp;

/// What whoever changes a key must be when it is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    /// Nothing: the program's own act, or that of whoever holds the key.
    Nothing,
    /// They have this permission over the key.
    Permission(Permission),
    /// They have it, and the key, as it shall be, may no more than they (`keys.md` §8).
    Strength(Permission),
    /// The key may no more than they, and is their own: what a person's command line gets by the person's consent.
    OwnStrength,
}

impl Demand {
    /// What whoever makes a key of this class must be.
    pub const fn to_make(class: Class) -> Self {
        Self::Strength(match class {
            Class::Inference => Permission::KeysCreate,
            Class::Admin => Permission::AdminKeysManage,
        })
    }
}

/// What somebody may, now.
pub(crate) struct Judge {
    scope: TenantScope,
    /// Nobody is left of who has gone, or was switched off.
    rights: Option<Rights>,
    /// Whose keys are their own.
    owner: Option<Owner>,
    creators: Creators,
}

impl Judge {
    /// Of whoever acts. The operator and the program itself may what an owner may.
    pub(crate) async fn of(tx: &mut Tx<'_>, scope: TenantScope, by: &Attribution) -> Result<Self, Error> {
        let organization = tenancy::find(tx, scope.0).await?;
        let policy = organization.map(|organization| organization.policy).unwrap_or_default();
        let (rights, owner) = match &by.actor {
            Actor::User(id) => {
                let standing = of_user(tx, scope, id).await?;
                (standing.map(of_person), id.parse().ok().map(Owner::User))
            }
            Actor::Key(id) => match live_key(tx, scope, id, &policy.lifetimes, by.at).await? {
                Some(key) => {
                    let standing = of_key(tx, scope, &key).await?;
                    (standing.map(|standing| Rights { standing, ..Rights::of_key(&key) }), key.owner)
                }
                None => (None, None),
            },
            Actor::Operator(_) | Actor::LocalOperator | Actor::System => (Some(Rights::of_member(Role::Owner)), None),
            Actor::Agent(_) | Actor::Nobody => (None, None),
        };
        Ok(Self { scope, rights, owner, creators: policy.creators })
    }

    /// Refuses whoever may not, or no longer, make this key of what it was; `None` = it was not there.
    ///
    /// # Errors
    /// `Beyond`.
    pub(crate) async fn require_change(
        &self,
        tx: &mut Tx<'_>,
        demand: Demand,
        former: Option<&Key>,
        next: &Key,
    ) -> Result<(), Error> {
        let owner = former.unwrap_or(next).owner;
        match demand {
            Demand::Nothing => return Ok(()),
            Demand::OwnStrength if owner.is_none() || owner != self.owner => return Err(Error::Beyond),
            Demand::OwnStrength => {}
            Demand::Permission(permission) | Demand::Strength(permission) => {
                self.require_over_own(permission, owner)?;
                if next.class == Class::Admin {
                    self.require(Permission::AdminKeysManage)?;
                }
            }
        }
        if let Some(former) = former {
            self.require_key(tx, former).await?;
        }
        let covers = |rights: &Rights| is_within(&Rights::of_key(next), rights).is_ok();
        let is_within = self.rights.as_ref().is_some_and(covers);
        if is_within || matches!(demand, Demand::Permission(_)) { Ok(()) } else { Err(Error::Beyond) }
    }

    /// Refuses whoever has not, or no longer, a permission over an object of this owner.
    fn require_over_own(&self, permission: Permission, owner: Option<Owner>) -> Result<(), Error> {
        match self.standing().map(|standing| standing.extent(permission, self.creators)) {
            Some(Extent::All) => Ok(()),
            Some(Extent::Own) if owner.is_some() && owner == self.owner => Ok(()),
            _ => Err(Error::Beyond),
        }
    }

    fn standing(&self) -> Option<&Standing> {
        self.rights.as_ref().map(|rights| &rights.standing)
    }

    /// Refuses whoever has not, or no longer, all of a permission.
    ///
    /// # Errors
    /// `Beyond`.
    pub(crate) fn require(&self, permission: Permission) -> Result<(), Error> {
        let has = |standing: &Standing| standing.extent(permission, self.creators) == Extent::All;
        if self.standing().is_some_and(has) { Ok(()) } else { Err(Error::Beyond) }
    }

    /// Refuses what concerns a role that may more.
    ///
    /// # Errors
    /// `Beyond`.
    pub(crate) fn require_role(&self, role: Role) -> Result<(), Error> {
        self.require_over(&Standing::Member(role))
    }

    /// Refuses what concerns an admin key that may more.
    ///
    /// # Errors
    /// `Beyond`.
    pub(crate) async fn require_key(&self, tx: &mut Tx<'_>, key: &Key) -> Result<(), Error> {
        if key.class == Class::Inference {
            return Ok(());
        }
        match of_key(tx, self.scope, key).await? {
            Some(standing) => self.require_over(&standing),
            None => Ok(()),
        }
    }

    fn require_over(&self, other: &Standing) -> Result<(), Error> {
        let covers = |standing: &Standing| other.is_at_most(standing, self.creators);
        if self.standing().is_some_and(covers) { Ok(()) } else { Err(Error::Beyond) }
    }
}

/// A member's standing; none for whoever is no member, or switched off.
pub(crate) async fn of_user(tx: &mut Tx<'_>, scope: TenantScope, id: &str) -> Result<Option<Standing>, Error> {
    let Ok(user) = id.parse::<UserId>() else { return Ok(None) };
    Ok(agents::role_of(tx, scope, Owner::User(user)).await?.map(Standing::Member))
}

/// An admin key's standing; none for one that admits nothing now.
pub(crate) async fn of_key_id(
    tx: &mut Tx<'_>,
    scope: TenantScope,
    id: &str,
    lifetimes: &Lifetimes,
    now: Timestamp,
) -> Result<Option<Standing>, Error> {
    match live_key(tx, scope, id, lifetimes, now).await? {
        Some(key) => of_key(tx, scope, &key).await,
        None => Ok(None),
    }
}

/// A key of the organization that admits somebody now.
async fn live_key(
    tx: &mut Tx<'_>,
    scope: TenantScope,
    id: &str,
    lifetimes: &Lifetimes,
    now: Timestamp,
) -> Result<Option<Key>, Error> {
    let Ok(id) = id.parse::<KeyId>() else { return Ok(None) };
    let key = keys::find_anywhere(tx, id).await?.filter(|key| key.organization == scope.0);
    Ok(key.filter(|key| key.state_within(lifetimes, now) == KeyState::Active))
}

/// What a person may, who lives in no environment and whom no list narrows.
fn of_person(standing: Standing) -> Rights {
    Rights { standing, ..Rights::of_member(Role::Viewer) }
}

/// What an admin key is worth: no more than its owner now.
async fn of_key(tx: &mut Tx<'_>, scope: TenantScope, key: &Key) -> Result<Option<Standing>, Error> {
    let Some(role) = key.role else { return Ok(None) };
    let owner = match key.owner {
        None => Bound::Nobody,
        Some(owner) => agents::role_of(tx, scope, owner).await?.map_or(Bound::Gone, Bound::Role),
    };
    Ok(Some(Standing::AdminKey { role, owner }))
}
