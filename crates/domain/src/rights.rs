//! What a credential may do, as one value, and whether one is within another: nobody makes or edits a credential
//! stronger than their own (`keys.md` §8).
//!
//! One function judges create, update, enable, rotate, import and invite alike. It is careful where lists cannot be
//! compared exactly: what cannot be shown to be within exceeds. Who asks, and about which key, is not known here.

use crate::address::Cidr;
use crate::id::EnvironmentId;
use crate::key::{Class, Key, Limits, ModelPattern, Reach, Restrictions};
use crate::right::{Creators, Extent, INFERENCE_KEY_PERMISSIONS, Permission, Role, Standing};

/// What a credential may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rights {
    /// How far its permissions reach.
    pub standing: Standing,
    /// What narrows it.
    pub restrictions: Restrictions,
    /// How far it sees.
    pub reach: Reach,
    /// Where it lives; `None` = a person, who lives in no environment.
    pub environment: Option<EnvironmentId>,
}

/// The first thing in which a credential is more than its maker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exceeds {
    /// The field, in the words of the key object.
    pub what: &'static str,
}

impl Rights {
    /// A member in person, or an invite to become one.
    pub fn of_member(role: Role) -> Self {
        Self {
            standing: Standing::Member(role),
            restrictions: Restrictions::default(),
            reach: Reach::Organization,
            environment: None,
        }
    }

    /// A key as it stands, or as it would after an edit. An admin key counts with its own role: its owner's may rise.
    pub fn of_key(key: &Key) -> Self {
        let standing = match (key.class, key.role) {
            (Class::Admin, Some(role)) => Standing::Member(role),
            (Class::Admin, None) => Standing::InferenceKey(Vec::new()),
            (Class::Inference, _) => {
                let extra = key.policy.permissions.iter().copied();
                Standing::InferenceKey(INFERENCE_KEY_PERMISSIONS.iter().copied().chain(extra).collect())
            }
        };
        Self {
            standing,
            restrictions: key.policy.enforced.clone(),
            reach: key.policy.reach,
            environment: Some(key.environment),
        }
    }
}

/// Whether everything the child may, its maker may too.
///
/// Roles are compared under every policy of who makes keys, so that a later change of it makes nobody stronger than
/// their maker was.
///
/// # Errors
/// [`Exceeds`]: the first field in which the child is more.
pub fn is_within(child: &Rights, maker: &Rights) -> Result<(), Exceeds> {
    let (mine, theirs) = (&child.restrictions, &maker.restrictions);
    let checks = [
        (permissions(&child.standing, &maker.standing), standing_word(&child.standing)),
        (models(mine.models.as_deref(), theirs.models.as_deref()), "models"),
        (listed(mine.endpoints.as_deref(), theirs.endpoints.as_deref()), "endpoints"),
        (networks(mine.ips.as_deref(), theirs.ips.as_deref()), "ips"),
        (denials(mine, theirs), "ips_denied"),
        (bounded(mine.limits.rpm, theirs.limits.rpm), "rpm"),
        (bounded(mine.limits.tpm, theirs.limits.tpm), "tpm"),
        (bounded(mine.limits.concurrency, theirs.limits.concurrency), "concurrency"),
        (bursts(mine.limits, theirs.limits), "burst"),
        (reaches(child, maker), "reach"),
    ];
    match checks.iter().find(|(is_within, _)| !is_within) {
        Some((_, what)) => Err(Exceeds { what }),
        None => Ok(()),
    }
}

const fn standing_word(standing: &Standing) -> &'static str {
    match standing {
        Standing::InferenceKey(_) => "permissions",
        Standing::Member(_) | Standing::AdminKey { .. } => "role",
    }
}

fn permissions(child: &Standing, maker: &Standing) -> bool {
    Permission::ALL.iter().all(|permission| {
        Creators::ALL.iter().all(|creators| {
            let extent: Extent = child.extent(*permission, *creators);
            extent <= maker.extent(*permission, *creators)
        })
    })
}

/// Every entry of the child's list means only what one entry of the maker's means.
fn models(child: Option<&[ModelPattern]>, maker: Option<&[ModelPattern]>) -> bool {
    let covers = |wide: &ModelPattern, narrow: &ModelPattern| match (wide, narrow) {
        (wide, ModelPattern::Exact(id)) => wide.matches(id),
        (ModelPattern::Prefix(wide), ModelPattern::Prefix(narrow)) => narrow.starts_with(&**wide),
        (ModelPattern::Exact(_), ModelPattern::Prefix(_)) => false,
    };
    within(child, maker, covers)
}

fn listed<T: PartialEq>(child: Option<&[T]>, maker: Option<&[T]>) -> bool {
    within(child, maker, |wide: &T, narrow: &T| wide == narrow)
}

fn networks(child: Option<&[Cidr]>, maker: Option<&[Cidr]>) -> bool {
    within(child, maker, Cidr::covers)
}

/// `None` restricts nothing: it is within `None` only, and everything is within it.
fn within<T>(child: Option<&[T]>, maker: Option<&[T]>, covers: impl Fn(&T, &T) -> bool) -> bool {
    match (child, maker) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(child), Some(maker)) => child.iter().all(|narrow| maker.iter().any(|wide| covers(wide, narrow))),
    }
}

/// What is denied to the maker is denied to the child, or lies outside of where the child may come from at all.
fn denials(child: &Restrictions, maker: &Restrictions) -> bool {
    let is_out_of_reach = |denied: &Cidr| {
        let allowed = child.ips.as_deref();
        allowed.is_some_and(|allowed| !allowed.iter().any(|one| one.covers(denied) || denied.covers(one)))
    };
    let is_denied = |denied: &Cidr| child.ips_denied.iter().flatten().any(|own| own.covers(denied));
    maker.ips_denied.iter().flatten().all(|denied| is_denied(denied) || is_out_of_reach(denied))
}

fn bounded(child: Option<u32>, maker: Option<u32>) -> bool {
    maker.is_none_or(|most| child.is_some_and(|own| own <= most))
}

/// Ten seconds' worth of each limit unless the policy says otherwise; without limits a burst means nothing.
fn bursts(child: Limits, maker: Limits) -> bool {
    let worth = |burst: Option<u32>, limit: u32| burst.unwrap_or_else(|| (limit / 6).max(1));
    [(child.rpm, maker.rpm), (child.tpm, maker.tpm)].into_iter().all(|(own, most)| match (own, most) {
        (Some(own), Some(most)) => worth(child.burst, own) <= worth(maker.burst, most),
        (_, None) | (None, Some(_)) => true,
    })
}

fn reaches(child: &Rights, maker: &Rights) -> bool {
    match maker.reach {
        Reach::Organization => true,
        Reach::Environment => child.reach == Reach::Environment && child.environment == maker.environment,
    }
}

#[cfg(test)]
mod tests;
