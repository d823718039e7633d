//! The audit chain: one record an act, linked, and every tampering found.

use crate::on_both_engines;
use crate::world::{World, by};
use claviger_domain::audit::{
    Action, Actor, Attribution, Chain, Confirmed, ConfirmedNode, ExportCheck, proof_line, record_line,
};
use claviger_domain::key::RevocationReason;
use claviger_storage::{AuditEvent, AuditFilter, Engine, Order, PageRequest, SecurityMinute};
use std::time::Duration;

on_both_engines! {
    every_act_leaves_one_record_and_repetitions_none,
    records_of_one_organization_are_listed_in_pages,
    a_tampered_record_is_found_and_named,
    a_person_can_be_forgotten_and_the_chain_stands,
    an_audit_key_is_known_again,
    events_are_recorded_and_filtered,
    checkpoints_are_signed_in_a_row_and_prove_an_export,
    a_chain_cut_at_its_end_is_found_by_what_was_kept_elsewhere,
    denied_attempts_add_up,
    without_its_record_no_change,
    a_proof_is_recorded_once_behind_its_act,
}

async fn every_act_leaves_one_record_and_repetitions_none(engine: Engine) {
    let mut world = World::new(engine).await;
    let key = world.key("k").await;
    world.fund(world.scope, 1).await;
    let store = world.store();
    for _ in 0..2 {
        store.disable_key(world.scope, key.id, &by()).await.unwrap();
    }
    for _ in 0..2 {
        store.enable_key(world.scope, key.id, &by()).await.unwrap();
    }
    for _ in 0..2 {
        store.revoke_key(world.scope, key.id, RevocationReason::Unused, &by()).await.unwrap();
    }
    let page = PageRequest { limit: 100, order: Order::Ascending, ..PageRequest::default() };
    let entries = store.list_audit(world.scope, &page).await.unwrap().unwrap().data;
    let actions: Vec<Action> = entries.iter().map(|entry| entry.record.action).collect();
    assert_eq!(
        actions,
        [
            Action::OrganizationCreated,
            Action::KeyCreated,
            Action::GrantCreated,
            Action::KeyDisabled,
            Action::KeyEnabled,
            Action::KeyDeleted
        ]
    );
    let last = &entries[5].record;
    assert_eq!((last.sequence, last.target.as_str()), (6, key.id.to_string().as_str()));
    assert_eq!(Attribution { at: by().at, ..last.attribution.clone() }, by());
    let is_of_the_database = last.attribution.at != by().at;
    assert_eq!(is_of_the_database, engine == Engine::Postgres, "Postgres has a clock of its own");
    assert_eq!(last.changes[0].from.as_deref(), Some("enabled"));
    assert_eq!(last.changes[0].to.as_deref(), Some("revoked (unused)"));
    let report = store.verify_audit().await.unwrap();
    assert_eq!((report.chains, report.records, report.faults), (1, 6, vec![]));
}

async fn records_of_one_organization_are_listed_in_pages(engine: Engine) {
    let mut world = World::new(engine).await;
    let neighbour = world.neighbour("umbrella").await;
    for number in 0..5 {
        world.key(&format!("k{number}")).await;
    }
    let store = world.store();
    let first = PageRequest { limit: 4, ..PageRequest::default() };
    let page = store.list_audit(world.scope, &first).await.unwrap().unwrap();
    assert_eq!(page.data.iter().map(|entry| entry.record.sequence).collect::<Vec<_>>(), [6, 5, 4, 3]);
    assert!(page.has_more);
    let after = PageRequest { after: Some(page.data[3].record.id.clone()), ..first.clone() };
    let page = store.list_audit(world.scope, &after).await.unwrap().unwrap();
    assert_eq!(page.data.iter().map(|entry| entry.record.sequence).collect::<Vec<_>>(), [2, 1]);
    assert!(!page.has_more);
    assert!(store.list_audit(neighbour, &after).await.unwrap().is_none(), "a foreign cursor is unknown");
    assert_eq!(store.list_audit(neighbour, &first).await.unwrap().unwrap().data.len(), 1);
}

