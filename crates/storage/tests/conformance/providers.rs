//! Providers of organizations: rows of one organization, one name and one model name each, credentials as sealed bytes.

use crate::on_both_engines;
use crate::world::{World, by};
use claviger_domain::catalog::Dialect;
use claviger_domain::endpoint::EndpointName;
use claviger_domain::id::{ProviderId, RegistryId, SeatId};
use claviger_domain::own_provider::{Credential, OwnModel, OwnProvider};
use claviger_domain::seal::Sealed;
use claviger_domain::tenancy::{RegistryState, TenantScope};
use claviger_storage::{Engine, Error, NewRegistry, PageRequest, ProviderOutcome, Store};
use claviger_testkit::clock::START;
use claviger_testkit::stores::{AUDIT_KEY, now};

on_both_engines! {
    providers_belong_to_one_organization,
    a_model_name_is_served_once_in_a_registry,
    nodes_read_providers_with_their_registry,
    a_change_beside_the_end_comes_before_it_or_not_at_all,
}

async fn registry(store: &Store, scope: TenantScope, number: u128, slug: &str) -> RegistryId {
    let id = RegistryId::from_u128(number);
    let new = NewRegistry { id, environment: None, name: slug.to_owned(), slug: slug.to_owned() };
    store.create_registry(scope, new, &by()).await.unwrap().unwrap();
    id
}

fn provider(scope: TenantScope, registry: RegistryId, number: u128, models: &[&str]) -> OwnProvider {
    let model = |name: &&str| OwnModel {
        name: (*name).to_owned(),
        upstream_model: format!("up-{name}"),
        endpoints: vec![EndpointName::ChatCompletions, EndpointName::Embeddings],
        context_tokens: Some(8192),
        output_tokens_max: None,
    };
    OwnProvider {
        id: ProviderId::from_u128(number),
        organization: scope.0,
        registry,
        name: format!("p{number}"),
        dialect: Dialect::Vllm,
        base_url: "https://gpu.example:8443".to_owned(),
        is_enabled: true,
        concurrency_max: 3,
        models: models.iter().map(model).collect(),
        credential: Some(Credential { sealed: Sealed::from_row(1, vec![7; 40]), hint: "…4f2A".to_owned() }),
        credentials: 1,
        created_at: START,
        version: 1,
    }
}

fn done(outcome: ProviderOutcome) -> OwnProvider {
    match outcome {
        ProviderOutcome::Done(provider, _) => *provider,
        other => panic!("{other:?}"),
    }
}

async fn providers_belong_to_one_organization(engine: Engine) {
    let mut world = World::new(engine).await;
    let other = world.neighbour("umbrella").await;
    let (store, scope) = (world.store(), world.scope);
    let own = registry(store, scope, 1, "own").await;
    let theirs = registry(store, other, 2, "own").await;
    let foreign = store.create_provider(scope, provider(scope, theirs, 9, &["m"]), &by()).await.unwrap();
    assert_eq!(foreign, ProviderOutcome::UnknownRegistry);

    let new = provider(scope, own, 1, &["m", "org/n"]);
    let made = done(store.create_provider(scope, new.clone(), &by()).await.unwrap());
    assert_eq!(made, new);
    assert_eq!(done(store.create_provider(scope, new.clone(), &by()).await.unwrap()), made, "a repetition");
    let same_name = OwnProvider { name: "p1".to_owned(), ..provider(scope, own, 2, &["x"]) };
    assert!(matches!(store.create_provider(scope, same_name, &by()).await, Err(Error::Conflict(_))));
    store.create_provider(other, provider(other, theirs, 3, &["m"]), &by()).await.unwrap();

    assert_eq!(store.find_provider(scope, made.id).await.unwrap(), Some(made.clone()));
    assert_eq!(store.find_provider(other, made.id).await.unwrap(), None, "another's is unknown");
    let all = PageRequest { limit: 100, ..PageRequest::default() };
    let page = store.page_providers(scope, None, &all).await.unwrap().unwrap();
    assert_eq!(page.data, std::slice::from_ref(&made));
    let environment = store.list_environments(scope).await.unwrap()[0].id;
    let page = store.page_providers(scope, Some(environment), &all).await.unwrap().unwrap();
    assert_eq!(page.data, std::slice::from_ref(&made), "a registry of the whole organization is seen everywhere");

    let next = OwnProvider { is_enabled: false, credential: None, credentials: 2, ..made.clone() };
    assert_eq!(store.update_provider(other, next.clone(), &by()).await.unwrap(), ProviderOutcome::Unknown);
    let stale = OwnProvider { version: 7, ..next.clone() };
    assert_eq!(store.update_provider(scope, stale, &by()).await.unwrap(), ProviderOutcome::Stale);
    let updated = done(store.update_provider(scope, next, &by()).await.unwrap());
    assert_eq!((updated.version, updated.is_enabled, updated.credential.clone()), (2, false, None));
    assert_eq!(store.find_provider(scope, made.id).await.unwrap(), Some(updated.clone()));
    let same = store.update_provider(scope, updated.clone(), &by()).await.unwrap();
    assert_eq!(done(same), updated, "what changes nothing is no change");

    assert!(matches!(store.delete_registry(scope, own, &by()).await, Err(Error::Conflict(_))), "it is in use");
    assert_eq!(store.delete_provider(other, made.id, &by()).await.unwrap(), None);
    assert!(store.delete_provider(scope, made.id, &by()).await.unwrap().is_some());
    assert_eq!(store.delete_provider(scope, made.id, &by()).await.unwrap(), None);
    assert!(store.delete_registry(scope, own, &by()).await.unwrap().is_some());
    assert_eq!(store.verify_audit().await.unwrap().faults, vec![]);
}

