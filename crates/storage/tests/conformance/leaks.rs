//! Keys from elsewhere, keys seen elsewhere, bait.

use crate::on_both_engines;
use crate::world::{World, by};
use claviger_domain::audit::Action;
use claviger_domain::key::{Class, EndReason, Key, NewKey, Recipe, RevocationReason, StoredIn, StoredState};
use claviger_domain::notice::NoticeKind;
use claviger_domain::secret::Pepper;
use claviger_domain::tenancy::{LeakAction, TenantScope};
use claviger_storage::{
    Alarm, CreateKeyOutcome, DatabaseUrl, Engine, ForeignSource, ForeignTable, ImportDone, ImportOutcome, ImportedKey,
    LeakDone, Order, PageRequest, Sighting, read_foreign,
};

on_both_engines! {
    imported_keys_count_once_and_are_found_by_digest,
    an_import_ends_at_the_limit_of_keys,
    a_leaked_key_ends_or_is_flagged_as_its_organization_says,
    tables_of_other_systems_are_read_as_they_are,
    bait_is_recorded_told_and_takes_its_neighbours_along,
}

fn imported(world: &mut World, inner: u8, is_disabled: bool) -> ImportedKey {
    let mut key = world.new_key(&format!("imported {inner}"));
    key.secret.digest = Pepper::new(1, [1; 32]).digest_of_inner(&[inner; 32]);
    key.secret.recipe = Recipe::Sha256;
    ImportedKey { key, is_disabled }
}

async fn import(world: &World, scope: TenantScope, keys: &[ImportedKey], is_dry: bool) -> Vec<ImportOutcome> {
    let rows = keys.iter().cloned().map(Ok).collect();
    match world.store().import_keys(scope, rows, "litellm", is_dry, None, &by()).await.unwrap() {
        ImportDone::Now(outcomes, _) => outcomes,
        other => panic!("{other:?}"),
    }
}

async fn imported_keys_count_once_and_are_found_by_digest(engine: Engine) {
    let mut world = World::new(engine).await;
    let neighbour = world.neighbour("umbrella").await;
    let keys = vec![imported(&mut world, 1, false), imported(&mut world, 2, true), imported(&mut world, 1, false)];
    let ids = [keys[0].key.id, keys[1].key.id, keys[2].key.id];
    let run = async |scope, keys: &[ImportedKey], is_dry| import(&world, scope, keys, is_dry).await;
    let dry = run(world.scope, &keys, true).await;
    let expected = [ImportOutcome::Imported(ids[0]), ImportOutcome::Imported(ids[1]), ImportOutcome::Existing(ids[0])];
    assert_eq!(dry[..2], expected[..2]);
    assert!(world.store().find_key(world.scope, ids[0]).await.unwrap().is_none(), "a dry run changes nothing");
    assert_eq!(run(world.scope, &keys, false).await, expected);
    let again: Vec<bool> =
        run(world.scope, &keys, false).await.iter().map(|row| matches!(row, ImportOutcome::Existing(_))).collect();
    assert_eq!(again, [true; 3], "a repetition imports nothing");
    assert_eq!(run(neighbour, &keys[..1], false).await, [ImportOutcome::Foreign], "nobody takes another's key");
    let digest = keys[1].key.secret.digest;
    let (found, organization) = world.store().find_key_by_digest(digest).await.unwrap().unwrap();
    assert_eq!((found.id, organization.id), (ids[1], world.scope.0));
    assert!(matches!(found.state, StoredState::Disabled { .. }));
    assert_eq!(found.secrets[0].recipe, Recipe::Sha256);
    assert!(world.store().find_key_by_digest(Pepper::new(1, [9; 32]).digest(b"x")).await.unwrap().is_none());
    let page = PageRequest { limit: 2, order: Order::Descending, ..PageRequest::default() };
    let records = world.store().list_audit(world.scope, &page).await.unwrap().unwrap().data;
    assert!(records.iter().all(|entry| entry.record.action == Action::KeyImported), "{records:?}");
    assert_eq!(world.store().verify_audit().await.unwrap().faults, vec![]);
}

async fn an_import_ends_at_the_limit_of_keys(engine: Engine) {
    let mut world = World::new(engine).await;
    world.key("made here").await;
    world.tamper("UPDATE organization SET max_keys = 3").unwrap();
    let mut expired = imported(&mut world, 1, false);
    expired.key.expires_at = Some(by().at);
    let keys =
        vec![expired, imported(&mut world, 2, false), imported(&mut world, 3, true), imported(&mut world, 4, false)];
    for is_dry in [true, false] {
        let told = import(&world, world.scope, &keys, is_dry).await;
        let told: Vec<bool> = told.iter().map(|row| matches!(row, ImportOutcome::LimitReached { limit: 3 })).collect();
        assert_eq!(told, [false, false, false, true], "disabled keys count, expired ones do not; dry: {is_dry}");
    }
    assert_eq!(world.rights_keys().await.len(), 4);
    let again = import(&world, world.scope, &keys, false).await;
    assert!(again[..3].iter().all(|row| matches!(row, ImportOutcome::Existing(_))), "what is there stays: {again:?}");
}

fn sighting(world: &World, key: &Key) -> Sighting {
    let (source, url) = ("github commit".to_owned(), "https://example.org/x".to_owned());
    Sighting { scope: world.scope, key: key.id, secret: key.secrets[0].id, source, url }
}

