//! Rotate a key: a new secret under the same id; older ones live on for the overlap. And issue a lost one again.

use super::create::Reply;
use super::outcome::{Denied, Done, check_within, require_own, settle};
use super::{find, require_over};
use crate::authorize::Member;
use crate::body::OptionalFields;
use crate::confirmation::{narrowed, widened};
use crate::once::{Idempotency, Running};
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::{Call, Control};
use axum::extract::State;
use axum::response::Response;
use claviger_domain::audit::{Action, Attribution};
use claviger_domain::id::{KeyId, SecretId};
use claviger_domain::key::{self, AtDeadline, Key, MintedKey, NewText, Rotation};
use claviger_domain::limits;
use claviger_domain::right::Permission;
use claviger_domain::time::Timestamp;
use claviger_storage::{Demand, KeyAct, Once};
use std::time::Duration;

/// Whoever sees the new text holds the key: it must be within what they may.
pub(super) const MAY_ROTATE: Demand = Demand::Strength(Permission::KeysRotate);

pub(crate) async fn handler(
    State(call): State<Call<Member>>,
    query: Query,
    idempotency: Idempotency,
    OptionalFields(mut fields): OptionalFields,
) -> Result<Response, Refusal> {
    query.finish()?;
    let once = idempotency.of(&call, &fields);
    let how = Rotation {
        overlap: match fields.integer("overlap_seconds")? {
            None => limits::OVERLAP,
            Some(seconds) => {
                let overlap = u64::try_from(seconds).ok().map(Duration::from_secs);
                overlap
                    .filter(|overlap| *overlap <= limits::OVERLAP_MAX)
                    .ok_or_else(|| Refusal::invalid("overlap_seconds", "whole seconds from 0 to 30 days"))?
            }
        },
        finish_when_quiet_hours: match fields.count("finish_when_quiet_hours", 1, 720)? {
            None => call.actor.organization().policy.finish_when_quiet_hours,
            hours => hours,
        },
        at_deadline: match fields.text("at_deadline")? {
            None => AtDeadline::End,
            Some(text) => {
                AtDeadline::from_name(&text).ok_or_else(|| Refusal::invalid("at_deadline", "'end' or 'extend'"))?
            }
        },
    };
    let note = fields.text("reason")?;
    fields.finish(&[])?;
    let key = found(&call).await?;
    let (minted, text) = fresh_text(&call.control, &key)?;
    let secret = call.control.draw(|random| SecretId::generate(call.now.wall, random));
    let by = who(call.actor.attribution());
    let now = call.now.wall;
    let decide = move |key: &Key| key::rotate(key, secret, text.clone(), how, &by, now);
    let act = KeyAct { once, note, ..KeyAct::asking(Action::KeyRotated, MAY_ROTATE) };
    finish(&call, key.id, act, decide, &minted, how.overlap.is_zero()).await
}

/// Another text for the newest secret, whose first was lost before its first use.
pub(crate) async fn reissue(
    State(call): State<Call<Member>>,
    query: Query,
    idempotency: Idempotency,
    OptionalFields(fields): OptionalFields,
) -> Result<Response, Refusal> {
    query.finish()?;
    let once: Option<Once> = idempotency.of(&call, &fields);
    fields.finish(&[])?;
    let key = found(&call).await?;
    let (minted, text) = fresh_text(&call.control, &key)?;
    let by = who(call.actor.attribution());
    let now = call.now.wall;
    let lost = call.control.draw(|random| SecretId::generate(now, random));
    let decide = move |key: &Key| key::reissue(key, text.clone(), lost, &by, now);
    let act = KeyAct { once, ..KeyAct::asking(Action::KeyReissued, MAY_ROTATE) };
    finish(&call, key.id, act, decide, &minted, true).await
}

async fn found(call: &Call<Member>) -> Result<Key, Refusal> {
    let key = find(call).await?;
    require_over(call, &key).await?;
    require_own(&call.actor, Permission::KeysRotate, &key)?;
    if !key.is_test {
        call.actor.require_verified()?;
    }
    Ok(key)
}

/// A key text of the same id.
fn fresh_text(control: &Control, key: &Key) -> Result<(MintedKey, NewText), Refusal> {
    let pepper = control.pepper()?;
    let prefix = control.settings().prefixes.current();
    let minted = control.draw(|random| MintedKey::mint(prefix, key.is_test, key.id, random));
    let digest = pepper.digest(minted.text.expose().as_bytes());
    let text = NewText { digest, pepper_version: pepper.version, redacted: minted.redacted.clone() };
    Ok((minted, text))
}

async fn finish(
    call: &Call<Member>,
    id: KeyId,
    act: KeyAct,
    decide: impl Fn(&Key) -> Result<Key, key::Unwilling> + Send + 'static,
    minted: &MintedKey,
    ends_one: bool,
) -> Result<Response, Refusal> {
    let _running = Running::begin(&call.control, act.once.as_ref())?;
    let maker = call.actor.rights().clone();
    let decide = move |key: &Key| -> Result<Option<Key>, Denied> {
        let next = decide(key)?;
        check_within(&next, &maker)?;
        Ok(Some(next))
    };
    let store = call.control.store();
    let outcome = store.change_key(call.actor.scope(), id, act, decide, call.actor.attribution()).await;
    match settle(outcome.map_err(Refusal::of_write)?)? {
        Done::Now(changed) => {
            // What ends a secret at once has answered only when nobody admits it any more; a text that is lost with a
            // 503 is issued again.
            let confirmation = match ends_one {
                true => narrowed(call, changed.epoch, Some(changed.key.id)).await?,
                false => widened(call, changed.epoch).await,
            };
            let value = minted.text.expose().clone();
            Ok(Reply::shown(call, &changed.key, Some(value), confirmation))
        }
        Done::Before(key) => Ok(Reply::repeated(call, &key)),
    }
}

/// Who acts, as secrets keep it.
pub(crate) fn who(by: &Attribution) -> String {
    match by.actor.parts() {
        (kind @ ("operator" | "system"), _) => kind.to_owned(),
        (_, id) => id.to_owned(),
    }
}

/// Seconds since 1970 in a field that must be there.
pub(crate) fn time(fields: &mut crate::body::Fields, name: &str) -> Result<Timestamp, Refusal> {
    let seconds = fields.integer(name)?.ok_or_else(|| Refusal::invalid(name, "seconds since 1970"))?;
    Ok(Timestamp::from_seconds(seconds))
}