async fn a_model_name_is_served_once_in_a_registry(engine: Engine) {
    let world = World::new(engine).await;
    let (store, scope) = (world.store(), world.scope);
    let (one, two) = (registry(store, scope, 1, "one").await, registry(store, scope, 2, "two").await);
    done(store.create_provider(scope, provider(scope, one, 1, &["a", "b"]), &by()).await.unwrap());
    let served = store.create_provider(scope, provider(scope, one, 2, &["c", "b"]), &by()).await.unwrap();
    assert_eq!(served, ProviderOutcome::Served("b".to_owned()));
    let elsewhere = done(store.create_provider(scope, provider(scope, two, 2, &["c", "b"]), &by()).await.unwrap());
    let moved = OwnProvider { registry: one, ..elsewhere };
    let served = store.update_provider(scope, moved, &by()).await.unwrap();
    assert_eq!(served, ProviderOutcome::Served("b".to_owned()));
    for number in 3..=50 {
        done(store.create_provider(scope, provider(scope, two, number, &[]), &by()).await.unwrap());
    }
    let late = store.create_provider(scope, provider(scope, two, 51, &[]), &by()).await.unwrap();
    assert_eq!(late, ProviderOutcome::TooMany);
}

async fn nodes_read_providers_with_their_registry(engine: Engine) {
    let mut world = World::new(engine).await;
    let other = world.neighbour("umbrella").await;
    let (store, scope) = (world.store(), world.scope);
    let own = registry(store, scope, 1, "own").await;
    let made = done(store.create_provider(scope, provider(scope, own, 1, &["m"]), &by()).await.unwrap());
    let shown = store.find_shown_providers(scope.0).await.unwrap();
    assert_eq!(shown.len(), 1);
    assert_eq!((shown[0].provider.clone(), shown[0].slug.as_str(), shown[0].is_registry_active), (made, "own", true));
    assert!(store.find_shown_providers(other.0).await.unwrap().is_empty());
    let rights = store.load_rights(START, &mut |_| ()).await.unwrap();
    assert_eq!(rights.providers.into_iter().collect::<Vec<_>>(), [(scope.0, shown)]);
    let disabled = Some(RegistryState::Disabled);
    store.update_registry(scope, own, None, disabled, None, &by()).await.unwrap();
    assert!(!store.find_shown_providers(scope.0).await.unwrap()[0].is_registry_active);
}

async fn a_change_beside_the_end_comes_before_it_or_not_at_all(engine: Engine) {
    let world = World::new(engine).await;
    let (store, scope) = (world.store(), world.scope);
    // Another node: acts of one store run one behind the other.
    let second = match engine {
        Engine::Sqlite => store.clone(),
        Engine::Postgres => {
            Store::open_as(world.at.database.url(), SeatId::from_u128(2), AUDIT_KEY, now()).await.unwrap()
        }
    };
    let own = registry(store, scope, 1, "own").await;
    for number in 1..=40 {
        let made = done(store.create_provider(scope, provider(scope, own, number, &[]), &by()).await.unwrap());
        let next = OwnProvider { is_enabled: false, ..made.clone() };
        let attribution = by();
        let change = second.update_provider(scope, next, &attribution);
        let end = store.delete_provider(scope, made.id, &attribution);
        let (changed, ended) = tokio::join!(change, end);
        let ended = ended.unwrap().unwrap();
        match changed.unwrap() {
            ProviderOutcome::Done(_, epoch) => assert!(epoch < ended, "round {number}: changed behind its end"),
            other => assert_eq!(other, ProviderOutcome::Unknown),
        }
    }
}
