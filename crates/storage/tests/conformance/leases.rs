//! Credit between nodes: granted once, returned once, never more than there is, and proved by `verify_ledger`.

use crate::on_both_engines;
use crate::world::{COST, World, by};
use claviger_domain::credit_lease::GrantAsk;
use claviger_domain::id::{NodeId, SeatId};
use claviger_domain::money::Nano;
use claviger_domain::tenancy::TenantScope;
use claviger_storage::{CloseSeatOutcome, ClosedSeat, Engine, Error, Lost, Store};
use claviger_testkit::clock::START;
use claviger_testkit::stores::{AUDIT_KEY, now};

on_both_engines! {
    a_grant_and_a_return_count_once,
    nothing_is_granted_beyond_the_wallet,
    a_restart_gives_back_what_was_left,
    the_own_seat_is_never_closed,
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

async fn the_own_seat_is_never_closed(engine: Engine) {
    let mut world = World::new(engine).await;
    let scope = world.scope;
    put(&mut world, scope, 1_000).await;
    let store = world.store();
    store.grant_lease(scope, 1, need(600), START).await.unwrap();
    let closed = store.close_seat(store.seat(), vec![], now(), &by()).await.unwrap();
    assert_eq!(closed, CloseSeatOutcome::Alive);
    assert_eq!((store.times_closed().await.unwrap(), store.list_left_seats().await.unwrap()), (0, vec![]));
    assert_eq!(store.wallet(scope).await.unwrap().leased, Nano(600));
}

const NODE: NodeId = NodeId::from_u128(7);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_books_of_a_dead_node_are_closed_once_and_its_credit_goes_back() {
    let mut world = World::new(Engine::Postgres).await;
    let scope = world.scope;
    put(&mut world, scope, 1_000).await;
    let (seat, long) = (SeatId::from_u128(2), std::time::Duration::from_secs(60));
    let dead = second(&world, 2).await;
    dead.register_node(NODE, long, START).await.unwrap();
    dead.grant_lease(scope, 1, need(4 * COST.0), START).await.unwrap();
    let record = world.record(scope);
    let charged = dead.charges().try_reserve().unwrap().append(record).wait().await.unwrap();
    let survivor = world.store().clone();
    let operator = by();
    let close = |silent| survivor.close_seat(seat, silent, now(), &operator);
    let alive = CloseSeatOutcome::Alive;
    assert_eq!(close(vec![(NODE, 0)]).await.unwrap(), alive, "its session holds the lock of its seat");
    // Without a word: what it was doing is cut, the answer that it had charged is not handed over.
    std::mem::forget(charged);
    dead.close().await;
    assert_eq!(close(vec![]).await.unwrap(), alive, "its node was not watched");
    assert_eq!(close(vec![(NODE, 1)]).await.unwrap(), alive, "it has spoken since");
    assert_eq!(survivor.wallet(scope).await.unwrap().leased, Nano(300));
    let found = ClosedSeat { lost: 0, in_doubt: 1, leases: 1, returned: Nano(300) };
    assert_eq!(close(vec![(NODE, 0)]).await.unwrap(), CloseSeatOutcome::Closed(found));
    assert_eq!(close(vec![(NODE, 0)]).await.unwrap(), CloseSeatOutcome::Unknown, "once");
    let wallet = survivor.wallet(scope).await.unwrap();
    assert_eq!((wallet.balance, wallet.leased, wallet.charged), (Nano(900), Nano(0), Nano(100)));
    assert_eq!(survivor.list_nodes().await.unwrap(), vec![]);
    assert_eq!(faults(&world).await, vec![]);
    // It comes back, believing in its lease: nothing more is charged of it until it has drawn anew.
    let back = second(&world, 2).await;
    assert_eq!(back.times_closed().await.unwrap(), 1);
    let record = world.record(scope);
    let refused = back.charges().try_reserve().unwrap().append(record).wait().await;
    assert_eq!(refused.err(), Some(Lost::Overdrawn));
    assert_eq!(back.lease_numbers(scope).await.unwrap(), (1, 1));
    back.grant_lease(scope, 2, need(COST.0), START).await.unwrap();
    let record = world.record(scope);
    back.charges().try_reserve().unwrap().append(record).wait().await.unwrap().mark();
    assert_eq!(faults(&world).await, vec![]);
    back.close().await;
    assert_eq!(world.store().verify_audit().await.unwrap().faults, vec![]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credit_without_a_node_is_found() {
    let mut world = World::new(Engine::Postgres).await;
    let scope = world.scope;
    put(&mut world, scope, 1_000).await;
    let left = second(&world, 2).await;
    left.grant_lease(scope, 1, need(100), START).await.unwrap();
    left.close().await;
    let seats = world.store().list_left_seats().await.unwrap();
    assert_eq!(seats, [SeatId::from_u128(2)]);
    let closed = world.store().close_seat(seats[0], vec![], now(), &by()).await.unwrap();
    assert!(matches!(closed, CloseSeatOutcome::Closed(ClosedSeat { returned: Nano(100), .. })), "{closed:?}");
    assert_eq!(world.store().list_left_seats().await.unwrap(), vec![]);
    assert_eq!(faults(&world).await, vec![]);
}
