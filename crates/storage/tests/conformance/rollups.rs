//! Sums of usage: those of exactly the records up to the cursors, whoever makes them, in whatever order, however often.

use crate::on_both_engines;
use crate::world::{COST, World, by, price};
use claviger_domain::credit_lease::GrantAsk;
use claviger_domain::endpoint::EndpointName;
use claviger_domain::id::{KeyId, SeatId};
use claviger_domain::meter::{Meter, Meters, UsageSource};
use claviger_domain::money::Nano;
use claviger_domain::request::{Outcome, RequestRecord};
use claviger_domain::time::Timestamp;
use claviger_storage::{Engine, KeySpend, RollUpLimits, RolledUp, Store, UsageDimension, UsageQuery};
use claviger_testkit::clock::START;
use claviger_testkit::stores::{AUDIT_KEY, now};

on_both_engines! {
    a_key_knows_what_it_was_charged,
    sums_are_those_of_the_records_up_to_the_cursor_in_every_order,
    two_that_add_up_at_once_count_each_record_once,
    sums_that_do_not_follow_from_the_records_are_named_and_made_again,
    requests_that_were_lost_are_counted_late,
    reports_are_the_sums_of_records_wherever_the_cursor_stands,
}

const BATCH: RollUpLimits = RollUpLimits { records: 1_000, sums: 100 };
const QUARTER: i64 = 900_000_000;

/// Charges records; they are in the database when this returns, as whoever reads money waits for it.
async fn append(world: &World, records: impl IntoIterator<Item = RequestRecord>) {
    let charges = world.store().charges();
    let waiting: Vec<_> =
        records.into_iter().map(|record| charges.try_reserve().unwrap().append(record).wait()).collect();
    for charged in waiting {
        charged.await.unwrap().mark();
    }
    world.store().wallet(world.scope).await.unwrap();
}

async fn faults(world: &World) -> Vec<String> {
    world.store().verify_ledger().await.unwrap().faults.into_iter().map(|fault| fault.what).collect()
}

/// Everything that is kept as sums, and how far, in one order.
fn kept(world: &World) -> String {
    [
        "SELECT * FROM usage_cursor ORDER BY seat",
        "SELECT * FROM usage_dimension ORDER BY id",
        "SELECT * FROM usage_15m ORDER BY dimension, slot, seat",
        "SELECT * FROM usage_15m_meter ORDER BY dimension, slot, seat, price_version, meter",
    ]
    .map(|sql| world.tamper(sql).unwrap())
    .concat()
}

async fn a_key_knows_what_it_was_charged(engine: Engine) {
    let mut world = World::new(engine).await;
    let scope = world.scope;
    world.fund(scope, 10_000).await;
    let first = world.record(scope);
    world.clock = Timestamp(world.clock.0 - world.clock.0 % QUARTER + QUARTER);
    let second = RequestRecord { key: first.key, ..world.record(scope) };
    let third = world.record(scope);
    append(&world, [first.clone(), second.clone(), third]).await;
    let since = [Timestamp(0), Timestamp(second.completed_at.0 - second.completed_at.0 % QUARTER), Timestamp(i64::MAX)];
    let twice = Nano(COST.0 * 2);
    let expected = KeySpend { total: twice, since: [twice, COST, Nano::ZERO] };
    // Before they are in the sums, when one of them is, and when all are.
    for most in [0, 1, 1, 1] {
        let limits = RollUpLimits { records: most, ..BATCH };
        world.store().roll_up_usage(limits).await.unwrap();
        assert_eq!(world.store().key_spend(scope, first.key, since).await.unwrap(), expected);
    }
    let neighbour = world.neighbour("umbrella").await;
    assert_eq!(world.store().key_spend(neighbour, first.key, since).await.unwrap(), KeySpend::default());
}

/// Some record, of few keys, models, quarters and endings.
fn some(world: &mut World, keys: &[KeyId]) -> RequestRecord {
    let mut draw = |bound: u64| world.random.below(bound);
    let (key, model, quarter, ending) = (draw(keys.len() as u64), draw(2), draw(3), draw(4));
    let record = world.record(world.scope);
    let base = RequestRecord {
        key: keys[key as usize],
        completed_at: Timestamp(record.completed_at.0 + quarter as i64 * QUARTER),
        ..record
    };
    let free = RequestRecord { charge: Nano::ZERO, price_version: None, hold: Nano::ZERO, ..base.clone() };
    match ending {
        // Of another model, which has no price of its own.
        0 => RequestRecord { model: "acme/free".to_owned(), ..free },
        1 => RequestRecord { outcome: Outcome::Refused, meters: Meters::NONE, attempts: Vec::new(), ..free },
        2 if model == 1 => RequestRecord {
            source_tag: None,
            endpoint: EndpointName::Embeddings,
            usage_source: UsageSource::Estimated,
            meters: Meters::NONE.with(Meter::InputToken, 5).with(Meter::CachedInputToken, 0),
            ..base
        },
        _ => base,
    }
}

