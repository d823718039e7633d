//! Trusts, and the keys that tokens become.

use crate::on_both_engines;
use crate::world::{World, by};
use claviger_domain::id::TrustId;
use claviger_domain::key::{NewKey, Owner};
use claviger_domain::limits;
use claviger_domain::tenancy::Agent;
use claviger_domain::time::Timestamp;
use claviger_domain::trust::{Trust, Unfit};
use claviger_storage::{
    CreateAgentOutcome, CreateKeyOutcome, CreateTrustOutcome, Engine, ExchangeOutcome, KeyFilter, NewAgent,
    PageRequest, PresentedToken,
};
use claviger_testkit::clock::START;
use std::collections::BTreeMap;
use std::time::Duration;

on_both_engines! {
    a_trust_is_found_by_what_a_token_says,
    a_token_becomes_one_key_that_no_list_and_no_limit_counts,
    keys_end_with_their_trust,
}

async fn agent(world: &World, number: u128) -> Agent {
    let environment = world.store().find_organization(world.scope.0).await.unwrap().unwrap().default_environment;
    let id = claviger_domain::id::AgentId::from_u128(number);
    let new = NewAgent { id, environment, name: "ci".to_owned(), role: None, key: None };
    match world.store().create_agent(world.scope, new, None, &by()).await.unwrap() {
        CreateAgentOutcome::Created(agent, ..) => agent,
        other => panic!("{other:?}"),
    }
}

fn trust(world: &World, agent: &Agent, number: u128, subject: &str) -> Trust {
    Trust {
        id: TrustId::from_u128(number),
        organization: world.scope.0,
        agent: agent.id,
        issuer: "https://id.acme.io".to_owned(),
        audience: "claviger".to_owned(),
        subject: subject.parse().unwrap(),
        claims: BTreeMap::from([("ref".to_owned(), "main".to_owned())]),
        ttl: limits::TRUST_TTL,
        is_single_use: true,
        source_tag: Some("ci".to_owned()),
        policy: claviger_domain::key::Policy::default(),
        created_at: START,
        created_by: "operator".to_owned(),
    }
}

fn token(number: u8) -> PresentedToken {
    let holds_until = START.plus(Duration::from_secs(300));
    PresentedToken { hash: [number; 32], holds_until, subject: "repo:acme/shop:ref".to_owned() }
}

fn new_key(world: &mut World, agent: &Agent) -> NewKey {
    let expires_at = Some(START.plus(limits::TRUST_TTL));
    NewKey { owner: Some(Owner::Agent(agent.id)), expires_at, ..world.new_key("exchanged") }
}

async fn a_trust_is_found_by_what_a_token_says(engine: Engine) {
    let mut world = World::new(engine).await;
    let other = world.neighbour("umbrella").await;
    let (store, scope) = (world.store().clone(), world.scope);
    let agent = agent(&world, 1).await;
    let wide = trust(&world, &agent, 1, "repo:acme/shop:*");
    let exact =
        Trust { created_at: START.plus(Duration::from_secs(1)), ..trust(&world, &agent, 2, "repo:acme/shop:ref") };
    for new in [&wide, &exact, &wide] {
        assert_eq!(store.create_trust(scope, new.clone(), &by()).await.unwrap(), CreateTrustOutcome::Created);
    }
    let nobodys = Trust { agent: claviger_domain::id::AgentId::from_u128(9), ..trust(&world, &agent, 3, "x") };
    assert_eq!(store.create_trust(scope, nobodys, &by()).await.unwrap(), CreateTrustOutcome::UnknownAgent);
    assert_eq!(store.find_trust(scope, wide.id).await.unwrap(), Some(wide.clone()));
    assert_eq!(store.find_trust(other, wide.id).await.unwrap(), None);
    let page = PageRequest { limit: 10, ..PageRequest::default() };
    let listed = store.page_trusts(scope, agent.id, &page).await.unwrap().unwrap();
    assert_eq!(listed.data, vec![exact.clone(), wide.clone()]);
    assert_eq!(store.page_trusts(other, agent.id, &page).await.unwrap().unwrap().data, vec![]);
    let foreign = PageRequest { after: Some(wide.id.to_string()), ..page };
    assert_eq!(store.page_trusts(other, agent.id, &foreign).await.unwrap(), None);

    let meant = async |audience: &str, subject: &str| {
        let audiences = ["first".to_owned(), audience.to_owned()];
        let meant = store.find_meant_trusts("https://id.acme.io", &audiences, subject).await.unwrap();
        let ids = |trusts: Vec<Trust>| trusts.into_iter().map(|trust| trust.id).collect::<Vec<_>>();
        (ids(meant.trusts), ids(meant.missed))
    };
    assert_eq!(meant("claviger", "repo:acme/shop:ref").await, (vec![wide.id, exact.id], vec![]));
    assert_eq!(meant("claviger", "repo:acme/shop:other").await, (vec![wide.id], vec![]));
    assert_eq!(meant("claviger", "repo:acme/shopping").await, (vec![], vec![wide.id]));
    assert_eq!(meant("somebody", "repo:acme/shop:ref").await, (vec![], vec![]));
    store.end_agent(scope, agent.id, &by()).await.unwrap();
    let late = trust(&world, &agent, 4, "late");
    assert_eq!(store.create_trust(scope, late, &by()).await.unwrap(), CreateTrustOutcome::AgentEnded);
}

