//! People: made, found, changed; sessions and one-time tokens.

use crate::on_both_engines;
use crate::world::{World, by};
use claviger_domain::id::{SessionId, UserId};
use claviger_domain::person::session::{Session, SessionEnd, SessionRules};
use claviger_domain::person::token::{Token, TokenKind};
use claviger_domain::person::{EmailAddress, Locale, UserState};
use claviger_domain::secret::Secret;
use claviger_domain::time::Timestamp;
use claviger_storage::{Engine, Error, NewToken, NewUser, Order, PageRequest, Profile, Replaces, UserChange};
use claviger_testkit::clock::START;
use claviger_testkit::rng::SeededRandom;
use std::time::Duration;

on_both_engines! {
    a_person_comes_back_as_they_were_made,
    an_address_belongs_to_one_person,
    a_password_is_replaced_and_the_other_sessions_end,
    a_rehash_never_undoes_a_change,
    what_the_operator_changes_ends_sessions,
    people_are_listed_in_order,
    a_session_is_found_by_its_token_until_it_ends,
    a_new_session_replaces_the_old_one,
    a_token_is_used_once_however_many_ask,
    a_newer_token_makes_older_ones_worthless,
    ended_sessions_and_tokens_are_forgotten,
}

fn email(text: &str) -> EmailAddress {
    EmailAddress::parse(text).unwrap()
}

pub(crate) fn person(number: u128, address: &str) -> NewUser {
    NewUser {
        id: UserId::from_u128(number),
        email: email(address),
        password_hash: Some(Secret::new("$argon2id$old".to_owned())),
        name: "Mo".to_owned(),
        is_verified: false,
        is_operator: false,
    }
}

const RULES: SessionRules = SessionRules { idle: Duration::from_secs(1800), max: Duration::from_secs(43_200) };

fn session(number: u128, user: UserId) -> (Session, Token) {
    let token = Token::draw(&mut SeededRandom::new(u64::try_from(number).unwrap()));
    (RULES.begin(SessionId::from_u128(number), user, "192.0.2.1", "Firefox", START), token)
}

async fn a_person_comes_back_as_they_were_made(engine: Engine) {
    let world = World::new(engine).await;
    let store = world.store();
    let made = store.create_user(person(7, "Mo@Acme.io"), &by()).await.unwrap().unwrap();
    assert_eq!((made.id, made.email.as_str(), made.name.as_str()), (UserId::from_u128(7), "mo@acme.io", "Mo"));
    assert_eq!((made.email_verified_at, made.is_operator, made.locale), (None, false, None));
    assert_eq!((made.state, made.created_at, made.last_seen_at), (UserState::Active, START, None));
    assert_eq!(store.find_user(made.id).await.unwrap(), Some(made.clone()));
    let (found, password) = store.find_login(&email("mo@acme.io")).await.unwrap().unwrap();
    assert_eq!(found, made);
    assert_eq!(password.unwrap().expose(), "$argon2id$old");
    assert_eq!(store.find_password(made.id).await.unwrap().unwrap().expose(), "$argon2id$old");
    assert!(store.list_memberships(made.id).await.unwrap().is_empty());

    let (new, link) = token(1, Some(made.id), Replaces::Nothing);
    store.save_token(NewToken { kind: TokenKind::Verify, ..new }).await.unwrap();
    // A link whose act cannot be recorded is as good as before.
    world.tamper("ALTER TABLE audit RENAME TO audit_away").unwrap();
    assert!(store.verify_email(link.digest(), &by()).await.is_err());
    world.tamper("ALTER TABLE audit_away RENAME TO audit").unwrap();
    assert_eq!(store.verify_email(link.digest(), &by()).await.unwrap(), Some(made.id));
    assert_eq!(store.verify_email(link.digest(), &by()).await.unwrap(), None, "once");
    let profile = Profile { name: "Mo B".to_owned(), locale: Some(Locale::Zh) };
    let changed = store.update_profile(made.id, profile).await.unwrap().unwrap();
    assert_eq!((changed.name.as_str(), changed.locale), ("Mo B", Some(Locale::Zh)));
    assert_eq!(changed.email_verified_at, Some(START));

    let without = NewUser { password_hash: None, is_verified: true, ..person(8, "ann@acme.io") };
    let made = store.create_user(without, &by()).await.unwrap().unwrap();
    assert_eq!(made.email_verified_at, Some(START));
    assert!(store.find_password(made.id).await.unwrap().is_none());
    assert!(store.find_user(UserId::from_u128(9)).await.unwrap().is_none());
    assert!(store.find_login(&email("nobody@acme.io")).await.unwrap().is_none());
    assert_eq!(store.verify_audit().await.unwrap().faults, vec![]);
}

