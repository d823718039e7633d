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
    what_keys_spent_follows_from_their_records,
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
    world.clock = quarter_after(world.clock);
    let second = RequestRecord { key: first.key, ..world.record(scope) };
    for record in [first.clone(), second.clone(), world.record(scope)] {
        world.store().charges().try_reserve().unwrap().append(record).wait().await.unwrap().mark();
    }
    let since = [Timestamp(0), quarter_of(second.completed_at), Timestamp(i64::MAX)];
    let spend = world.store().key_spend(scope, first.key, since).await.unwrap();
    let twice = Nano(COST.0 * 2);
    assert_eq!(spend, KeySpend { total: twice, since: [twice, COST, Nano::ZERO] });
    let neighbour = world.neighbour("umbrella").await;
    assert_eq!(world.store().key_spend(neighbour, first.key, since).await.unwrap(), KeySpend::default());
}

fn quarter_of(at: Timestamp) -> Timestamp {
    Timestamp(at.0 - at.0 % 900_000_000)
}

fn quarter_after(at: Timestamp) -> Timestamp {
    Timestamp(quarter_of(at).0 + 900_000_000)
}

async fn what_keys_spent_follows_from_their_records(engine: Engine) {
    let mut world = World::new(engine).await;
    let scope = world.scope;
    world.fund(scope, 10_000).await;
    let keys = [world.record(scope).key, world.record(scope).key];
    // Two groups a quarter, for three quarters, and a month later one more; a key is charged twice in a group.
    for quarter in 0..4 {
        let gap = if quarter == 3 { 35 * 24 * 3_600_000_000 } else { 0 };
        world.clock = quarter_after(world.clock.plus(std::time::Duration::from_micros(gap)));
        for _ in 0..2 {
            let records = [keys[0], keys[1], keys[0]].map(|key| RequestRecord { key, ..world.record(scope) });
            let charges = world.store().charges();
            for charged in records.map(|record| charges.try_reserve().unwrap().append(record).wait()) {
                charged.await.unwrap().mark();
            }
        }
    }
    let spent = async |world: &World| {
        let since = [0, 1, 2].map(|quarters| Timestamp(quarter_of(world.clock).0 - quarters * 900_000_000));
        let mut told = Vec::new();
        for key in keys {
            let spend = world.store().key_spend(scope, key, since).await.unwrap();
            told.push((spend.total.0 / COST.0, spend.since.map(|sum| sum.0 / COST.0)));
        }
        told
    };
    let expected = [(16, [4, 4, 4]), (8, [2, 2, 2])];
    assert_eq!(spent(&world).await, expected);
    assert!(!world.store().add_up_key_spend(world.clock).await.unwrap(), "all of them in one batch");
    assert_eq!(spent(&world).await, expected, "quarters of long ago count in the total");
    assert_eq!(world.store().verify_ledger().await.unwrap().faults, []);
    world.store().rebuild_key_spend().await.unwrap();
    assert_eq!(spent(&world).await, expected, "made again from the records");
    assert!(!world.store().add_up_key_spend(world.clock).await.unwrap());
    assert!(!world.store().add_up_key_spend(world.clock).await.unwrap(), "safe to repeat");
    assert_eq!(spent(&world).await, expected);
    world.tamper("UPDATE key_spend SET spent = spent + 1 WHERE slot = 0").unwrap();
    let faults = world.store().verify_ledger().await.unwrap().faults;
    assert_eq!(faults.len(), 2, "a sum that does not follow is named: {faults:?}");
    assert!(faults[0].what.contains("its sums say it spent"), "{faults:?}");
}
