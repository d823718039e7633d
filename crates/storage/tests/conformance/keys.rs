//! Keys: made, listed, found, ended; limits and walls.

use crate::on_both_engines;
use crate::world::{World, by};
use claviger_domain::audit::Action;
use claviger_domain::id::{EnvironmentId, KeyId, SecretId};
use claviger_domain::key::{Class, Key, KeyState, RevocationReason, StoredSecret, StoredState};
use claviger_domain::right::Role;
use claviger_domain::secret::Digest;
use claviger_domain::time::Timestamp;
use claviger_storage::{ChangeKeyOutcome, CreateKeyOutcome, Engine, KeyFilter, Order, PageRequest, SecretUse};
use claviger_testkit::clock::START;
use std::time::Duration;

on_both_engines! {
    a_key_comes_back_as_it_was_made,
    a_repeated_create_is_created_and_a_foreign_id_is_taken,
    parallel_creates_at_the_limit_give_exactly_the_limit,
    ended_keys_do_not_count_against_the_limit,
    a_foreign_organization_sees_no_key_and_ends_none,
    revoked_is_final_and_only_compromised_acts_again,
    disable_and_enable_turn_and_turn_back,
    lists_page_by_creation_and_know_their_cursors,
    lists_filter_by_state_class_environment_tag_and_search,
    last_uses_go_forward_only,
    what_ended_long_ago_is_forgotten_but_never_the_newest_secret,
}

fn filter() -> KeyFilter {
    KeyFilter { now: START, ..KeyFilter::default() }
}

fn names(keys: &[Key]) -> Vec<&str> {
    keys.iter().map(|key| key.name.as_str()).collect()
}

async fn a_key_comes_back_as_it_was_made(engine: Engine) {
    let mut world = World::new(engine).await;
    let mut new = world.new_key("ключ \"<b>\" 👋");
    new.class = Class::Admin;
    new.is_test = true;
    new.role = Some(Role::Admin);
    new.expires_at = Some(START.plus(Duration::from_secs(3600)));
    let outcome = world.store().create_key(world.scope, new.clone(), &by()).await.unwrap();
    let CreateKeyOutcome::Created { key, epoch } = outcome else { panic!("{outcome:?}") };
    assert_eq!(*world.store().committed().borrow(), epoch);
    let (presented, organization) = world.store().find_presented_key(new.id).await.unwrap().unwrap();
    let rights = world.store().find_rights_key(new.id).await.unwrap().unwrap();
    let found = world.store().find_key(world.scope, new.id).await.unwrap().unwrap();
    assert_eq!(organization.id, world.scope.0);
    for read in [key, presented, rights, found] {
        assert_eq!((read.id, read.organization, read.environment), (new.id, world.scope.0, world.environment));
        assert_eq!((read.class, read.is_test, read.role), (Class::Admin, true, Some(Role::Admin)));
        assert_eq!(read.name, "ключ \"<b>\" 👋");
        assert_eq!(read.source_tag.as_deref(), Some("checkout"));
        assert_eq!((read.state, read.expires_at, read.created_at), (StoredState::Enabled, new.expires_at, START));
        assert_eq!((read.last_used_at, read.version), (None, 1));
        let [secret] = &read.secrets[..] else { panic!("{:?}", read.secrets) };
        assert_eq!((secret.id, secret.pepper_version, secret.number), (new.secret.id, 1, 1));
        assert!(secret.digest.matches(&new.secret.digest));
        assert_eq!(secret.redacted, "clv_…min8");
    }
}

