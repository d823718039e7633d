//! Who makes or changes a key is judged where it is done: what was lost between the request's coming in and the lock is
//! lost for the request too.

use crate::on_both_engines;
use crate::people::person;
use crate::world::{World, by};
use claviger_domain::audit::{Action, Actor, Attribution};
use claviger_domain::id::{AgentId, KeyId, UserId};
use claviger_domain::key::{Class, Key, NewKey, Owner, Policy, Restrictions, StoredState};
use claviger_domain::right::{Creators, Permission, Role};
use claviger_domain::tenancy::PolicyEdit;
use claviger_storage::{
    ChangeKeyOutcome, CreateKeyOutcome, Demand, Engine, Error, ImportedKey, KeyAct, NewAgent, OrganizationEdit,
};

on_both_engines! {
    nobody_makes_or_changes_a_key_by_a_right_lost_meanwhile,
    a_key_makes_none_that_may_more_than_it_may_now,
    who_may_their_own_keys_alone_touches_no_others,
    a_command_line_gets_what_whoever_consents_is,
    an_admin_key_that_may_more_is_left_alone,
}

async fn member(world: &World, number: u128, role: Role) -> (UserId, Attribution) {
    let new = person(number, &format!("p{number}@acme.io"));
    let id = new.id;
    world.store().create_user(new, &by()).await.unwrap();
    world.store().make_owner(world.scope, id, &by()).await.unwrap();
    become_role(world, id, role);
    (id, Attribution { actor: Actor::User(id.to_string()), ..by() })
}

fn become_role(world: &World, id: UserId, role: Role) {
    let sql = format!("UPDATE membership SET role = '{}' WHERE user_id = '{id}'", role.name());
    world.tamper(&sql).unwrap();
}

async fn let_make(world: &World, creators: Creators) {
    let policy = Some(PolicyEdit { creators: Some(creators), ..PolicyEdit::default() });
    let edit = OrganizationEdit { policy, ..OrganizationEdit::default() };
    world.store().update_organization(world.scope.0, edit, None, &by()).await.unwrap();
}

async fn create(world: &World, new: NewKey, by: &Attribution) -> Result<Key, Error> {
    match world.store().create_key(world.scope, new, by).await? {
        CreateKeyOutcome::Created { key, .. } => Ok(key),
        other => panic!("{other:?}"),
    }
}

/// Renames a key; whether that was done.
async fn rename(world: &World, id: KeyId, demand: Demand, by: &Attribution) -> Result<(), Error> {
    let decide = |key: &Key| Ok::<_, ()>(Some(Key { name: format!("{}'", key.name), ..key.clone() }));
    let act = KeyAct::asking(Action::KeyUpdated, demand);
    match world.store().change_key(world.scope, id, act, decide, by).await? {
        Some(ChangeKeyOutcome::Changed(_)) => Ok(()),
        other => panic!("{other:?}"),
    }
}

fn restricted(models: &str) -> Policy {
    let models = Some(vec![models.parse().unwrap()]);
    Policy { enforced: Restrictions { models, ..Restrictions::default() }, ..Policy::default() }
}

const DEMANDS: [Demand; 4] = [
    Demand::Permission(Permission::KeysUpdate),
    Demand::Permission(Permission::KeysRevoke),
    Demand::Strength(Permission::KeysUpdate),
    Demand::Strength(Permission::KeysRotate),
];

async fn nobody_makes_or_changes_a_key_by_a_right_lost_meanwhile(engine: Engine) {
    let mut world = World::new(engine).await;
    let (ann, as_ann) = member(&world, 1, Role::Owner).await;
    let new = world.new_key("first");
    let key = create(&world, new, &as_ann).await.unwrap();
    for demand in DEMANDS {
        rename(&world, key.id, demand, &as_ann).await.unwrap();
    }
    let version = world.store().find_organization(world.scope.0).await.unwrap().unwrap().version;
    for lost in ["role", "account"] {
        match lost {
            "role" => become_role(&world, ann, Role::Viewer),
            _ => {
                become_role(&world, ann, Role::Owner);
                world.tamper(&format!("UPDATE users SET state = 'disabled' WHERE id = '{ann}'")).unwrap();
            }
        }
        for demand in DEMANDS {
            let late = rename(&world, key.id, demand, &as_ann).await;
            assert!(matches!(late, Err(Error::Beyond)), "{lost} {demand:?}: {late:?}");
        }
        let new = world.new_key("late");
        let late = create(&world, new, &as_ann).await;
        assert!(matches!(late, Err(Error::Beyond)), "{lost}: {late:?}");
        let moved = vec![Ok(ImportedKey { key: world.new_key("moved"), is_disabled: false })];
        let late = world.store().import_keys(world.scope, moved, "csv", false, None, &as_ann).await;
        assert!(matches!(late, Err(Error::Beyond)), "{lost}: {late:?}");
        let agent = AgentId::from_u128(7);
        let robot = world.new_key("robot");
        let robot = NewKey { owner: Some(Owner::Agent(agent)), environment: Some(world.environment), ..robot };
        let new =
            NewAgent { id: agent, environment: world.environment, name: "robot".into(), role: None, key: Some(robot) };
        let late = world.store().create_agent(world.scope, new, None, &as_ann).await;
        assert!(matches!(late, Err(Error::Beyond)), "{lost}: {late:?}");
        let policy = Some(PolicyEdit { creators: Some(Creators::Developers), ..PolicyEdit::default() });
        let edit = OrganizationEdit { policy, ..OrganizationEdit::default() };
        let late = world.store().update_organization(world.scope.0, edit, None, &as_ann).await;
        assert!(matches!(late, Err(Error::Beyond)), "{lost}: {late:?}");
    }
    let found = world.store().find_key(world.scope, key.id).await.unwrap().unwrap();
    assert_eq!((found.name.as_str(), found.version), ("first''''", 5), "nothing was changed");
    let organization = world.store().find_organization(world.scope.0).await.unwrap().unwrap();
    assert_eq!((organization.version, organization.policy.creators), (version, Creators::Owners));
    let nobody = Attribution { actor: Actor::Nobody, ..by() };
    rename(&world, key.id, Demand::Nothing, &nobody).await.expect("by possession nobody is asked");
    assert_eq!(world.store().verify_audit().await.unwrap().faults, vec![]);
}

