//! What a text of a key is enough for.

use crate::on_both_engines;
use crate::world::{World, by};
use claviger_domain::id::SecretId;
use claviger_domain::key::{
    self, AtDeadline, EndReason, Key, NewText, RevocationReason, Rotation, StoredState, Unwilling,
};
use claviger_domain::secret::{Digest, Pepper};
use claviger_storage::{Engine, Trail};
use claviger_testkit::clock::START;
use std::time::Duration;

on_both_engines! {
    whoever_holds_a_secret_ends_it_once_and_its_owners_are_told,
    trails_lead_to_ones_own_keys_only,
}

async fn whoever_holds_a_secret_ends_it_once_and_its_owners_are_told(engine: Engine) {
    let mut world = World::new(engine).await;
    let key = world.key("two").await;
    let first = key.secrets[0].id;
    let rotate = |key: &Key| -> Result<Option<Key>, Unwilling> {
        let text =
            NewText { digest: Digest::from_bytes([9; 32]), pepper_version: 1, redacted: "clv_…0009".to_owned() };
        let how = Rotation {
            overlap: Duration::from_secs(3600),
            finish_when_quiet_hours: None,
            at_deadline: AtDeadline::End,
        };
        key::rotate(key, SecretId::from_u128(9), text, how, "operator", START).map(Some)
    };
    let store = world.store();
    let action = claviger_domain::audit::Action::KeyRotated;
    store.change_key(world.scope, key.id, action, rotate, &by()).await.unwrap();
    let end = async |secret, note: Option<&str>| {
        let note = note.map(str::to_owned);
        store.revoke_by_possession(world.scope, (key.id, secret), note, &by()).await.unwrap().unwrap()
    };
    let ended = end(first, Some("in a gist")).await;
    let old = ended.key.secrets.iter().find(|secret| secret.id == first).unwrap();
    assert_eq!(
        (ended.is_new, ended.key.state, old.end_reason),
        (true, StoredState::Enabled, Some(EndReason::Compromised))
    );
    assert!(!end(first, None).await.is_new, "it has ended already");
    let last = end(SecretId::from_u128(9), None).await;
    assert!(matches!(last.key.state, StoredState::Revoked { reason: RevocationReason::Compromised, .. }));
    let neighbour = world.neighbour("umbrella").await;
    let store = world.store();
    assert!(store.revoke_by_possession(neighbour, (key.id, first), None, &by()).await.unwrap().is_none());
    let notices = world.tamper("SELECT kind, detail FROM notice").unwrap();
    assert_eq!(notices.matches("key.self_revoked").count(), 2, "{notices}");
    assert!(notices.contains("in a gist"), "{notices}");
    assert_eq!(store.verify_audit().await.unwrap().faults, vec![]);
}

async fn trails_lead_to_ones_own_keys_only(engine: Engine) {
    let mut world = World::new(engine).await;
    let key = world.key("mine").await;
    let neighbour = world.neighbour("umbrella").await;
    let wrong = Pepper::new(2, [2; 32]).digest(b"x");
    let trails = [Trail::Id(key.id), Trail::Digests(vec![wrong, key.secrets[0].digest]), Trail::Digests(vec![wrong])];
    let found = world.store().look_up_keys(world.scope, &trails).await.unwrap();
    let told: Vec<_> = found.iter().map(|found| found.as_ref().map(|(key, secret)| (key.id, *secret))).collect();
    assert_eq!(told, [Some((key.id, None)), Some((key.id, Some(key.secrets[0].id))), None]);
    let foreign = world.store().look_up_keys(neighbour, &trails).await.unwrap();
    assert!(foreign.iter().all(Option::is_none), "another's key is unknown");
}