async fn an_address_belongs_to_one_person(engine: Engine) {
    let world = World::new(engine).await;
    let store = world.store();
    let first = store.create_user(person(1, "mo@acme.io"), &by()).await.unwrap();
    assert_eq!(store.create_user(person(1, "mo@acme.io"), &by()).await.unwrap(), first, "a repeated call");
    assert_eq!(store.create_user(person(2, "MO@acme.io"), &by()).await.unwrap(), None);
    assert!(matches!(store.create_user(person(1, "other@acme.io"), &by()).await, Err(Error::Conflict(_))));
}

async fn a_password_is_replaced_and_the_other_sessions_end(engine: Engine) {
    let world = World::new(engine).await;
    let store = world.store();
    let user = store.create_user(person(1, "mo@acme.io"), &by()).await.unwrap().unwrap().id;
    let tokens: Vec<Token> = {
        let mut tokens = Vec::new();
        for number in 1..=3 {
            let (new, token) = session(number, user);
            store.begin_session(new, token.digest(), None, &by()).await.unwrap();
            tokens.push(token);
        }
        tokens
    };
    let hash = Secret::new("$argon2id$new".to_owned());
    assert!(store.set_password(user, hash.clone(), Some(SessionId::from_u128(2)), &by()).await.unwrap());
    let mut living = Vec::new();
    for token in &tokens {
        let (found, _) = store.find_session(&token.digest()).await.unwrap().unwrap();
        if found.ended_at.is_none() {
            living.push(found.id);
        }
    }
    assert_eq!(living, [SessionId::from_u128(2)]);
    assert_eq!(store.list_sessions(user, START).await.unwrap().len(), 1);
    assert_eq!(store.find_password(user).await.unwrap().unwrap().expose(), "$argon2id$new");
    assert!(!store.set_password(UserId::from_u128(9), hash, None, &by()).await.unwrap());
}

async fn a_rehash_never_undoes_a_change(engine: Engine) {
    let world = World::new(engine).await;
    let store = world.store();
    let secret = |text: &str| Secret::new(text.to_owned());
    let user = store.create_user(person(1, "mo@acme.io"), &by()).await.unwrap().unwrap().id;
    store.rehash_password(user, secret("$argon2id$old"), secret("$argon2id$better")).await.unwrap();
    assert_eq!(store.find_password(user).await.unwrap().unwrap().expose(), "$argon2id$better");
    store.rehash_password(user, secret("$argon2id$old"), secret("$argon2id$stale")).await.unwrap();
    assert_eq!(store.find_password(user).await.unwrap().unwrap().expose(), "$argon2id$better");
}

async fn what_the_operator_changes_ends_sessions(engine: Engine) {
    let world = World::new(engine).await;
    let store = world.store();
    let user = store.create_user(person(1, "mo@acme.io"), &by()).await.unwrap().unwrap().id;
    for (number, change) in [(1, UserChange::Operator(true)), (2, UserChange::State(UserState::Disabled))] {
        let (new, token) = session(number, user);
        store.begin_session(new, token.digest(), None, &by()).await.unwrap();
        assert!(store.change_user(user, change, &by()).await.unwrap().is_some());
        let (found, owner) = store.find_session(&token.digest()).await.unwrap().unwrap();
        assert_eq!(found.ended_at, Some(START));
        assert!(owner.is_operator);
    }
    assert_eq!(store.find_user(user).await.unwrap().unwrap().state, UserState::Disabled);
    assert!(store.change_user(UserId::from_u128(9), UserChange::Operator(true), &by()).await.unwrap().is_none());
}

