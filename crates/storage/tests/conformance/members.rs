//! Members, invites, handovers, passkeys: who joins, who leaves, and that an owner always stays.

use crate::on_both_engines;
use crate::people::person;
use crate::world::{World, by};
use claviger_domain::audit::{Actor, Attribution};
use claviger_domain::error::Code;
use claviger_domain::id::{EnvironmentId, HandoverId, InviteId, OrganizationId, PasskeyId, SessionId, UserId};
use claviger_domain::key::{Class, Key, NewKey, Owner, RevocationReason, StoredState};
use claviger_domain::notice::MailKind;
use claviger_domain::person::EmailAddress;
use claviger_domain::person::invite::{Invite, InviteStatus};
use claviger_domain::person::session::SessionRules;
use claviger_domain::person::token::Token;
use claviger_domain::right::Role;
use claviger_domain::tenancy::OrganizationState;
use claviger_domain::time::Timestamp;
use claviger_storage::{
    AcceptOutcome, CreateKeyOutcome, Decisions, Engine, Error, InviteOutcome, Joining, KeyFate, MemberOutcome,
    NewInvite, NewOrganization, NewUser, PageRequest, Passkey, PasskeyOutcome, RemovalOutcome, ResendOutcome,
};
use claviger_testkit::clock::START;
use claviger_testkit::rng::SeededRandom;
use std::time::Duration;

on_both_engines! {
    whoever_signs_up_owns_their_organization,
    a_taken_address_makes_nothing_and_is_told,
    a_role_is_given_and_sessions_end,
    the_last_owner_stays,
    two_owners_who_remove_each_other_leave_exactly_one,
    of_two_owners_of_three_who_remove_each_other_one_succeeds,
    a_removed_member_leaves_no_invite_behind,
    keys_a_leaving_member_has_seen_meet_their_decisions,
    an_invite_is_accepted_once_however_many_try,
    an_invite_is_worth_its_inviters_right_at_that_moment,
    an_invite_by_a_key_is_worth_no_more_than_the_keys_owner,
    a_resent_invite_has_one_living_link,
    a_newer_invite_replaces_the_older,
    a_mailed_invite_gets_its_token_late,
    a_sealed_text_is_taken_once_by_a_member,
    a_passkey_is_added_used_and_removed,
    an_account_elsewhere_is_one_persons,
}

fn email(text: &str) -> EmailAddress {
    EmailAddress::parse(text).unwrap()
}

async fn member(world: &World, number: u128, role: Role) -> UserId {
    let new = person(number, &format!("p{number}@acme.io"));
    let id = new.id;
    world.store().create_user(new, &by()).await.unwrap();
    world.store().make_owner(world.scope, id, &by()).await.unwrap();
    if role != Role::Owner {
        let sql = format!("UPDATE membership SET role = '{}' WHERE user_id = '{id}'", role.name());
        world.tamper(&sql).unwrap();
    }
    id
}

const fn keep() -> Decisions {
    Decisions { default: KeyFate::Keep, by_key: Vec::new() }
}

fn token(number: u64) -> Token {
    Token::draw(&mut SeededRandom::new(number))
}

fn invite(world: &World, number: u128, inviter: &str, role: Role) -> NewInvite {
    NewInvite {
        invite: Invite {
            id: InviteId::from_u128(number),
            organization: world.scope.0,
            email: email("new@acme.io"),
            role,
            invited_by: inviter.to_owned(),
            created_at: START,
            expires_at: START.plus(Duration::from_secs(600)),
            accepted_at: None,
            accepted_by: None,
            withdrawn_at: None,
        },
        digest: Some(token(u64::try_from(number).unwrap()).digest()),
    }
}

fn organization(number: u128, slug: &str) -> NewOrganization {
    NewOrganization {
        id: OrganizationId::from_u128(number),
        slug: slug.to_owned(),
        name: "Own".to_owned(),
        state: OrganizationState::Active,
        environment: EnvironmentId::from_u128(number),
        keys_max: 100,
        at: START,
    }
}

