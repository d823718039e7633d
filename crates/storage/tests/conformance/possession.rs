//! What a text of a key is enough for, and what a key was charged.

use crate::on_both_engines;
use crate::world::{COST, World, by};
use claviger_domain::id::SecretId;
use claviger_domain::key::{
    self, AtDeadline, EndReason, Key, NewText, RevocationReason, Rotation, StoredState, Unwilling,
};
use claviger_domain::money::Nano;
use claviger_domain::request::RequestRecord;
use claviger_domain::secret::{Digest, Pepper};
use claviger_domain::time::Timestamp;
use claviger_storage::{Engine, KeySpend, Trail};
use claviger_testkit::clock::START;
use std::time::Duration;

on_both_engines! {
    whoever_holds_a_secret_ends_it_once_and_its_owners_are_told,
    trails_lead_to_ones_own_keys_only,
    a_key_knows_what_it_was_charged,
}

async fn whoever_holds_a_secret_ends_it_once_and_its_owners_are_told(engine: Engine) {
    let mut world = World::new(engine).await;
    let key = world.key("two").await;
    let first = key.secrets[0].id;
    let rotate = |key: &Key| -> Result<Option<Key>, Unwilling> {
        let text =
            NewText { digest: Digest::from_bytes([9; 32]), pepper_version: 1, redacted: "clv_…0009".to_owned() };
        let how = Rotation {
            overlap: Duration::from_secs(3600),
            finish_when_quiet_hours: None,
            at_deadline: AtDeadline::End,
        };
        key::rotate(key, SecretId::from_u128(9), text, how, "operator", START).map(Some)
    };
    let store = world.store();
    let action = claviger_domain::audit::Action::KeyRotated;
    store.change_key(world.scope, key.id, action, rotate, &by()).await.unwrap();
    let end = async |secret, note: Option<&str>| {
        let note = note.map(str::to_owned);
        store.revoke_by_possession(world.scope, (key.id, secret), note, &by()).await.unwrap().unwrap()
    };
    let ended = end(first, Some("in a gist")).await;
    let old = ended.key.secrets.iter().find(|secret| secret.id == first).unwrap();
    assert_eq!(
        (ended.is_new, ended.key.state, old.end_reason),
        (true, StoredState::Enabled, Some(EndReason::Compromised))
    );
    assert!(!end(first, None).await.is_new, "it has ended already");
    let last = end(SecretId::from_u128(9), None).await;
    assert!(matches!(last.key.state, StoredState::Revoked { reason: RevocationReason::Compromised, .. }));
    let neighbour = world.neighbour("umbrella").await;
    let store = world.store();
    assert!(store.revoke_by_possession(neighbour, (key.id, first), None, &by()).await.unwrap().is_none());
    let notices = world.tamper("SELECT kind, detail FROM notice").unwrap();
    assert_eq!(notices.matches("key.self_revoked").count(), 2, "{notices}");
    assert!(notices.contains("in a gist"), "{notices}");
    assert_eq!(store.verify_audit().await.unwrap().faults, vec![]);
}

async fn trails_lead_to_ones_own_keys_only(engine: Engine) {
    let mut world = World::new(engine).await;
    let key = world.key("mine").await;
    let neighbour = world.neighbour("umbrella").await;
    let wrong = Pepper::new(2, [2; 32]).digest(b"x");
    let trails = [Trail::Id(key.id), Trail::Digests(vec![wrong, key.secrets[0].digest]), Trail::Digests(vec![wrong])];
    let found = world.store().look_up_keys(world.scope, &trails).await.unwrap();
    let told: Vec<_> = found.iter().map(|found| found.as_ref().map(|(key, secret)| (key.id, *secret))).collect();
    assert_eq!(told, [Some((key.id, None)), Some((key.id, Some(key.secrets[0].id))), None]);
    let foreign = world.store().look_up_keys(neighbour, &trails).await.unwrap();
    assert!(foreign.iter().all(Option::is_none), "another's key is unknown");
}

async fn a_key_knows_what_it_was_charged(engine: Engine) {
    let mut world = World::new(engine).await;
    let scope = world.scope;
    world.fund(scope, 10_000).await;
    let first = world.record(scope);
    world.clock = Timestamp(world.clock.0 + 1_000_000_000);
    let second = RequestRecord { key: first.key, ..world.record(scope) };
    for record in [first.clone(), second.clone(), world.record(scope)] {
        world.store().charges().try_reserve().unwrap().append(record).wait().await.unwrap().mark();
    }
    let since = [Timestamp(0), second.admitted_at, Timestamp(i64::MAX)];
    let spend = world.store().key_spend(scope, first.key, since).await.unwrap();
    let twice = Nano(COST.0 * 2);
    assert_eq!(spend, KeySpend { total: twice, since: [twice, COST, Nano::ZERO] });
    let neighbour = world.neighbour("umbrella").await;
    assert_eq!(world.store().key_spend(neighbour, first.key, since).await.unwrap(), KeySpend::default());
}