async fn people_are_listed_in_order(engine: Engine) {
    let world = World::new(engine).await;
    let store = world.store();
    for number in 1..=5 {
        store.create_user(person(number, &format!("p{number}@acme.io")), &by()).await.unwrap();
    }
    let page = PageRequest { limit: 2, ..PageRequest::default() };
    let first = store.list_users(&page).await.unwrap().unwrap();
    assert!(first.has_more);
    let ids: Vec<u128> = first.data.iter().map(|user| user.id.to_u128()).collect();
    assert_eq!(ids, [5, 4]);
    let after = PageRequest { after: Some(UserId::from_u128(4).to_string()), order: Order::Ascending, ..page };
    let rest = store.list_users(&after).await.unwrap().unwrap();
    assert_eq!(rest.data.iter().map(|user| user.id.to_u128()).collect::<Vec<_>>(), [5]);
    for cursor in ["usr_0000000000000000000099", "nonsense"] {
        let page = PageRequest { limit: 2, after: Some(cursor.to_owned()), ..PageRequest::default() };
        assert!(store.list_users(&page).await.unwrap().is_none(), "{cursor}");
    }
}

async fn a_session_is_found_by_its_token_until_it_ends(engine: Engine) {
    let world = World::new(engine).await;
    let store = world.store();
    let user = store.create_user(person(1, "mo@acme.io"), &by()).await.unwrap().unwrap();
    let (new, token) = session(1, user.id);
    store.begin_session(new.clone(), token.digest(), None, &by()).await.unwrap();
    assert_eq!(store.find_session(&token.digest()).await.unwrap(), Some((new.clone(), user.clone())));
    let (_, other) = session(2, user.id);
    assert!(store.find_session(&other.digest()).await.unwrap().is_none());

    let later = Timestamp(START.0 + 5);
    store.touch_session(new.id, user.id, Some(world.scope.0), later).await.unwrap();
    store.touch_session(new.id, user.id, None, START).await.unwrap();
    let (found, seen) = store.find_session(&token.digest()).await.unwrap().unwrap();
    assert_eq!((found.last_seen_at, seen.last_seen_at), (later, Some(later)), "forwards only");

    assert!(!store.end_session(UserId::from_u128(2), new.id, SessionEnd::Ended, &by()).await.unwrap(), "not theirs");
    assert!(store.end_session(user.id, new.id, SessionEnd::SignedOut, &by()).await.unwrap());
    assert!(!store.end_session(user.id, new.id, SessionEnd::SignedOut, &by()).await.unwrap());
    let (found, _) = store.find_session(&token.digest()).await.unwrap().unwrap();
    assert_eq!(found.ended_at, Some(START));
    assert!(store.list_sessions(user.id, START).await.unwrap().is_empty());
}

async fn a_new_session_replaces_the_old_one(engine: Engine) {
    let world = World::new(engine).await;
    let store = world.store();
    let user = store.create_user(person(1, "mo@acme.io"), &by()).await.unwrap().unwrap().id;
    let (old, old_token) = session(1, user);
    let (new, new_token) = session(2, user);
    store.begin_session(old.clone(), old_token.digest(), None, &by()).await.unwrap();
    store.begin_session(new.clone(), new_token.digest(), Some(old.id), &by()).await.unwrap();
    assert!(store.find_session(&old_token.digest()).await.unwrap().unwrap().0.ended_at.is_some());
    assert_eq!(store.list_sessions(user, START).await.unwrap(), std::slice::from_ref(&new));
    let (third, third_token) = session(3, user);
    store.begin_session(third, third_token.digest(), None, &by()).await.unwrap();
    assert_eq!(store.end_sessions(user, Some(new.id), SessionEnd::Ended, &by()).await.unwrap(), 1);
    assert_eq!(store.list_sessions(user, START).await.unwrap(), [new]);
}