async fn whoever_signs_up_owns_their_organization(engine: Engine) {
    let world = World::new(engine).await;
    let store = world.store();
    let made = store.sign_up(person(50, "own@x.io"), organization(50, "own"), true, &by()).await.unwrap().unwrap();
    let again = store.sign_up(person(50, "own@x.io"), organization(50, "own"), true, &by()).await.unwrap().unwrap();
    assert_eq!(made, again, "a repeated call");
    let own = store.list_memberships(made.id).await.unwrap();
    assert_eq!(own.len(), 1);
    assert_eq!((own[0].0.slug.as_str(), own[0].1.role), ("own", Role::Owner));
    let mails = store.claim_mails(START).await.unwrap();
    assert_eq!(mails.iter().map(|mail| mail.mail.kind).collect::<Vec<_>>(), [MailKind::Verify]);
    assert_eq!(store.verify_audit().await.unwrap().faults, vec![]);
}

async fn a_taken_address_makes_nothing_and_is_told(engine: Engine) {
    let world = World::new(engine).await;
    let store = world.store();
    store.create_user(person(1, "own@x.io"), &by()).await.unwrap();
    assert!(store.sign_up(person(2, "own@x.io"), organization(50, "own"), true, &by()).await.unwrap().is_none());
    assert!(store.find_organization_by_slug("own").await.unwrap().is_none());
    let mails = store.claim_mails(START).await.unwrap();
    assert_eq!(mails.iter().map(|mail| mail.mail.kind).collect::<Vec<_>>(), [MailKind::AlreadyKnown]);
    assert!(store.sign_up(person(3, "own@x.io"), organization(51, "own"), false, &by()).await.unwrap().is_none());
    assert_eq!(store.mail_backlog().await.unwrap(), 1);
}

async fn a_role_is_given_and_sessions_end(engine: Engine) {
    let mut world = World::new(engine).await;
    let neighbour = world.neighbour("umbrella").await;
    let (ann, bob) = (member(&world, 1, Role::Owner).await, member(&world, 2, Role::Developer).await);
    let store = world.store();
    let rules = SessionRules { idle: Duration::from_secs(60), max: Duration::from_secs(600) };
    let session = rules.begin(SessionId::from_u128(1), bob, "", "", START);
    store.begin_session(session, token(1).digest(), None, &by()).await.unwrap();
    let MemberOutcome::Done { member: changed, epoch } =
        store.change_role(world.scope, bob, Role::Admin, &by()).await.unwrap().unwrap()
    else {
        panic!("not done")
    };
    assert_eq!((changed.user.id, changed.membership.role), (bob, Role::Admin));
    assert!(store.list_sessions(bob, START).await.unwrap().is_empty());
    let again = store.change_role(world.scope, bob, Role::Admin, &by()).await.unwrap().unwrap();
    assert_eq!(again, MemberOutcome::Done { member: changed, epoch });
    assert!(store.change_role(neighbour, bob, Role::Viewer, &by()).await.unwrap().is_none(), "not there");
    assert!(store.remove_member(neighbour, bob, keep(), &by()).await.unwrap().is_none());
    assert!(store.find_member(neighbour, bob).await.unwrap().is_none());
    let page = PageRequest { limit: 1, ..PageRequest::default() };
    let first = store.list_members(world.scope, &[], &page).await.unwrap().unwrap();
    assert_eq!((first.data[0].user.id, first.has_more), (bob, true));
    let named = [first.data[0].user.email.to_string(), "nobody@example.org".to_owned()];
    let whole = PageRequest { limit: 100, ..PageRequest::default() };
    let named_of = store.list_members(world.scope, &named, &whole).await.unwrap().unwrap();
    assert_eq!(named_of.data.iter().map(|member| member.user.id).collect::<Vec<_>>(), [bob]);
    let rest = PageRequest { after: Some(bob.to_string()), ..page };
    let rest_of = store.list_members(world.scope, &[], &rest).await.unwrap().unwrap();
    assert_eq!(rest_of.data.iter().map(|member| member.user.id).collect::<Vec<_>>(), [ann]);
    assert!(store.list_members(neighbour, &[], &rest).await.unwrap().is_none(), "a foreign cursor");
}

