//! Tasks: a hold at the beginning, one capture or release at the end, whoever asks for it how often.

use crate::on_both_engines;
use crate::world::{COST, World, by};
use claviger_domain::credit_lease::GrantAsk;
use claviger_domain::endpoint::EndpointName;
use claviger_domain::id::{EnvironmentId, ProviderId, TaskId};
use claviger_domain::money::Nano;
use claviger_domain::request::RequestRecord;
use claviger_domain::task::{Callback, Late, Said, Task, TaskEffect, TaskEvent, TaskPlace, TaskState, VideoTerms};
use claviger_domain::time::Timestamp;
use claviger_storage::{CreateTaskOutcome, Engine, Error, KeptTask, PageRequest, TaskFilter, TaskResult};
use claviger_testkit::clock::START;

on_both_engines! {
    a_task_is_held_for_once_and_paid_for_once,
    what_a_task_did_not_cost_goes_back_whoever_ends_it,
    a_task_is_its_organizations_alone,
    due_tasks_are_claimed_by_one,
    another_verdict_behind_the_end_is_booked_once,
    what_a_process_had_in_hand_is_due_when_it_starts_again,
    the_end_of_a_task_is_told_by_one_at_a_time,
}

/// A funded world; where nodes share wallets, with the credit on this seat.
async fn funded(engine: Engine) -> World {
    let mut world = World::new(engine).await;
    let grant = world.grant(1_000);
    world.store().grant(world.scope, grant, &by()).await.unwrap();
    if engine == Engine::Postgres {
        let ask = GrantAsk { need: Nano(800), spent: Nano::ZERO, takes_rest: false };
        world.store().grant_lease(world.scope, 1, ask, START).await.unwrap();
    }
    world
}

fn kept(world: &mut World, number: u128, hold: i64) -> KeptTask {
    let record = world.record(world.scope);
    let task = Task {
        id: TaskId::from_u128(number),
        organization: record.organization,
        environment: record.environment,
        key: record.key,
        kind: EndpointName::Video,
        model: "acme/film".to_owned(),
        terms: Some(VideoTerms { prompt: "a cat".to_owned(), seconds: 5, count: 1, size: Some("64x64".to_owned()) }),
        metadata: r#"{"of":"mine"}"#.to_owned(),
        callback: Some(Callback { url: "https://a.example/done".to_owned(), signing: [7; 32] }),
        state: TaskState::Created,
        progress: 0,
        made_seconds: None,
        place: None,
        error: None,
        hold: Nano(hold),
        created_at: START,
        started_at: None,
        completed_at: None,
        expires_at: Timestamp(START.0 + 1_000_000),
        due_at: Timestamp(START.0 + 500),
        late: None,
    };
    KeptTask { task, record: RequestRecord { hold: Nano(hold), ..record }, tellings: 0 }
}

fn place() -> TaskPlace {
    TaskPlace {
        provider: "p".into(),
        row: Some(ProviderId::from_u128(9)),
        upstream_model: "u".into(),
        upstream_id: "v".into(),
    }
}

/// The same, with the record it ends with.
fn charged(kept: &KeptTask, charge: Nano) -> KeptTask {
    let record = RequestRecord { charge, hold: kept.task.hold, ..kept.record.clone() };
    KeptTask { record, ..kept.clone() }
}

async fn check(world: &World, balance: i64, tasks: i64, charged: i64) {
    let wallet = world.store().wallet(world.scope).await.unwrap();
    assert_eq!((wallet.balance, wallet.tasks, wallet.charged), (Nano(balance), Nano(tasks), Nano(charged)));
    let report = world.store().verify_ledger().await.unwrap();
    assert_eq!(report.faults, vec![]);
}

