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
use claviger_domain::tenancy::TenantScope;
use claviger_domain::time::Timestamp;

/// What somebody may, now.
pub(crate) struct Judge {
    scope: TenantScope,
    standing: Option<Standing>,
    creators: Creators,
}

impl Judge {
    /// Of whoever acts. The operator and the program itself may what an owner may.
    pub(crate) async fn of(tx: &mut Tx<'_>, scope: TenantScope, by: &Attribution) -> Result<Self, Error> {
        let organization = tenancy::find(tx, scope.0).await?;
        let policy = organization.map(|organization| organization.policy).unwrap_or_default();
        let standing = match &by.actor {
            Actor::User(id) => of_user(tx, scope, id).await?,
            Actor::Key(id) => of_key_id(tx, scope, id, &policy.lifetimes, by.at).await?,
            Actor::Operator(_) | Actor::LocalOperator | Actor::System => Some(Standing::Member(Role::Owner)),
            Actor::Agent(_) | Actor::Nobody => None,
        };
        Ok(Self { scope, standing, creators: policy.creators })
    }

    /// Refuses whoever has not, or no longer, all of a permission.
    ///
    /// # Errors
    /// `Beyond`.
    pub(crate) fn require(&self, permission: Permission) -> Result<(), Error> {
        let has = |standing: &Standing| standing.extent(permission, self.creators) == Extent::All;
        if self.standing.as_ref().is_some_and(has) { Ok(()) } else { Err(Error::Beyond) }
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
        if self.standing.as_ref().is_some_and(covers) { Ok(()) } else { Err(Error::Beyond) }
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
    let Ok(id) = id.parse::<KeyId>() else { return Ok(None) };
    let key = keys::find_anywhere(tx, id).await?.filter(|key| key.organization == scope.0);
    match key.filter(|key| key.state_within(lifetimes, now) == KeyState::Active) {
        Some(key) => of_key(tx, scope, &key).await,
        None => Ok(None),
    }
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
