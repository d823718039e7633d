//! What survives: kills, lost answers, left-over intents, answers in doubt.

use crate::on_both_engines;
use crate::world::{COST, World};
use claviger_domain::money::Nano;
use claviger_domain::request::{Delivery, Outcome};
use claviger_storage::{Engine, Intent};
use std::time::Duration;

on_both_engines! {
    an_intent_left_over_becomes_node_lost_without_a_charge,
    a_short_request_never_writes_an_intent,
    an_unmarked_answer_is_in_doubt_after_a_kill,
    a_marked_answer_is_not_in_doubt,
    an_answer_dropped_unmarked_is_not_delivered,
}

fn intent(record: &claviger_domain::request::RequestRecord) -> Intent {
    Intent {
        request: record.id,
        organization: record.organization,
        key: record.key,
        model: record.model.clone(),
        hold: record.hold,
        at: record.admitted_at,
    }
}

/// Longer than the writer's tick needs to write lazy news.
const LAZY: Duration = Duration::from_millis(900);

async fn an_intent_left_over_becomes_node_lost_without_a_charge(engine: Engine) {
    let mut world = World::new(engine).await;
    world.fund(world.scope, 1000).await;
    let key = world.key("prod").await;
    let mut lost = world.record(world.scope);
    (lost.key, lost.hold) = (key.id, Nano(77));
    let charged = world.record(world.scope);
    let charges = world.store().charges();
    charges.intend(intent(&lost));
    charges.intend(intent(&charged));
    tokio::time::sleep(LAZY).await;
    assert_eq!(
        world.tamper("SELECT COUNT(*) FROM intent").unwrap().trim().trim_matches(['[', '(', ')', ',', ']']),
        "2"
    );
    charges.try_reserve().unwrap().append(charged.clone()).wait().await.unwrap().mark();
    assert_eq!(
        world.tamper("SELECT COUNT(*) FROM intent").unwrap().trim().trim_matches(['[', '(', ')', ',', ']']),
        "1"
    );
    let world = world.reopen().await;
    let record = world.store().find_request(world.scope, lost.id).await.unwrap().unwrap();
    assert_eq!((record.outcome, record.charge, record.hold, record.rule), (Outcome::NodeLost, Nano(0), Nano(77), 16));
    assert_eq!((record.key, record.key_name.as_str(), record.environment), (key.id, "prod", key.environment));
    assert_eq!(record.delivery, Delivery::NotDelivered);
    assert_eq!(world.store().wallet(world.scope).await.unwrap().charged, COST);
    let stored = world.store().find_request(world.scope, charged.id).await.unwrap().unwrap();
    assert_eq!(stored, charged);
    // Once.
    let world = world.reopen().await;
    assert_eq!(world.store().find_request(world.scope, lost.id).await.unwrap(), Some(record));
    assert_eq!(world.store().verify_ledger().await.unwrap().faults, vec![]);
}

async fn a_short_request_never_writes_an_intent(engine: Engine) {
    let mut world = World::new(engine).await;
    world.fund(world.scope, 100_000).await;
    let charges = world.store().charges();
    for _ in 0..20 {
        let record = world.record(world.scope);
        charges.intend(intent(&record));
        charges.try_reserve().unwrap().append(record).wait().await.unwrap().mark();
    }
    // A row that was written would be deleted again: only the counters of the engine would know. So look at each step.
    let record = world.record(world.scope);
    charges.intend(intent(&record));
    charges.try_reserve().unwrap().append(world.record(world.scope)).wait().await.unwrap().mark();
    let count = world.tamper("SELECT COUNT(*) FROM intent").unwrap();
    assert_eq!(count.trim().trim_matches(['[', '(', ')', ',', ']']), "0");
    charges.try_reserve().unwrap().append(record).wait().await.unwrap().mark();
    let world = world.reopen().await;
    assert_eq!(world.store().verify_ledger().await.unwrap().faults, vec![]);
}

async fn an_unmarked_answer_is_in_doubt_after_a_kill(engine: Engine) {
    let mut world = World::new(engine).await;
    world.fund(world.scope, 1000).await;
    let charges = world.store().charges();
    let (doubted, fine) = (world.record(world.scope), world.record(world.scope));
    let held = charges.try_reserve().unwrap().append(doubted.clone()).wait().await.unwrap();
    charges.try_reserve().unwrap().append(fine.clone()).wait().await.unwrap().mark();
    // The mark is lazy: it is on the disk a moment later, or with the next group.
    tokio::time::sleep(LAZY).await;
    // A kill runs no destructors.
    std::mem::forget(held);
    let world = world.reopen().await;
    let list = world.store().list_in_doubt().await.unwrap();
    assert_eq!(list.len(), 1, "{list:?}");
    assert_eq!((list[0].request, list[0].organization, list[0].charge), (doubted.id, world.scope.0, COST));
    assert_eq!(list[0].at, doubted.completed_at);
    let stored = world.store().find_request(world.scope, doubted.id).await.unwrap().unwrap();
    assert_eq!(stored.delivery, Delivery::InDoubt);
    let stored = world.store().find_request(world.scope, fine.id).await.unwrap().unwrap();
    assert_eq!(stored.delivery, Delivery::Delivered);
    let world = world.reopen().await;
    assert_eq!(world.store().list_in_doubt().await.unwrap().len(), 1, "it stays listed");
    assert_eq!(world.store().verify_ledger().await.unwrap().faults, vec![]);
}

async fn a_marked_answer_is_not_in_doubt(engine: Engine) {
    let mut world = World::new(engine).await;
    world.fund(world.scope, 100_000).await;
    let charges = world.store().charges();
    let waiting: Vec<_> = (0..100).map(|_| charges.try_reserve().unwrap().append(world.record(world.scope))).collect();
    for durable in waiting {
        durable.wait().await.unwrap().mark();
    }
    let world = world.reopen().await;
    assert_eq!(world.store().list_in_doubt().await.unwrap(), vec![]);
}

async fn an_answer_dropped_unmarked_is_not_delivered(engine: Engine) {
    let mut world = World::new(engine).await;
    world.fund(world.scope, 1000).await;
    let record = world.record(world.scope);
    drop(world.store().charges().try_reserve().unwrap().append(record.clone()).wait().await.unwrap());
    let world = world.reopen().await;
    let stored = world.store().find_request(world.scope, record.id).await.unwrap().unwrap();
    assert_eq!(stored.delivery, Delivery::NotDelivered);
    assert_eq!(world.store().list_in_doubt().await.unwrap(), vec![]);
}
