//! What becomes of a key: changed as decided, by version, once; the limit when a key comes back.

use crate::on_both_engines;
use crate::world::{World, by};
use claviger_domain::audit::{Action, Attribution};
use claviger_domain::id::SecretId;
use claviger_domain::key::{
    self, AtDeadline, Edit, Key, Limits, Name, NewText, Policy, Recipe, Restrictions, Rotation, Set, Unwilling,
};
use claviger_domain::secret::Digest;
use claviger_domain::time::Timestamp;
use claviger_storage::{ChangeKeyOutcome, Changed, CreateKeyOutcome, Demand, Engine, KeyAct, Once};
use claviger_testkit::clock::START;
use std::time::Duration;

on_both_engines! {
    a_policy_comes_back_as_it_was_written,
    a_rotation_is_written_whole_and_done_once,
    a_create_is_done_once_under_its_idempotency_key,
    an_edit_of_another_version_changes_nothing,
    an_expired_key_comes_back_only_within_the_limit,
    a_text_made_elsewhere_belongs_to_one_key,
    a_lost_text_ends_behind_the_others_under_its_number,
}

fn done<E: std::fmt::Debug>(outcome: Option<ChangeKeyOutcome<E>>) -> Changed {
    match outcome {
        Some(ChangeKeyOutcome::Changed(changed)) => changed,
        other => panic!("{other:?}"),
    }
}

fn once(key: &str, body: &str) -> Once {
    Once {
        principal: "operator".to_owned(),
        path: "/v1/organization/api_keys".to_owned(),
        key: key.to_owned(),
        body_hash: body.to_owned(),
        expires_at: START.plus(Duration::from_secs(24 * 3600)),
    }
}

fn rotation(number: u8) -> impl Fn(&Key) -> Result<Option<Key>, Unwilling> + Send + 'static {
    move |key| {
        let text = NewText {
            digest: Digest::from_bytes([number; 32]),
            pepper_version: 1,
            redacted: format!("clv_…{number:04}"),
        };
        let how = Rotation {
            overlap: Duration::from_secs(3600),
            finish_when_quiet_hours: Some(2),
            at_deadline: AtDeadline::Extend,
        };
        key::rotate(key, SecretId::from_u128(u128::from(number)), text, how, "operator", START).map(Some)
    }
}

async fn a_policy_comes_back_as_it_was_written(engine: Engine) {
    let mut world = World::new(engine).await;
    let restrictions = Restrictions {
        models: Some(vec!["acme/*".parse().unwrap(), "x/y".parse().unwrap()]),
        endpoints: Some(vec![claviger_domain::endpoint::EndpointName::Embeddings]),
        ips: Some(vec!["10.0.0.0/8".parse().unwrap()]),
        ips_denied: Some(vec!["2001:db8::/32".parse().unwrap()]),
        limits: Limits { rpm: Some(60), tpm: Some(1000), concurrency: Some(4), burst: Some(10) },
    };
    let policy = Policy {
        shadow: Some(Box::new(Restrictions { ips: None, ..restrictions.clone() })),
        enforced: restrictions,
        reach: claviger_domain::key::Reach::Environment,
        permissions: vec![claviger_domain::right::Permission::KeysVerify],
    };
    let mut new = world.new_key("narrow");
    new.policy = policy.clone();
    new.is_canary = true;
    let id = new.id;
    world.store().create_key(world.scope, new, &by()).await.unwrap();
    let read = world.store().find_key(world.scope, id).await.unwrap().unwrap();
    assert_eq!((read.policy, read.is_canary), (policy, true));
    assert_eq!((read.created_by.as_str(), read.secrets[0].created_by.as_str()), ("operator", "operator"));
}