async fn a_tampered_record_is_found_and_named(engine: Engine) {
    let tamperings = [
        ("UPDATE audit SET target = 'key_x' WHERE seq = 3", 3),
        ("UPDATE audit SET at = at + 1 WHERE seq = 2", 2),
        ("UPDATE audit SET body = REPLACE(body, 'api_key', 'apl_key') WHERE seq = 4", 4),
        ("UPDATE audit SET mac = hash WHERE seq = 3", 3),
        ("UPDATE audit SET hash = mac WHERE seq = 5", 5),
        ("DELETE FROM audit WHERE seq = 2", 2),
        ("DELETE FROM audit WHERE seq = 5", 5),
        ("UPDATE audit SET seq = 9 WHERE seq = 5", 5),
        ("UPDATE audit_head SET seq = 4", 5),
        ("UPDATE audit_value SET body = REPLACE(body, 'k2', 'k9') WHERE seq = 4", 4),
        ("DELETE FROM audit_head", 5),
    ];
    for (sql, sequence) in tamperings {
        let mut world = World::new(engine).await;
        for number in 0..4 {
            world.key(&format!("k{number}")).await;
        }
        assert_eq!(world.store().verify_audit().await.unwrap().faults, vec![]);
        world.tamper(sql).unwrap();
        let faults = world.store().verify_audit().await.unwrap().faults;
        assert_eq!(faults.first().map(|fault| fault.sequence), Some(sequence), "{sql}: {faults:?}");
        assert_eq!(faults[0].chain, world.scope.0.to_string());
    }
}

async fn without_its_record_no_change(engine: Engine) {
    let mut world = World::new(engine).await;
    let key = world.key("k").await;
    world.fund(world.scope, 10).await;
    let before = *world.store().committed().borrow();
    world.tamper("ALTER TABLE audit RENAME TO audit_away").unwrap();
    let grant = world.grant(1);
    let new = world.new_key("new");
    let store = world.store();
    assert!(store.disable_key(world.scope, key.id, &by()).await.is_err());
    assert!(store.revoke_key(world.scope, key.id, RevocationReason::Other, &by()).await.is_err());
    assert!(store.grant(world.scope, grant, &by()).await.is_err());
    assert!(store.create_key(world.scope, new, &by()).await.is_err());
    world.tamper("ALTER TABLE audit_away RENAME TO audit").unwrap();
    assert_eq!(world.store().changes_since(before).await.unwrap(), vec![]);
    let stored = world.store().find_key(world.scope, key.id).await.unwrap().unwrap();
    assert_eq!(stored.state, claviger_domain::key::StoredState::Enabled);
    assert_eq!(world.store().wallet(world.scope).await.unwrap().balance.0, 10);
    // And the store goes on.
    world.key("after").await;
    assert_eq!(world.store().verify_audit().await.unwrap().faults, vec![]);
}

async fn a_person_can_be_forgotten_and_the_chain_stands(engine: Engine) {
    let mut world = World::new(engine).await;
    let key = world.key("k").await;
    let ann = Attribution {
        address: "192.0.2.7".into(),
        client: "console".into(),
        ..Attribution::local(Actor::User("usr_ann".into()), "req_a", by().at)
    };
    world.store().disable_key(world.scope, key.id, &ann).await.unwrap();
    let page = PageRequest { limit: 1, ..PageRequest::default() };
    let entry = world.store().list_audit(world.scope, &page).await.unwrap().unwrap().data.remove(0);
    assert_eq!(Attribution { at: ann.at, ..entry.record.attribution.clone() }, ann);
    assert_eq!(world.store().erase_audit_values("usr_ann", &by()).await.unwrap(), 1);
    let entry = world.store().list_audit(world.scope, &page).await.unwrap().unwrap().data.remove(0);
    assert!(entry.record.attribution.address.starts_with("salted:"), "{:?}", entry.record);
    let report = world.store().verify_audit().await.unwrap();
    assert_eq!((report.chains, report.faults), (2, vec![]), "the erasure stands in the instance's own chain");
    let dump = world.tamper("SELECT body FROM audit").unwrap() + &world.tamper("SELECT body FROM audit_value").unwrap();
    assert!(!dump.contains("192.0.2.7"), "{dump}");
}

