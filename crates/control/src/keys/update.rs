//! Update a key: what is absent stays, `null` clears. The result must be within what the caller may.

use super::outcome::{Denied, changed, check_within, require_own};
use super::writable::{READ_ONLY, check_owner, edit};
use super::{Confirmed, KeyObject, find, require_over};
use crate::authorize::Member;
use crate::body::Fields;
use crate::confirmation::{narrowed, widened};
use crate::edited::IfMatch;
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;
use claviger_domain::audit::Action;
use claviger_domain::key::{Class, Key, Set};
use claviger_domain::right::{Permission, Role};
use claviger_domain::rights::{Rights, is_within};
use claviger_domain::time::Timestamp;
use claviger_storage::{Demand, KeyAct};

/// What only create may say.
const FIXED: &[&str] = &["class", "test", "canary", "environment_id", "sha256"];

pub(crate) async fn handler(
    State(call): State<Call<Member>>,
    query: Query,
    IfMatch(version): IfMatch,
    mut fields: Fields,
) -> Result<Json<Confirmed>, Refusal> {
    query.finish()?;
    let key = find(&call).await?;
    require_over(&call, &key).await?;
    require_own(&call.actor, Permission::KeysUpdate, &key)?;
    let mut edited = edit(&mut fields, call.now)?;
    edited.role = match (fields.text("role")?, key.class) {
        (None, _) => None,
        (Some(_), Class::Inference) => return Err(Refusal::invalid("role", "nothing for an inference key")),
        (Some(text), Class::Admin) => Some(
            Role::from_name(&text)
                .ok_or_else(|| Refusal::invalid("role", "owner, admin, developer, billing or viewer"))?,
        ),
    };
    fields.finish(&[READ_ONLY, FIXED].concat())?;
    if let Set::To(owner) = edited.owner {
        check_owner(&call, Some(owner)).await?;
    }
    let maker = call.actor.rights().clone();
    let decide = move |key: &Key| -> Result<Option<Key>, Denied> {
        let next = edited.onto(key)?;
        if let Some(next) = &next
            && !skips_check()
        {
            check_within(next, &maker)?;
        }
        Ok(next)
    };
    let demand = match skips_check() {
        true => Demand::Permission(Permission::KeysUpdate),
        false => Demand::Strength(Permission::KeysUpdate),
    };
    let act = KeyAct { version, ..KeyAct::asking(Action::KeyUpdated, demand) };
    let store = call.control.store();
    let outcome = store.change_key(call.actor.scope(), key.id, act, decide, call.actor.attribution()).await;
    let changed = changed(outcome.map_err(Refusal::of_write)?)?;
    let is_wider = is_within(&Rights::of_key(&key), &Rights::of_key(&changed.key)).is_ok()
        && !ends_sooner(key.expires_at, changed.key.expires_at);
    let confirmation = match is_wider {
        true => widened(&call, changed.epoch).await,
        false => narrowed(&call, changed.epoch, Some(key.id)).await?,
    };
    Ok(Json(Confirmed { key: KeyObject::new(&changed.key, call.actor.lifetimes(), call.now.wall), confirmation }))
}

/// Whether what was true until `former` is true for less long.
fn ends_sooner(former: Option<Timestamp>, next: Option<Timestamp>) -> bool {
    next.is_some_and(|next| former.is_none_or(|former| next < former))
}

/// The seeded bug "update lacks create's check".
#[cfg(feature = "bugs")]
fn skips_check() -> bool {
    crate::bugs::update_lacks_check()
}

#[cfg(not(feature = "bugs"))]
const fn skips_check() -> bool {
    false
}