async fn a_task_is_held_for_once_and_paid_for_once(engine: Engine) {
    let mut world = funded(engine).await;
    let mut kept = kept(&mut world, 1, COST.0 + 200);
    for _ in 0..2 {
        assert_eq!(world.store().create_task(kept.clone()).await.unwrap(), CreateTaskOutcome::Created);
    }
    check(&world, 800 - COST.0, COST.0 + 200, 0).await;
    kept.task.step(TaskEvent::Submitted(place()), START);
    assert!(world.store().save_task(kept.task.clone()).await.unwrap());
    let stored = world.store().find_task(world.scope, kept.task.id).await.unwrap().unwrap();
    assert_eq!(stored, kept);
    kept.task.step(TaskEvent::Said(Said::Completed(Some(5))), START);
    let (done, above) = (charged(&kept, COST), charged(&kept, Nano(kept.task.hold.0 + 1)));
    let (store, record) = (world.store().clone(), done.record.clone());
    assert!(matches!(store.end_task(above, false, None).await, Err(Error::Conflict(_))));
    assert!(
        matches!(store.end_task(done.clone(), true, None).await, Err(Error::Conflict(_))),
        "a charge has its record"
    );
    check(&world, 800 - COST.0, COST.0 + 200, 0).await;
    let result = TaskResult { content_type: "text/plain".to_owned(), bytes: b"done".to_vec() };
    assert!(store.end_task(done.clone(), false, Some(result.clone())).await.unwrap());
    assert!(!store.end_task(done.clone(), false, None).await.unwrap(), "once");
    assert!(!store.save_task(kept.task.clone()).await.unwrap());
    assert_eq!(store.find_task_result(world.scope, kept.task.id).await.unwrap(), Some(result));
    check(&world, 1_000 - COST.0, 0, COST.0).await;
    let stored = world.store().find_request(world.scope, record.id).await.unwrap().unwrap();
    assert_eq!((stored.charge, stored.id), (COST, record.id));
    // Charges follow that spend what came back.
    if engine == Engine::Sqlite {
        let next = world.record(world.scope);
        world.store().charges().try_reserve().unwrap().append(next).wait().await.unwrap().mark();
        check(&world, 1_000 - 2 * COST.0, 0, 2 * COST.0).await;
    }
    world.tamper("UPDATE transfer SET amount = 1 WHERE kind = 'task_release'").unwrap_err();
    world.tamper("UPDATE task SET is_open = TRUE").unwrap();
    assert!(!world.store().verify_ledger().await.unwrap().faults.is_empty(), "an open task holds its whole hold");
}

async fn what_a_task_did_not_cost_goes_back_whoever_ends_it(engine: Engine) {
    let mut world = funded(engine).await;
    let mut kept = kept(&mut world, 1, 300);
    world.store().create_task(kept.clone()).await.unwrap();
    kept.task.step(TaskEvent::Cancel, START);
    let ends = (0..4).map(|_| {
        let (store, kept) = (world.store().clone(), kept.clone());
        tokio::spawn(async move { store.end_task(free(kept), false, None).await.unwrap() })
    });
    let mut ended = 0;
    for end in ends.collect::<Vec<_>>() {
        ended += usize::from(end.await.unwrap());
    }
    assert_eq!(ended, 1);
    check(&world, 1_000, 0, 0).await;
    // More than there is, is not held; and nothing is left of it.
    let beyond = self::kept(&mut world, 2, 5_000);
    assert!(matches!(world.store().create_task(beyond.clone()).await, Err(Error::Conflict(_))));
    assert_eq!(world.store().find_task(world.scope, beyond.task.id).await.unwrap(), None);
    // What holds nothing moves nothing.
    let mut nothing = self::kept(&mut world, 3, 0);
    world.store().create_task(nothing.clone()).await.unwrap();
    nothing.task.step(TaskEvent::Unheard, START);
    assert!(world.store().end_task(free(nothing), false, None).await.unwrap());
    check(&world, 1_000, 0, 0).await;
}

fn free(kept: KeptTask) -> KeptTask {
    KeptTask { record: RequestRecord { charge: Nano::ZERO, price_version: None, ..kept.record }, ..kept }
}

