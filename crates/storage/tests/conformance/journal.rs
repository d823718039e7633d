//! The journal before SQLite: what only it has, what is damaged, what the ledger contradicts; and what readers see.

use crate::on_both_engines;
use crate::world::{COST, World};
use claviger_domain::id::RequestId;
use claviger_domain::money::Nano;
use claviger_domain::request::Delivery;
use claviger_storage::{Engine, OpenError, PageRequest, RequestFilter, UsageQuery};
use claviger_testkit::stores::TestStore;
use std::path::{Path, PathBuf};

on_both_engines! {
    readers_see_every_charge_and_record_so_far,
}

async fn readers_see_every_charge_and_record_so_far(engine: Engine) {
    let mut world = World::new(engine).await;
    world.fund(world.scope, 100_000).await;
    let charges = world.store().charges();
    let time = claviger_domain::time::Timestamp;
    let everything = UsageQuery::between(time(0), time(i64::MAX));
    for number in 1..=20_i64 {
        let (paid, mut free) = (world.record(world.scope), world.record(world.scope));
        (free.charge, free.hold, free.price_version) = (Nano(0), Nano(0), None);
        charges.try_reserve().unwrap().append(paid.clone()).wait().await.unwrap().mark();
        drop(charges.try_reserve().unwrap().append(free.clone()));
        let store = world.store();
        match number % 5 {
            0 => assert_eq!(store.wallet(world.scope).await.unwrap().charged.0, number * COST.0),
            1 => assert_eq!(store.find_request(world.scope, paid.id).await.unwrap(), Some(paid)),
            2 => {
                let report = store.verify_ledger().await.unwrap();
                // The grant, the charges, and where credit is leased the leases.
                assert!(i64::try_from(report.transfers).unwrap() > number, "{report:?}");
                assert_eq!(report.faults, vec![]);
            }
            3 => assert_eq!(store.usage(world.scope, &everything).await.unwrap()[0].charge.0, number * COST.0),
            _ => {
                let page = PageRequest { limit: 100, ..PageRequest::default() };
                let list = store.list_requests(world.scope, &RequestFilter::default(), &page).await.unwrap().unwrap();
                assert!(list.data.iter().any(|record| record.id == paid.id));
            }
        }
        if engine == Engine::Sqlite {
            let free = store.find_request(world.scope, free.id).await.unwrap();
            assert!(free.is_some(), "the record of a free request is read as well");
        }
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A database as it was before some charges, beside the journal that has them: what a kill between both leaves.
struct Apart {
    world: World,
    charged: Vec<RequestId>,
    marked: RequestId,
    /// The data directory before the charges, and the journal with them.
    before: PathBuf,
    journal: PathBuf,
    _kept: tempfile::TempDir,
}

/// Closes the store, does something to its directory, and opens it again.
async fn reopened(world: World, change: impl FnOnce(&Path)) -> World {
    let World { at: TestStore { store, database }, random, scope, environment, clock } = world;
    store.close().await;
    change(database.directory());
    let store = database.open().await.unwrap();
    World { at: TestStore { store, database }, random, scope, environment, clock }
}

/// Puts a kept directory in the place of the one in use.
fn put_back(kept: &Path, place: &Path) {
    std::fs::remove_dir_all(place).unwrap();
    copy(kept, place);
}

fn put_apart(before: &Path, journal: &Path, directory: &Path) {
    put_back(before, directory);
    put_back(journal, &directory.join("journal"));
}

async fn apart(charges: usize) -> Apart {
    let kept = tempfile::tempdir().unwrap();
    let (before, journal) = (kept.path().join("before"), kept.path().join("journal"));
    let mut world = World::new(Engine::Sqlite).await;
    world.fund(world.scope, 100_000).await;
    world = reopened(world, |directory| copy(directory, &before)).await;
    let queue = world.store().charges();
    let records: Vec<_> = (0..charges).map(|_| world.record(world.scope)).collect();
    let mut charged: Vec<RequestId> = records.iter().map(|record| record.id).collect();
    let waiting: Vec<_> = records.into_iter().map(|record| queue.try_reserve().unwrap().append(record)).collect();
    let mut answers = Vec::new();
    for durable in waiting {
        answers.push(durable.wait().await.unwrap());
    }
    answers.remove(0).mark();
    // The mark rides with the next charge.
    let last = world.record(world.scope);
    charged.push(last.id);
    answers.push(queue.try_reserve().unwrap().append(last).wait().await.unwrap());
    // A kill runs no destructors.
    answers.into_iter().for_each(std::mem::forget);
    copy(&world.at.database.directory().join("journal"), &journal);
    world = reopened(world, |directory| put_apart(&before, &journal, directory)).await;
    Apart { world, marked: charged[0], charged, before, journal, _kept: kept }
}

#[tokio::test]
async fn what_only_the_journal_has_is_brought_in_once() {
    let Apart { mut world, charged, marked, journal, _kept, .. } = apart(50).await;
    for round in 0..3 {
        let store = world.store();
        assert_eq!(store.wallet(world.scope).await.unwrap().charged.0, COST.0 * 51, "round {round}");
        assert_eq!(store.verify_ledger().await.unwrap().faults, vec![]);
        for id in &charged {
            let record = store.find_request(world.scope, *id).await.unwrap().unwrap();
            let expected = if *id == marked { Delivery::Delivered } else { Delivery::InDoubt };
            assert_eq!((record.charge, record.delivery), (COST, expected));
        }
        assert_eq!(store.list_in_doubt().await.unwrap().len(), 50, "all but the marked one");
        // The same journal again, behind a database that has it all: as after a kill right behind the flush.
        world = reopened(world, |directory| put_back(&journal, &directory.join("journal"))).await;
    }
}

#[tokio::test]
async fn a_damaged_journal_stops_the_start_and_names_the_place() {
    let Apart { mut world, .. } = apart(3).await;
    let queue = world.store().charges();
    let segment = world.at.database.directory().join("journal/segment-1");
    let before = std::fs::read(&segment).unwrap();
    // Two more, one by one: the second proves that the first was synced.
    for _ in 0..2 {
        queue.try_reserve().unwrap().append(world.record(world.scope)).wait().await.unwrap().mark();
    }
    let mut broken = std::fs::read(&segment).unwrap();
    let first_changed = before.iter().zip(&broken).position(|(old, new)| old != new).unwrap();
    broken[first_changed + 70] ^= 1;
    let World { at: TestStore { store, database }, .. } = world;
    store.close().await;
    std::fs::write(&segment, &broken).unwrap();
    for _ in 0..2 {
        let error = database.open().await.err().expect("damage");
        assert!(matches!(error, OpenError::Journal { .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains("segment-1 is damaged at byte "), "{text}");
        let offset: usize = text.split("at byte ").nth(1).unwrap().split(':').next().unwrap().parse().unwrap();
        assert!(offset <= first_changed && first_changed - offset < 8, "{first_changed}: {text}");
        assert_eq!(std::fs::read(&segment).unwrap(), broken, "untouched");
    }
}

#[tokio::test]
async fn a_charge_that_the_ledger_contradicts_is_put_aside_and_named() {
    let Apart { world, charged, before, journal, _kept, .. } = apart(9).await;
    let world = reopened(world, |directory| {
        put_apart(&before, &journal, directory);
        // The wallet, changed behind everyone's back, covers four of the ten.
        let script = "import sqlite3,sys\nc=sqlite3.connect(sys.argv[1])\nc.execute('UPDATE wallet SET balance = 450')\nc.commit()";
        let mut command = std::process::Command::new("python3");
        assert!(command.args(["-c", script]).arg(directory.join("claviger.db")).status().unwrap().success());
    });
    let world = world.await;
    let report = world.store().verify_ledger().await.unwrap();
    let named = |id: &RequestId| report.faults.iter().any(|fault| fault.what.contains(&id.to_string()));
    assert_eq!(charged.iter().filter(|id| named(id)).count(), 6, "{report:?}");
    assert_eq!(world.store().wallet(world.scope).await.unwrap().balance, Nano(50));
}