async fn a_token_becomes_one_key_that_no_list_and_no_limit_counts(engine: Engine) {
    let mut world = World::new(engine).await;
    let (store, scope) = (world.store().clone(), world.scope);
    let agent = agent(&world, 1).await;
    let single = trust(&world, &agent, 1, "repo:acme/shop:*");
    let many = Trust { is_single_use: false, ..trust(&world, &agent, 2, "repo:acme/shop:*") };
    for new in [&single, &many] {
        store.create_trust(scope, new.clone(), &by()).await.unwrap();
    }
    let before = store.count_live_keys(scope, START).await.unwrap();
    let new = new_key(&mut world, &agent);
    let made = store.exchange_token(scope, single.id, token(1), new.clone(), &by()).await.unwrap();
    let ExchangeOutcome::Made { key, .. } = made else { panic!("{made:?}") };
    assert_eq!((key.owner, key.environment), (Some(Owner::Agent(agent.id)), agent.environment));
    let taken = store.exchange_token(scope, single.id, token(2), new, &by()).await.unwrap();
    assert!(matches!(taken, ExchangeOutcome::IdTaken));
    let again = new_key(&mut world, &agent);
    let replayed = store.exchange_token(scope, single.id, token(1), again, &by()).await.unwrap();
    assert!(matches!(replayed, ExchangeOutcome::Unfit(Unfit::Replayed)), "{replayed:?}");
    for _ in 0..2 {
        let new = new_key(&mut world, &agent);
        let made = store.exchange_token(scope, many.id, token(1), new, &by()).await.unwrap();
        assert!(matches!(made, ExchangeOutcome::Made { .. }), "{made:?}");
    }
    assert_eq!(store.count_live_keys(scope, START).await.unwrap(), before);
    let list = async |is_exchanged| {
        let filter = KeyFilter { is_exchanged, now: START, owner: key.owner, ..KeyFilter::default() };
        let page = PageRequest { limit: 100, ..PageRequest::default() };
        store.list_keys(scope, &filter, &page).await.unwrap().unwrap().data.len()
    };
    assert_eq!((list(true).await, list(false).await), (3, 0));

    // The hundredth is the last, and room comes back by itself.
    for _ in 2..limits::KEYS_PER_TRUST {
        let new = new_key(&mut world, &agent);
        assert!(matches!(
            store.exchange_token(scope, many.id, token(1), new, &by()).await.unwrap(),
            ExchangeOutcome::Made { .. }
        ));
    }
    let new = new_key(&mut world, &agent);
    let full = store.exchange_token(scope, many.id, token(1), new.clone(), &by()).await.unwrap();
    assert!(matches!(full, ExchangeOutcome::Unfit(Unfit::TooManyKeys)), "{full:?}");
    let later = claviger_domain::audit::Attribution { at: START.plus(limits::TRUST_TTL), ..by() };
    let made = store.exchange_token(scope, many.id, token(1), new, &later).await.unwrap();
    assert!(matches!(made, ExchangeOutcome::Made { .. }), "{made:?}");

    // Whoever gives it another end makes it a key like any other.
    let decide = |key: &claviger_domain::key::Key| {
        Ok::<_, claviger_domain::key::Unwilling>(Some(claviger_domain::key::Key { expires_at: None, ..key.clone() }))
    };
    let act = claviger_domain::audit::Action::KeyUpdated;
    store.change_key(scope, key.id, act, decide, &by()).await.unwrap().unwrap();
    assert_eq!(store.count_live_keys(scope, START).await.unwrap(), before + 1);
    assert_eq!((list(true).await, list(false).await), (100, 1));
    // What does not hold any more is forgotten.
    let (forgotten, _) = store.forget(START.plus(Duration::from_secs(301))).await.unwrap();
    assert_eq!(forgotten, 1);
    assert_eq!(store.verify_audit().await.unwrap().faults, vec![]);
}

async fn keys_end_with_their_trust(engine: Engine) {
    let mut world = World::new(engine).await;
    let other = world.neighbour("umbrella").await;
    let (store, scope) = (world.store().clone(), world.scope);
    let agent = agent(&world, 1).await;
    let new = trust(&world, &agent, 1, "repo:acme/shop:*");
    store.create_trust(scope, new.clone(), &by()).await.unwrap();
    let first = new_key(&mut world, &agent);
    let made = store.exchange_token(scope, new.id, token(1), first, &by()).await.unwrap();
    let ExchangeOutcome::Made { key, .. } = made else { panic!("{made:?}") };
    let own = world.new_key("own");
    let CreateKeyOutcome::Created { key: own, .. } = store.create_key(scope, own, &by()).await.unwrap() else {
        panic!("not created")
    };
    assert_eq!(store.delete_trust(other, new.id, &by()).await.unwrap(), None);
    assert!(store.delete_trust(scope, new.id, &by()).await.unwrap().is_some());
    assert_eq!(store.delete_trust(scope, new.id, &by()).await.unwrap(), None);
    let state = async |id| store.find_key(scope, id).await.unwrap().unwrap().state_at(Timestamp(START.0)).name();
    assert_eq!((state(key.id).await, state(own.id).await), ("revoked", "active"));
    let late = new_key(&mut world, &agent);
    let late = store.exchange_token(scope, new.id, token(2), late, &by()).await.unwrap();
    assert!(matches!(late, ExchangeOutcome::Gone));
}
