//! Who uses a key: counted, bounded, told when new; and keys whose limits refuse too much.

use crate::on_both_engines;
use crate::world::World;
use claviger_domain::audit::Action;
use claviger_domain::id::{KeyId, SecretId};
use claviger_domain::key::Key;
use claviger_domain::limits;
use claviger_domain::money::Nano;
use claviger_domain::time::Timestamp;
use claviger_storage::{CallerUse, Engine, Order, PageRequest};
use claviger_testkit::clock::START;
use std::time::Duration;

on_both_engines! {
    callers_add_up_and_only_go_forward,
    a_secret_keeps_its_latest_64_callers,
    a_new_caller_of_a_grown_key_flags_it_and_is_told_once,
    keys_that_are_refused_too_much_are_marked,
    a_key_that_spends_far_more_than_it_did_is_told_of_once_a_day,
}

const DAY: Duration = Duration::from_secs(24 * 3600);

fn used(key: &Key, client: &str, at: Timestamp) -> CallerUse {
    CallerUse {
        key: key.id,
        secret: key.secrets[0].id,
        network: "192.0.2.0/24".to_owned(),
        client: client.to_owned(),
        requests: 3,
        at,
        last_model: Some("acme/chat".to_owned()),
        last_status: Some(200),
    }
}

async fn callers_add_up_and_only_go_forward(engine: Engine) {
    let mut world = World::new(engine).await;
    let (key, neighbour) = (world.key("k").await, world.neighbour("umbrella").await);
    let before = *world.store().committed().borrow();
    let store = world.store();
    let later = START.plus(DAY);
    let earlier = CallerUse { last_model: None, last_status: None, ..used(&key, "curl/8", START) };
    store.add_callers(vec![used(&key, "curl/8", later), earlier, used(&key, "", START)]).await.unwrap();
    store.add_callers(vec![]).await.unwrap();
    let callers = store.list_callers(world.scope, key.id).await.unwrap();
    let told: Vec<_> = callers.iter().map(|caller| (caller.client.as_str(), caller.requests)).collect();
    assert_eq!(told, [("curl/8", 6), ("", 3)], "the latest first");
    let curl = &callers[0];
    assert_eq!((curl.secret, curl.network.as_str()), (key.secrets[0].id, "192.0.2.0/24"));
    assert_eq!((curl.first_seen, curl.last_seen), (later, later));
    assert_eq!((curl.last_model.as_deref(), curl.last_status), (Some("acme/chat"), Some(200)));
    assert!(store.list_callers(neighbour, key.id).await.unwrap().is_empty(), "of another organization");
    assert_eq!(*store.committed().borrow(), before, "a use is no change of rights");
    // A secret that is not there has no callers, and takes none of the others along.
    let unknown = CallerUse { secret: SecretId::from_u128(1), key: KeyId::ZEROS, ..used(&key, "x", START) };
    store.add_callers(vec![unknown, used(&key, "y", START)]).await.unwrap();
    assert_eq!(store.list_callers(world.scope, key.id).await.unwrap().len(), 3);
}

async fn a_secret_keeps_its_latest_64_callers(engine: Engine) {
    let mut world = World::new(engine).await;
    let key = world.key("k").await;
    let uses = (0..70_i64).map(|n| used(&key, &format!("client/{n}"), Timestamp(START.0 + n))).collect();
    world.store().add_callers(uses).await.unwrap();
    let callers = world.store().list_callers(world.scope, key.id).await.unwrap();
    assert_eq!(callers.len(), usize::try_from(limits::CALLERS_PER_SECRET).unwrap());
    let ends = [callers.first(), callers.last()].map(|caller| caller.unwrap().client.clone());
    assert_eq!(ends, ["client/69", "client/6"]);
}

