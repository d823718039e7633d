//! Ends that come are told in time, once each, to whom they concern.

use crate::on_both_engines;
use crate::world::{World, by};
use claviger_domain::audit::{Action, Attribution};
use claviger_domain::id::SecretId;
use claviger_domain::key::{self, AtDeadline, Key, NewText, RevocationReason, Rotation, Set};
use claviger_domain::secret::Digest;
use claviger_domain::tenancy::PolicyEdit;
use claviger_domain::time::Timestamp;
use claviger_storage::{Engine, OrganizationEdit, SecretUse};
use claviger_testkit::clock::START;
use std::time::Duration;

on_both_engines! {
    a_key_is_told_of_14_3_and_1_days_before_it_expires,
    a_key_is_told_of_before_its_maximum_lifetime_ends_it,
    a_replaced_secret_is_told_of_while_it_is_used,
}

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

async fn told(world: &World, at: Timestamp) -> u64 {
    world.store().tell_ends(at).await.unwrap().0
}

async fn a_key_is_told_of_14_3_and_1_days_before_it_expires(engine: Engine) {
    let mut world = World::new(engine).await;
    let end = START.plus(DAY * 30);
    for (name, expires_at) in [("long", end), ("short", START.plus(DAY * 2)), ("revoked", end)] {
        let new = claviger_domain::key::NewKey { expires_at: Some(expires_at), ..world.new_key(name) };
        let id = new.id;
        world.store().create_key(world.scope, new, &by()).await.unwrap();
        if name == "revoked" {
            world.store().revoke_key(world.scope, id, RevocationReason::Other, &by()).await.unwrap();
        }
    }
    assert_eq!(told(&world, START).await, 0, "two days are near, but whoever made it knows");
    assert_eq!(told(&world, START.plus(DAY)).await, 1, "a day before the short one ends");
    assert_eq!(told(&world, Timestamp(end.minus(DAY * 14).0 - 1)).await, 0);
    for days in [14, 3, 1] {
        let at = end.minus(DAY * days);
        assert_eq!((told(&world, at).await, told(&world, at.plus(HOUR)).await), (1, 0), "{days} days, once");
    }
    assert_eq!(told(&world, end).await, 0, "it is over");
    let notices = world.tamper("SELECT kind, detail FROM notice WHERE kind = 'key.expiring'").unwrap();
    assert_eq!(notices.matches("\"name\":\"long\"").count(), 3, "{notices}");
    assert!(notices.contains(&end.rfc3339()), "{notices}");
}

async fn a_key_is_told_of_before_its_maximum_lifetime_ends_it(engine: Engine) {
    let mut world = World::new(engine).await;
    let (old, rotated) = (world.key("old").await, world.key("rotated").await);
    let set = async |days, grace_days, at| {
        let edit =
            PolicyEdit { lifetime_days: Set::To(days), lifetime_grace_days: grace_days, ..PolicyEdit::default() };
        let edit = OrganizationEdit { policy: Some(edit), ..OrganizationEdit::default() };
        let by = Attribution { at, ..by() };
        world.store().update_organization(world.scope.0, edit, None, &by).await.unwrap();
    };
    set(40, 0, START).await;
    let end = old.created_at.plus(DAY * 40);
    assert_eq!(told(&world, Timestamp(end.minus(DAY * 14).0 - 1)).await, 0);
    assert_eq!((told(&world, end.minus(DAY * 14)).await, told(&world, end.minus(DAY * 14)).await), (2, 0));
    let text = NewText { digest: Digest::from_bytes([9; 32]), pepper_version: 1, redacted: "clv_…0009".to_owned() };
    let how = Rotation { overlap: DAY * 20, finish_when_quiet_hours: None, at_deadline: AtDeadline::End };
    let at = end.minus(DAY * 10);
    let rotate = move |key: &Key| key::rotate(key, SecretId::from_u128(9), text.clone(), how, "operator", at).map(Some);
    world.store().change_key(world.scope, rotated.id, Action::KeyRotated, rotate, &by()).await.unwrap();
    assert_eq!(told(&world, end.minus(DAY * 3)).await, 1, "the younger secret of the other goes on");
    // A shorter maximum spares them, but the old one no longer than it would have lived.
    set(1, 30, end.minus(DAY * 2)).await;
    assert_eq!((told(&world, end.minus(DAY)).await, told(&world, end).await), (1, 0));
    assert_eq!(told(&world, end.plus(DAY * 14)).await, 1, "the rotated key, 14 days before it is bound");
    let notices = world.tamper("SELECT kind, detail FROM notice WHERE kind = 'key.expiring'").unwrap();
    assert_eq!(notices.matches("\"name\":\"old\"").count(), 3, "{notices}");
    assert_eq!(notices.matches("\"max_lifetime_days\":40").count(), 4, "{notices}");
}

async fn a_replaced_secret_is_told_of_while_it_is_used(engine: Engine) {
    let mut world = World::new(engine).await;
    let key = world.key("k").await;
    let rotate = |key: &Key| {
        let digest = Digest::from_bytes([9; 32]);
        let text = NewText { digest, pepper_version: 1, redacted: "clv_…0009".to_owned() };
        let how = Rotation { overlap: DAY * 2, finish_when_quiet_hours: None, at_deadline: AtDeadline::End };
        key::rotate(key, SecretId::from_u128(9), text, how, "operator", START).map(Some)
    };
    world.store().change_key(world.scope, key.id, Action::KeyRotated, rotate, &by()).await.unwrap();
    let end = START.plus(DAY * 2);
    assert_eq!(told(&world, end.minus(DAY)).await, 0, "nobody uses it");
    let used = SecretUse { key: key.id, secret: key.secrets[0].id, at: end.minus(HOUR * 2) };
    world.store().stamp_last_uses(&[used]).await.unwrap();
    assert_eq!((told(&world, end.minus(HOUR * 2)).await, told(&world, end.minus(HOUR * 2)).await), (1, 0));
    assert_eq!((told(&world, end.minus(HOUR)).await, told(&world, end.minus(HOUR)).await), (1, 0));
    let notices = world.tamper("SELECT kind, detail FROM notice").unwrap();
    assert_eq!(notices.matches("key.secret_ending").count(), 2, "{notices}");
}
