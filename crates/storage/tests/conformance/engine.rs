//! Opening, closing, and what belongs to no kind of object.

use crate::on_both_engines;
use crate::world::World;
use claviger_storage::{DatabaseUrl, Engine, OpenError, Store};
use claviger_testkit::stores::{AUDIT_KEY, TestDatabase, now};

on_both_engines! {
    every_statement_is_prepared,
    a_second_opener_is_refused_and_told_why,
    a_closed_store_opens_again_with_everything,
    pepper_checks_are_kept_and_never_replaced,
}

async fn every_statement_is_prepared(engine: Engine) {
    let world = World::new(engine).await;
    assert_eq!(world.store().engine(), engine);
    let count = world.store().prepare_all().await.unwrap();
    assert!(count > 50, "{count}");
}

async fn a_second_opener_is_refused_and_told_why(engine: Engine) {
    let world = World::new(engine).await;
    let error = world.at.database.open().await.err().expect("the database is in use");
    let text = error.to_string();
    match engine {
        Engine::Sqlite => {
            assert!(matches!(error, OpenError::DirectoryInUse { .. }), "{text}");
            assert!(text.contains(&std::process::id().to_string()), "{text}");
        }
        Engine::Postgres => assert!(matches!(error, OpenError::DatabaseInUse), "{text}"),
    }
    let world = world.reopen().await;
    assert_eq!(world.store().list_organizations().await.unwrap().len(), 1);
}

async fn a_closed_store_opens_again_with_everything(engine: Engine) {
    let mut world = World::new(engine).await;
    let key = world.key("kept").await;
    let store = world.store().clone();
    let world = world.reopen().await;
    assert_eq!(world.store().find_key(world.scope, key.id).await.unwrap().unwrap().name, "kept");
    // A clone of the closed store refuses instead of hanging.
    assert!(store.pepper_checks().await.is_err());
    assert!(store.save_pepper_check(1, [0; 8]).await.is_err());
    assert!(store.charges().try_reserve().is_err());
}

async fn pepper_checks_are_kept_and_never_replaced(engine: Engine) {
    let world = World::new(engine).await;
    world.store().save_pepper_check(1, [1; 8]).await.unwrap();
    world.store().save_pepper_check(2, [2; 8]).await.unwrap();
    world.store().save_pepper_check(1, [1; 8]).await.unwrap();
    assert!(world.store().save_pepper_check(1, [9; 8]).await.is_err());
    assert_eq!(world.store().pepper_checks().await.unwrap(), vec![(1, [1; 8]), (2, [2; 8])]);
}

#[tokio::test]
async fn a_newer_schema_is_refused_untouched() {
    for engine in claviger_testkit::stores::ENGINES {
        let world = World::new(engine).await;
        world.tamper("INSERT INTO schema_migration (version, sha256, applied_at) VALUES (99, 'x', 0)").unwrap();
        let crate::world::World { at, .. } = world;
        at.store.close().await;
        let error = at.database.open().await.err().expect("a newer schema");
        assert!(matches!(error, OpenError::SchemaTooNew { found: 99, .. }), "{error}");
    }
}

#[tokio::test]
async fn an_edited_migration_is_refused() {
    for engine in claviger_testkit::stores::ENGINES {
        let world = World::new(engine).await;
        world.tamper("UPDATE schema_migration SET sha256 = 'x'").unwrap();
        let crate::world::World { at, .. } = world;
        at.store.close().await;
        let error = at.database.open().await.err().expect("an edited migration");
        assert!(matches!(error, OpenError::SchemaDiffers(1)), "{error}");
    }
}

#[tokio::test]
async fn a_url_that_cannot_be_read_is_said() {
    let error = Store::open(&DatabaseUrl::Postgres("nonsense".to_owned()), AUDIT_KEY, now()).await.err();
    assert!(matches!(error, Some(OpenError::InvalidUrl(_))), "{error:?}");
}

#[tokio::test]
async fn an_sqlite_directory_is_made_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let database = TestDatabase::new(Engine::Sqlite).await;
    let path = database.directory().join("a/b/claviger.db");
    let store = Store::open(&DatabaseUrl::Sqlite(path.clone()), AUDIT_KEY, now()).await.unwrap();
    let mode = std::fs::metadata(path.parent().unwrap()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    store.close().await;
    assert!(!path.with_extension("db-wal").exists(), "a clean close leaves no WAL");
}
