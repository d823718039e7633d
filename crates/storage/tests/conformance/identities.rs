//! Accounts of identity providers: who becomes known by one, and that nobody is taken over.

use crate::on_both_engines;
use crate::people::person;
use crate::world::{World, by};
use claviger_domain::id::{EnvironmentId, InviteId, OrganizationId};
use claviger_domain::person::EmailAddress;
use claviger_domain::person::invite::{Invite, InviteStatus};
use claviger_domain::right::Role;
use claviger_domain::tenancy::{OrganizationState, TenantScope};
use claviger_storage::{Arrival, Engine, Home, Identity, NewInvite, NewOrganization, Order, PageRequest};
use claviger_testkit::clock::START;
use std::time::Duration;

on_both_engines! {
    a_proved_address_opens_every_invite_whose_inviter_may_still_give_it,
    nobody_arrives_uninvited_or_as_somebody_else,
    a_home_is_given_to_whom_nobody_invited,
    of_two_arrivals_at_once_one_is_made,
}

fn account(subject: &str) -> Identity {
    Identity { issuer: "https://id.example".to_owned(), subject: subject.to_owned(), linked_at: START }
}

async fn invite(world: &World, scope: TenantScope, number: u128, inviter: &str, role: Role) {
    let invite = Invite {
        id: InviteId::from_u128(number),
        organization: scope.0,
        email: EmailAddress::parse("mo@acme.io").unwrap(),
        role,
        invited_by: inviter.to_owned(),
        created_at: START,
        expires_at: START.plus(Duration::from_secs(600)),
        accepted_at: None,
        accepted_by: None,
        withdrawn_at: None,
    };
    world.store().create_invite(NewInvite { invite, digest: None }, false, None, &by()).await.unwrap();
}

async fn a_proved_address_opens_every_invite_whose_inviter_may_still_give_it(engine: Engine) {
    let mut world = World::new(engine).await;
    let neighbour = world.neighbour("umbrella").await;
    let stranger = world.neighbour("initech").await;
    let store = world.store();
    invite(&world, world.scope, 1, "operator", Role::Developer).await;
    invite(&world, neighbour, 2, "operator", Role::Viewer).await;
    // Somebody who is no member there any more.
    invite(&world, stranger, 3, "usr_0000000000000000000009", Role::Owner).await;
    let new = person(50, "mo@acme.io");
    let id = new.id;
    let arrived = store.join_by_identity(new.clone(), account("s1"), None, &by()).await.unwrap();
    let Arrival::Joined(user) = arrived.clone() else { panic!("{arrived:?}") };
    let again = store.join_by_identity(new, account("s1"), None, &by()).await.unwrap();
    assert_eq!(again, arrived, "a repeated call");
    let own = store.list_memberships(id).await.unwrap();
    let role = |scope: TenantScope| own.iter().find(|(place, _)| place.id == scope.0).map(|(_, own)| own.role);
    assert_eq!((own.len(), role(world.scope), role(neighbour)), (2, Some(Role::Developer), Some(Role::Viewer)));
    let found = store.find_invite(world.scope, InviteId::from_u128(1)).await.unwrap().unwrap();
    assert_eq!((found.status(START), found.accepted_by), (InviteStatus::Accepted, Some(id)));
    let left = store.find_invite(stranger, InviteId::from_u128(3)).await.unwrap().unwrap();
    assert_eq!(left.status(START), InviteStatus::Pending);
    assert_eq!(store.find_identity("https://id.example", "s1").await.unwrap(), Some(user));
    assert_eq!(store.verify_audit().await.unwrap().faults, vec![]);
}

async fn nobody_arrives_uninvited_or_as_somebody_else(engine: Engine) {
    let world = World::new(engine).await;
    let store = world.store();
    let uninvited = store.join_by_identity(person(50, "mo@acme.io"), account("s1"), None, &by()).await.unwrap();
    assert_eq!(uninvited, Arrival::Uninvited);
    assert!(store.find_user(person(50, "mo@acme.io").id).await.unwrap().is_none());
    assert!(store.find_identity("https://id.example", "s1").await.unwrap().is_none());
    // The address is somebody's: an invite for it does not help.
    invite(&world, world.scope, 1, "operator", Role::Developer).await;
    store.create_user(person(1, "mo@acme.io"), &by()).await.unwrap();
    let known = store.join_by_identity(person(51, "mo@acme.io"), account("s1"), None, &by()).await.unwrap();
    assert_eq!(known, Arrival::Known);
    // The account is somebody's.
    store.link_identity("https://id.example", "s2", person(1, "mo@acme.io").id, &by()).await.unwrap();
    let home = Some(Home::Member(world.scope.0, Role::Developer));
    let known = store.join_by_identity(person(52, "new@acme.io"), account("s2"), home, &by()).await.unwrap();
    assert_eq!(known, Arrival::Known);
}

async fn a_home_is_given_to_whom_nobody_invited(engine: Engine) {
    let world = World::new(engine).await;
    let store = world.store();
    let home = |role| Some(Home::Member(world.scope.0, role));
    let joined =
        store.join_by_identity(person(50, "a@acme.io"), account("s1"), home(Role::Admin), &by()).await.unwrap();
    assert!(matches!(joined, Arrival::Joined(_)), "{joined:?}");
    assert_eq!(store.list_memberships(person(50, "a@acme.io").id).await.unwrap()[0].1.role, Role::Admin);
    // An invite says more than the rule for everybody.
    invite(&world, world.scope, 1, "operator", Role::Viewer).await;
    store.join_by_identity(person(51, "mo@acme.io"), account("s2"), home(Role::Admin), &by()).await.unwrap();
    assert_eq!(store.list_memberships(person(51, "mo@acme.io").id).await.unwrap()[0].1.role, Role::Viewer);
    let own = NewOrganization {
        id: OrganizationId::from_u128(60),
        slug: "own".to_owned(),
        name: "Own".to_owned(),
        state: OrganizationState::Active,
        environment: EnvironmentId::from_u128(60),
        keys_max: 100,
        at: START,
    };
    let own = Some(Home::Own(own.into()));
    store.join_by_identity(person(52, "c@acme.io"), account("s3"), own, &by()).await.unwrap();
    let places = store.list_memberships(person(52, "c@acme.io").id).await.unwrap();
    assert_eq!((places[0].0.slug.as_str(), places[0].1.role), ("own", Role::Owner));
    let nowhere = Some(Home::Member(OrganizationId::from_u128(999), Role::Viewer));
    let refused = store.join_by_identity(person(53, "d@acme.io"), account("s4"), nowhere, &by()).await;
    assert!(refused.is_err());
    assert!(store.find_user(person(53, "d@acme.io").id).await.unwrap().is_none(), "all or nothing");
}

async fn of_two_arrivals_at_once_one_is_made(engine: Engine) {
    let world = World::new(engine).await;
    invite(&world, world.scope, 1, "operator", Role::Developer).await;
    let arrive = |number| {
        let store = world.store().clone();
        async move { store.join_by_identity(person(number, "mo@acme.io"), account("s1"), None, &by()).await }
    };
    let (one, two) = tokio::join!(arrive(50), arrive(51));
    let joined = [&one, &two].iter().filter(|outcome| matches!(outcome, Ok(Arrival::Joined(_)))).count();
    assert_eq!(joined, 1, "{one:?} {two:?}");
    let everybody = PageRequest { limit: 100, after: None, before: None, order: Order::default() };
    let members = world.store().list_members(world.scope, &[], &everybody).await.unwrap();
    assert_eq!(members.unwrap().data.iter().filter(|member| member.user.email.as_str() == "mo@acme.io").count(), 1);
}