async fn sums_are_those_of_the_records_up_to_the_cursor_in_every_order(engine: Engine) {
    let mut world = World::new(engine).await;
    let scope = world.scope;
    world.fund(scope, 1_000_000).await;
    let keys = [0; 3].map(|_| KeyId::generate(&mut world.random));
    let mut spent = [0_i64; 3];
    for step in 0..40 {
        match world.random.below(5) {
            0 | 1 => {
                let count = 1 + world.random.below(6);
                let records: Vec<RequestRecord> = (0..count).map(|_| some(&mut world, &keys)).collect();
                for record in &records {
                    spent[keys.iter().position(|key| *key == record.key).unwrap()] += record.charge.0;
                }
                append(&world, records).await;
            }
            2 | 3 => {
                let (records, sums) = (world.random.below(5) as u32, 1 + world.random.below(4) as usize);
                world.store().roll_up_usage(RollUpLimits { records, sums }).await.unwrap();
            }
            // The process ends between two batches, whatever it had in hand.
            _ if step % 3 == 0 => world = world.reopen().await,
            _ => {}
        }
        if step % 4 == 0 {
            assert_eq!(faults(&world).await, Vec::<String>::new(), "step {step}");
            for (key, spent) in keys.iter().zip(spent) {
                let told = world.store().key_spend(scope, *key, [Timestamp(0); 3]).await.unwrap();
                assert_eq!(told, KeySpend { total: Nano(spent), since: [Nano(spent); 3] }, "step {step}");
            }
        }
    }
    while world.store().roll_up_usage(BATCH).await.unwrap().has_more {}
    assert_eq!(world.store().roll_up_usage(BATCH).await.unwrap(), RolledUp::default());
    assert_eq!(faults(&world).await, Vec::<String>::new());
    let before = kept(&world);
    world.store().rebuild_usage(&by()).await.unwrap();
    let told = world.store().key_spend(scope, keys[0], [Timestamp(0); 3]).await.unwrap();
    assert_eq!(told.total, Nano(spent[0]), "exact before any of it is made again");
    while world.store().roll_up_usage(RollUpLimits { records: 7, sums: 3 }).await.unwrap().has_more {}
    assert_eq!(kept(&world), before, "equal rows");
}

async fn two_that_add_up_at_once_count_each_record_once(engine: Engine) {
    let mut world = World::new(engine).await;
    let scope = world.scope;
    world.fund(scope, 100_000).await;
    let keys = [KeyId::generate(&mut world.random)];
    for _ in 0..4 {
        let records: Vec<RequestRecord> = (0..8).map(|_| some(&mut world, &keys)).collect();
        append(&world, records).await;
        let store = world.store();
        let limits = RollUpLimits { records: 5, ..BATCH };
        let (one, other) = tokio::join!(store.roll_up_usage(limits), store.roll_up_usage(limits));
        assert!(one.unwrap().records + other.unwrap().records >= 5);
        assert_eq!(faults(&world).await, Vec::<String>::new());
    }
}

