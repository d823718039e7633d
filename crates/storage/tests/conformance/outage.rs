//! Servers that restart, fall silent, lose their answers, or are taken by another node.

use crate::proxy::{New, Proxy};
use crate::world::{COST, World, by, price};
use claviger_domain::money::Nano;
use claviger_domain::revocation::Epoch;
use claviger_domain::tenancy::TenantScope;
use claviger_storage::{CreateKeyOutcome, DatabaseUrl, Engine, Error, KeyFilter, Lost, OpenError, PageRequest, Store};
use claviger_testkit::stores::{AUDIT_KEY, TestDatabase, TestStore, now};
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// A world whose store reaches its server through a proxy.
async fn behind_a_proxy() -> (World, Proxy) {
    let proxy = Proxy::start().await;
    let mut world = World::new(Engine::Postgres).await;
    world.fund(world.scope, 1_000_000).await;
    let World { at: TestStore { store, database }, random, scope, environment, clock } = world;
    store.close().await;
    let store = open_through(&proxy, &database).await;
    let world = World { at: TestStore { store, database }, random, scope, environment, clock };
    world.lease(scope).await;
    (world, proxy)
}

async fn open_through(proxy: &Proxy, database: &TestDatabase) -> Store {
    let DatabaseUrl::Postgres(url) = database.url() else { panic!("on Postgres") };
    Store::open(&DatabaseUrl::Postgres(proxy.through(url)), AUDIT_KEY, now()).await.unwrap()
}

/// The session of charges is the first that a store opens; the others carry acts and reads.
const CHARGE_SESSION: usize = 1;

async fn funded(world: &World) -> i64 {
    world.store().wallet(world.scope).await.unwrap().funded.0
}

async fn feed_is_back(store: &Store) {
    for _ in 0..100 {
        if store.changes_since(Epoch(0)).await.is_ok() {
            return;
        }
        sleep(Duration::from_millis(100)).await;
    }
    panic!("the change feed does not come back");
}