async fn the_last_owner_stays(engine: Engine) {
    let world = World::new(engine).await;
    let (ann, bob) = (member(&world, 1, Role::Owner).await, member(&world, 2, Role::Owner).await);
    let store = world.store();
    world.tamper(&format!("UPDATE users SET state = 'disabled' WHERE id = '{bob}'")).unwrap();
    let before = *store.committed().borrow();
    assert!(matches!(
        store.remove_member(world.scope, ann, keep(), &by()).await.unwrap(),
        Some(RemovalOutcome::LastOwner)
    ));
    let demoted = store.change_role(world.scope, ann, Role::Admin, &by()).await.unwrap();
    assert_eq!(demoted, Some(MemberOutcome::LastOwner), "a disabled owner does not count");
    assert_eq!(*store.committed().borrow(), before);
    assert!(matches!(
        store.remove_member(world.scope, bob, keep(), &by()).await.unwrap(),
        Some(RemovalOutcome::Done { .. })
    ));
}

async fn two_owners_who_remove_each_other_leave_exactly_one(engine: Engine) {
    let world = World::new(engine).await;
    for round in 0..10_u128 {
        let (ann, bob) = (10 + 2 * round, 11 + 2 * round);
        let (ann, bob) = (member(&world, ann, Role::Owner).await, member(&world, bob, Role::Owner).await);
        let remove = |id: UserId| {
            let (store, scope) = (world.store().clone(), world.scope);
            tokio::spawn(async move { store.remove_member(scope, id, keep(), &by()).await.unwrap().unwrap() })
        };
        let (first, second) = (remove(ann), remove(bob));
        let outcomes = [first.await.unwrap(), second.await.unwrap()];
        let done = outcomes.iter().filter(|outcome| matches!(outcome, RemovalOutcome::Done { .. })).count();
        assert_eq!(done, 1, "round {round}: {outcomes:?}");
        world.tamper("DELETE FROM membership").unwrap();
    }
}

async fn of_two_owners_of_three_who_remove_each_other_one_succeeds(engine: Engine) {
    let world = World::new(engine).await;
    member(&world, 1, Role::Owner).await;
    for round in 0..5_u128 {
        let (ann, bob) = (10 + 2 * round, 11 + 2 * round);
        let (ann, bob) = (member(&world, ann, Role::Owner).await, member(&world, bob, Role::Owner).await);
        let remove = |who: UserId, id: UserId| {
            let (store, scope) = (world.store().clone(), world.scope);
            let by = Attribution { actor: Actor::User(who.to_string()), ..by() };
            tokio::spawn(async move { store.remove_member(scope, id, keep(), &by).await })
        };
        let (first, second) = (remove(ann, bob), remove(bob, ann));
        let outcomes = [first.await.unwrap(), second.await.unwrap()];
        let done = outcomes.iter().filter(|outcome| matches!(outcome, Ok(Some(RemovalOutcome::Done { .. })))).count();
        let late = outcomes.iter().filter(|outcome| matches!(outcome, Err(Error::Beyond))).count();
        assert_eq!((done, late), (1, 1), "round {round}: {outcomes:?}");
    }
    let demoted = Attribution { actor: Actor::User(UserId::from_u128(404).to_string()), ..by() };
    let role = world.store().change_role(world.scope, UserId::from_u128(1), Role::Viewer, &demoted).await;
    assert!(matches!(role, Err(Error::Beyond)), "a stranger: {role:?}");
}

