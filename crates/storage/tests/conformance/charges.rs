//! Charges: exact under concurrency, in groups, once.

use crate::on_both_engines;
use crate::world::{COST, World};
use claviger_domain::money::Nano;
use claviger_domain::request::Delivery;
use claviger_storage::{Engine, Lost};

on_both_engines! {
    fifty_charges_on_credit_for_ten_give_exactly_ten,
    a_charge_and_its_record_are_one,
    the_same_request_is_charged_once,
    groups_of_many_wallets_add_up,
    a_charge_nobody_waits_for_is_booked_all_the_same,
    slots_are_bounded_and_come_back,
    whoever_waits_is_told_from_his_own_thread_or_directly,
    acts_and_charges_share_a_group_without_touching_each_other,
}

async fn fifty_charges_on_credit_for_ten_give_exactly_ten(engine: Engine) {
    let mut world = World::new(engine).await;
    for round in 1..=5 {
        world.fund(world.scope, 1000).await;
        let charges = world.store().charges();
        let waiting: Vec<_> =
            (0..50).map(|_| charges.try_reserve().unwrap().append(world.record(world.scope))).collect();
        let (mut paid, mut overdrawn) = (0, 0);
        for durable in waiting {
            match durable.wait().await {
                Ok(delivered) => {
                    delivered.mark();
                    paid += 1;
                }
                Err(Lost::Overdrawn) => overdrawn += 1,
                Err(other) => panic!("{other}"),
            }
        }
        assert_eq!((paid, overdrawn), (10, 40));
        let wallet = world.store().wallet(world.scope).await.unwrap();
        assert_eq!((wallet.balance, wallet.charged), (Nano(0), Nano(1000 * round)));
    }
    assert_eq!(world.store().verify_ledger().await.unwrap().faults, vec![]);
}

async fn a_charge_and_its_record_are_one(engine: Engine) {
    let mut world = World::new(engine).await;
    world.fund(world.scope, 150).await;
    let charges = world.store().charges();
    let (paid, refused) = (world.record(world.scope), world.record(world.scope));
    let mut free = world.record(world.scope);
    (free.charge, free.hold, free.price_version) = (Nano(0), Nano(0), None);
    charges.try_reserve().unwrap().append(paid.clone()).wait().await.unwrap().mark();
    assert_eq!(charges.try_reserve().unwrap().append(refused.clone()).wait().await.err(), Some(Lost::Overdrawn));
    charges.try_reserve().unwrap().append(free.clone()).wait().await.unwrap().mark();
    let store = world.store();
    assert!(store.find_request(world.scope, paid.id).await.unwrap().is_some());
    assert!(store.find_request(world.scope, refused.id).await.unwrap().is_none());
    assert!(store.find_request(world.scope, free.id).await.unwrap().is_some());
    assert_eq!(store.wallet(world.scope).await.unwrap().balance, Nano(50));
    assert_eq!(store.verify_ledger().await.unwrap().faults, vec![]);
}

async fn the_same_request_is_charged_once(engine: Engine) {
    let mut world = World::new(engine).await;
    world.fund(world.scope, 1000).await;
    let charges = world.store().charges();
    let record = world.record(world.scope);
    charges.try_reserve().unwrap().append(record.clone()).wait().await.unwrap().mark();
    // A retry by the same id, as after an unknown commit: durable, not doubled; also inside one group.
    let again: Vec<_> = (0..3).map(|_| charges.try_reserve().unwrap().append(record.clone())).collect();
    for durable in again {
        durable.wait().await.unwrap().mark();
    }
    let twice = world.record(world.scope);
    let both: Vec<_> = (0..2).map(|_| charges.try_reserve().unwrap().append(twice.clone())).collect();
    for durable in both {
        durable.wait().await.unwrap().mark();
    }
    let mut other = record;
    (other.charge, other.hold) = (Nano(99), Nano(99));
    assert_eq!(charges.try_reserve().unwrap().append(other).wait().await.err(), Some(Lost::Conflict));
    assert_eq!(world.store().wallet(world.scope).await.unwrap().charged, Nano(200));
    assert_eq!(world.store().verify_ledger().await.unwrap().faults, vec![]);
}