async fn a_key_makes_none_that_may_more_than_it_may_now(engine: Engine) {
    let mut world = World::new(engine).await;
    let maker = world.new_key("maker");
    let maker = NewKey { class: Class::Admin, role: Some(Role::Owner), policy: restricted("a/*"), ..maker };
    let maker = create(&world, maker, &by()).await.unwrap();
    let as_key = Attribution { actor: Actor::Key(maker.id.to_string()), ..by() };
    let narrow = NewKey { policy: restricted("a/x"), ..world.new_key("narrow") };
    let made = create(&world, narrow, &as_key).await.unwrap();
    let wide = world.new_key("wide");
    assert!(matches!(create(&world, wide, &as_key).await, Err(Error::Beyond)), "of all models");
    rename(&world, made.id, Demand::Strength(Permission::KeysUpdate), &as_key).await.unwrap();
    let store = world.store();
    let decide = |key: &Key| Ok::<_, ()>(Some(Key { policy: restricted("b/*"), ..key.clone() }));
    store.change_key(world.scope, maker.id, Action::KeyUpdated, decide, &by()).await.unwrap();
    let late = rename(&world, made.id, Demand::Strength(Permission::KeysUpdate), &as_key).await;
    assert!(matches!(late, Err(Error::Beyond)), "it was narrowed: {late:?}");
    rename(&world, made.id, Demand::Permission(Permission::KeysUpdate), &as_key).await.expect("that gives nothing");
    // Its own revocation is judged by what it was before.
    let decide = |key: &Key| {
        let reason = claviger_domain::key::RevocationReason::Other;
        Ok::<_, ()>(Some(Key { state: StoredState::Revoked { at: by().at, reason }, ..key.clone() }))
    };
    let act = || KeyAct::asking(Action::KeyDeleted, Demand::Permission(Permission::KeysRevoke));
    assert!(store.change_key(world.scope, maker.id, act(), decide, &as_key).await.is_ok());
    let late = store.change_key(world.scope, made.id, act(), decide, &as_key).await;
    assert!(matches!(late, Err(Error::Beyond)), "{late:?}");
}

async fn who_may_their_own_keys_alone_touches_no_others(engine: Engine) {
    let mut world = World::new(engine).await;
    let (dev, as_dev) = member(&world, 1, Role::Developer).await;
    let own = |new: NewKey| NewKey { owner: Some(Owner::User(dev)), ..new };
    let (first, second, foreign) = (world.new_key("first"), world.new_key("second"), world.new_key("foreign"));
    assert!(matches!(create(&world, own(first), &as_dev).await, Err(Error::Beyond)), "owners make keys here");
    let_make(&world, Creators::Developers).await;
    let made = create(&world, own(second), &as_dev).await.unwrap();
    let of_nobody = world.new_key("nobody's");
    assert!(matches!(create(&world, of_nobody, &as_dev).await, Err(Error::Beyond)));
    let foreign = create(&world, foreign, &by()).await.unwrap();
    for demand in DEMANDS {
        rename(&world, made.id, demand, &as_dev).await.unwrap();
        assert!(matches!(rename(&world, foreign.id, demand, &as_dev).await, Err(Error::Beyond)), "{demand:?}");
    }
}

async fn a_command_line_gets_what_whoever_consents_is(engine: Engine) {
    let mut world = World::new(engine).await;
    let (viewer, as_viewer) = member(&world, 1, Role::Viewer).await;
    let mut make = async |role, owner| {
        let new = world.new_key("CLI");
        let new = NewKey { class: Class::Admin, role: Some(role), owner: Some(Owner::User(owner)), ..new };
        world.store().create_key_once(world.scope, new, None, Demand::OwnStrength, &as_viewer).await
    };
    assert!(matches!(make(Role::Viewer, viewer).await, Ok(CreateKeyOutcome::Created { .. })));
    assert!(matches!(make(Role::Developer, viewer).await, Err(Error::Beyond)));
    assert!(matches!(make(Role::Viewer, UserId::from_u128(9)).await, Err(Error::Beyond)), "somebody else's");
}

async fn an_admin_key_that_may_more_is_left_alone(engine: Engine) {
    let mut world = World::new(engine).await;
    let_make(&world, Creators::Admins).await;
    let (_, as_admin) = member(&world, 1, Role::Admin).await;
    let admin_key = |new: NewKey, role| NewKey { class: Class::Admin, role: Some(role), ..new };
    let (strong, equal, stronger) = (world.new_key("strong"), world.new_key("equal"), world.new_key("stronger"));
    let strong = create(&world, admin_key(strong, Role::Owner), &by()).await.unwrap();
    let equal = create(&world, admin_key(equal, Role::Admin), &as_admin).await.unwrap();
    assert!(matches!(create(&world, admin_key(stronger, Role::Owner), &as_admin).await, Err(Error::Beyond)));
    for demand in DEMANDS {
        rename(&world, equal.id, demand, &as_admin).await.unwrap();
        assert!(matches!(rename(&world, strong.id, demand, &as_admin).await, Err(Error::Beyond)), "{demand:?}");
    }
}
