//! Inference under an Idempotency-Key: claimed by one, answered again for a day, decided by the ledger after a crash.

use crate::on_both_engines;
use crate::world::World;
use claviger_domain::id::{KeyId, RequestId};
use claviger_domain::limits;
use claviger_domain::money::Nano;
use claviger_storage::{Claimed, Engine, KeptReply, ReplayClaim};
use claviger_testkit::clock::START;
use std::time::Duration;

on_both_engines! {
    a_request_runs_once_and_its_answer_is_given_again_for_a_day,
    of_many_at_once_one_claims,
    what_a_dead_process_left_running_is_decided_by_the_ledger,
    what_finds_no_room_is_spent,
}

fn claim(world: &mut World, text: &str) -> ReplayClaim {
    ReplayClaim {
        key: KeyId::generate(&mut world.random),
        path: "chat.completions",
        idempotency_key: text.to_owned(),
        organization: world.scope.0,
        body_hash: "one".to_owned(),
        request: RequestId::generate(START, &mut world.random),
        at: START,
    }
}

fn again(world: &mut World, claim: &ReplayClaim) -> ReplayClaim {
    ReplayClaim { request: RequestId::generate(START, &mut world.random), ..claim.clone() }
}

fn reply(text: &str) -> KeptReply {
    KeptReply { content_type: "application/json".to_owned(), body: text.as_bytes().to_vec() }
}

async fn a_request_runs_once_and_its_answer_is_given_again_for_a_day(engine: Engine) {
    let mut world = World::new(engine).await;
    let first = claim(&mut world, "order 7");
    let second = again(&mut world, &first);
    let store = world.store();
    assert_eq!(store.claim_replay(&first).await.unwrap(), Claimed::Taken);
    assert_eq!(store.claim_replay(&second).await.unwrap(), Claimed::Running);
    let other = ReplayClaim { body_hash: "two".to_owned(), ..second.clone() };
    assert_eq!(store.claim_replay(&other).await.unwrap(), Claimed::OtherBody);
    let elsewhere = ReplayClaim { path: "embeddings", ..second.clone() };
    assert_eq!(store.claim_replay(&elsewhere).await.unwrap(), Claimed::Taken, "a name belongs to its path");

    assert!(!store.keep_reply(&second, reply("no")).await.unwrap(), "who claimed nothing keeps nothing");
    assert!(store.keep_reply(&first, reply("{}")).await.unwrap());
    assert!(!store.keep_reply(&first, reply("{}")).await.unwrap(), "once");
    assert_eq!(store.claim_replay(&second).await.unwrap(), Claimed::Kept(reply("{}")));

    let late = ReplayClaim { at: START.plus(limits::REPLAY), ..second.clone() };
    assert_eq!(store.claim_replay(&late).await.unwrap(), Claimed::Taken, "a day is over");
    store.end_replay(&late, false).await.unwrap();
    assert_eq!(store.claim_replay(&late).await.unwrap(), Claimed::Taken, "what cost nothing may run again");
    store.end_replay(&late, true).await.unwrap();
    assert_eq!(store.claim_replay(&late).await.unwrap(), Claimed::Spent(late.request.to_string()));
    store.end_replay(&late, true).await.unwrap();
    store.forget(START.plus(limits::REPLAY * 3)).await.unwrap();
    assert_eq!(store.claim_replay(&late).await.unwrap(), Claimed::Taken, "forgotten");
}

async fn of_many_at_once_one_claims(engine: Engine) {
    let mut world = World::new(engine).await;
    let first = claim(&mut world, "order 7");
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let (store, claim) = (world.store().clone(), again(&mut world, &first));
        tasks.spawn(async move { store.claim_replay(&claim).await.unwrap() });
    }
    let claimed = tasks.join_all().await;
    assert_eq!(claimed.iter().filter(|claimed| **claimed == Claimed::Taken).count(), 1, "{claimed:?}");
    assert_eq!(claimed.iter().filter(|claimed| **claimed == Claimed::Running).count(), 15, "{claimed:?}");
}

async fn what_a_dead_process_left_running_is_decided_by_the_ledger(engine: Engine) {
    let mut world = World::new(engine).await;
    world.fund(world.scope, 10_000).await;
    let (paid, lost) = (claim(&mut world, "paid"), claim(&mut world, "lost"));
    let mut record = world.record(world.scope);
    let paid = ReplayClaim { request: record.id, ..paid };
    record.charge = Nano(record.charge.0.max(1));
    for claim in [&paid, &lost] {
        assert_eq!(world.store().claim_replay(claim).await.unwrap(), Claimed::Taken);
    }
    world.store().charges().try_reserve().unwrap().append(record).wait().await.unwrap().mark();
    let world = world.reopen().await;
    let store = world.store();
    store.end_former_replays().await.unwrap();
    assert_eq!(store.claim_replay(&paid).await.unwrap(), Claimed::Spent(paid.request.to_string()));
    assert_eq!(store.claim_replay(&lost).await.unwrap(), Claimed::Taken, "nothing was charged");
    // Nobody took the seat of a dead node: its claim is believed for as long as a request can run.
    let later = |by: Duration| ReplayClaim { at: START.plus(by), ..lost.clone() };
    let almost = later(limits::REPLAY_RUNS_MAX - Duration::from_secs(1));
    assert_eq!(store.claim_replay(&almost).await.unwrap(), Claimed::Running);
    assert_eq!(store.claim_replay(&later(limits::REPLAY_RUNS_MAX)).await.unwrap(), Claimed::Taken);
}

async fn what_finds_no_room_is_spent(engine: Engine) {
    let mut world = World::new(engine).await;
    let (first, second) = (claim(&mut world, "first"), claim(&mut world, "second"));
    for claim in [&first, &second] {
        assert_eq!(world.store().claim_replay(claim).await.unwrap(), Claimed::Taken);
    }
    assert!(world.store().keep_reply(&first, reply("12345678")).await.unwrap());
    let full = limits::REPLAY_ROOM_BYTES - 7;
    world.tamper(&format!("UPDATE inference_replay_room SET bytes = {full}")).unwrap();
    assert!(!world.store().keep_reply(&second, reply("12345678")).await.unwrap());
    assert_eq!(world.store().claim_replay(&second).await.unwrap(), Claimed::Spent(second.request.to_string()));
    // What is forgotten gives its room back.
    world.store().forget(START.plus(limits::REPLAY)).await.unwrap();
    let late = ReplayClaim { at: START.plus(limits::REPLAY), ..second };
    assert_eq!(world.store().claim_replay(&late).await.unwrap(), Claimed::Taken);
    assert!(world.store().keep_reply(&late, reply("12345678")).await.unwrap());
}
