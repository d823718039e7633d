//! The epoch, its events, and one consistent point.

use crate::on_both_engines;
use crate::world::{World, by};
use claviger_domain::key::RevocationReason;
use claviger_domain::money::Nano;
use claviger_domain::revocation::{Change, Epoch};
use claviger_storage::{CreateKeyOutcome, Engine};
use claviger_testkit::clock::START;

on_both_engines! {
    every_change_of_rights_is_one_event_in_order,
    rights_are_read_at_one_point,
    the_committed_epoch_wakes_after_the_commit,
    parallel_acts_leave_no_gap_in_the_epochs,
}

async fn every_change_of_rights_is_one_event_in_order(engine: Engine) {
    let mut world = World::new(engine).await;
    let start = *world.store().committed().borrow();
    let key = world.key("k").await;
    world.fund(world.scope, 500).await;
    let store = world.store().clone();
    store.disable_key(world.scope, key.id, &by()).await.unwrap();
    store.enable_key(world.scope, key.id, &by()).await.unwrap();
    store.revoke_key(world.scope, key.id, RevocationReason::Other, &by()).await.unwrap();
    let events = store.changes_since(start).await.unwrap();
    let changes: Vec<Change> = events.iter().map(|event| event.change.clone()).collect();
    let key = Change::Key(key.id);
    assert_eq!(changes, [key.clone(), Change::Funding(Nano(500)), key.clone(), key.clone(), key]);
    let epochs: Vec<i64> = events.iter().map(|event| event.epoch.0).collect();
    assert_eq!(epochs, (start.0 + 1..=start.0 + 5).collect::<Vec<_>>());
    assert!(events.iter().all(|event| event.organization == world.scope.0));
    assert_eq!(store.changes_since(Epoch(epochs[4])).await.unwrap(), vec![]);
    assert_eq!(*store.committed().borrow(), Epoch(epochs[4]));
    let first = store.changes_since(Epoch(0)).await.unwrap();
    assert_eq!(first[0].change, Change::Organization);
    let neighbour = world.neighbour("umbrella").await;
    assert!(store.has_epoch(world.scope, Epoch(epochs[4])).await.unwrap());
    assert!(!store.has_epoch(neighbour, Epoch(epochs[4])).await.unwrap(), "another organization's change");
    assert!(!store.has_epoch(world.scope, Epoch(1_000_000)).await.unwrap());
}

async fn rights_are_read_at_one_point(engine: Engine) {
    let mut world = World::new(engine).await;
    let neighbour = world.neighbour("umbrella").await;
    let grant = world.grant(700);
    world.store().grant(neighbour, grant, &by()).await.unwrap();
    let key = world.key("k").await;
    let mut keys = Vec::new();
    let rights = world.store().load_rights(START, &mut |key| keys.push(key.id)).await.unwrap();
    assert_eq!(rights.position.epoch, *world.store().committed().borrow());
    assert_eq!(keys, [key.id]);
    let mut balances: Vec<_> =
        rights.organizations.iter().map(|(organization, balance)| (organization.slug.as_str(), balance.0)).collect();
    balances.sort_unstable();
    assert_eq!(balances, [("acme", 0), ("umbrella", 700)]);
    // Read while keys are made: as many keys as the epoch says, at every point.
    let store = world.store().clone();
    let base = rights.position.epoch;
    let news: Vec<_> = (0..40).map(|number| world.new_key(&format!("k{number}"))).collect();
    let scope = world.scope;
    let maker = tokio::spawn(async move {
        for new in news {
            let outcome = store.create_key(scope, new, &by()).await.unwrap();
            assert!(matches!(outcome, CreateKeyOutcome::Created { .. }));
        }
    });
    loop {
        let mut keys = 0;
        let rights = world.store().load_rights(START, &mut |_| keys += 1).await.unwrap();
        assert_eq!(keys, 1 + rights.position.epoch.0 - base.0);
        if keys == 41 {
            break;
        }
    }
    maker.await.unwrap();
}

async fn the_committed_epoch_wakes_after_the_commit(engine: Engine) {
    let mut world = World::new(engine).await;
    let mut committed = world.store().committed();
    committed.mark_unchanged();
    let new = world.new_key("k");
    let id = new.id;
    let (store, scope) = (world.store().clone(), world.scope);
    let maker = tokio::spawn(async move { store.create_key(scope, new, &by()).await.unwrap() });
    tokio::time::timeout(std::time::Duration::from_secs(10), committed.changed()).await.expect("woken").unwrap();
    // Whoever is woken finds the change.
    assert!(world.store().find_rights_key(id).await.unwrap().is_some());
    let CreateKeyOutcome::Created { epoch, .. } = maker.await.unwrap() else { panic!("not created") };
    assert_eq!(*committed.borrow(), epoch);
}

async fn parallel_acts_leave_no_gap_in_the_epochs(engine: Engine) {
    let mut world = World::new(engine).await;
    let neighbour = world.neighbour("umbrella").await;
    let start = *world.store().committed().borrow();
    let mut tasks = Vec::new();
    for number in 0..30 {
        let store = world.store().clone();
        let scope = if number % 2 == 0 { world.scope } else { neighbour };
        let grant = world.grant(1);
        tasks.push(tokio::spawn(async move { store.grant(scope, grant, &by()).await.unwrap() }));
    }
    let mut epochs = Vec::new();
    for task in tasks {
        epochs.push(task.await.unwrap().0);
    }
    epochs.sort_unstable();
    assert_eq!(epochs, (start.0 + 1..=start.0 + 30).collect::<Vec<_>>());
    assert_eq!(world.store().changes_since(start).await.unwrap().len(), 30);
}
