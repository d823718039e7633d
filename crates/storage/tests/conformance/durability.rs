//! What survives: kills, lost answers, left-over intents, answers in doubt.

use crate::on_both_engines;
use crate::world::{COST, World};
use claviger_domain::money::Nano;
use claviger_domain::request::{Delivery, Outcome};
use claviger_storage::{Engine, Intent};
use std::time::Duration;

on_both_engines! {
    an_intent_left_over_becomes_node_lost_without_a_charge,
    an_unmarked_answer_is_in_doubt_after_a_kill,
    a_marked_answer_is_not_in_doubt,
    an_answer_dropped_unmarked_is_not_delivered,
    thousands_of_answers_dropped_at_once_are_not_delivered,
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

/// Waits until a query gives one value: lazy news is written with the next group or a tick later.
async fn eventually(world: &World, sql: &str, expected: &str) {
    let mut seen = String::new();
    for _ in 0..150 {
        seen = world.tamper(sql).unwrap();
        seen = seen.trim().trim_matches(['[', '(', ')', ',', ']', '\'']).to_owned();
        if seen == expected {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{sql}: {seen:?} instead of {expected:?}");
}

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
    eventually(&world, "SELECT COUNT(*) FROM intent", "2").await;
    charges.try_reserve().unwrap().append(charged.clone()).wait().await.unwrap().mark();
    eventually(&world, "SELECT COUNT(*) FROM intent", "1").await;
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

async fn an_unmarked_answer_is_in_doubt_after_a_kill(engine: Engine) {
    let mut world = World::new(engine).await;
    world.fund(world.scope, 1000).await;
    let charges = world.store().charges();
    let (doubted, fine) = (world.record(world.scope), world.record(world.scope));
    let held = charges.try_reserve().unwrap().append(doubted.clone()).wait().await.unwrap();
    charges.try_reserve().unwrap().append(fine.clone()).wait().await.unwrap().mark();
    // The mark is lazy: it is on the disk a moment later, or with the next group.
    eventually(
        &world,
        "SELECT pending FROM delivery UNION SELECT pending FROM seat_delivery ORDER BY 1 DESC LIMIT 1",
        &doubted.id.to_string(),
    )
    .await;
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

async fn thousands_of_answers_dropped_at_once_are_not_delivered(engine: Engine) {
    let mut world = World::new(engine).await;
    world.fund(world.scope, 1_000_000).await;
    let charges = world.store().charges();
    // More than one group can take; each answer is dropped as soon as its charge is durable.
    for _ in 0..3 {
        let waiting: Vec<_> =
            (0..1500).map(|_| charges.try_reserve().unwrap().append(world.record(world.scope))).collect();
        for durable in waiting {
            drop(durable.wait().await.unwrap());
        }
    }
    let world = world.reopen().await;
    eventually(&world, "SELECT COUNT(*) FROM request WHERE delivery = 'delivered'", "0").await;
    assert_eq!(world.store().list_in_doubt().await.unwrap(), vec![]);
}

/// Names the database to the child of [`what_was_acknowledged_survives_sigkill`].
const CHILD: &str = "CLAVIGER_TEST_CHILD";

/// Charges as fast as it can, and says which are durable, until it is killed.
///
/// Only as the child of that test; by itself it has nothing to do.
#[tokio::test]
async fn child_that_is_killed() {
    use claviger_storage::{DatabaseUrl, Store};
    use claviger_testkit::stores::{AUDIT_KEY, now};
    use std::io::Write as _;
    #[expect(clippy::disallowed_methods, reason = "a test's own child")]
    let Ok(place) = std::env::var(CHILD) else { return };
    let mut parts = place.splitn(3, ' ');
    let mut next = || parts.next().unwrap();
    let (organization, seed, url) = (next().to_owned(), next().parse::<i64>().unwrap(), next());
    let url = match url.strip_prefix("sqlite:") {
        Some(path) => DatabaseUrl::Sqlite(path.into()),
        None => DatabaseUrl::Postgres(url.to_owned()),
    };
    #[cfg(feature = "bugs")]
    claviger_storage::bugs::ack_before_commit(organization.starts_with("bug:"));
    let organization = organization.trim_start_matches("bug:");
    let store = Store::open(&url, AUDIT_KEY, now()).await.unwrap();
    let scope = claviger_domain::tenancy::TenantScope(organization.parse().unwrap());
    crate::world::lease(&store, scope).await;
    let charges = store.charges();
    let mut number = seed * 1_000_000;
    loop {
        let mut waiting = Vec::new();
        for _ in 0..(number % 40 + 1) {
            number += 1;
            let mut record = crate::world::record(scope, number);
            if number % 10 == 0 {
                record.completed_at = claviger_domain::time::Timestamp(number);
                charges.intend(intent(&record));
            }
            waiting.push((record.id, charges.try_reserve().unwrap().append(record)));
        }
        for (id, durable) in waiting {
            let delivered = durable.wait().await.unwrap();
            // One unlocked write a line: what is printed was durable before.
            std::io::stdout().write_all(format!("ack {id}\n").as_bytes()).unwrap();
            delivered.mark();
        }
    }
}

on_both_engines! {
    what_was_acknowledged_survives_sigkill,
}

/// Runs the child until it is killed; what it acknowledged.
async fn killed(
    database: &claviger_testkit::stores::TestDatabase,
    organization: &str,
    round: usize,
    wait_ms: u64,
) -> Vec<claviger_domain::id::RequestId> {
    use claviger_storage::DatabaseUrl;
    use std::io::{BufRead as _, BufReader};
    use std::process::{Command, Stdio};
    let url = match database.url() {
        DatabaseUrl::Sqlite(path) => format!("sqlite:{}", path.display()),
        DatabaseUrl::Postgres(url) => url.clone(),
    };
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["durability::child_that_is_killed", "--exact", "--nocapture"])
        .env(CHILD, format!("{organization} {} {url}", round + 1))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut acknowledged = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok) {
        let Some((_, id)) = line.split_once("ack ") else { continue };
        acknowledged.push(id.trim().parse().unwrap());
        if acknowledged.len() == 20 {
            tokio::time::sleep(Duration::from_millis(wait_ms)).await;
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(acknowledged.len() >= 20, "the child charged");
    acknowledged
}

async fn what_was_acknowledged_survives_sigkill(engine: Engine) {
    let mut world = World::new(engine).await;
    world.fund(world.scope, 1_000_000_000_000).await;
    let mut acknowledged: Vec<claviger_domain::id::RequestId> = Vec::new();
    for (round, wait_ms) in [30_u64, 75, 160, 240, 333].into_iter().enumerate() {
        let World { at, random, scope, environment, clock } = world;
        at.store.close().await;
        acknowledged.extend(killed(&at.database, &scope.0.to_string(), round, wait_ms).await);
        let store = at.database.open().await.unwrap();
        world = World {
            at: claviger_testkit::stores::TestStore { store, database: at.database },
            random,
            scope,
            environment,
            clock,
        };
        for id in &acknowledged {
            let record = world.store().find_request(world.scope, *id).await.unwrap();
            assert!(record.is_some_and(|record| record.charge == COST), "{id} was acknowledged and is gone");
        }
        let report = world.store().verify_ledger().await.unwrap();
        assert_eq!(report.faults, vec![]);
        let charged = world.store().wallet(world.scope).await.unwrap().charged.0 / COST.0;
        assert!(charged >= acknowledged.len() as i64);
    }
    // Whatever was charged without an acknowledgement that we read is on the list.
    let listed = world.store().list_in_doubt().await.unwrap();
    let charged = world.store().wallet(world.scope).await.unwrap().charged.0 / COST.0;
    assert!(charged - acknowledged.len() as i64 <= listed.len() as i64);
}

/// Every session of the database is cut while charges and acts run: each counts once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_session_doubles_and_loses_nothing_on_postgres() {
    let mut world = World::new(Engine::Postgres).await;
    world.fund(world.scope, 1_000_000_000).await;
    let charges = world.store().charges();
    let mut expected = 0;
    for round in 0..6 {
        let mut waiting = Vec::new();
        for _ in 0..200 {
            waiting.push(charges.try_reserve().unwrap().append(world.record(world.scope)));
            expected += 1;
        }
        let grant = world.grant(1);
        let (store, scope) = (world.store().clone(), world.scope);
        let act = tokio::spawn(async move {
            // As a caller must: an unknown outcome is repeated with the same ids.
            for _ in 0..20 {
                if store.grant(scope, grant.clone(), &crate::world::by()).await.is_ok() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            panic!("the grant never came through");
        });
        tokio::time::sleep(Duration::from_millis(round)).await;
        let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                   WHERE datname = current_database() AND pid <> pg_backend_pid()";
        world.tamper(cut).unwrap();
        for durable in waiting {
            durable.wait().await.unwrap().mark();
        }
        act.await.unwrap();
    }
    let wallet = world.store().wallet(world.scope).await.unwrap();
    assert_eq!((wallet.charged, wallet.funded), (Nano(expected * COST.0), Nano(1_000_000_006)));
    assert_eq!(world.store().verify_ledger().await.unwrap().faults, vec![]);
    assert_eq!(world.store().verify_audit().await.unwrap().faults, vec![]);
}

/// The proof of the proof: acknowledged before the commit, a kill loses charges, and the check above sees it.
#[cfg(feature = "bugs")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledging_before_the_commit_is_seen() {
    for engine in claviger_testkit::stores::ENGINES {
        let mut world = World::new(engine).await;
        world.fund(world.scope, 1_000_000_000_000).await;
        let World { at, scope, .. } = world;
        at.store.close().await;
        let acknowledged = killed(&at.database, &format!("bug:{}", scope.0), 0, 100).await;
        let store = at.database.open().await.unwrap();
        let mut lost = 0;
        for id in &acknowledged {
            lost += usize::from(store.find_request(scope, *id).await.unwrap().is_none());
        }
        assert!(lost > 0, "{} were acknowledged and all are there", acknowledged.len());
    }
}