async fn a_rotation_is_written_whole_and_done_once(engine: Engine) {
    let mut world = World::new(engine).await;
    let key = world.key("k").await;
    let store = world.store();
    let act = |body: &str| KeyAct { once: Some(once("r-1", body)), ..KeyAct::from(Action::KeyRotated) };
    let changed = done(store.change_key(world.scope, key.id, act("b"), rotation(2), &by()).await.unwrap());
    assert_eq!((changed.key.version, changed.key.secrets.len()), (2, 2));
    let again = store.change_key(world.scope, key.id, act("b"), rotation(3), &by()).await.unwrap();
    let Some(ChangeKeyOutcome::Repeated { key: repeated }) = again else { panic!("{again:?}") };
    assert_eq!((repeated.version, repeated.secrets.len()), (2, 2), "a rotation retried yields one secret");
    let other = store.change_key(world.scope, key.id, act("c"), rotation(3), &by()).await.unwrap();
    assert!(matches!(other, Some(ChangeKeyOutcome::OtherBody)));
    let tomorrow = Attribution { at: START.plus(Duration::from_secs(24 * 3600)), ..by() };
    let later = store.change_key(world.scope, key.id, act("c"), rotation(3), &tomorrow).await.unwrap();
    assert_eq!(done(later).key.secrets.len(), 3, "a day later it is another act");
    let read = store.find_key(world.scope, key.id).await.unwrap().unwrap();
    let numbers: Vec<u32> = read.secrets.iter().map(|secret| secret.number).collect();
    assert_eq!(numbers, [3, 2, 1], "newest first");
    assert_eq!(store.list_overlaps(START, 10).await.unwrap(), [(world.scope.0, key.id)]);
    let owner = claviger_domain::key::Owner::Agent(claviger_domain::id::AgentId::from_u128(1));
    assert!(!store.has_owner(world.scope, owner).await.unwrap());
    let owner = claviger_domain::key::Owner::User(claviger_domain::id::UserId::from_u128(1));
    assert!(!store.has_owner(world.scope, owner).await.unwrap());
    let old = &read.secrets[2];
    assert_eq!(old.ends_at, Some(START.plus(Duration::from_secs(3600))));
    assert_eq!((old.finish_when_quiet_hours, old.at_deadline), (Some(2), AtDeadline::Extend));
    assert_eq!(store.verify_audit().await.unwrap().faults, vec![]);
}