async fn a_leaked_key_ends_or_is_flagged_as_its_organization_says(engine: Engine) {
    let mut world = World::new(engine).await;
    let (flagged, ended) = (world.key("flagged").await, world.key("ended").await);
    let report =
        async |key: &Key, action| world.store().report_leak(sighting(&world, key), action, &by()).await.unwrap();
    assert!(matches!(report(&flagged, LeakAction::Notify).await, Some(LeakDone::Flagged(_))));
    assert_eq!(report(&flagged, LeakAction::Notify).await, Some(LeakDone::Already));
    let stored = world.store().find_key(world.scope, flagged.id).await.unwrap().unwrap();
    assert_eq!((stored.state, stored.exposed_at), (StoredState::Enabled, Some(by().at)));
    assert!(matches!(report(&ended, LeakAction::Revoke).await, Some(LeakDone::Ended(_))));
    assert_eq!(report(&ended, LeakAction::Revoke).await, Some(LeakDone::Already));
    let stored = world.store().find_key(world.scope, ended.id).await.unwrap().unwrap();
    assert!(matches!(stored.state, StoredState::Revoked { reason: RevocationReason::Compromised, .. }));
    assert!(stored.exposed_at.is_some());
    let neighbour = world.neighbour("umbrella").await;
    let foreign = Sighting { scope: neighbour, ..sighting(&world, &flagged) };
    assert_eq!(world.store().report_leak(foreign, LeakAction::Revoke, &by()).await.unwrap(), None);
    let notices = world.tamper("SELECT kind, object FROM notice").unwrap();
    assert!(notices.contains("key.exposed") && notices.contains(&ended.id.to_string()), "{notices}");
    // One of two live secrets leaks: only that one ends.
    let key = world.key("two").await;
    let mut two = key.clone();
    two.secrets.push(key.secrets[0].clone());
    two.secrets[1].id = world.key("other").await.secrets[0].id;
    let left = two.without_secret(two.secrets[0].id, by().at, "system").unwrap();
    assert_eq!((left.state, left.secrets[0].end_reason), (StoredState::Enabled, Some(EndReason::Compromised)));
    assert!(left.without_secret(left.secrets[0].id, by().at, "system").is_none());
    assert_eq!(world.store().verify_audit().await.unwrap().faults, vec![]);
}

async fn tables_of_other_systems_are_read_as_they_are(engine: Engine) {
    let world = World::new(engine).await;
    world.tamper("CREATE TABLE tokens (id BIGINT, \"key\" TEXT, name TEXT, status BIGINT)").unwrap();
    world.tamper("INSERT INTO tokens VALUES (1, 'A1', 'it''s \"one\"', 1), (2, 'B2', NULL, 2)").unwrap();
    let source = match world.at.database.url() {
        DatabaseUrl::Sqlite(path) => ForeignSource::Sqlite(path),
        DatabaseUrl::Postgres(url) => ForeignSource::Postgres(url),
    };
    let mut rows = Vec::new();
    let mut each = |row: String| {
        rows.push(row.replace(": ", ":"));
        true
    };
    read_foreign(&source, ForeignTable::OneApiTokens, &mut each).await.unwrap();
    assert_eq!(
        rows,
        [r#"{"id":1,"key":"A1","name":"it's \"one\"","status":1}"#, r#"{"id":2,"key":"B2","name":null,"status":2}"#]
    );
    let mut none = |_: String| true;
    assert!(read_foreign(&source, ForeignTable::LiteLlmKeys, &mut none).await.is_err());
}

async fn bait_is_recorded_told_and_takes_its_neighbours_along(engine: Engine) {
    let mut world = World::new(engine).await;
    let place = || Some(StoredIn::parse("vault/prod").unwrap());
    let mut made = Vec::new();
    for (name, is_canary, stored_in) in
        [("bait", true, place()), ("beside", false, place()), ("elsewhere", false, None)]
    {
        let new = NewKey { is_canary, stored_in, class: Class::Inference, ..world.new_key(name) };
        match world.store().create_key(world.scope, new, &by()).await.unwrap() {
            CreateKeyOutcome::Created { key, .. } => made.push(key),
            other => panic!("{other:?}"),
        }
    }
    let alarm = Alarm {
        kind: NoticeKind::CanaryHit,
        scope: world.scope,
        key: made[0].id,
        path: "chat.completions".to_owned(),
        disables_beside: true,
    };
    world.store().raise_alarm(alarm, &by()).await.unwrap();
    let mut states = Vec::new();
    for key in &made {
        states.push(world.store().find_key(world.scope, key.id).await.unwrap().unwrap().state);
    }
    assert_eq!(states, [StoredState::Enabled, StoredState::Disabled { at: by().at }, StoredState::Enabled]);
    let page = PageRequest { limit: 2, order: Order::Descending, ..PageRequest::default() };
    let actions: Vec<Action> = world
        .store()
        .list_audit(world.scope, &page)
        .await
        .unwrap()
        .unwrap()
        .data
        .iter()
        .map(|entry| entry.record.action)
        .collect();
    assert_eq!(actions, [Action::KeyDisabled, Action::CanaryHit]);
    assert!(world.tamper("SELECT kind FROM notice").unwrap().contains("key.canary_hit"));
}