async fn whoever_waits_is_told_from_his_own_thread_or_directly(engine: Engine) {
    let mut world = World::new(engine).await;
    world.fund(world.scope, 100_000).await;
    let charges = world.store().charges();
    let mut paid = async |count: usize| {
        let waiting: Vec<_> =
            (0..count).map(|_| charges.try_reserve().unwrap().append(world.record(world.scope))).collect();
        for durable in waiting {
            durable.wait().await.unwrap().mark();
        }
    };
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let from_here = charges.answer_here(async { drop(stopped.await) });
    tokio::join!(from_here, async {
        paid(100).await;
        drop(stop);
    });
    paid(10).await;
    assert_eq!(world.store().wallet(world.scope).await.unwrap().charged, Nano(110 * COST.0));
}

async fn groups_of_many_wallets_add_up(engine: Engine) {
    let mut world = World::new(engine).await;
    let mut scopes = vec![world.scope];
    for number in 0..69 {
        scopes.push(world.neighbour(&format!("n{number}")).await);
    }
    for scope in scopes.clone() {
        world.fund(scope, 1_000_000).await;
    }
    let charges = world.store().charges();
    // Sizes around the rows of one call, and more than one group.
    for size in [1_usize, 2, 5, 16, 17, 63, 64, 65, 130, 1500] {
        let mut waiting = Vec::new();
        for number in 0..size {
            let mut record = world.record(scopes[number * 7 % scopes.len()]);
            if number % 5 == 0 {
                (record.charge, record.hold, record.price_version) = (Nano(0), Nano(0), None);
            } else if number % 11 == 1 {
                (record.charge, record.hold, record.absorbed) = (Nano(70), Nano(70), Nano(30));
            }
            waiting.push(charges.try_reserve().unwrap().append(record));
        }
        for durable in waiting {
            durable.wait().await.unwrap().mark();
        }
        let report = world.store().verify_ledger().await.unwrap();
        assert_eq!(report.faults, vec![], "{size}");
    }
}

async fn a_charge_nobody_waits_for_is_booked_all_the_same(engine: Engine) {
    let mut world = World::new(engine).await;
    world.fund(world.scope, 1000).await;
    let record = world.record(world.scope);
    let id = record.id;
    drop(world.store().charges().try_reserve().unwrap().append(record));
    let world = world.reopen().await;
    assert_eq!(world.store().wallet(world.scope).await.unwrap().charged, COST);
    let stored = world.store().find_request(world.scope, id).await.unwrap().unwrap();
    assert_eq!(stored.delivery, Delivery::NotDelivered, "nobody took the answer");
    assert_eq!(world.store().list_in_doubt().await.unwrap(), vec![]);
}

async fn slots_are_bounded_and_come_back(engine: Engine) {
    let mut world = World::new(engine).await;
    world.fund(world.scope, 1000).await;
    let charges = world.store().charges();
    let mut slots: Vec<_> =
        (0..claviger_domain::limits::CHARGE_QUEUE).map(|_| charges.try_reserve().unwrap()).collect();
    assert!(charges.try_reserve().is_err());
    slots.pop();
    let slot = charges.try_reserve().unwrap();
    slot.append(world.record(world.scope)).wait().await.unwrap().mark();
    assert!(charges.try_reserve().is_ok());
}

async fn acts_and_charges_share_a_group_without_touching_each_other(engine: Engine) {
    let mut world = World::new(engine).await;
    world.fund(world.scope, 10 * COST.0).await;
    let charges = world.store().charges();
    let mut acts = Vec::new();
    let mut waiting = Vec::new();
    for number in 0..30 {
        let store = world.store().clone();
        let scope = world.scope;
        let new = world.new_key(&format!("k{number}"));
        let mut grant = world.grant(1);
        // Every third grant is refused.
        if number % 3 == 0 {
            grant.amount = Nano(0);
        }
        acts.push(tokio::spawn(async move {
            store.create_key(scope, new, &crate::world::by()).await.unwrap();
            store.grant(scope, grant, &crate::world::by()).await.is_ok()
        }));
        waiting.push(charges.try_reserve().unwrap().append(world.record(world.scope)));
        tokio::task::yield_now().await;
    }
    let mut paid = 0;
    for durable in waiting {
        if let Ok(delivered) = durable.wait().await {
            delivered.mark();
            paid += 1;
        }
    }
    let mut granted = 0;
    for act in acts {
        granted += i64::from(act.await.unwrap());
    }
    assert_eq!((paid, granted), (10, 20));
    let wallet = world.store().wallet(world.scope).await.unwrap();
    assert_eq!(wallet.balance, Nano(20));
    assert_eq!(world.rights_keys().await.len(), 30);
    assert_eq!(world.store().verify_ledger().await.unwrap().faults, vec![]);
    assert_eq!(world.store().verify_audit().await.unwrap().faults, vec![]);
}