async fn a_create_is_done_once_under_its_idempotency_key(engine: Engine) {
    let mut world = World::new(engine).await;
    let tasks: Vec<_> = (0..8)
        .map(|number| {
            let (store, scope) = (world.store().clone(), world.scope);
            let new = world.new_key(&format!("k{number}"));
            tokio::spawn(async move {
                store.create_key_once(scope, new, Some(once("c-1", "b")), Demand::Nothing, &by()).await.unwrap()
            })
        })
        .collect();
    let (mut made, mut repeated) = (0, 0);
    for task in tasks {
        match task.await.unwrap() {
            CreateKeyOutcome::Created { .. } => made += 1,
            CreateKeyOutcome::Repeated { .. } => repeated += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((made, repeated), (1, 7));
    let new = world.new_key("other");
    let other =
        world.store().create_key_once(world.scope, new, Some(once("c-1", "x")), Demand::Nothing, &by()).await.unwrap();
    assert!(matches!(other, CreateKeyOutcome::OtherBody));
    assert_eq!(world.rights_keys().await.len(), 1);
    let later = START.plus(Duration::from_secs(24 * 3600));
    assert_eq!(world.store().forget(later).await.unwrap().0, 1);
}

async fn an_edit_of_another_version_changes_nothing(engine: Engine) {
    let mut world = World::new(engine).await;
    let key = world.key("k").await;
    let store = world.store();
    let rename = |name: &str| {
        let edit = Edit { name: Some(Name::parse(name).unwrap()), ..Edit::default() };
        move |key: &Key| edit.onto(key)
    };
    let act = |version| KeyAct { version: Some(version), ..KeyAct::from(Action::KeyUpdated) };
    let changed = done(store.change_key(world.scope, key.id, act(1), rename("a"), &by()).await.unwrap());
    assert_eq!((changed.key.name.as_str(), changed.key.version), ("a", 2));
    let stale = store.change_key(world.scope, key.id, act(1), rename("b"), &by()).await.unwrap();
    assert!(matches!(stale, Some(ChangeKeyOutcome::Stale)));
    let same = done(store.change_key(world.scope, key.id, act(2), rename("a"), &by()).await.unwrap());
    assert_eq!((same.is_new, same.key.version), (false, 2));
    assert_eq!(store.find_key(world.scope, key.id).await.unwrap().unwrap().version, 2);
}

async fn an_expired_key_comes_back_only_within_the_limit(engine: Engine) {
    let mut world = World::new(engine).await;
    world.tamper("UPDATE organization SET max_keys = 1").unwrap();
    let mut short = world.new_key("short");
    short.expires_at = Some(START);
    let id = short.id;
    world.store().create_key(world.scope, short, &by()).await.unwrap();
    let other = world.key("other").await;
    let revive = |key: &Key| Edit { expires_at: Set::To(Timestamp(START.0 + 9)), ..Edit::default() }.onto(key);
    let store = world.store();
    let full = store.change_key(world.scope, id, Action::KeyUpdated, revive, &by()).await.unwrap();
    assert!(matches!(full, Some(ChangeKeyOutcome::LimitReached { limit: 1, unused: 0 })));
    store.revoke_key(world.scope, other.id, claviger_domain::key::RevocationReason::Unused, &by()).await.unwrap();
    let back = done(store.change_key(world.scope, id, Action::KeyUpdated, revive, &by()).await.unwrap());
    assert_eq!(back.key.expires_at, Some(Timestamp(START.0 + 9)));
}

async fn a_text_made_elsewhere_belongs_to_one_key(engine: Engine) {
    let mut world = World::new(engine).await;
    let mut first = world.new_key("first");
    first.secret.recipe = Recipe::Sha256;
    let mut second = world.new_key("second");
    second.secret.recipe = Recipe::Sha256;
    second.secret.digest = first.secret.digest;
    let store = world.store();
    assert!(matches!(
        store.create_key(world.scope, first, &by()).await.unwrap(),
        CreateKeyOutcome::Created { key, .. } if key.secrets[0].recipe == Recipe::Sha256
    ));
    assert!(matches!(store.create_key(world.scope, second, &by()).await.unwrap(), CreateKeyOutcome::IdTaken));
}

async fn a_lost_text_ends_behind_the_others_under_its_number(engine: Engine) {
    let mut world = World::new(engine).await;
    let mut new = world.new_key("k");
    new.secret.reissue_until = Some(START.plus(Duration::from_secs(600)));
    let (id, first) = (new.id, new.secret.id);
    world.store().create_key(world.scope, new, &by()).await.unwrap();
    let reissued = |number: u8| {
        move |key: &Key| {
            let digest = Digest::from_bytes([number; 32]);
            let text = NewText { digest, pepper_version: 1, redacted: format!("clv_…{number:04}") };
            key::reissue(key, text, SecretId::from_u128(u128::from(number)), "operator", START).map(Some)
        }
    };
    for number in [3, 4] {
        let act = world.store().change_key(world.scope, id, Action::KeyReissued, reissued(number), &by()).await;
        done(act.unwrap());
    }
    let act = world.store().change_key(world.scope, id, Action::KeyRotated, rotation(5), &by()).await;
    done(act.unwrap());
    let stored = world.store().find_key(world.scope, id).await.unwrap().unwrap();
    let told: Vec<_> = stored.secrets.iter().map(|secret| (secret.id, secret.number, secret.is_lost())).collect();
    let lost = [3, 4].map(SecretId::from_u128);
    let rotated = SecretId::from_u128(5);
    assert_eq!(told, [(rotated, 2, false), (first, 1, false), (lost[0], 1, true), (lost[1], 1, true)]);
    assert!(stored.secrets[1].digest.matches(&Digest::from_bytes([4; 32])), "the last one issued");
    assert!(
        stored.secrets[3].digest.matches(&Digest::from_bytes([3; 32])) && stored.secrets[3].ended_at == Some(START)
    );
    assert_eq!(stored.secrets.iter().filter(|secret| secret.is_live(START)).count(), 2);
}