async fn another_verdict_behind_the_end_is_booked_once(engine: Engine) {
    let mut world = funded(engine).await;
    let store = world.store().clone();
    let mut paid = kept(&mut world, 1, COST.0 + 200);
    store.create_task(paid.clone()).await.unwrap();
    paid.task.step(TaskEvent::Submitted(place()), START);
    store.save_task(paid.task.clone()).await.unwrap();
    let open = KeptTask { task: Task { late: Some(Late::Refunded), ..paid.task.clone() }, ..paid.clone() };
    assert!(!store.correct_task(open, Nano::ZERO, START).await.unwrap(), "nothing is corrected before the end");
    paid.task.step(TaskEvent::Said(Said::Completed(Some(5))), START);
    let mut paid = charged(&paid, COST);
    store.end_task(paid.clone(), false, None).await.unwrap();
    check(&world, 1_000 - COST.0, 0, COST.0).await;
    store.postpone_task(paid.task.id, Timestamp(START.0 + 9)).await.unwrap();
    let mut stored = store.find_task(world.scope, paid.task.id).await.unwrap().unwrap();
    assert_eq!((stored.task.due_at, stored.record.charge), (Timestamp(START.0 + 9), COST));
    assert_eq!(stored.task.step(TaskEvent::Said(Said::Failed("no".into())), START), TaskEffect::Refund);
    let corrections = (0..4).map(|_| {
        let (store, kept) = (store.clone(), stored.clone());
        tokio::spawn(async move { store.correct_task(kept, Nano::ZERO, START).await.unwrap() })
    });
    let mut corrected = 0;
    for correction in corrections.collect::<Vec<_>>() {
        corrected += usize::from(correction.await.unwrap());
    }
    assert_eq!(corrected, 1);
    // What was charged stays charged, and stands beside what came back.
    check(&world, 1_000, 0, COST.0).await;
    paid.task = store.find_task(world.scope, paid.task.id).await.unwrap().unwrap().task;
    assert_eq!((paid.task.state, paid.task.late), (TaskState::Failed, Some(Late::Refunded)));
    world.tamper("UPDATE request SET charge = charge").unwrap_err();

    let mut given_up = kept(&mut world, 2, 300);
    store.create_task(given_up.clone()).await.unwrap();
    given_up.task.step(TaskEvent::Submitted(place()), START);
    given_up.task.step(TaskEvent::Cancel, START);
    store.end_task(charged(&given_up, Nano::ZERO), false, None).await.unwrap();
    assert_eq!(given_up.task.step(TaskEvent::Said(Said::Completed(None)), START), TaskEffect::Absorb(5));
    for is_first in [true, false] {
        assert_eq!(store.correct_task(given_up.clone(), Nano(250), START).await.unwrap(), is_first);
    }
    check(&world, 1_000, 0, COST.0).await;
}

async fn what_a_process_had_in_hand_is_due_when_it_starts_again(engine: Engine) {
    let mut world = funded(engine).await;
    let store = world.store().clone();
    let (lost, mut submitted) = (kept(&mut world, 1, 0), kept(&mut world, 2, 0));
    store.create_task(lost.clone()).await.unwrap();
    store.create_task(submitted.clone()).await.unwrap();
    submitted.task.step(TaskEvent::Submitted(place()), START);
    store.save_task(submitted.task.clone()).await.unwrap();
    assert_eq!(store.wake_lost_tasks(START).await.unwrap(), 1);
    let due = store.claim_tasks(START, Timestamp(START.0 + 1), 10).await.unwrap();
    assert_eq!(due.iter().map(|kept| kept.task.id).collect::<Vec<_>>(), [lost.task.id]);
    assert_eq!(store.find_signed_task(lost.task.id).await.unwrap().map(|kept| kept.task.id), Some(lost.task.id));
}