async fn sums_that_do_not_follow_from_the_records_are_named_and_made_again(engine: Engine) {
    let mut world = World::new(engine).await;
    let scope = world.scope;
    world.fund(scope, 10_000).await;
    let records = [world.record(scope), world.record(scope), world.record(scope)];
    append(&world, records.clone()).await;
    world.store().roll_up_usage(RollUpLimits { records: 2, ..BATCH }).await.unwrap();
    assert_eq!(faults(&world).await, Vec::<String>::new());
    let whole = kept(&world);
    for (fault, named) in [
        ("UPDATE usage_15m SET charge = charge + 1 WHERE slot >= 0", "its sums of usage say"),
        ("UPDATE usage_15m SET requests = requests + 1 WHERE slot = -1", "its sum of all usage says"),
        ("UPDATE usage_15m_meter SET quantity = quantity - 1 WHERE meter = 'output_token'", "33 output_token"),
        ("DELETE FROM usage_15m_meter WHERE meter = 'input_token'", "its records 1 requests"),
        ("DELETE FROM usage_15m", "its sums of usage say 0 requests"),
        ("DELETE FROM usage_dimension", "a sum of nothing"),
        // A cursor that moves without its rows, and one that lets a record be counted twice.
        ("UPDATE usage_cursor SET place = place + 1", "its records 1 requests"),
        ("UPDATE usage_cursor SET place = place - 1", "its sums of usage say 1 requests"),
    ] {
        world.tamper(fault).unwrap();
        let said = faults(&world).await;
        assert!(said.iter().any(|what| what.contains(named)), "{fault}: {said:?}");
        world.store().rebuild_usage(&by()).await.unwrap();
        world.store().roll_up_usage(RollUpLimits { records: 2, ..BATCH }).await.unwrap();
        assert_eq!(faults(&world).await, Vec::<String>::new(), "{fault}");
    }
    assert_eq!(kept(&world), whole);
    let audit = world.store().verify_audit().await.unwrap();
    assert_eq!(audit.faults, vec![]);
    let quantity = format!(
        "SELECT quantity FROM usage_15m_meter WHERE meter = 'output_token' AND price_version = '{}'",
        price().version
    );
    assert_eq!(world.tamper(&quantity).unwrap().matches("34").count(), 2);
}

/// What a recovery writes, long after the requests were admitted, comes behind the cursor.
async fn requests_that_were_lost_are_counted_late(engine: Engine) {
    let mut world = World::new(engine).await;
    let scope = world.scope;
    world.fund(scope, 10_000).await;
    let first = world.record(scope);
    append(&world, [first]).await;
    world.store().roll_up_usage(BATCH).await.unwrap();
    let lost = world.record(scope);
    world
        .tamper(&format!(
            "INSERT INTO intent (request_id, org_id, key_id, model, hold, at) VALUES \
             ('{}', '{}', '{}', 'acme/chat', 5, 1)",
            lost.id, scope.0, lost.key
        ))
        .unwrap();
    let world = world.reopen().await;
    assert_eq!(world.store().roll_up_usage(BATCH).await.unwrap(), RolledUp { records: 1, has_more: false });
    assert_eq!(faults(&world).await, Vec::<String>::new());
    let counted = world.tamper(&format!("SELECT outcome FROM usage_dimension WHERE key_id = '{}'", lost.key)).unwrap();
    assert!(counted.contains("node_lost"), "{counted}");
}

/// Every seat writes and every seat adds up, all of them in each other's rows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_charge_and_add_up_at_once_skip_no_record() {
    let mut world = World::new(Engine::Postgres).await;
    let scope = world.scope;
    let grant = world.grant(1_000_000);
    world.store().grant(scope, grant, &by()).await.unwrap();
    let other =
        async |seat| Store::open_as(world.at.database.url(), SeatId::from_u128(seat), AUDIT_KEY, now()).await.unwrap();
    let nodes = [world.store().clone(), other(2).await, other(3).await];
    let key = KeyId::generate(&mut world.random);
    let mut working = tokio::task::JoinSet::new();
    for node in nodes.clone() {
        let ask = GrantAsk { need: Nano(40 * COST.0), spent: Nano::ZERO, takes_rest: false };
        node.grant_lease(scope, 1, ask, START).await.unwrap();
        let records: Vec<RequestRecord> = (0..40).map(|_| RequestRecord { key, ..world.record(scope) }).collect();
        let adding = node.clone();
        working.spawn(async move {
            for pair in records.chunks(2) {
                let charges = node.charges();
                let waiting: Vec<_> =
                    pair.iter().map(|record| charges.try_reserve().unwrap().append(record.clone()).wait()).collect();
                for charged in waiting {
                    charged.await.unwrap().mark();
                }
            }
        });
        working.spawn(async move {
            let mut known = Nano::ZERO;
            while known < Nano(3 * 40 * COST.0) {
                adding.roll_up_usage(RollUpLimits { records: 3, sums: 10 }).await.unwrap();
                let told = adding.key_spend(scope, key, [Timestamp(0); 3]).await.unwrap().total;
                assert!(told >= known && told.0 % COST.0 == 0, "{told} after {known}");
                known = told;
            }
        });
    }
    while let Some(done) = working.join_next().await {
        done.unwrap();
    }
    while world.store().roll_up_usage(BATCH).await.unwrap().has_more {}
    assert_eq!(faults(&world).await, Vec::<String>::new());
    assert_eq!(
        world.tamper("SELECT SUM(requests) FROM usage_15m WHERE slot = -1").unwrap().trim(),
        "120",
        "each in the sums, once"
    );
    let [_, second, third] = nodes;
    second.close().await;
    third.close().await;
}

