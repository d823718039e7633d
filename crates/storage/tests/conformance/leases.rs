//! Credit between nodes: granted once, returned once, never more than there is, and proved by `verify_ledger`.

use crate::on_both_engines;
use crate::world::{COST, World, by};
use claviger_domain::credit_lease::GrantAsk;
use claviger_domain::id::SeatId;
use claviger_domain::money::Nano;
use claviger_domain::tenancy::TenantScope;
use claviger_storage::{Engine, Error, Lost, Store};
use claviger_testkit::clock::START;
use claviger_testkit::stores::{AUDIT_KEY, now};

on_both_engines! {
    a_grant_and_a_return_count_once,
    nothing_is_granted_beyond_the_wallet,
    a_restart_gives_back_what_was_left,
}

const fn need(amount: i64) -> GrantAsk {
    GrantAsk { need: Nano(amount), spent: Nano::ZERO, takes_rest: false }
}

async fn put(world: &mut World, scope: TenantScope, amount: i64) {
    let grant = world.grant(amount);
    world.store().grant(scope, grant, &by()).await.unwrap();
}

async fn faults(world: &World) -> Vec<claviger_storage::LedgerFault> {
    world.store().verify_ledger().await.unwrap().faults
}

async fn a_grant_and_a_return_count_once(engine: Engine) {
    let mut world = World::new(engine).await;
    let scope = world.scope;
    put(&mut world, scope, 1_000).await;
    let store = world.store();
    let granted = store.grant_lease(scope, 1, need(300), START).await.unwrap();
    assert_eq!((granted.amount, granted.wallet, granted.others), (Nano(300), Nano(700), Nano(0)));
    // The answer got lost and the call comes again, with whatever it needs now.
    let again = store.grant_lease(scope, 1, need(900), START).await.unwrap();
    assert_eq!((again.amount, again.wallet), (Nano(300), Nano(700)));
    assert!(matches!(store.grant_lease(scope, 3, need(1), START).await, Err(Error::Conflict(_))));
    assert_eq!(store.lease_numbers(scope).await.unwrap(), (1, 0));
    store.return_lease(scope, 1, Nano(100), START).await.unwrap();
    store.return_lease(scope, 1, Nano(100), START).await.unwrap();
    assert!(matches!(store.return_lease(scope, 1, Nano(99), START).await, Err(Error::Conflict(_))));
    assert!(matches!(store.return_lease(scope, 2, Nano(201), START).await, Err(Error::Conflict(_))));
    let wallet = store.wallet(scope).await.unwrap();
    assert_eq!((wallet.balance, wallet.leased, wallet.charged), (Nano(1_000), Nano(200), Nano(0)));
    let open = store.list_open_leases().await.unwrap();
    assert_eq!((open.len(), open[0].granted, open[0].returned), (1, Nano(300), Nano(100)));
    assert_eq!(faults(&world).await, vec![]);
}

async fn nothing_is_granted_beyond_the_wallet(engine: Engine) {
    let mut world = World::new(engine).await;
    let scope = world.scope;
    put(&mut world, scope, 1_000).await;
    let store = world.store();
    let refused = store.grant_lease(scope, 1, need(1_001), START).await.unwrap();
    assert_eq!((refused.amount, refused.wallet), (Nano(0), Nano(1_000)));
    let rest = GrantAsk { takes_rest: true, ..need(1_001) };
    assert_eq!(store.grant_lease(scope, 1, rest, START).await.unwrap().amount, Nano(1_000));
    assert_eq!(store.grant_lease(scope, 2, rest, START).await.unwrap().amount, Nano(0));
    assert_eq!(faults(&world).await, vec![]);
}

async fn a_restart_gives_back_what_was_left(engine: Engine) {
    let mut world = World::new(engine).await;
    let scope = world.scope;
    put(&mut world, scope, 1_000).await;
    world.store().grant_lease(scope, 1, need(600), START).await.unwrap();
    let World { at, .. } = world;
    let at = at.reopen().await;
    let store = &at.store;
    let wallet = store.wallet(scope).await.unwrap();
    assert_eq!((wallet.balance, wallet.leased), (Nano(1_000), Nano(0)));
    assert_eq!(store.lease_numbers(scope).await.unwrap(), (1, 1));
    assert_eq!(store.verify_ledger().await.unwrap().faults, vec![]);
}

/// Another node on the same database.
async fn second(world: &World, seat: u128) -> Store {
    Store::open_as(world.at.database.url(), SeatId::from_u128(seat), AUDIT_KEY, now()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_charge_comes_from_the_seats_own_lease_and_never_exceeds_it() {
    let mut world = World::new(Engine::Postgres).await;
    let scope = world.scope;
    put(&mut world, scope, 1_000).await;
    let other = second(&world, 2).await;
    world.store().grant_lease(scope, 1, need(2 * COST.0), START).await.unwrap();
    // The other seat has no lease: nothing to charge.
    let record = world.record(scope);
    let refused = other.charges().try_reserve().unwrap().append(record).wait().await;
    assert_eq!(refused.err(), Some(Lost::Overdrawn));
    for _ in 0..2 {
        let record = world.record(scope);
        world.store().charges().try_reserve().unwrap().append(record).wait().await.unwrap().mark();
    }
    let record = world.record(scope);
    let refused = world.store().charges().try_reserve().unwrap().append(record).wait().await;
    assert_eq!(refused.err(), Some(Lost::Overdrawn));
    let wallet = other.wallet(scope).await.unwrap();
    assert_eq!((wallet.balance, wallet.leased, wallet.charged), (Nano(800), Nano(0), Nano(200)));
    assert_eq!(faults(&world).await, vec![]);
    other.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_ask_at_once_share_exactly_what_there_is() {
    let mut world = World::new(Engine::Postgres).await;
    let scope = world.scope;
    put(&mut world, scope, 1_000).await;
    let nodes = [world.store().clone(), second(&world, 2).await, second(&world, 3).await];
    let mut asking = tokio::task::JoinSet::new();
    for node in nodes.clone() {
        asking.spawn(async move {
            let mut sum = 0;
            for number in 1.. {
                let granted = node.grant_lease(scope, number, need(70), START).await.unwrap();
                if granted.amount == Nano::ZERO {
                    // What others have is named, so that a refusal can tell held credit from none.
                    assert_eq!(granted.others.0 + sum + granted.wallet.0, 1_000);
                    return sum;
                }
                sum += granted.amount.0;
            }
            sum
        });
    }
    let mut sum = 0;
    while let Some(granted) = asking.join_next().await {
        sum += granted.unwrap();
    }
    assert_eq!(sum, 14 * 70);
    assert_eq!(faults(&world).await, vec![]);
    let [_, second, third] = nodes;
    second.close().await;
    third.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_nodes_lease_stays_until_its_seat_starts_again() {
    let mut world = World::new(Engine::Postgres).await;
    let scope = world.scope;
    put(&mut world, scope, 1_000).await;
    let dead = second(&world, 2).await;
    dead.grant_lease(scope, 1, need(400), START).await.unwrap();
    dead.close().await;
    let third = second(&world, 3).await;
    assert_eq!(third.wallet(scope).await.unwrap().leased, Nano(400), "no clock and no other seat takes it back");
    let refused = third.grant_lease(scope, 1, need(700), START).await.unwrap();
    assert_eq!((refused.amount, refused.others), (Nano(0), Nano(400)));
    third.close().await;
    let again = second(&world, 2).await;
    assert_eq!(again.wallet(scope).await.unwrap().leased, Nano(0));
    again.close().await;
    assert_eq!(faults(&world).await, vec![]);
}
