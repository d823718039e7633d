//! What the writer does when a group fails: a full disk, a panic. Faults are planted through an act, which runs on the
//! writer's own connection.

use crate::door::{Tx, both};
use crate::error::Error;
use crate::store::{DatabaseUrl, Store};
use claviger_domain::time::Now;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use tempfile::TempDir;

const NOW: Now = Now { wall: claviger_domain::time::Timestamp(0), monotonic: claviger_domain::time::Monotonic(0) };

async fn store() -> (TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let url = DatabaseUrl::Sqlite(directory.path().join("claviger.db"));
    let store = Store::open(&url, [0; 32], NOW).await.unwrap();
    store
        .act(async |tx: &mut Tx<'_>| run(tx, "CREATE TABLE t (id BIGINT PRIMARY KEY, text TEXT)").await)
        .await
        .unwrap();
    (directory, store)
}

async fn run(tx: &mut Tx<'_>, sql: &'static str) -> Result<(), Error> {
    both!(tx, c => { sqlx::query(sql).execute(c).await?; });
    Ok(())
}

async fn insert(tx: &mut Tx<'_>, id: i64, size: i64) -> Result<(), Error> {
    both!(tx, c => {
        sqlx::query("INSERT INTO t VALUES ($1, hex(zeroblob($2)))").bind(id).bind(size).execute(c).await?;
    });
    Ok(())
}

async fn count(store: &Store) -> i64 {
    use crate::cells::Cells as _;
    let mut reader = store.reader().await.unwrap();
    both!(&mut reader, c => sqlx::query("SELECT COUNT(*) AS n FROM t").fetch_one(c).await.unwrap().int("n").unwrap())
}

/// An act on its way.
type Waiting = std::pin::Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

/// Runs acts that certainly share one group: the writer is busy with a first one until all have queued.
async fn together(store: &Store, acts: Vec<Waiting>) -> Vec<Result<(), Error>> {
    let is_free = Arc::new(AtomicBool::new(false));
    let gate = Arc::clone(&is_free);
    let busy = store.act(async move |_: &mut Tx<'_>| {
        while !gate.load(Ordering::Relaxed) {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        Ok(())
    });
    let queue = async {
        let all = futures_util::future::join_all(acts);
        let free = async {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            is_free.store(true, Ordering::Relaxed);
        };
        futures_util::future::join(all, free).await.0
    };
    let (busy, answers) = futures_util::future::join(busy, queue).await;
    busy.unwrap();
    answers
}

#[tokio::test]
async fn a_full_disk_fails_the_group_and_the_next_connection_takes_it() {
    let (_directory, store) = store().await;
    // The limit belongs to the connection, so a fresh one has room: as if the operator had made some meanwhile.
    store.act(async |tx: &mut Tx<'_>| run(tx, "PRAGMA max_page_count = 1").await).await.unwrap();
    let mut acts: Vec<Waiting> = Vec::new();
    for id in 0..40_i64 {
        let store = store.clone();
        let size = if id == 20 { 500_000 } else { 10 };
        acts.push(Box::pin(async move { store.act(async move |tx: &mut Tx<'_>| insert(tx, id, size).await).await }));
    }
    for answer in together(&store, acts).await {
        answer.unwrap();
    }
    assert_eq!(count(&store).await, 40, "each once");
    // And every later act works: the depth of transactions is right again.
    store.act(async |tx: &mut Tx<'_>| insert(tx, 100, 10).await).await.unwrap();
    assert_eq!(count(&store).await, 41);
    store.close().await;
}

#[tokio::test]
async fn a_panic_costs_one_act_and_is_not_run_again() {
    let (_directory, store) = store().await;
    let runs = Arc::new(AtomicU32::new(0));
    let mut acts: Vec<Waiting> = Vec::new();
    for id in 0..10_i64 {
        let (store, runs) = (store.clone(), Arc::clone(&runs));
        acts.push(Box::pin(async move {
            store
                .act(async move |tx: &mut Tx<'_>| {
                    insert(tx, id, 10).await?;
                    if id == 5 {
                        runs.fetch_add(1, Ordering::Relaxed);
                        panic!("planted");
                    }
                    Ok(())
                })
                .await
        }));
    }
    let answers = together(&store, acts).await;
    for (id, answer) in answers.into_iter().enumerate() {
        assert_eq!(answer.is_ok(), id != 5, "{id}");
    }
    assert_eq!(runs.load(Ordering::Relaxed), 1);
    assert_eq!(count(&store).await, 9);
    store.close().await;
}

#[tokio::test]
async fn a_refused_act_takes_only_its_own_changes_back() {
    let (_directory, store) = store().await;
    let mut acts: Vec<Waiting> = Vec::new();
    for id in 0..10_i64 {
        let store = store.clone();
        acts.push(Box::pin(async move {
            store
                .act(async move |tx: &mut Tx<'_>| {
                    insert(tx, id, 10).await?;
                    if id % 2 == 0 { Err(Error::Conflict("planted")) } else { Ok(()) }
                })
                .await
        }));
    }
    let answers = together(&store, acts).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 5);
    assert_eq!(count(&store).await, 5);
    store.close().await;
}

#[tokio::test]
async fn a_reader_cannot_write() {
    let (_directory, store) = store().await;
    let mut reader = store.reader().await.unwrap();
    let refused = both!(&mut reader, c => sqlx::query("INSERT INTO t VALUES (1, 'x')").execute(c).await.is_err());
    assert!(refused);
    drop(reader);
    store.close().await;
}

/// The directory of the child of [`a_disk_that_fails_at_commit_leaves_the_outcome_unknown`].
const CHILD: &str = "CLAVIGER_TEST_DISK_CHILD";

/// Writes until its files may not grow any more, which the engine sees as a disk that fails.
///
/// Only as the child of that test; by itself it has nothing to do.
#[tokio::test]
async fn child_whose_disk_fails() {
    #[expect(clippy::disallowed_methods, reason = "a test's own child")]
    let Ok(directory) = std::env::var(CHILD) else { return };
    let url = DatabaseUrl::Sqlite(std::path::Path::new(&directory).join("claviger.db"));
    let store = Store::open(&url, [0; 32], NOW).await.unwrap();
    let create = async |tx: &mut Tx<'_>| run(tx, "CREATE TABLE t (id BIGINT PRIMARY KEY, text TEXT)").await;
    store.act(create).await.unwrap();
    for id in 0..1000_i64 {
        let Err(error) = store.act(async move |tx: &mut Tx<'_>| insert(tx, id, 10_000).await).await else { continue };
        assert!(matches!(error, Error::OutcomeUnknown(_)), "{error}");
        let later = store.act(async move |tx: &mut Tx<'_>| insert(tx, -1, 10).await).await;
        assert!(matches!(later, Err(Error::Unavailable(_))), "nothing is tried any more: {later:?}");
        return;
    }
    panic!("the disk did not fail");
}

#[test]
fn a_disk_that_fails_at_commit_leaves_the_outcome_unknown() {
    let directory = tempfile::tempdir().unwrap();
    let name = "engine::sqlite::writer::tests::child_whose_disk_fails";
    // Without the signal a write above the limit fails like one on a broken disk.
    let script = format!("trap '' XFSZ; ulimit -f 8000; exec \"$0\" --exact {name} --nocapture");
    let child = std::process::Command::new("bash")
        .args(["-c", &script])
        .arg(std::env::current_exe().unwrap())
        .env(CHILD, directory.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout).into_owned() + &String::from_utf8_lossy(&child.stderr);
    assert!(child.status.success() && said.contains("1 passed"), "{said}");
}