async fn a_removed_member_leaves_no_invite_behind(engine: Engine) {
    let world = World::new(engine).await;
    let (ann, bob) = (member(&world, 1, Role::Owner).await, member(&world, 2, Role::Admin).await);
    let store = world.store();
    assert_eq!(
        store.create_invite(invite(&world, 7, &bob.to_string(), Role::Viewer), false, None, &by()).await.unwrap(),
        InviteOutcome::Sent
    );
    store.remove_member(world.scope, bob, keep(), &by()).await.unwrap();
    let found = store.find_invite(world.scope, InviteId::from_u128(7)).await.unwrap().unwrap();
    assert_eq!(found.status(START), InviteStatus::Withdrawn);
    let new = NewUser { ..person(9, "new@acme.io") };
    let refused = store.accept_invite(token(7).digest(), Joining::New(new), None, &by()).await.unwrap();
    assert_eq!(refused, Some(AcceptOutcome::Refused(Code::InviteWithdrawn)));
    let told = store.claim_mails(START).await.unwrap();
    assert_eq!(told.iter().map(|mail| mail.mail.user).collect::<Vec<_>>(), [Some(ann)], "the owner is told");
    assert_eq!(store.verify_audit().await.unwrap().faults, vec![]);
}

async fn keys_a_leaving_member_has_seen_meet_their_decisions(engine: Engine) {
    let mut world = World::new(engine).await;
    let (ann, bob) = (member(&world, 1, Role::Owner).await, member(&world, 2, Role::Admin).await);
    world.tamper("UPDATE organization SET creators = 'admins'").unwrap();
    let as_bob = Attribution { actor: Actor::User(bob.to_string()), ..by() };
    let mut made = Vec::new();
    for (name, class, owner, maker) in [
        ("own admin", Class::Admin, Some(Owner::User(bob)), &as_bob),
        ("own", Class::Inference, Some(Owner::User(bob)), &as_bob),
        ("seen", Class::Inference, None, &as_bob),
        ("ended", Class::Inference, Some(Owner::User(bob)), &as_bob),
        ("never seen", Class::Inference, None, &by()),
    ] {
        let new = world.new_key(name);
        let role = (class == Class::Admin).then_some(Role::Admin);
        let new = NewKey { class, owner, role, ..new };
        match world.store().create_key(world.scope, new, maker).await.unwrap() {
            CreateKeyOutcome::Created { key, .. } => made.push(key.id),
            other => panic!("{other:?}"),
        }
    }
    let store = world.store();
    let names = |keys: Vec<Key>| {
        let mut names: Vec<String> = keys.into_iter().map(|key| key.name).collect();
        names.sort();
        names
    };
    assert_eq!(names(store.list_seen_keys(world.scope, bob).await.unwrap()), ["ended", "own", "own admin", "seen"]);
    assert!(store.list_seen_keys(world.scope, ann).await.unwrap().is_empty());
    let decisions = Decisions {
        default: KeyFate::Keep,
        by_key: vec![(made[1], KeyFate::Transfer(ann)), (made[3], KeyFate::Revoke)],
    };
    let outcome = store.remove_member(world.scope, bob, decisions, &by()).await.unwrap().unwrap();
    let RemovalOutcome::Done { keys, .. } = outcome else { panic!("{outcome:?}") };
    assert_eq!(keys.len(), 4);
    let find = async |id| store.find_key(world.scope, id).await.unwrap().unwrap();
    let left = StoredState::Revoked { at: START, reason: RevocationReason::MemberLeft };
    assert_eq!(find(made[0]).await.state, left, "an admin key ends with its owner");
    let transferred = find(made[1]).await;
    assert_eq!((transferred.owner, transferred.rotation_due_since), (Some(Owner::User(ann)), Some(START)));
    assert_eq!(
        (find(made[2]).await.state, find(made[2]).await.rotation_due_since),
        (StoredState::Enabled, Some(START))
    );
    assert_eq!(find(made[3]).await.state, left);
    assert_eq!(find(made[4]).await.rotation_due_since, None);
    assert_eq!(store.verify_audit().await.unwrap().faults, vec![]);
}