fn token(number: u64, user: Option<UserId>, replaces: Replaces) -> (NewToken, Token) {
    let token = Token::draw(&mut SeededRandom::new(number));
    let new = NewToken {
        digest: token.digest(),
        kind: TokenKind::Reset,
        user,
        detail: "{\"a\":1}".to_owned(),
        created_at: START,
        expires_at: START.plus(Duration::from_secs(60)),
        replaces,
    };
    (new, token)
}

async fn a_token_is_used_once_however_many_ask(engine: Engine) {
    let world = World::new(engine).await;
    let user = UserId::from_u128(1);
    let (new, token) = token(1, Some(user), Replaces::Nothing);
    world.store().save_token(new).await.unwrap();
    let find = |kind, at| world.store().find_token(kind, &DIGEST, at);
    assert!(find(TokenKind::Reset, START).await.unwrap().is_none(), "another digest");
    let found = world.store().find_token(TokenKind::Reset, &token.digest(), START).await.unwrap().unwrap();
    assert_eq!((found.user, found.detail.as_str()), (Some(user), "{\"a\":1}"));
    assert!(
        world.store().take_token(TokenKind::Verify, token.digest(), START).await.unwrap().is_none(),
        "another kind"
    );
    let end = START.plus(Duration::from_secs(60));
    assert!(world.store().take_token(TokenKind::Reset, token.digest(), end).await.unwrap().is_none(), "too late");
    let amended = |detail: &str| {
        let (store, digest, detail) = (world.store().clone(), token.digest(), detail.to_owned());
        async move { store.amend_token(TokenKind::Reset, digest, user, detail, START).await.unwrap() }
    };
    assert!(amended("{}").await);
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let (store, digest) = (world.store().clone(), token.digest());
            tokio::spawn(async move { store.take_token(TokenKind::Reset, digest, START).await.unwrap() })
        })
        .collect();
    let mut taken = Vec::new();
    for task in tasks {
        taken.extend(task.await.unwrap());
    }
    assert_eq!(taken.iter().map(|token| token.detail.as_str()).collect::<Vec<_>>(), ["{}"]);
    assert!(!amended("{}").await);
}

static DIGEST: claviger_domain::secret::Digest = claviger_domain::secret::Digest::from_bytes([0; 32]);

async fn a_newer_token_makes_older_ones_worthless(engine: Engine) {
    let world = World::new(engine).await;
    let store = world.store();
    let (one, two) = (Some(UserId::from_u128(1)), Some(UserId::from_u128(2)));
    let is_good =
        async |token: &Token| store.find_token(TokenKind::Reset, &token.digest(), START).await.unwrap().is_some();
    let (new, first) = token(1, one, Replaces::OfUser);
    store.save_token(new).await.unwrap();
    let (new, other) = token(2, two, Replaces::OfUser);
    store.save_token(new).await.unwrap();
    let (new, second) = token(3, one, Replaces::OfUser);
    store.save_token(new).await.unwrap();
    assert_eq!((is_good(&first).await, is_good(&other).await, is_good(&second).await), (false, true, true));
    let (new, last) = token(4, None, Replaces::OfKind);
    store.save_token(new).await.unwrap();
    assert_eq!((is_good(&other).await, is_good(&second).await, is_good(&last).await), (false, false, true));
}

async fn ended_sessions_and_tokens_are_forgotten(engine: Engine) {
    let world = World::new(engine).await;
    let store = world.store();
    let user = store.create_user(person(1, "mo@acme.io"), &by()).await.unwrap().unwrap().id;
    let (new, kept) = session(1, user);
    store.begin_session(new, kept.digest(), None, &by()).await.unwrap();
    let (new, _) = token(1, None, Replaces::Nothing);
    store.save_token(new).await.unwrap();
    assert_eq!(store.forget_sessions(START).await.unwrap(), 0);
    assert_eq!(store.forget_sessions(START.plus(Duration::from_secs(61))).await.unwrap(), 1);
    assert!(store.find_session(&kept.digest()).await.unwrap().is_some());
    assert_eq!(store.forget_sessions(START.plus(Duration::from_secs(86_400))).await.unwrap(), 1);
    assert!(store.find_session(&kept.digest()).await.unwrap().is_none());
}
