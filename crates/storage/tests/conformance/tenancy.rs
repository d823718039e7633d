//! Organizations, environments, set-up.

use crate::on_both_engines;
use crate::world::{World, by};
use claviger_domain::id::{EnvironmentId, OrganizationId, UserId};
use claviger_domain::money::Nano;
use claviger_domain::person::EmailAddress;
use claviger_domain::right::Role;
use claviger_domain::secret::Secret;
use claviger_domain::tenancy::{OrganizationState, TenantScope};
use claviger_storage::{Engine, Error, KeyFilter, NewOrganization, NewUser, PageRequest, SetUp, SetUpOutcome};
use claviger_testkit::clock::START;

on_both_engines! {
    an_organization_has_a_default_environment_and_a_wallet,
    a_repeated_create_changes_nothing_and_a_taken_slug_conflicts,
    set_up_names_the_first_organization_once,
    set_up_is_all_or_nothing,
}

async fn an_organization_has_a_default_environment_and_a_wallet(engine: Engine) {
    let mut world = World::new(engine).await;
    let other = world.neighbour("umbrella").await;
    let store = world.store();
    let organization = store.find_organization(world.scope.0).await.unwrap().unwrap();
    assert_eq!((organization.slug.as_str(), organization.name.as_str()), ("acme", "ACME"));
    assert_eq!(organization.state, OrganizationState::Active);
    assert_eq!(organization.keys_max, 100);
    assert_eq!(store.find_organization_by_slug("umbrella").await.unwrap().unwrap().id, other.0);
    assert!(store.find_organization_by_slug("nobody").await.unwrap().is_none());
    assert!(store.find_organization(OrganizationId::from_u128(1)).await.unwrap().is_none());
    let all: Vec<_> = store.list_organizations().await.unwrap().into_iter().map(|one| one.id).collect();
    let mut expected = vec![world.scope.0, other.0];
    expected.sort();
    assert_eq!(all, expected);
    let environments = store.list_environments(world.scope).await.unwrap();
    assert_eq!(environments.len(), 1);
    assert_eq!(environments[0].id, organization.default_environment);
    assert_eq!(store.wallet(world.scope).await.unwrap().balance, Nano::ZERO);
}

fn new(id: u128, slug: &str) -> NewOrganization {
    NewOrganization {
        id: OrganizationId::from_u128(id),
        slug: slug.to_owned(),
        name: "X".to_owned(),
        state: OrganizationState::SetUp,
        environment: EnvironmentId::from_u128(id),
        keys_max: claviger_domain::limits::KEYS_PER_ORGANIZATION,
        at: START,
    }
}

async fn a_repeated_create_changes_nothing_and_a_taken_slug_conflicts(engine: Engine) {
    let world = World::new(engine).await;
    let store = world.store();
    let first = store.create_organization(new(5, "five"), &by()).await.unwrap();
    assert_eq!(store.create_organization(new(5, "five"), &by()).await.unwrap(), first);
    assert!(matches!(store.create_organization(new(5, "six"), &by()).await, Err(Error::Conflict(_))));
    assert!(matches!(store.create_organization(new(6, "five"), &by()).await, Err(Error::Conflict(_))));
    assert!(store.find_organization(OrganizationId::from_u128(6)).await.unwrap().is_none());
    assert_eq!(store.list_environments(TenantScope(OrganizationId::from_u128(6))).await.unwrap(), vec![]);
}

fn set_up(world: &mut World, owner: u128) -> SetUp {
    let mut admin_key = world.new_key("first admin");
    admin_key.class = claviger_domain::key::Class::Admin;
    admin_key.role = Some(Role::Owner);
    SetUp {
        organization: OrganizationId::from_u128(5),
        name: "Ada's".to_owned(),
        slug: "adas".to_owned(),
        owner: NewUser {
            id: UserId::from_u128(owner),
            email: EmailAddress::parse(&format!("ada{owner}@example.org")).unwrap(),
            password_hash: Some(Secret::new("$argon2id$x".to_owned())),
            name: String::new(),
            is_verified: false,
            is_operator: true,
        },
        admin_key: Some(admin_key),
        key: Some(world.new_key("first")),
        grant: Some(world.grant(1000)),
    }
}

async fn set_up_names_the_first_organization_once(engine: Engine) {
    let mut world = World::new(engine).await;
    world.store().create_organization(new(5, "five"), &by()).await.unwrap();
    let act = set_up(&mut world, 1);
    let other = set_up(&mut world, 2);
    let store = world.store();
    let SetUpOutcome::Done(epoch) = store.set_up(act.clone(), &by()).await.unwrap() else { panic!("not done") };
    // The answer got lost and the call comes again: the same answer, nothing twice.
    assert_eq!(store.set_up(act, &by()).await.unwrap(), SetUpOutcome::Done(epoch));
    assert_eq!(store.set_up(other, &by()).await.unwrap(), SetUpOutcome::AlreadySetUp);
    let scope = TenantScope(OrganizationId::from_u128(5));
    let organization = store.find_organization(scope.0).await.unwrap().unwrap();
    assert_eq!((organization.name.as_str(), organization.slug.as_str()), ("Ada's", "adas"));
    assert_eq!(organization.state, OrganizationState::Active);
    assert_eq!(store.wallet(scope).await.unwrap().balance, Nano(1000));
    let filter = KeyFilter { now: START, ..KeyFilter::default() };
    let keys = store.list_keys(scope, &filter, &PageRequest { limit: 10, ..PageRequest::default() }).await.unwrap();
    assert_eq!(keys.unwrap().data.len(), 2);
    assert_eq!(store.verify_audit().await.unwrap().faults, vec![]);
}

async fn set_up_is_all_or_nothing(engine: Engine) {
    let mut world = World::new(engine).await;
    let mut act = set_up(&mut world, 1);
    assert!(matches!(world.store().set_up(act.clone(), &by()).await, Err(Error::Conflict(_))), "no such organization");
    world.store().create_organization(new(5, "five"), &by()).await.unwrap();
    act.slug = "acme".to_owned();
    assert!(matches!(world.store().set_up(act.clone(), &by()).await, Err(Error::Conflict(_))), "the slug is taken");
    act.slug = "adas".to_owned();
    let taken = world.key("taken").await;
    act.key = act.key.map(|key| claviger_domain::key::NewKey { id: taken.id, ..key });
    assert!(matches!(world.store().set_up(act, &by()).await, Err(Error::Conflict(_))), "the key id is taken");
    let scope = TenantScope(OrganizationId::from_u128(5));
    let organization = world.store().find_organization(scope.0).await.unwrap().unwrap();
    assert_eq!((organization.slug.as_str(), organization.state), ("five", OrganizationState::SetUp));
    assert_eq!(world.store().wallet(scope).await.unwrap().balance, Nano::ZERO);
    assert_eq!(world.store().verify_audit().await.unwrap().faults, vec![]);
}