async fn an_invite_is_accepted_once_however_many_try(engine: Engine) {
    let world = World::new(engine).await;
    let ann = member(&world, 1, Role::Owner).await;
    let new = invite(&world, 7, &ann.to_string(), Role::Developer);
    assert_eq!(world.store().create_invite(new.clone(), false, None, &by()).await.unwrap(), InviteOutcome::Sent);
    assert_eq!(
        world.store().create_invite(new, false, None, &by()).await.unwrap(),
        InviteOutcome::Sent,
        "a repeated call"
    );
    let found = world.store().find_invite_by_token(&token(7).digest()).await.unwrap().unwrap();
    assert_eq!((found.id, found.role), (InviteId::from_u128(7), Role::Developer));
    world.store().create_user(person(9, "new@acme.io"), &by()).await.unwrap();
    let tries: Vec<_> = (0..10)
        .map(|_| {
            let store = world.store().clone();
            let who = Joining::Known(UserId::from_u128(9));
            tokio::spawn(
                async move { store.accept_invite(token(7).digest(), who, None, &by()).await.unwrap().unwrap() },
            )
        })
        .collect();
    let mut joined = 0;
    for outcome in tries {
        match outcome.await.unwrap() {
            AcceptOutcome::Joined { user, organization } => {
                joined += 1;
                assert_eq!((user.id, organization.id), (UserId::from_u128(9), world.scope.0));
            }
            AcceptOutcome::Refused(code) => assert_eq!(code, Code::InviteUsed),
        }
    }
    assert_eq!(joined, 1);
    let member = world.store().find_member(world.scope, UserId::from_u128(9)).await.unwrap().unwrap();
    assert_eq!(member.membership.role, Role::Developer);
    let refused = world.store().create_invite(invite(&world, 8, "operator", Role::Viewer), false, None, &by()).await;
    assert_eq!(refused.unwrap(), InviteOutcome::AlreadyMember);
    let page = PageRequest { limit: 10, ..PageRequest::default() };
    let list = world.store().list_invites(world.scope, &page).await.unwrap().unwrap();
    assert_eq!(list.data.iter().map(|invite| invite.status(START)).collect::<Vec<_>>(), [InviteStatus::Accepted]);
}

async fn an_invite_is_worth_its_inviters_right_at_that_moment(engine: Engine) {
    let world = World::new(engine).await;
    member(&world, 1, Role::Owner).await;
    let bob = member(&world, 2, Role::Owner).await;
    let store = world.store();
    store.create_invite(invite(&world, 7, &bob.to_string(), Role::Owner), false, None, &by()).await.unwrap();
    let accept = async |asked: Option<Role>, address: &str, at: Timestamp| {
        let new = NewUser { id: UserId::from_u128(9), ..person(9, address) };
        let by = Attribution { at, ..by() };
        store.accept_invite(token(7).digest(), Joining::New(new), asked, &by).await.unwrap().unwrap()
    };
    let refused = |code| AcceptOutcome::Refused(code);
    assert_eq!(accept(None, "other@acme.io", START).await, refused(Code::InviteMismatch));
    assert_eq!(accept(Some(Role::Admin), "new@acme.io", START).await, refused(Code::InviteMismatch));
    let late = START.plus(Duration::from_secs(600));
    assert_eq!(accept(None, "new@acme.io", late).await, refused(Code::InviteExpired));
    store.change_role(world.scope, bob, Role::Admin, &by()).await.unwrap();
    assert_eq!(accept(None, "new@acme.io", START).await, refused(Code::InviteWithdrawn), "an admin makes no owner");
    assert!(store.find_login(&email("new@acme.io")).await.unwrap().is_none(), "a refusal makes nobody");
    store.make_owner(world.scope, bob, &by()).await.unwrap();
    assert!(matches!(accept(None, "new@acme.io", START).await, AcceptOutcome::Joined { .. }));
    let unknown = Joining::Known(UserId::from_u128(77));
    assert!(store.accept_invite(token(99).digest(), unknown, None, &by()).await.unwrap().is_none());
}

