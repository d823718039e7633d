//! End one older secret of a key now, or let it live longer.

use super::outcome::{Denied, changed, check_within, require_own};
use super::rotate::{MAY_ROTATE, time};
use super::{Confirmed, KeyObject, find, require_over};
use crate::authorize::Member;
use crate::body::{Fields, OptionalFields};
use crate::confirmation::{narrowed, widened};
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;
use claviger_domain::audit::Action;
use claviger_domain::id::SecretId;
use claviger_domain::key::{self, Key};
use claviger_domain::right::Permission;
use claviger_storage::{Demand, KeyAct};

pub(crate) async fn end(
    State(call): State<Call<Member>>,
    query: Query,
    OptionalFields(fields): OptionalFields,
) -> Result<Json<Confirmed>, Refusal> {
    query.finish()?;
    fields.finish(&[])?;
    let (key, secret) = found(&call).await?;
    let now = call.now.wall;
    let decide = move |key: &Key| key::end_secret(key, secret, now).map_err(Denied::from);
    let store = call.control.store();
    let act = KeyAct::asking(Action::SecretEnded, Demand::Permission(Permission::KeysRotate));
    let outcome = store.change_key(call.actor.scope(), key.id, act, decide, call.actor.attribution()).await;
    let changed = changed(outcome.map_err(Refusal::of_write)?)?;
    let confirmation = narrowed(&call, changed.epoch, Some(key.id)).await?;
    Ok(Json(Confirmed { key: KeyObject::new(&changed.key, call.actor.lifetimes(), now), confirmation }))
}

pub(crate) async fn extend(
    State(call): State<Call<Member>>,
    query: Query,
    mut fields: Fields,
) -> Result<Json<Confirmed>, Refusal> {
    query.finish()?;
    let until = time(&mut fields, "ends_at")?;
    fields.finish(&[])?;
    let (key, secret) = found(&call).await?;
    let now = call.now.wall;
    let maker = call.actor.rights().clone();
    let decide = move |key: &Key| -> Result<Option<Key>, Denied> {
        let next = key::extend_secret(key, secret, until, now)?;
        next.iter().try_for_each(|next| check_within(next, &maker))?;
        Ok(next)
    };
    let store = call.control.store();
    let act = KeyAct::asking(Action::KeyUpdated, MAY_ROTATE);
    let outcome = store.change_key(call.actor.scope(), key.id, act, decide, call.actor.attribution()).await;
    let changed = changed(outcome.map_err(Refusal::of_write)?)?;
    let confirmation = widened(&call, changed.epoch).await;
    Ok(Json(Confirmed { key: KeyObject::new(&changed.key, call.actor.lifetimes(), now), confirmation }))
}

async fn found(call: &Call<Member>) -> Result<(Key, SecretId), Refusal> {
    let key = find(call).await?;
    let secret: SecretId = call.id("secret")?;
    // An unknown secret is said to be unknown before anything is said about the key: the order of §2.3.
    if !key.secrets.iter().any(|known| known.id == secret) {
        return Err(Refusal::not_found());
    }
    require_over(call, &key).await?;
    require_own(&call.actor, Permission::KeysRotate, &key)?;
    Ok((key, secret))
}
