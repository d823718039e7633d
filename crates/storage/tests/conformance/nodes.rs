//! Nodes: registration before loading, polls that renew, laggards that are not renewed, silence, and pruned events.

use crate::on_both_engines;
use crate::world::{World, by};
use claviger_domain::id::{NodeId, SeatId};
use claviger_domain::revocation::{Epoch, Position, Standing};
use claviger_domain::time::Timestamp;
use claviger_storage::{Engine, PollAsk, Polled, Store};
use claviger_testkit::clock::START;
use claviger_testkit::stores::{AUDIT_KEY, now};
use std::time::Duration;

on_both_engines! {
    a_poll_brings_what_is_news,
    a_node_is_known_until_it_leaves_or_is_forgotten,
    events_that_every_node_has_are_pruned,
    a_node_is_told_to_leave,
}

const ME: NodeId = NodeId::from_u128(1);
const OTHER: NodeId = NodeId::from_u128(2);

async fn poll(store: &Store, id: NodeId, epoch: i64, validity: Duration) -> Polled {
    let applied = Position { epoch: Epoch(epoch), mark: 0 };
    let ask = PollAsk { id, applied, validity, at: START, patience: Duration::from_secs(3) };
    store.poll_node(ask).await.unwrap()
}

const LONG: Duration = Duration::from_secs(60);

async fn a_poll_brings_what_is_news(engine: Engine) {
    let mut world = World::new(engine).await;
    let start = world.store().register_node(ME, LONG, START).await.unwrap();
    let nodes = world.store().list_nodes().await.unwrap();
    assert_eq!((nodes.len(), nodes[0].applied, nodes[0].renewals), (1, start, 0), "everything it loads is newer");
    let key = world.key("k").await;
    let polled = poll(world.store(), ME, start.0, LONG).await;
    assert_eq!((polled.answer.standing, polled.answer.epoch.0), (Standing::Renewed, start.0 + 1));
    assert_eq!(polled.answer.events, world.store().changes_since(start).await.unwrap());
    assert_eq!(polled.answer.events[0].change, claviger_domain::revocation::Change::Key(key.id));
    let level = poll(world.store(), ME, start.0 + 1, LONG).await;
    assert_eq!((level.answer.events, level.answer.epoch.0), (vec![], start.0 + 1));
    assert_eq!(level.recalled, vec![]);
    match engine {
        Engine::Sqlite => assert_eq!(level.clock, None, "a file has no clock of its own"),
        // The true time, whatever the test's clock says.
        Engine::Postgres => {
            assert!(level.clock > polled.clock && polled.clock > Some(Timestamp(1_700_000_000_000_000)))
        }
    }
}

async fn a_node_is_known_until_it_leaves_or_is_forgotten(engine: Engine) {
    let world = World::new(engine).await;
    let store = world.store();
    store.register_node(ME, LONG, START).await.unwrap();
    store.register_node(ME, LONG, START).await.unwrap();
    assert_eq!(store.list_nodes().await.unwrap().len(), 1, "repeating it is safe");
    assert!(!store.forget_node(ME, 7).await.unwrap(), "it has spoken since");
    assert!(store.forget_node(ME, 0).await.unwrap());
    store.register_node(ME, LONG, START).await.unwrap();
    store.deregister_node(ME).await.unwrap();
    assert_eq!(store.list_nodes().await.unwrap(), vec![]);
}

async fn a_node_is_told_to_leave(engine: Engine) {
    let world = World::new(engine).await;
    let store = world.store();
    let start = store.register_node(ME, LONG, START).await.unwrap();
    assert!(!poll(store, ME, start.0, LONG).await.is_draining);
    assert!(!store.drain_node(OTHER, &by()).await.unwrap(), "there is none");
    assert!(store.drain_node(ME, &by()).await.unwrap());
    assert!(poll(store, ME, start.0, LONG).await.is_draining);
    assert!(store.list_nodes().await.unwrap()[0].is_draining);
}

async fn events_that_every_node_has_are_pruned(engine: Engine) {
    let mut world = World::new(engine).await;
    world.key("a").await;
    let start = world.store().register_node(ME, LONG, START).await.unwrap();
    world.key("b").await;
    let store = world.store();
    let later = Timestamp(START.0 + 10_000_000_000);
    assert_eq!(store.prune_rights_events(START).await.unwrap(), 0, "too young");
    let pruned = store.prune_rights_events(later).await.unwrap();
    assert_eq!(pruned, u64::try_from(start.0).unwrap(), "the node lacks the last one");
    assert_eq!(store.changes_since(Epoch(0)).await.unwrap()[0].epoch, Epoch(start.0 + 1));
}

async fn second(world: &World) -> Store {
    Store::open_as(world.at.database.url(), SeatId::from_u128(2), AUDIT_KEY, now()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poll_counts_renewals_and_reports_what_was_applied() {
    let mut world = World::new(Engine::Postgres).await;
    let other = second(&world).await;
    let start = world.store().register_node(ME, LONG, START).await.unwrap().0;
    other.register_node(OTHER, LONG, START).await.unwrap();
    world.key("k").await;
    poll(world.store(), ME, start + 1, LONG).await;
    poll(&other, OTHER, start, LONG).await;
    let level = poll(world.store(), ME, start + 1, LONG).await;
    assert!(level.answer.mark.is_some_and(|mark| mark > 0), "the database marks its events by its own clock");
    let nodes = other.list_nodes().await.unwrap();
    let seen: Vec<_> = nodes.iter().map(|node| (node.id, node.applied.0, node.renewals)).collect();
    assert_eq!(seen, [(ME, start + 1, 2), (OTHER, start, 1)]);
    other.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_lags_behind_an_old_event_is_not_renewed() {
    let mut world = World::new(Engine::Postgres).await;
    let start = world.store().register_node(ME, LONG, START).await.unwrap().0;
    world.key("k").await;
    let short = Duration::from_millis(300);
    assert_eq!(poll(world.store(), ME, start, short).await.answer.standing, Standing::Renewed);
    tokio::time::sleep(Duration::from_millis(350)).await;
    let refused = poll(world.store(), ME, start, short).await;
    assert_eq!((refused.answer.standing, refused.answer.events.len()), (Standing::Refused, 1));
    assert_eq!(world.store().list_nodes().await.unwrap()[0].renewals, 1);
    assert_eq!(poll(world.store(), ME, start + 1, short).await.answer.standing, Standing::Renewed);
    world.store().deregister_node(ME).await.unwrap();
    assert_eq!(poll(world.store(), ME, start + 1, short).await.answer.standing, Standing::Unknown);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_nodes_are_told_of_every_change() {
    let mut world = World::new(Engine::Postgres).await;
    let other = second(&world).await;
    let mut heard = other.heard();
    // The session that listens may still be on its way.
    for _ in 0..100 {
        world.key("k").await;
        if tokio::time::timeout(Duration::from_millis(100), heard.changed()).await.is_ok() {
            other.close().await;
            return;
        }
    }
    panic!("nothing was heard");
}