async fn a_new_caller_of_a_grown_key_flags_it_and_is_told_once(engine: Engine) {
    let mut world = World::new(engine).await;
    let key = world.key("k").await;
    let flagged = async || world.store().find_key(world.scope, key.id).await.unwrap().unwrap().new_caller_at;
    let notices = || world.tamper("SELECT kind, detail FROM notice ORDER BY at").unwrap();
    world.store().add_callers(vec![used(&key, "curl/8", START)]).await.unwrap();
    assert_eq!(flagged().await, None, "a young key meets its users");
    let grown = START.plus(DAY);
    world.store().add_callers(vec![used(&key, "curl/8", grown)]).await.unwrap();
    assert_eq!(flagged().await, None, "an old friend");
    let strangers = world.store().add_callers(vec![used(&key, "evil/1", grown), used(&key, "curl/8", grown)]).await;
    assert_eq!(strangers.unwrap(), [used(&key, "evil/1", grown)], "for the security log");
    assert_eq!(flagged().await, Some(grown));
    let told = notices();
    assert!(told.contains("key.new_caller") && told.contains("evil/1") && told.contains("192.0.2.0/24"), "{told}");
    let recorded = async || {
        let page = PageRequest { limit: 9, order: Order::Descending, ..PageRequest::default() };
        let records = world.store().list_audit(world.scope, &page).await.unwrap().unwrap().data;
        records.into_iter().filter(|entry| entry.record.action == Action::KeyNewCaller).collect::<Vec<_>>()
    };
    let [record] = &recorded().await[..] else { panic!("not one record") };
    let changes: Vec<_> =
        record.record.changes.iter().map(|change| (change.field.as_str(), change.to.as_deref().unwrap())).collect();
    let secret = key.secrets[0].id.to_string();
    let expected = [("secret", &*secret), ("network", "192.0.2.0/24"), ("client", "evil/1"), ("count", "1")];
    assert_eq!((record.record.target.as_str(), &changes[..]), (&*key.id.to_string(), &expected[..]));
    world.store().add_callers(vec![used(&key, "evil/1", grown.plus(DAY))]).await.unwrap();
    assert_eq!((flagged().await, notices()), (Some(grown), told.clone()), "once");
    // After a month of silence it is new again.
    let month = grown.plus(DAY * 31);
    world.store().add_callers(vec![used(&key, "curl/8", month)]).await.unwrap();
    assert_eq!(flagged().await, Some(month));
    // Whoever has the key can look like a thousand clients: they are one record of a few.
    let flood = (0..100).map(|n| used(&key, &format!("evil/{n}/2"), month)).collect();
    assert_eq!(world.store().add_callers(flood).await.unwrap().len(), 100);
    let records = recorded().await;
    let fields = &records[0].record.changes;
    assert_eq!((records.len(), fields.last().unwrap().to.as_deref()), (3, Some("100")));
    assert_eq!(fields.len(), 1 + 3 * usize::try_from(limits::DENIED_LINES).unwrap());
    assert_eq!(world.store().verify_audit().await.unwrap().faults, vec![]);
    assert_ne!(notices(), told);
}

async fn keys_that_are_refused_too_much_are_marked(engine: Engine) {
    let mut world = World::new(engine).await;
    let key = world.key("k").await;
    world.store().stamp_rate_limited(vec![key.id, KeyId::ZEROS], START).await.unwrap();
    let stored = world.store().find_key(world.scope, key.id).await.unwrap().unwrap();
    assert_eq!((stored.rate_limited_at, stored.version), (Some(START), 1));
}

/// So much was charged to a key in a quarter of an hour.
fn spent(world: &World, engine: Engine, key: &Key, at: Timestamp, nanos: i64) {
    let bytes = match engine {
        Engine::Sqlite => "X'07'",
        Engine::Postgres => "'\\x07'",
    };
    let (organization, slot) = (world.scope.0, at.0 - at.0 % 900_000_000);
    let dimension = format!(
        "INSERT INTO usage_dimension (id, org_id, environment_id, key_id, endpoint, model, outcome, usage_source) \
         VALUES ({bytes}, '{organization}', 'e', '{}', 'x', 'x', 'x', 'x') ON CONFLICT DO NOTHING",
        key.id
    );
    let sum = format!(
        "INSERT INTO usage_15m (dimension, slot, seat, org_id, requests, charge, absorbed) \
         VALUES ({bytes}, {slot}, 's', '{organization}', 1, {nanos}, 0)"
    );
    for sql in [dimension, sum] {
        world.tamper(&sql).unwrap();
    }
}

async fn a_key_that_spends_far_more_than_it_did_is_told_of_once_a_day(engine: Engine) {
    const UNIT: i64 = 1_000_000_000;
    let mut world = World::new(engine).await;
    let key = world.key("busy").await;
    let now = START.plus(DAY * 10);
    let tell = async |now| world.store().tell_spend_spikes(Nano(UNIT), now).await.unwrap();
    for day in 3..10 {
        spent(&world, engine, &key, START.plus(DAY * day), 24 * UNIT);
    }
    // A unit an hour, for a week. Eight in the last hour are not more than eight times as much.
    spent(&world, engine, &key, now, 8 * UNIT);
    assert_eq!(tell(now).await, 0);
    spent(&world, engine, &key, now.minus(Duration::from_secs(1_800)), 1);
    assert_eq!(tell(now).await, 1);
    assert_eq!(tell(now.plus(Duration::from_secs(60))).await, 0, "once a day");
    let told = world.tamper("SELECT kind, detail FROM notice").unwrap();
    assert!(told.contains("key.spend_spike") && told.contains("8.000000001") && told.contains("usual_hour"), "{told}");
    let page = PageRequest { limit: 9, order: Order::Descending, ..PageRequest::default() };
    let records = world.store().list_audit(world.scope, &page).await.unwrap().unwrap().data;
    let spikes: Vec<_> = records.iter().filter(|entry| entry.record.action == Action::KeySpendSpike).collect();
    let [record] = &spikes[..] else { panic!("{} records", spikes.len()) };
    let change = &record.record.changes[0];
    assert_eq!((record.record.target.as_str(), change.to.as_deref()), (&*key.id.to_string(), Some("8.000000001")));
    assert_eq!(world.store().verify_audit().await.unwrap().faults, vec![]);
    // The next day it spends as much again, which by then is less unusual but still is.
    let next = now.plus(DAY);
    spent(&world, engine, &key, next, 20 * UNIT);
    assert_eq!(tell(next).await, 1);
}