/// What a report must say, added up one record after another.
fn model(records: &[RequestRecord], query: &UsageQuery) -> Vec<(i64, u64, i64, Meters)> {
    let sum = |(from, until): &(Timestamp, Timestamp)| {
        let asked = records.iter().filter(|record| {
            (*from..*until).contains(&record.completed_at)
                && (query.keys.is_empty() || query.keys.contains(&record.key))
                && (query.endpoints.is_empty() || query.endpoints.contains(&record.endpoint))
                && (query.outcomes.is_empty() || query.outcomes.contains(&record.outcome))
                && (query.models.is_empty() || query.models.contains(&record.model))
                && (query.source_tags.is_empty()
                    || record.source_tag.as_ref().is_some_and(|tag| query.source_tags.contains(tag)))
        });
        let mut total = (from.0, 0, 0, Meters::NONE);
        for record in asked {
            total.1 += 1;
            total.2 += record.charge.0;
            for (meter, quantity) in record.meters.iter() {
                total.3.set(meter, total.3.of(meter).unwrap_or(0) + quantity);
            }
        }
        total
    };
    query.buckets.iter().map(sum).filter(|total| total.1 > 0).collect()
}

async fn reports_are_the_sums_of_records_wherever_the_cursor_stands(engine: Engine) {
    let mut world = World::new(engine).await;
    let scope = world.scope;
    world.fund(scope, 1_000_000).await;
    let keys = [0; 3].map(|_| KeyId::generate(&mut world.random));
    let records: Vec<RequestRecord> = (0..60).map(|_| some(&mut world, &keys)).collect();
    append(&world, records.clone()).await;
    let begin = records.iter().map(|record| record.completed_at.0).min().unwrap();
    let cut = |from: i64, width: i64, count: i64| {
        (0..count).map(|place| (Timestamp(from + place * width), Timestamp(from + (place + 1) * width))).collect()
    };
    let quarter = begin - begin % QUARTER;
    let all = UsageQuery { buckets: cut(quarter, 4 * QUARTER, 2), ..UsageQuery::default() };
    let mut queries = vec![
        all.clone(),
        // Minutes, spans that cut quarters, and ones that leave gaps.
        UsageQuery { buckets: cut(quarter, 60_000_000, 50), ..all.clone() },
        UsageQuery { buckets: cut(begin + 3, QUARTER + 77, 3), ..all.clone() },
        UsageQuery {
            buckets: vec![
                (Timestamp(begin), Timestamp(begin + 900)),
                (Timestamp(quarter + QUARTER), Timestamp(i64::MAX)),
            ],
            ..all.clone()
        },
        UsageQuery { keys: keys[..2].to_vec(), ..all.clone() },
        UsageQuery { endpoints: vec![EndpointName::Embeddings], ..all.clone() },
        UsageQuery { outcomes: vec![Outcome::Refused], ..all.clone() },
        UsageQuery { models: vec!["acme/free".to_owned()], source_tags: vec!["checkout".to_owned()], ..all.clone() },
    ];
    queries.retain(|query| !model(&records, query).is_empty());
    assert!(queries.len() >= 7, "the records are of every kind");
    let groups = [
        UsageDimension::Key,
        UsageDimension::SourceTag,
        UsageDimension::Model,
        UsageDimension::Environment,
        UsageDimension::Owner,
        UsageDimension::Endpoint,
        UsageDimension::Outcome,
        UsageDimension::UsageSource,
        UsageDimension::Provider,
    ];
    let mut before = None;
    for step in [0, 7, 23, 1_000] {
        world.store().roll_up_usage(RollUpLimits { records: step, sums: 1_000 }).await.unwrap();
        for query in &queries {
            let rows = world.store().usage(scope, query).await.unwrap();
            let told: Vec<_> =
                rows.iter().map(|row| (row.bucket_start.0, row.requests, row.charge.0, row.meters)).collect();
            assert_eq!(told, model(&records, query), "{step} {query:?}");
        }
        let split = UsageQuery { group_by: groups.to_vec(), ..all.clone() };
        let rows = world.store().usage(scope, &split).await.unwrap();
        assert!(rows.len() > 8, "they are told apart by more than one of them: {}", rows.len());
        assert_eq!(rows.iter().map(|row| row.requests).sum::<u64>(), 60);
        assert_eq!(*before.get_or_insert_with(|| rows.clone()), rows, "{step}");
    }
}