async fn an_invite_by_a_key_is_worth_no_more_than_the_keys_owner(engine: Engine) {
    let mut world = World::new(engine).await;
    member(&world, 1, Role::Owner).await;
    let bob = member(&world, 2, Role::Owner).await;
    let new = world.new_key("cli");
    let key = new.id;
    let new = NewKey { class: Class::Admin, role: Some(Role::Owner), owner: Some(Owner::User(bob)), ..new };
    let store = world.store();
    store.create_key(world.scope, new, &by()).await.unwrap();
    store.create_invite(invite(&world, 7, &key.to_string(), Role::Owner), false, None, &by()).await.unwrap();
    let accept = async || {
        let new = NewUser { id: UserId::from_u128(9), ..person(9, "new@acme.io") };
        store.accept_invite(token(7).digest(), Joining::New(new), None, &by()).await.unwrap().unwrap()
    };
    store.change_role(world.scope, bob, Role::Viewer, &by()).await.unwrap();
    let refused = AcceptOutcome::Refused(Code::InviteWithdrawn);
    assert_eq!(accept().await, refused, "else whoever was demoted comes back as what they were");
    store.make_owner(world.scope, bob, &by()).await.unwrap();
    assert!(matches!(accept().await, AcceptOutcome::Joined { .. }));
}

async fn a_resent_invite_has_one_living_link(engine: Engine) {
    let mut world = World::new(engine).await;
    let neighbour = world.neighbour("umbrella").await;
    let store = world.store();
    let id = InviteId::from_u128(7);
    store.create_invite(invite(&world, 7, "operator", Role::Viewer), false, None, &by()).await.unwrap();
    let later = START.plus(Duration::from_secs(9000));
    let digest = Some(token(8).digest());
    let resend = async |scope| store.resend_invite(scope, id, digest, later, false, &by()).await.unwrap();
    assert_eq!(resend(neighbour).await, ResendOutcome::NotPending);
    let ResendOutcome::Sent(renewed) = resend(world.scope).await else { panic!("not sent") };
    assert_eq!(renewed.expires_at, later);
    assert!(store.find_invite_by_token(&token(7).digest()).await.unwrap().is_none());
    assert!(store.find_invite_by_token(&token(8).digest()).await.unwrap().is_some());
    assert!(matches!(resend(world.scope).await, ResendOutcome::Sent(_)));
    assert_eq!(resend(world.scope).await, ResendOutcome::TooOften, "three mails are enough");
    assert!(store.withdraw_invite(neighbour, id, &by()).await.unwrap().is_none());
    let withdrawn = store.withdraw_invite(world.scope, id, &by()).await.unwrap().unwrap();
    assert_eq!(withdrawn.status(START), InviteStatus::Withdrawn);
    assert_eq!(resend(world.scope).await, ResendOutcome::NotPending);
}

async fn a_newer_invite_replaces_the_older(engine: Engine) {
    let world = World::new(engine).await;
    let store = world.store();
    store.create_invite(invite(&world, 7, "operator", Role::Viewer), false, None, &by()).await.unwrap();
    store.create_invite(invite(&world, 8, "operator", Role::Admin), false, None, &by()).await.unwrap();
    let status = async |number| {
        store.find_invite(world.scope, InviteId::from_u128(number)).await.unwrap().unwrap().status(START)
    };
    assert_eq!((status(7).await, status(8).await), (InviteStatus::Withdrawn, InviteStatus::Pending));
}

async fn a_mailed_invite_gets_its_token_late(engine: Engine) {
    let world = World::new(engine).await;
    let store = world.store();
    let new = NewInvite { digest: None, ..invite(&world, 7, "operator", Role::Viewer) };
    store.create_invite(new, true, None, &by()).await.unwrap();
    let mails = store.claim_mails(START).await.unwrap();
    assert_eq!((mails.len(), mails[0].mail.kind), (1, MailKind::Invite));
    assert_eq!(mails[0].mail.object, InviteId::from_u128(7).to_string());
    assert!(store.give_invite_token(InviteId::from_u128(7), token(1).digest(), START).await.unwrap());
    assert!(store.find_invite_by_token(&token(1).digest()).await.unwrap().is_some());
    store.withdraw_invite(world.scope, InviteId::from_u128(7), &by()).await.unwrap();
    assert!(!store.give_invite_token(InviteId::from_u128(7), token(2).digest(), START).await.unwrap());
}

