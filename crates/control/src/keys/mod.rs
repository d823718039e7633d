//! Keys: one file per operation, and the object that all of them show.

pub(crate) mod admin;
pub(crate) mod callers;
pub(crate) mod create;
pub(crate) mod disable;
pub(crate) mod enable;
pub(crate) mod get;
pub(crate) mod import;
pub(crate) mod list;
pub(crate) mod lookup;
mod object;
pub(crate) mod outcome;
pub(crate) mod own;
pub(crate) mod revoke;
pub(crate) mod rotate;
pub(crate) mod secrets;
pub(crate) mod self_revoke;
pub(crate) mod update;
pub(crate) mod verify;
pub(crate) mod writable;

pub(crate) use object::{KeyObject, PolicyObject};

use crate::authorize::{Member, standing_of};
use crate::respond::Refusal;
use crate::serve::Call;
use claviger_domain::error::Code;
use claviger_domain::id::{EnvironmentId, KeyId};
use claviger_domain::key::{Class, Key};
use claviger_domain::revocation::Confirmation;
use claviger_domain::right::Permission;
use serde::Serialize;

/// A key after a change of rights, and the proof that the change is in force.
#[derive(Serialize)]
pub(crate) struct Confirmed {
    #[serde(flatten)]
    pub(crate) key: KeyObject,
    pub(crate) confirmation: Confirmation,
}

/// The environment that the path fixes, if it names one; it must be the caller's.
async fn fixed_environment(call: &Call<Member>) -> Result<Option<EnvironmentId>, Refusal> {
    if call.matched.captured("project").is_none() {
        return Ok(None);
    }
    let id: EnvironmentId = call.id("project")?;
    let environments = call.control.store().list_environments(call.actor.scope()).await?;
    if environments.iter().any(|environment| environment.id == id) { Ok(Some(id)) } else { Err(Refusal::not_found()) }
}

/// The key of the path, in the environment of the path.
async fn find(call: &Call<Member>) -> Result<Key, Refusal> {
    let id: KeyId = call.id("key")?;
    let environment = fixed_environment(call).await?;
    let key = call.control.store().find_key(call.actor.scope(), id).await?.ok_or_else(Refusal::not_found)?;
    if environment.or(call.actor.seen_from()).is_some_and(|environment| environment != key.environment) {
        return Err(Refusal::not_found());
    }
    // Last, so that a refusal never tells about a key of another organization (`keys.md` §2.3).
    if let Some(permission) = call.matched.row.permission {
        call.actor.require_own(permission, call.actor.owns(key.owner))?;
    }
    Ok(key)
}

/// Admin keys need a permission of their own, whatever is done to them.
fn require_for(actor: &Member, class: Class) -> Result<(), Refusal> {
    match class {
        Class::Admin => {
            actor.require(Permission::AdminKeysManage)?;
            actor.require_fresh()
        }
        Class::Inference => Ok(()),
    }
}

/// The same of a key that is there: nobody manages an admin key that may more than they do (`keys.md` §8), not even to
/// stop it.
async fn require_over(call: &Call<Member>, key: &Key) -> Result<(), Refusal> {
    require_for(&call.actor, key.class)?;
    if key.class == Class::Inference {
        return Ok(());
    }
    let creators = call.actor.organization().policy.creators;
    if standing_of(&call.control, key).await?.is_at_most(call.actor.standing(), creators) {
        return Ok(());
    }
    let message = "This admin key may more than you do; somebody who may as much manages it.";
    Err(Refusal::because(Code::PermissionDenied, message).about("role"))
}