async fn an_audit_key_is_known_again(engine: Engine) {
    let world = World::new(engine).await;
    assert_eq!(world.store().audit_key_check().await.unwrap(), None);
    world.store().save_audit_key_check([1; 8]).await.unwrap();
    world.store().save_audit_key_check([1; 8]).await.unwrap();
    assert!(world.store().save_audit_key_check([2; 8]).await.is_err());
    assert_eq!(world.store().audit_key_check().await.unwrap(), Some([1; 8]));
}

async fn events_are_recorded_and_filtered(engine: Engine) {
    let mut world = World::new(engine).await;
    let key = world.key("k").await;
    let chain = Chain::Organization(world.scope.0);
    let event = AuditEvent::done(Action::LoginSucceeded, "usr_ann", vec![]);
    let ann = Attribution {
        at: by().at.plus(Duration::from_secs(5)),
        ..Attribution::local(Actor::User("usr_ann".into()), "", by().at)
    };
    world.store().record_event(chain, event, &ann).await.unwrap();
    let any = AuditFilter::default();
    let page = PageRequest { limit: 1, order: Order::Descending, ..PageRequest::default() };
    let at = world.store().list_audit(world.scope, &page).await.unwrap().unwrap().data[0].record.attribution.at;
    let cases = [
        (AuditFilter { actions: vec![Action::LoginSucceeded, Action::GrantCreated], ..any.clone() }, 1),
        (AuditFilter { actors: vec!["usr_ann".into(), "usr_bob".into()], ..any.clone() }, 1),
        (AuditFilter { targets: vec![key.id.to_string()], ..any.clone() }, 1),
        (AuditFilter { targets: vec!["key_".into()], ..any.clone() }, 0),
        (AuditFilter { environments: vec![world.environment.to_string()], ..any.clone() }, 1),
        (AuditFilter { from: Some(at), ..any.clone() }, 1),
        (AuditFilter { until: Some(at), ..any.clone() }, 2),
        (any, 3),
    ];
    for (filter, expected) in cases {
        let page =
            world.store().list_audit_of(chain, &filter, &PageRequest { limit: 10, ..PageRequest::default() }).await;
        assert_eq!(page.unwrap().unwrap().data.len(), expected, "{filter:?}");
    }
}

async fn checkpoints_are_signed_in_a_row_and_prove_an_export(engine: Engine) {
    let mut world = World::new(engine).await;
    let neighbour = world.neighbour("umbrella").await;
    let (chain, key) = (Chain::Organization(world.scope.0), world.store().audit_public_key().unwrap());
    assert_eq!(world.store().find_checkpoint_of(chain).await.unwrap(), None);
    assert_eq!(world.store().unsigned_audit_records().await.unwrap(), 2);
    let first = world.store().sign_checkpoint(by().at).await.unwrap().unwrap();
    assert_eq!((first.number(), first.heads.len()), (Some(1), 2));
    assert_eq!(world.store().sign_checkpoint(by().at).await.unwrap(), None, "nothing changed");
    for number in 0..3 {
        world.key(&format!("k{number}")).await;
    }
    let second = world.store().sign_checkpoint(by().at).await.unwrap().unwrap();
    assert_eq!(second.verify(&key, Some(&first)), Ok(()));
    assert_eq!(world.store().list_checkpoints(0, 10).await.unwrap(), [first.clone(), second.clone()]);
    assert_eq!(world.store().list_checkpoints(1, 10).await.unwrap(), std::slice::from_ref(&second));
    let of_neighbour = world.store().find_checkpoint_of(Chain::Organization(neighbour.0)).await.unwrap();
    assert_eq!(of_neighbour, Some(first), "the neighbour has not changed since");
    let entries = world.store().export_audit(chain, 0, 4, 3).await.unwrap();
    assert_eq!(entries.iter().map(|entry| entry.record.sequence).collect::<Vec<_>>(), [1, 2, 3]);
    let rest = world.store().export_audit(chain, 3, 4, 3).await.unwrap();
    let mut check = ExportCheck::new(key);
    for entry in entries.iter().chain(&rest) {
        assert!(check.line(&record_line(&entry.body, &entry.hash, &entry.personal).unwrap()).is_some());
    }
    check.line(&proof_line(&second, chain).unwrap());
    assert_eq!(check.finish(), Ok((chain, 4)));
    let report = world.store().verify_audit().await.unwrap();
    assert_eq!((report.checkpoints, report.faults), (2, vec![]));
}