async fn a_sealed_text_is_taken_once_by_a_member(engine: Engine) {
    let world = World::new(engine).await;
    let ann = member(&world, 1, Role::Owner).await;
    let stranger = person(2, "stranger@x.io");
    let store = world.store();
    store.create_user(stranger.clone(), &by()).await.unwrap();
    let leave = async |number: u128| {
        let id = HandoverId::from_u128(number);
        let end = START.plus(Duration::from_secs(60));
        store.create_handover(world.scope, id, "c2VhbGVk".to_owned(), end, &by()).await.unwrap();
        id
    };
    let id = leave(1).await;
    assert_eq!(store.take_handover(id, stranger.id, &by()).await.unwrap(), None, "not a member");
    assert_eq!(store.take_handover(id, ann, &by()).await.unwrap().as_deref(), Some("c2VhbGVk"));
    assert_eq!(store.take_handover(id, ann, &by()).await.unwrap(), None, "once");
    let id = leave(2).await;
    let late = Attribution { at: START.plus(Duration::from_secs(60)), ..by() };
    assert_eq!(store.take_handover(id, ann, &late).await.unwrap(), None, "too late");
    assert_eq!(store.forget_handovers(late.at).await.unwrap(), 1);
}

async fn a_passkey_is_added_used_and_removed(engine: Engine) {
    let world = World::new(engine).await;
    let ann = member(&world, 1, Role::Owner).await;
    let bob = member(&world, 2, Role::Owner).await;
    let store = world.store();
    let passkey = |number: u128, user, credential: &[u8]| Passkey {
        id: PasskeyId::from_u128(number),
        user,
        credential_id: credential.to_vec(),
        public_key: vec![1, 2, 3],
        sign_count: 0,
        name: "laptop".to_owned(),
        created_at: START,
        last_used_at: None,
    };
    assert_eq!(store.add_passkey(passkey(1, ann, b"one"), None, &by()).await.unwrap(), PasskeyOutcome::Added);
    assert_eq!(store.add_passkey(passkey(2, bob, b"one"), None, &by()).await.unwrap(), PasskeyOutcome::Taken);
    let (found, owner) = store.find_passkey(b"one").await.unwrap().unwrap();
    assert_eq!((found.clone(), owner.id), (passkey(1, ann, b"one"), ann));
    assert!(store.find_passkey(b"two").await.unwrap().is_none());
    assert!(store.use_passkey(found.id, 0, 5, START).await.unwrap());
    assert!(!store.use_passkey(found.id, 0, 5, START).await.unwrap(), "the counter has moved");
    assert_eq!(store.list_passkeys(ann).await.unwrap()[0].sign_count, 5);
    assert!(!store.remove_passkey(bob, found.id, None, &by()).await.unwrap(), "not theirs");
    assert!(store.remove_passkey(ann, found.id, None, &by()).await.unwrap());
    for number in 0..20_u8 {
        let outcome = store.add_passkey(passkey(100 + u128::from(number), ann, &[number]), None, &by()).await.unwrap();
        assert_eq!(outcome, PasskeyOutcome::Added);
    }
    let outcome = store.add_passkey(passkey(200, ann, b"more"), None, &by()).await.unwrap();
    assert_eq!(outcome, PasskeyOutcome::TooMany);
}

async fn an_account_elsewhere_is_one_persons(engine: Engine) {
    let world = World::new(engine).await;
    let (ann, bob) = (member(&world, 1, Role::Owner).await, member(&world, 2, Role::Owner).await);
    let store = world.store();
    store.link_identity("https://id.example", "s1", ann, &by()).await.unwrap();
    store.link_identity("https://id.example", "s1", ann, &by()).await.unwrap();
    assert!(store.link_identity("https://id.example", "s1", bob, &by()).await.is_err());
    assert_eq!(store.find_identity("https://id.example", "s1").await.unwrap().unwrap().id, ann);
    assert!(store.find_identity("https://other.example", "s1").await.unwrap().is_none());
    let linked = store.list_identities(ann).await.unwrap();
    assert_eq!((linked.len(), linked[0].subject.as_str()), (1, "s1"));
    assert!(!store.unlink_identity(bob, "https://id.example", &by()).await.unwrap(), "not theirs");
    assert!(store.unlink_identity(ann, "https://id.example", &by()).await.unwrap());
    assert!(store.find_identity("https://id.example", "s1").await.unwrap().is_none());
}
