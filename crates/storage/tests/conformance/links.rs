//! Links that let somebody in without a password: recorded, used once, and no gift to whoever was there before.

use crate::on_both_engines;
use crate::people::person;
use crate::world::{World, by};
use claviger_domain::audit::{Action, Chain};
use claviger_domain::id::PasskeyId;
use claviger_domain::person::token::{Token, TokenKind};
use claviger_domain::secret::Secret;
use claviger_storage::{Engine, NewToken, PageRequest, Passkey, Replaces};
use claviger_testkit::clock::START;
use claviger_testkit::rng::SeededRandom;
use std::time::Duration;

on_both_engines! {
    a_link_of_the_operator_is_recorded,
    the_first_proof_of_an_address_shuts_out_whoever_waited_there,
    a_new_password_makes_open_links_worthless,
}

fn link(number: u64, user: claviger_domain::id::UserId) -> (Token, NewToken) {
    let token = Token::draw(&mut SeededRandom::new(number));
    let new = NewToken {
        digest: token.digest(),
        kind: TokenKind::Reset,
        user: Some(user),
        detail: "{}".to_owned(),
        created_at: START,
        expires_at: START.plus(Duration::from_secs(3600)),
        replaces: Replaces::Nothing,
    };
    (token, new)
}

async fn a_link_of_the_operator_is_recorded(engine: Engine) {
    let world = World::new(engine).await;
    let store = world.store();
    let mo = store.create_user(person(1, "mo@acme.io"), &by()).await.unwrap().unwrap().id;
    let actions = async || {
        let page = PageRequest::default();
        let page = store.list_audit_of(Chain::Instance, &Default::default(), &page).await.unwrap().unwrap();
        page.data.iter().map(|entry| (entry.record.action, entry.record.target.clone())).collect::<Vec<_>>()
    };
    store.make_link(link(1, mo).1, &by()).await.unwrap();
    assert_eq!(actions().await[0], (Action::PasswordLinkCreated, mo.to_string()), "they belong nowhere yet");
    store.make_owner(world.scope, mo, &by()).await.unwrap();
    store.make_link(link(2, mo).1, &by()).await.unwrap();
    let own = Chain::Organization(world.scope.0);
    let page = store.list_audit_of(own, &Default::default(), &PageRequest::default()).await.unwrap().unwrap();
    assert_eq!(page.data[0].record.action, Action::PasswordLinkCreated);
    let set_up = NewToken { user: None, kind: TokenKind::SetUp, ..link(3, mo).1 };
    store.make_link(set_up, &by()).await.unwrap();
    assert_eq!(actions().await[0].0, Action::SetUpLinkCreated);
    assert_eq!(store.verify_audit().await.unwrap().faults, vec![]);
}

async fn the_first_proof_of_an_address_shuts_out_whoever_waited_there(engine: Engine) {
    let world = World::new(engine).await;
    let store = world.store();
    let mo = store.create_user(person(1, "mo@acme.io"), &by()).await.unwrap().unwrap().id;
    let leave = async |number: u8| {
        let passkey = Passkey {
            id: PasskeyId::from_u128(u128::from(number)),
            user: mo,
            credential_id: vec![number],
            public_key: vec![1],
            sign_count: 0,
            name: "laptop".to_owned(),
            created_at: START,
            last_used_at: None,
        };
        store.add_passkey(passkey, None, &by()).await.unwrap();
        store.link_identity("https://id.example", &number.to_string(), mo, &by()).await.unwrap();
    };
    let ways = async || (store.list_passkeys(mo).await.unwrap().len(), store.list_identities(mo).await.unwrap().len());
    let reset = async |number: u64, is_mailed: bool| {
        let (token, new) = link(number, mo);
        store.save_token(new).await.unwrap();
        let hash = Secret::new(format!("$argon2id${number}"));
        let set = store.reset_password(token.digest(), hash.clone(), is_mailed, &by()).await.unwrap();
        assert_eq!(set, Some(mo));
        assert_eq!(store.find_password(mo).await.unwrap().unwrap().expose(), hash.expose());
        assert_eq!(store.reset_password(token.digest(), hash, is_mailed, &by()).await.unwrap(), None, "once");
    };
    leave(1).await;
    reset(1, false).await;
    assert_eq!(ways().await, (1, 1), "a link that the operator handed over proves nothing");
    assert!(store.find_user(mo).await.unwrap().unwrap().email_verified_at.is_none());
    reset(2, true).await;
    assert_eq!(ways().await, (0, 0));
    assert_eq!(store.find_user(mo).await.unwrap().unwrap().email_verified_at, Some(START));
    leave(2).await;
    reset(3, true).await;
    assert_eq!(ways().await, (1, 1), "from then on they are their own");
    assert_eq!(store.verify_audit().await.unwrap().faults, vec![]);
}

async fn a_new_password_makes_open_links_worthless(engine: Engine) {
    let world = World::new(engine).await;
    let store = world.store();
    let mo = store.create_user(person(1, "mo@acme.io"), &by()).await.unwrap().unwrap().id;
    let (token, new) = link(1, mo);
    store.save_token(new).await.unwrap();
    store.set_password(mo, Secret::new("$argon2id$new".to_owned()), None, &by()).await.unwrap();
    let found = store.find_token(TokenKind::Reset, &token.digest(), START).await.unwrap();
    assert_eq!(found, None, "a mail that was read later by somebody else");
}