async fn a_chain_cut_at_its_end_is_found_by_what_was_kept_elsewhere(engine: Engine) {
    let mut world = World::new(engine).await;
    for number in 0..4 {
        world.key(&format!("k{number}")).await;
    }
    let kept = world.store().sign_checkpoint(by().at).await.unwrap().unwrap();
    // Whoever writes the database cuts records, head and checkpoint alike: by itself it is sound again.
    for sql in [
        "DELETE FROM audit WHERE seq > 2",
        "DELETE FROM audit_checkpoint",
        "UPDATE audit_head SET seq = 2, signed_seq = 0, hash = (SELECT hash FROM audit WHERE seq = 2)",
    ] {
        world.tamper(sql).unwrap();
    }
    assert_eq!(world.store().verify_audit().await.unwrap().faults, vec![]);
    let faults = world.store().verify_audit_with(&[kept]).await.unwrap().faults;
    let found: Vec<(&str, i64)> = faults.iter().map(|fault| (fault.chain.as_str(), fault.sequence)).collect();
    assert_eq!(found, [(world.scope.0.to_string().as_str(), 3), ("checkpoint", 1)], "{faults:?}");
}

async fn denied_attempts_add_up(engine: Engine) {
    let world = World::new(engine).await;
    let row = SecurityMinute {
        minute: by().at,
        code: "invalid_api_key".into(),
        attempts: 3,
        networks: 2,
        sample: "keys.list".into(),
    };
    for _ in 0..2 {
        world.store().save_security_minutes(std::slice::from_ref(&row)).await.unwrap();
    }
    let shown = world.tamper("SELECT code, attempts, networks FROM security_minute").unwrap();
    assert!(shown.contains('6') && shown.contains('4'), "{shown}");
}

async fn a_proof_is_recorded_once_behind_its_act(engine: Engine) {
    let mut world = World::new(engine).await;
    let key = world.key("k").await;
    let store = world.store();
    let revoked = store.revoke_key(world.scope, key.id, RevocationReason::Compromised, &by()).await.unwrap();
    let epoch = revoked.unwrap().epoch.0;
    let node = ConfirmedNode { how: "silenced".to_owned(), id: "nod_1".to_owned(), ms: 10_540 };
    let confirmed = Confirmed { cut: true, epoch, nodes: vec![node], running_here: 2, took_ms: 41 };
    for is_new in [true, false, false] {
        assert_eq!(store.record_confirmation(None, confirmed.clone(), &by()).await.unwrap(), is_new);
    }
    let unknown = Confirmed { epoch: epoch + 1, ..confirmed.clone() };
    assert!(!store.record_confirmation(None, unknown, &by()).await.unwrap(), "no such change");
    let page = PageRequest { limit: 2, order: Order::Descending, ..PageRequest::default() };
    let entries = store.list_audit(world.scope, &page).await.unwrap().unwrap().data;
    let [proof, act] = entries.as_slice() else { panic!("two records: {entries:?}") };
    assert_eq!((proof.record.action, act.record.action), (Action::RightsConfirmed, Action::KeyDeleted));
    assert_eq!(proof.record.confirmation, Some(confirmed));
    assert_eq!(proof.record.target, act.record.target, "the event names the key");
    assert_eq!(proof.record.attribution.request_id, act.record.attribution.request_id);
    assert_eq!(store.verify_audit().await.unwrap().faults, vec![]);
}
