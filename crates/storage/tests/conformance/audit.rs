//! The audit chain: one record an act, linked, and every tampering found.

use crate::on_both_engines;
use crate::world::{World, by};
use claviger_domain::audit::Action;
use claviger_domain::key::RevocationReason;
use claviger_storage::{Engine, Order, PageRequest};

on_both_engines! {
    every_act_leaves_one_record_and_repetitions_none,
    records_of_one_organization_are_listed_in_pages,
    a_tampered_record_is_found_and_named,
    without_its_record_no_change,
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
    assert_eq!(last.attribution, by());
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
        ("UPDATE audit SET changes = '[]' WHERE seq = 4", 4),
        ("UPDATE audit SET mac = hash WHERE seq = 3", 3),
        ("UPDATE audit SET hash = previous WHERE seq = 5", 5),
        ("DELETE FROM audit WHERE seq = 2", 3),
        ("DELETE FROM audit WHERE seq = 5", 4),
        ("UPDATE audit SET seq = 9 WHERE seq = 5", 9),
        ("UPDATE audit_head SET seq = 4", 4),
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
