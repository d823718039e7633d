//! Disable a key, reversibly. Requests in flight finish.

use super::outcome::{Denied, changed, require_own};
use super::revoke::why;
use super::rotate::who;
use super::{Confirmed, KeyObject, find, require_over};
use crate::authorize::Member;
use crate::body::OptionalFields;
use crate::confirmation::narrowed;
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;
use claviger_domain::audit::Action;
use claviger_domain::key::{self, Key};
use claviger_domain::right::Permission;
use claviger_storage::{Demand, KeyAct};

pub(crate) async fn handler(
    State(call): State<Call<Member>>,
    query: Query,
    OptionalFields(mut fields): OptionalFields,
) -> Result<Json<Confirmed>, Refusal> {
    query.finish()?;
    let (reason, note) = why(&mut fields)?;
    fields.finish(&[])?;
    let key = find(&call).await?;
    require_over(&call, &key).await?;
    require_own(&call.actor, Permission::KeysUpdate, &key)?;
    let (by, now) = (who(call.actor.attribution()), call.now.wall);

    let decide = move |key: &Key| -> Result<Option<Key>, Denied> {
        let next = key::disable(key, reason, &by, now)?;

        Ok(next)
    };
    let act = KeyAct { note, ..KeyAct::asking(Action::KeyDisabled, Demand::Permission(Permission::KeysUpdate)) };
    let store = call.control.store();
    let outcome = store.change_key(call.actor.scope(), key.id, act, decide, call.actor.attribution()).await;
    let changed = changed(outcome.map_err(Refusal::of_write)?)?;
    let confirmation = narrowed(&call, changed.epoch, Some(key.id)).await?;
    Ok(Json(Confirmed { key: KeyObject::new(&changed.key, call.actor.lifetimes(), now), confirmation }))
}