async fn the_end_of_a_task_is_told_by_one_at_a_time(engine: Engine) {
    let mut world = funded(engine).await;
    let mut kept = kept(&mut world, 1, 0);
    let store = world.store().clone();
    store.create_task(kept.clone()).await.unwrap();
    let (now, until) = (Timestamp(START.0 + 10), Timestamp(START.0 + 20));
    assert_eq!(store.claim_tellings(now, until, 10).await.unwrap(), vec![], "it has not ended");
    kept.task.step(TaskEvent::Cancel, START);
    store.end_task(free(kept.clone()), false, None).await.unwrap();
    let claims = (0..4).map(|_| {
        let store = store.clone();
        tokio::spawn(async move { store.claim_tellings(now, until, 10).await.unwrap() })
    });
    let mut tellings = Vec::new();
    for claim in claims.collect::<Vec<_>>() {
        tellings.extend(claim.await.unwrap().iter().map(|kept| kept.tellings));
    }
    assert_eq!(tellings, [1]);
    let again = store.claim_tellings(until, Timestamp(START.0 + 30), 10).await.unwrap();
    assert_eq!(again.iter().map(|kept| kept.tellings).collect::<Vec<_>>(), [2], "whoever told it is gone");
    store.note_telling(kept.task.id, None).await.unwrap();
    assert_eq!(store.claim_tellings(Timestamp::NEVER, Timestamp::NEVER, 10).await.unwrap(), vec![]);
}

async fn a_task_is_its_organizations_alone(engine: Engine) {
    let mut world = funded(engine).await;
    let neighbour = world.neighbour("umbrella").await;
    let mut kept = kept(&mut world, 1, 0);
    let store = world.store().clone();
    store.create_task(kept.clone()).await.unwrap();
    let (page, all) = (PageRequest { limit: 10, ..PageRequest::default() }, TaskFilter::default());
    assert_eq!(store.find_task(neighbour, kept.task.id).await.unwrap(), None);
    assert_eq!(store.page_tasks(neighbour, &all, &page).await.unwrap().unwrap().data, vec![]);
    assert_eq!(store.page_tasks(world.scope, &all, &page).await.unwrap().unwrap().data, vec![kept.clone()]);
    for (filter, shown) in [
        (TaskFilter { environment: Some(kept.task.environment), ..all.clone() }, 1),
        (TaskFilter { environment: Some(EnvironmentId::from_u128(77)), ..all.clone() }, 0),
        (TaskFilter { kind: Some(EndpointName::Video), ..all.clone() }, 1),
        (TaskFilter { kind: Some(EndpointName::Rerank), ..all.clone() }, 0),
        (TaskFilter { states: vec![TaskState::Created, TaskState::Queued], ..all.clone() }, 1),
        (TaskFilter { states: vec![TaskState::Completed], ..all.clone() }, 0),
    ] {
        let found = store.page_tasks(world.scope, &filter, &page).await.unwrap().unwrap().data;
        assert_eq!(found.len(), shown, "{filter:?}");
    }
    assert!(!store.delete_task(world.scope, kept.task.id).await.unwrap(), "it has not ended");
    kept.task.step(TaskEvent::Cancel, START);
    store.end_task(free(kept.clone()), false, None).await.unwrap();
    assert!(!store.delete_task(neighbour, kept.task.id).await.unwrap());
    assert_eq!(store.forget_tasks(START).await.unwrap(), 0);
    assert_eq!(store.forget_tasks(kept.task.expires_at).await.unwrap(), 1);
    assert_eq!(store.find_task(world.scope, kept.task.id).await.unwrap(), None);
}

async fn due_tasks_are_claimed_by_one(engine: Engine) {
    let mut world = funded(engine).await;
    let kept = kept(&mut world, 1, 0);
    let store = world.store().clone();
    store.create_task(kept.clone()).await.unwrap();
    let (now, until) = (kept.task.due_at, Timestamp(kept.task.due_at.0 + 1_000));
    assert_eq!(store.claim_tasks(START, until, 10).await.unwrap(), vec![], "not yet");
    let claims = (0..4).map(|_| {
        let store = store.clone();
        tokio::spawn(async move { store.claim_tasks(now, until, 10).await.unwrap().len() })
    });
    let mut claimed = 0;
    for claim in claims.collect::<Vec<_>>() {
        claimed += claim.await.unwrap();
    }
    assert_eq!(claimed, 1);
    assert_eq!(
        store.claim_tasks(until, Timestamp(until.0 + 1), 10).await.unwrap().len(),
        1,
        "whoever claimed it is gone"
    );
}