async fn a_repeated_create_is_created_and_a_foreign_id_is_taken(engine: Engine) {
    let mut world = World::new(engine).await;
    let neighbour = world.neighbour("umbrella").await;
    let new = world.new_key("once");
    let mut other = world.new_key("twice");
    other.id = new.id;
    let store = world.store();
    let CreateKeyOutcome::Created { epoch, .. } = store.create_key(world.scope, new.clone(), &by()).await.unwrap()
    else {
        panic!("not created")
    };
    let again = store.create_key(world.scope, new.clone(), &by()).await.unwrap();
    assert!(matches!(again, CreateKeyOutcome::Created { epoch: same, .. } if same == epoch));
    assert!(matches!(store.create_key(neighbour, new, &by()).await.unwrap(), CreateKeyOutcome::IdTaken));
    assert!(matches!(store.create_key(world.scope, other, &by()).await.unwrap(), CreateKeyOutcome::IdTaken));
    let mut other = world.new_key("nowhere");
    other.environment = Some(EnvironmentId::from_u128(77));
    let outcome = world.store().create_key(world.scope, other, &by()).await.unwrap();
    assert!(matches!(outcome, CreateKeyOutcome::UnknownEnvironment));
}

async fn parallel_creates_at_the_limit_give_exactly_the_limit(engine: Engine) {
    const LIMIT: usize = 100;
    let mut world = World::new(engine).await;
    let tasks: Vec<_> = (0..=LIMIT + 10)
        .map(|number| {
            let (store, scope) = (world.store().clone(), world.scope);
            let new = world.new_key(&format!("key {number}"));
            tokio::spawn(async move { store.create_key(scope, new, &by()).await.unwrap() })
        })
        .collect();
    let mut made = 0;
    for task in tasks {
        match task.await.unwrap() {
            CreateKeyOutcome::Created { .. } => made += 1,
            CreateKeyOutcome::LimitReached { limit, unused } => assert_eq!((limit, unused), (100, 0)),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(made, LIMIT);
    assert_eq!(world.rights_keys().await.len(), LIMIT);
    assert_eq!(world.store().verify_audit().await.unwrap().faults, vec![]);
}

async fn ended_keys_do_not_count_against_the_limit(engine: Engine) {
    let mut world = World::new(engine).await;
    world.tamper("UPDATE organization SET max_keys = 2").unwrap();
    let first = world.key("first").await;
    let mut short = world.new_key("short");
    short.expires_at = Some(START);
    world.store().create_key(world.scope, short, &by()).await.unwrap();
    world.key("second").await;
    let new = world.new_key("third");
    let outcome = world.store().create_key(world.scope, new.clone(), &by()).await.unwrap();
    assert!(matches!(outcome, CreateKeyOutcome::LimitReached { limit: 2, .. }));
    world.store().revoke_key(world.scope, first.id, RevocationReason::Unused, &by()).await.unwrap().unwrap();
    let outcome = world.store().create_key(world.scope, new, &by()).await.unwrap();
    assert!(matches!(outcome, CreateKeyOutcome::Created { .. }));
}

async fn a_foreign_organization_sees_no_key_and_ends_none(engine: Engine) {
    let mut world = World::new(engine).await;
    let neighbour = world.neighbour("umbrella").await;
    let key = world.key("mine").await;
    let store = world.store();
    let before = *store.committed().borrow();
    assert!(store.find_key(neighbour, key.id).await.unwrap().is_none());
    assert!(store.revoke_key(neighbour, key.id, RevocationReason::Other, &by()).await.unwrap().is_none());
    assert!(store.disable_key(neighbour, key.id, &by()).await.unwrap().is_none());
    assert!(store.enable_key(neighbour, key.id, &by()).await.unwrap().is_none());
    let page = PageRequest { limit: 10, after: Some(key.id.to_string()), ..PageRequest::default() };
    assert!(store.list_keys(neighbour, &filter(), &page).await.unwrap().is_none(), "a foreign cursor is unknown");
    let all = PageRequest { limit: 10, ..PageRequest::default() };
    assert!(store.list_keys(neighbour, &filter(), &all).await.unwrap().unwrap().data.is_empty());
    assert_eq!(*store.committed().borrow(), before);
    let unknown = KeyId::from_symbols(b"000000000000").unwrap();
    assert!(store.find_presented_key(unknown).await.unwrap().is_none());
    assert!(store.find_rights_key(unknown).await.unwrap().is_none());
    assert_eq!(store.find_key(world.scope, key.id).await.unwrap().unwrap().state, StoredState::Enabled);
}

async fn revoked_is_final_and_only_compromised_acts_again(engine: Engine) {
    let mut world = World::new(engine).await;
    let (key, other) = (world.key("k").await, world.key("other").await);
    let store = world.store();
    let revoke = |reason| store.revoke_key(world.scope, key.id, reason, &BY);
    let first = revoke(RevocationReason::Unused).await.unwrap().unwrap();
    assert!(first.is_new);
    assert_eq!(first.key.version, 2);
    assert_eq!(first.key.state, StoredState::Revoked { at: START, reason: RevocationReason::Unused });
    // What happened meanwhile is not what confirms it.
    store.disable_key(world.scope, other.id, &BY).await.unwrap();
    let again = revoke(RevocationReason::Other).await.unwrap().unwrap();
    assert!(!again.is_new && again.epoch == first.epoch && again.key.version == 2);
    let worse = revoke(RevocationReason::Compromised).await.unwrap().unwrap();
    assert!(worse.is_new && worse.epoch > first.epoch);
    assert!(store.disable_key(world.scope, key.id, &by()).await.unwrap().unwrap().is_err());
    assert!(store.enable_key(world.scope, key.id, &by()).await.unwrap().unwrap().is_err());
    let stored = store.find_key(world.scope, key.id).await.unwrap().unwrap();
    assert_eq!(stored.state, StoredState::Revoked { at: START, reason: RevocationReason::Compromised });
    assert_eq!(stored.version, 3);
}

static BY: std::sync::LazyLock<claviger_domain::audit::Attribution> = std::sync::LazyLock::new(by);

async fn disable_and_enable_turn_and_turn_back(engine: Engine) {
    let mut world = World::new(engine).await;
    let key = world.key("k").await;
    let store = world.store();
    let disabled = store.disable_key(world.scope, key.id, &by()).await.unwrap().unwrap().unwrap();
    assert!(disabled.is_new && disabled.key.state == StoredState::Disabled { at: START });
    let again = store.disable_key(world.scope, key.id, &by()).await.unwrap().unwrap().unwrap();
    assert!(!again.is_new && again.epoch == disabled.epoch);
    let enabled = store.enable_key(world.scope, key.id, &by()).await.unwrap().unwrap().unwrap();
    assert!(enabled.is_new && enabled.epoch > disabled.epoch);
    assert_eq!(store.find_key(world.scope, key.id).await.unwrap().unwrap().state, StoredState::Enabled);
}

async fn lists_page_by_creation_and_know_their_cursors(engine: Engine) {
    let mut world = World::new(engine).await;
    let mut made = Vec::new();
    for number in 0..7_i64 {
        let new = world.new_key(&format!("k{number}"));
        // Two pairs share their instant: then the id decides.
        let at = Timestamp(START.0 + number / 2);
        let attribution = claviger_domain::audit::Attribution { at, ..by() };
        match world.store().create_key(world.scope, new, &attribution).await.unwrap() {
            CreateKeyOutcome::Created { key, .. } => made.push(key),
            other => panic!("{other:?}"),
        }
    }
    made.sort_by_key(|key| (key.created_at, key.id.to_string()));
    let ids: Vec<KeyId> = made.iter().map(|key| key.id).collect();
    let store = world.store();
    for order in [Order::Ascending, Order::Descending] {
        let expected: Vec<KeyId> =
            if order == Order::Ascending { ids.clone() } else { ids.iter().rev().copied().collect() };
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let request = PageRequest { limit: 3, after: after.clone(), before: None, order };
            let page = store.list_keys(world.scope, &filter(), &request).await.unwrap().unwrap();
            seen.extend(page.data.iter().map(|key| key.id));
            after = page.data.last().map(|key| key.id.to_string());
            if !page.has_more {
                break;
            }
        }
        assert_eq!(seen, expected);
        let before = PageRequest { limit: 2, after: None, before: Some(expected[4].to_string()), order };
        let page = store.list_keys(world.scope, &filter(), &before).await.unwrap().unwrap();
        assert_eq!(page.data.iter().map(|key| key.id).collect::<Vec<_>>(), expected[2..4]);
        assert!(page.has_more);
    }
    for cursor in ["key_000000000000", "nonsense", "", "key_' OR 1=1"] {
        let request = PageRequest { limit: 3, after: Some(cursor.to_owned()), ..PageRequest::default() };
        assert!(store.list_keys(world.scope, &filter(), &request).await.unwrap().is_none(), "{cursor}");
    }
}

async fn lists_filter_by_state_class_environment_tag_and_search(engine: Engine) {
    let mut world = World::new(engine).await;
    let expired = world.new_key("expired");
    let expired = claviger_domain::key::NewKey { expires_at: Some(START), ..expired };
    world.store().create_key(world.scope, expired, &by()).await.unwrap();
    let mut admin = world.new_key("Admin_100%");
    (admin.class, admin.source_tag) = (Class::Admin, None);
    let admin_id = admin.id;
    world.store().create_key(world.scope, admin, &by()).await.unwrap();
    let disabled = world.key("disabled").await;
    world.store().disable_key(world.scope, disabled.id, &by()).await.unwrap();
    let revoked = world.key("revoked").await;
    world.store().revoke_key(world.scope, revoked.id, RevocationReason::Other, &by()).await.unwrap();
    let list = async |filter: KeyFilter| {
        let page = PageRequest { limit: 100, order: Order::Ascending, ..PageRequest::default() };
        let mut keys = world.store().list_keys(world.scope, &filter, &page).await.unwrap().unwrap().data;
        keys.sort_by(|left, right| left.name.cmp(&right.name));
        keys
    };
    assert_eq!(names(&list(filter()).await), ["Admin_100%", "disabled"]);
    for state in ["active", "disabled", "expired", "revoked"] {
        let keys = list(KeyFilter { states: vec![state], ..filter() }).await;
        assert_eq!(keys.len(), 1, "{state}");
        assert_eq!(keys[0].state.at(START, keys[0].expires_at).name(), state);
    }
    assert_eq!(names(&list(KeyFilter { class: Some(Class::Admin), ..filter() }).await), ["Admin_100%"]);
    assert_eq!(names(&list(KeyFilter { source_tag: Some("checkout".to_owned()), ..filter() }).await), ["disabled"]);
    assert_eq!(list(KeyFilter { source_tag: Some("Checkout".to_owned()), ..filter() }).await.len(), 0);
    assert_eq!(list(KeyFilter { environment: Some(world.environment), ..filter() }).await.len(), 2);
    assert_eq!(list(KeyFilter { environment: Some(EnvironmentId::from_u128(1)), ..filter() }).await.len(), 0);
    for (text, count) in [("ADMIN", 1), ("min_", 1), ("0%", 1), ("%", 1), ("x%", 0), ("a", 2), ("\\", 0)] {
        let found = list(KeyFilter { search: Some(text.to_owned()), ..filter() }).await;
        assert_eq!(found.len(), count, "{text}");
    }
    let found = list(KeyFilter { search: Some(admin_id.to_string()), ..filter() }).await;
    assert_eq!(names(&found), ["Admin_100%"]);
    let redacted = found[0].redacted().to_owned();
    let last_four = redacted.get(redacted.len() - 4..).unwrap().to_owned();
    let beginning = admin_id.to_string().get(..8).unwrap().to_owned();
    for text in [last_four, beginning, "n_100%".to_owned(), "CHECKOUT".to_owned()] {
        let found = list(KeyFilter { search: Some(text.clone()), ..filter() }).await;
        let expected = if text == "CHECKOUT" { "disabled" } else { "Admin_100%" };
        assert!(found.iter().any(|key| key.name == expected), "{text}");
    }
    // What a key is called now counts, not what it was called.
    let rename = |key: &Key| Ok::<_, ()>(Some(Key { name: "Umbenannt".to_owned(), ..key.clone() }));
    world.store().change_key(world.scope, disabled.id, Action::KeyUpdated, rename, &by()).await.unwrap();
    for (text, count) in [("umbenannt", 1), ("disabled", 0), ("nowhere", 0)] {
        let found = list(KeyFilter { search: Some(text.to_owned()), ..filter() }).await;
        assert_eq!(found.len(), count, "{text}");
    }
    assert_eq!(disabled.state.at(START, None), KeyState::Active);
}

async fn last_uses_go_forward_only(engine: Engine) {
    let mut world = World::new(engine).await;
    let key = world.key("k").await;
    let store = world.store();
    let before = *store.committed().borrow();
    let unknown = KeyId::from_symbols(b"000000000000").unwrap();
    let secret = key.secrets[0].id;
    let stamp = |at| [key.id, unknown].map(|key| SecretUse { key, secret, at: Timestamp(at) });
    store.stamp_last_uses(&stamp(300)).await.unwrap();
    store.stamp_last_uses(&stamp(500)).await.unwrap();
    store.stamp_last_uses(&stamp(400)).await.unwrap();
    store.stamp_last_uses(&[]).await.unwrap();
    let stored = store.find_key(world.scope, key.id).await.unwrap().unwrap();
    assert_eq!((stored.last_used_at, stored.version), (Some(Timestamp(500)), 1));
    let secret = &stored.secrets[0];
    assert_eq!((secret.first_used_at, secret.last_used_at), (Some(Timestamp(300)), Some(Timestamp(500))));
    assert_eq!(*store.committed().borrow(), before, "a use is no change of rights");
}

async fn what_ended_long_ago_is_forgotten_but_never_the_newest_secret(engine: Engine) {
    let mut world = World::new(engine).await;
    let key = world.key("k").await;
    let end = |key: &Key| -> Result<Option<Key>, ()> {
        let mut next = key.clone();
        let newer = StoredSecret {
            id: SecretId::from_u128(5),
            number: 2,
            digest: Digest::from_bytes([5; 32]),
            ..next.secrets[0].clone()
        };
        next.secrets.iter_mut().for_each(|secret| secret.ended_at = Some(START));
        next.secrets.insert(0, newer);
        Ok(Some(next))
    };
    let changed = world.store().change_key(world.scope, key.id, Action::KeyUpdated, end, &by()).await.unwrap();
    assert!(matches!(changed, Some(ChangeKeyOutcome::Changed(changed)) if changed.is_new));
    let ending = |key: &Key| -> Result<Option<Key>, ()> {
        let mut next = key.clone();
        next.secrets.iter_mut().for_each(|secret| secret.ended_at = Some(START));
        Ok(Some(next))
    };
    world.store().change_key(world.scope, key.id, Action::KeyUpdated, ending, &by()).await.unwrap();
    let month = Duration::from_secs(30 * 24 * 3600);
    assert_eq!(world.store().forget(START.plus(month)).await.unwrap(), (0, false));
    assert_eq!(world.store().forget(START.plus(month + Duration::from_secs(1))).await.unwrap(), (1, false));
    let left = world.store().find_key(world.scope, key.id).await.unwrap().unwrap();
    assert_eq!(left.secrets.iter().map(|secret| secret.number).collect::<Vec<_>>(), [2]);
    let nowhere = KeyId::from_symbols(b"000000000000").unwrap();
    let missing = world.store().change_key(world.scope, nowhere, Action::KeyUpdated, ending, &by()).await.unwrap();
    assert!(missing.is_none());
}