/// An answer that never comes must fail the test, not stop it.
async fn in_time<T>(seconds: u64, work: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(seconds), work).await.expect("an answer, whatever it says")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn charges_outlast_a_server_that_is_away_for_ten_seconds() {
    let (mut world, proxy) = behind_a_proxy().await;
    proxy.new_connections(New::Refuse);
    proxy.cut();
    let charges = world.store().charges();
    let waiting: Vec<_> = (0..5).map(|_| charges.try_reserve().unwrap().append(world.record(world.scope))).collect();
    sleep(Duration::from_secs(10)).await;
    proxy.new_connections(New::Pass);
    for durable in waiting {
        in_time(20, durable.wait()).await.unwrap().mark();
    }
    assert_eq!(world.store().wallet(world.scope).await.unwrap().charged, Nano(5 * COST.0));
    assert_eq!(world.store().verify_ledger().await.unwrap().faults, vec![]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn charges_are_given_up_after_half_a_minute() {
    let (mut world, proxy) = behind_a_proxy().await;
    proxy.new_connections(New::Refuse);
    proxy.cut();
    let mut lost =
        tokio::spawn(world.store().charges().try_reserve().unwrap().append(world.record(world.scope)).wait());
    assert!(timeout(Duration::from_secs(25), &mut lost).await.is_err(), "given up too early");
    assert_eq!(in_time(15, lost).await.unwrap().err(), Some(Lost::Unavailable));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_network_hangs_nothing_and_loses_no_charge() {
    let (mut world, proxy) = behind_a_proxy().await;
    // Sessions of acts and of readers that fall silent too.
    assert_eq!(funded(&world).await, 1_000_000);
    world.fund(world.scope, 1).await;
    proxy.new_connections(New::Swallow);
    proxy.swallow(usize::MAX);
    let charged = world.store().charges().try_reserve().unwrap().append(world.record(world.scope));
    let grant = world.grant(7);
    let granted = in_time(30, world.store().grant(world.scope, grant.clone(), &by())).await;
    assert!(matches!(granted, Err(Error::Unavailable(_) | Error::OutcomeUnknown(_))), "{granted:?}");
    let news = in_time(5, world.store().changes_since(Epoch(0))).await;
    assert!(matches!(news, Err(Error::Unavailable(_))), "{news:?}");
    // The server still keeps the old sessions, with the lock in one of them.
    proxy.new_connections(New::Pass);
    in_time(20, charged.wait()).await.unwrap().mark();
    in_time(20, feed_is_back(world.store())).await;
    in_time(10, world.store().grant(world.scope, grant, &by())).await.unwrap();
    assert_eq!(funded(&world).await, 1_000_008);
    assert_eq!(world.store().wallet(world.scope).await.unwrap().charged, COST);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_does_not_wait_for_a_silent_server() {
    let (mut world, proxy) = behind_a_proxy().await;
    world.fund(world.scope, 1).await;
    proxy.new_connections(New::Swallow);
    proxy.swallow(usize::MAX);
    let charged = world.store().charges().try_reserve().unwrap().append(world.record(world.scope));
    in_time(15, world.at.store.close()).await;
    drop(charged);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_act_whose_answer_is_lost_is_repeated_and_counts_once() {
    let (mut world, proxy) = behind_a_proxy().await;
    let epoch = world.store().changes_since(Epoch(0)).await.unwrap().len();
    proxy.lose_answers_to_commit(1);
    world.fund(world.scope, 7).await;
    assert_eq!(funded(&world).await, 1_000_007);
    // Two answers in a row.
    proxy.lose_answers_to_commit(2);
    let new = world.new_key("once");
    let created = world.store().create_key(world.scope, new.clone(), &by()).await.unwrap();
    assert!(matches!(created, CreateKeyOutcome::Created { key, .. } if key.id == new.id));
    assert_eq!(proxy.commits_to_cut(), 0);
    let page = PageRequest { limit: 10, ..PageRequest::default() };
    let keys = world.store().list_keys(world.scope, &KeyFilter::default(), &page).await.unwrap().unwrap();
    assert_eq!(keys.data.len(), 1);
    proxy.lose_answers_to_commit(1);
    let neighbour = world.neighbour("neighbour").await;
    assert_eq!(world.store().list_organizations().await.unwrap().len(), 2);
    assert_eq!(world.store().wallet(neighbour).await.unwrap().funded, Nano::ZERO);
    // One event each.
    assert_eq!(world.store().changes_since(Epoch(0)).await.unwrap().len(), epoch + 3);
    assert_eq!(world.store().verify_audit().await.unwrap().faults, vec![]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_act_whose_answers_are_all_lost_is_unknown() {
    let (mut world, proxy) = behind_a_proxy().await;
    proxy.lose_answers_to_commit(100);
    let grant = world.grant(7);
    let granted = in_time(20, world.store().grant(world.scope, grant.clone(), &by())).await;
    assert!(matches!(granted, Err(Error::OutcomeUnknown(_))), "{granted:?}");
    assert_eq!(proxy.commits_to_cut(), 96, "run four times");
    proxy.lose_answers_to_commit(0);
    world.store().grant(world.scope, grant, &by()).await.unwrap();
    assert_eq!(funded(&world).await, 1_000_007);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_node_takes_its_lock_again_when_the_server_ended_its_sessions() {
    let world = World::new(Engine::Postgres).await;
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
               WHERE datname = current_database() AND pid <> pg_backend_pid()";
    world.tamper(cut).unwrap();
    sleep(Duration::from_millis(2500)).await;
    let second = world.at.database.open().await;
    assert!(matches!(second.err(), Some(OpenError::DatabaseInUse)), "two nodes on one database");
    feed_is_back(world.store()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rights_are_not_prolonged_while_the_lock_cannot_be_shown() {
    let (world, proxy) = behind_a_proxy().await;
    // Reads go on: only the session with the lock falls silent, and no new one comes through.
    let read = || async { world.store().changes_since(Epoch(0)).await.unwrap() };
    tokio::join!(read(), read(), read(), read());
    proxy.swallow(CHARGE_SESSION);
    proxy.new_connections(New::Swallow);
    sleep(Duration::from_secs(4)).await;
    assert!(world.store().find_organization(world.scope.0).await.unwrap().is_some(), "reads go on");
    let news = in_time(1, world.store().changes_since(Epoch(0))).await;
    assert!(matches!(&news, Err(error) if error.to_string().contains("could not be shown")), "{news:?}");
    proxy.new_connections(New::Pass);
    feed_is_back(world.store()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_database_was_taken_never_writes_again() {
    let (mut world, proxy) = behind_a_proxy().await;
    world.store().save_price_versions(&[price()], now()).await.unwrap();
    proxy.new_connections(New::Refuse);
    proxy.cut();
    let other = in_time(5, world.at.database.open()).await.unwrap();
    proxy.new_connections(New::Pass);
    let charged = world.store().charges().try_reserve().unwrap().append(world.record(world.scope));
    assert_eq!(in_time(15, charged.wait()).await.err(), Some(Lost::Unavailable));
    let grant = world.grant(7);
    assert!(matches!(world.store().grant(world.scope, grant, &by()).await, Err(Error::Unavailable(_))));
    assert!(world.store().is_taken());
    in_time(1, world.store().taken()).await;
    assert!(!other.is_taken());
    other.close().await;
    // For good, even when the other node has gone.
    sleep(Duration::from_secs(2)).await;
    assert!(matches!(world.store().changes_since(Epoch(0)).await, Err(Error::Unavailable(_))));
    let scope: TenantScope = world.scope;
    let charged = world.store().charges().try_reserve().unwrap().append(world.record(scope));
    assert_eq!(in_time(2, charged.wait()).await.err(), Some(Lost::Unavailable));
}
