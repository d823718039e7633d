//! Environments, registries, and what people and the operator change of organizations.

use crate::on_both_engines;
use crate::world::{World, by};
use claviger_domain::audit::Attribution;
use claviger_domain::id::{AgentId, EnvironmentId, RegistryId};
use claviger_domain::key::{Owner, Set};
use claviger_domain::right::{Creators, Role};
use claviger_domain::tenancy::{OrganizationPolicy, OrganizationState, PolicyEdit, RegistryState};
use claviger_storage::{
    ArchiveOutcome, CreateAgentOutcome, CreateKeyOutcome, Edited, Engine, Error, KeyFilter, NewAgent, NewRegistry,
    Order, OrganizationEdit, PageRequest,
};
use claviger_testkit::clock::START;
use std::time::Duration;

on_both_engines! {
    an_environment_is_made_renamed_and_archived_with_its_keys,
    an_archived_name_is_free_again,
    environments_page_without_gap_or_overlap,
    registries_belong_to_one_organization,
    an_agent_is_made_with_its_key_and_ends_with_it,
    an_agent_without_room_for_its_key_is_not_made,
    an_organization_changes_by_version,
    what_a_lifetime_has_ended_is_kept_and_listed,
    only_a_suspended_organization_resumes_and_a_closed_one_stays,
    live_secrets_come_oldest_first,
}

fn done<T: std::fmt::Debug>(edited: Edited<T>) -> T {
    match edited {
        Edited::Done(object, _) => object,
        other => panic!("{other:?}"),
    }
}

async fn an_environment_is_made_renamed_and_archived_with_its_keys(engine: Engine) {
    let mut world = World::new(engine).await;
    let (scope, id) = (world.scope, EnvironmentId::from_u128(77));
    let other = world.neighbour("umbrella").await;
    let (made, epoch) = world.store().create_environment(scope, id, "staging", &by()).await.unwrap();
    assert_eq!((made.name.as_str(), made.version), ("staging", 1));
    let again = world.store().create_environment(scope, id, "staging", &by()).await.unwrap();
    assert_eq!((again.0, again.1), (made.clone(), epoch), "a repetition changes nothing");
    let taken = world.store().create_environment(scope, EnvironmentId::from_u128(78), "staging", &by()).await;
    assert!(matches!(taken, Err(Error::Conflict(_))));

    let store = world.store();
    assert_eq!(store.rename_environment(other, id, "theirs", None, &by()).await.unwrap(), Edited::Unknown);
    assert_eq!(store.rename_environment(scope, id, "qa", Some(9), &by()).await.unwrap(), Edited::Stale);
    let renamed = done(store.rename_environment(scope, id, "qa", Some(1), &by()).await.unwrap());
    assert_eq!((renamed.name.as_str(), renamed.version), ("qa", 2));
    assert_eq!(store.find_environment(other, id).await.unwrap(), None);

    let new = claviger_domain::key::NewKey { environment: Some(id), ..world.new_key("in qa") };
    let CreateKeyOutcome::Created { key, .. } = world.store().create_key(scope, new, &by()).await.unwrap() else {
        panic!("not created")
    };
    let store = world.store();
    assert_eq!(store.archive_environment(scope, id, false, &by()).await.unwrap(), ArchiveOutcome::InUse);
    assert_eq!(store.archive_environment(other, id, true, &by()).await.unwrap(), ArchiveOutcome::Unknown);
    let ArchiveOutcome::Done(archived, _) = store.archive_environment(scope, id, true, &by()).await.unwrap() else {
        panic!("not archived")
    };
    assert_eq!((archived.name.as_str(), archived.archived_at), ("qa", Some(START)));
    let ended = store.find_key(scope, key.id).await.unwrap().unwrap();
    assert_eq!(ended.state.at(START, ended.expires_at).name(), "revoked");
    assert_eq!(store.rename_environment(scope, id, "x", None, &by()).await.unwrap(), Edited::Refused);
    let new = claviger_domain::key::NewKey { environment: Some(id), ..world.new_key("late") };
    let late = world.store().create_key(scope, new, &by()).await.unwrap();
    assert!(matches!(late, CreateKeyOutcome::UnknownEnvironment), "no key in an archived environment");

    let store = world.store();
    let default = store.find_organization(scope.0).await.unwrap().unwrap().default_environment;
    assert_eq!(store.archive_environment(scope, default, true, &by()).await.unwrap(), ArchiveOutcome::InUse);
    assert_eq!(store.verify_audit().await.unwrap().faults, vec![]);
}

async fn an_archived_name_is_free_again(engine: Engine) {
    let world = World::new(engine).await;
    let (store, scope) = (world.store(), world.scope);
    for number in [81_u128, 82] {
        let id = EnvironmentId::from_u128(number);
        store.create_environment(scope, id, "preview", &by()).await.unwrap();
        let outcome = store.archive_environment(scope, id, false, &by()).await.unwrap();
        assert!(matches!(outcome, ArchiveOutcome::Done(..)));
    }
    let names: Vec<String> =
        store.list_environments(scope).await.unwrap().into_iter().map(|environment| environment.name).collect();
    assert_eq!(names.iter().filter(|name| *name == "preview").count(), 2);
}

async fn environments_page_without_gap_or_overlap(engine: Engine) {
    let world = World::new(engine).await;
    let (store, scope) = (world.store(), world.scope);
    for number in 0..7_u128 {
        let id = EnvironmentId::from_u128(100 + number);
        store.create_environment(scope, id, &format!("e{number}"), &by()).await.unwrap();
    }
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = PageRequest { limit: 3, after: after.take(), before: None, order: Order::Ascending };
        let page = store.page_environments(scope, None, false, &page).await.unwrap().unwrap();
        seen.extend(page.data.iter().map(|row| row.id));
        if !page.has_more {
            break;
        }
        after = seen.last().map(ToString::to_string);
    }
    let mut expected: Vec<_> = store.list_environments(scope).await.unwrap().into_iter().map(|row| row.id).collect();
    assert_eq!(seen, expected);
    expected.reverse();
    let page = PageRequest { limit: 100, ..PageRequest::default() };
    let all = store.page_environments(scope, None, false, &page).await.unwrap().unwrap();
    assert_eq!(all.data.iter().map(|row| row.id).collect::<Vec<_>>(), expected);
    let one = store.page_environments(scope, Some(expected[2]), false, &page).await.unwrap().unwrap();
    assert_eq!(one.data.iter().map(|row| row.id).collect::<Vec<_>>(), [expected[2]]);
    let unknown = PageRequest { after: Some("env_zzz".to_owned()), ..PageRequest::default() };
    assert_eq!(store.page_environments(scope, None, true, &unknown).await.unwrap(), None);
}

async fn registries_belong_to_one_organization(engine: Engine) {
    let mut world = World::new(engine).await;
    let other = world.neighbour("umbrella").await;
    let (store, scope) = (world.store(), world.scope);
    let new = |number: u128, slug: &str, environment| NewRegistry {
        id: RegistryId::from_u128(number),
        environment,
        name: slug.to_owned(),
        slug: slug.to_owned(),
    };
    let theirs = store.list_environments(other).await.unwrap()[0].id;
    assert!(store.create_registry(scope, new(1, "own", Some(theirs)), &by()).await.unwrap().is_none());
    let staging = EnvironmentId::from_u128(77);
    store.create_environment(scope, staging, "staging", &by()).await.unwrap();
    let (made, _) = store.create_registry(scope, new(1, "own", None), &by()).await.unwrap().unwrap();
    store.create_registry(scope, new(2, "staged", Some(staging)), &by()).await.unwrap().unwrap();
    assert!(matches!(store.create_registry(scope, new(3, "own", None), &by()).await, Err(Error::Conflict(_))));
    store.create_registry(other, new(4, "own", None), &by()).await.unwrap().unwrap();

    let all = PageRequest { limit: 100, order: Order::Ascending, ..PageRequest::default() };
    let slugs = async |seen_from| -> Vec<String> {
        let page = store.page_registries(scope, seen_from, &all).await.unwrap().unwrap();
        page.data.into_iter().map(|registry| registry.slug).collect()
    };
    assert_eq!(slugs(None).await, ["own", "staged"]);
    assert_eq!(slugs(Some(staging)).await, ["own", "staged"]);
    assert_eq!(slugs(Some(theirs)).await, ["own"]);

    assert_eq!(store.find_registry(other, made.id).await.unwrap(), None);
    let state = Some(RegistryState::Disabled);
    assert_eq!(
        store.update_registry(other, made.id, None, state, None, &by()).await.unwrap(),
        Edited::Unknown,
        "another's registry is unknown"
    );
    assert_eq!(store.update_registry(scope, made.id, None, state, Some(5), &by()).await.unwrap(), Edited::Stale);
    let updated = done(store.update_registry(scope, made.id, None, state, Some(1), &by()).await.unwrap());
    assert_eq!((updated.state, updated.version), (RegistryState::Disabled, 2));
    assert_eq!(store.find_registry(scope, made.id).await.unwrap(), Some(updated));
    assert_eq!(store.delete_registry(other, made.id, &by()).await.unwrap(), None);
    assert!(store.delete_registry(scope, made.id, &by()).await.unwrap().is_some());
    assert_eq!(store.delete_registry(scope, made.id, &by()).await.unwrap(), None);
}

fn agent(world: &mut World, number: u128, environment: EnvironmentId) -> NewAgent {
    let id = AgentId::from_u128(number);
    let owner = Some(Owner::Agent(id));
    let key = claviger_domain::key::NewKey { owner, environment: Some(environment), ..world.new_key("robot") };
    NewAgent { id, environment, name: "robot".to_owned(), role: Some(Role::Developer), key: Some(key) }
}

async fn an_agent_is_made_with_its_key_and_ends_with_it(engine: Engine) {
    let mut world = World::new(engine).await;
    let other = world.neighbour("umbrella").await;
    let scope = world.scope;
    let environment = world.store().find_organization(scope.0).await.unwrap().unwrap().default_environment;
    let new = agent(&mut world, 9, environment);
    let store = world.store();
    let made = store.create_agent(scope, new.clone(), None, &by()).await.unwrap();
    let CreateAgentOutcome::Created(made, Some(key), _) = made else { panic!("{made:?}") };
    assert_eq!(
        (made.name.as_str(), made.role, key.owner),
        ("robot", Some(Role::Developer), Some(Owner::Agent(made.id)))
    );
    assert!(matches!(store.create_agent(scope, new, None, &by()).await.unwrap(), CreateAgentOutcome::Created(..)));
    assert_eq!(store.find_agent(scope, made.id).await.unwrap(), Some(made.clone()));
    assert_eq!(store.find_agent(other, made.id).await.unwrap(), None);
    let page = PageRequest { limit: 10, ..PageRequest::default() };
    let listed = store.page_agents(scope, Some(environment), &page).await.unwrap().unwrap();
    assert_eq!(listed.data, vec![made.clone()]);
    assert_eq!(store.page_agents(other, None, &page).await.unwrap().unwrap().data, vec![]);
    let owner = Owner::Agent(made.id);
    assert_eq!(store.role_of_owner(scope, owner).await.unwrap(), Some(Role::Developer));
    assert_eq!(store.role_of_owner(other, owner).await.unwrap(), None);
    let stranger = Owner::User(claviger_domain::id::UserId::from_u128(4711));
    let described = async |scope| {
        let owners = store.describe_owners(scope, [owner, stranger, owner].into_iter()).await.unwrap();
        owners.into_iter().map(|owner| (owner.name, owner.role, owner.is_here)).collect::<Vec<_>>()
    };
    assert_eq!(described(scope).await, [("robot".to_owned(), Some(Role::Developer), true)]);
    assert_eq!(described(other).await, []);
    let owned = async |is_here| {
        let filter = KeyFilter { owner: Some(owner), has_owner_here: Some(is_here), ..KeyFilter::default() };
        let filter = KeyFilter { states: vec!["active", "revoked"], now: START, ..filter };
        store.list_keys(scope, &filter, &page).await.unwrap().unwrap().data.len()
    };
    assert_eq!((owned(true).await, owned(false).await), (1, 0));

    let name = Some("drone".to_owned());
    assert_eq!(store.update_agent(other, made.id, name.clone(), None, None, &by()).await.unwrap(), Edited::Unknown);
    assert_eq!(store.update_agent(scope, made.id, name.clone(), None, Some(4), &by()).await.unwrap(), Edited::Stale);
    let renamed = done(store.update_agent(scope, made.id, name, Some(None), Some(1), &by()).await.unwrap());
    assert_eq!((renamed.name.as_str(), renamed.role, renamed.version), ("drone", None, 2));

    assert_eq!(store.end_agent(other, made.id, &by()).await.unwrap(), None);
    let ended = store.end_agent(scope, made.id, &by()).await.unwrap();
    assert_eq!(store.end_agent(scope, made.id, &by()).await.unwrap(), ended, "a repetition changes nothing");
    let key = store.find_key(scope, key.id).await.unwrap().unwrap();
    assert_eq!(key.state.at(START, key.expires_at).name(), "revoked");
    assert_eq!(store.role_of_owner(scope, owner).await.unwrap(), None);
    assert_eq!(described(scope).await, [("drone".to_owned(), None, false)]);
    assert_eq!((owned(true).await, owned(false).await), (0, 1));
    assert_eq!(store.update_agent(scope, made.id, None, Some(None), None, &by()).await.unwrap(), Edited::Refused);
    assert_eq!(store.page_agents(scope, None, &page).await.unwrap().unwrap().data, vec![]);
    assert_eq!(store.verify_audit().await.unwrap().faults, vec![]);
}

async fn an_agent_without_room_for_its_key_is_not_made(engine: Engine) {
    let mut world = World::new(engine).await;
    let scope = world.scope;
    let environment = world.store().find_organization(scope.0).await.unwrap().unwrap().default_environment;
    let edit = OrganizationEdit { keys_max: Some(0), ..OrganizationEdit::default() };
    world.store().update_organization(scope.0, edit, None, &by()).await.unwrap();
    let new = agent(&mut world, 9, environment);
    let refused = world.store().create_agent(scope, new, None, &by()).await.unwrap();
    assert!(matches!(refused, CreateAgentOutcome::NoKey(CreateKeyOutcome::LimitReached { .. })), "{refused:?}");
    assert_eq!(world.store().find_agent(scope, AgentId::from_u128(9)).await.unwrap(), None);
    let elsewhere = agent(&mut world, 9, EnvironmentId::from_u128(404));
    let refused = world.store().create_agent(scope, elsewhere, None, &by()).await.unwrap();
    assert!(matches!(refused, CreateAgentOutcome::UnknownEnvironment));
}

async fn an_organization_changes_by_version(engine: Engine) {
    let mut world = World::new(engine).await;
    world.neighbour("umbrella").await;
    let (store, id) = (world.store(), world.scope.0);
    let edited = PolicyEdit {
        creators: Some(Creators::Developers),
        lifetime_days: Set::To(30),
        lifetime_grace_days: 1,
        allowed_ips: Set::To(vec!["10.0.0.0/8".parse().unwrap(), "2001:db8::/32".parse().unwrap()]),
        require_source_tag: Some(true),
        finish_when_quiet_hours: Set::To(12),
        ..PolicyEdit::default()
    };
    let policy = edited.onto(&OrganizationPolicy::default(), by().at);
    let edit = OrganizationEdit {
        name: Some("Acme & Söhne".to_owned()),
        reporting_zone: Some("Asia/Shanghai".to_owned()),
        policy: Some(edited),
        keys_max: Some(7),
        key_prefix: Some(Some("acme_".to_owned())),
        ..OrganizationEdit::default()
    };
    let changed = done(store.update_organization(id, edit.clone(), Some(1), &by()).await.unwrap());
    assert_eq!(store.find_organization(id).await.unwrap().unwrap(), changed);
    assert_eq!((changed.policy, changed.version, changed.keys_max), (policy, 2, 7));
    assert_eq!(store.update_organization(id, edit.clone(), Some(1), &by()).await.unwrap(), Edited::Stale);
    let same = done(store.update_organization(id, edit, None, &by()).await.unwrap());
    assert_eq!(same.version, 2, "what changes nothing is no change");
    let edit = OrganizationEdit { slug: Some("umbrella".to_owned()), ..OrganizationEdit::default() };
    assert!(matches!(store.update_organization(id, edit, None, &by()).await, Err(Error::Conflict(_))));
    let all = PageRequest { limit: 1, order: Order::Ascending, ..PageRequest::default() };
    let page = store.page_organizations(&all).await.unwrap().unwrap();
    assert_eq!((page.data.len(), page.has_more), (1, true));
    let next = PageRequest { after: page.data.first().map(|row| row.id.to_string()), ..all };
    assert_eq!(store.page_organizations(&next).await.unwrap().unwrap().data.len(), 1);
    let unknown = PageRequest { after: Some("org_x".to_owned()), ..PageRequest::default() };
    assert!(store.page_organizations(&unknown).await.unwrap().is_none());
    assert_eq!(store.verify_audit().await.unwrap().faults, vec![]);
}

async fn what_a_lifetime_has_ended_is_kept_and_listed(engine: Engine) {
    let mut world = World::new(engine).await;
    let key = world.key("old").await;
    let (store, id) = (world.store(), world.scope.0);
    let day = |number: u64| START.plus(Duration::from_secs(86_400 * number));
    let set = async |days, at| {
        let edit = PolicyEdit { lifetime_days: days, ..PolicyEdit::default() };
        let edit = OrganizationEdit { policy: Some(edit), ..OrganizationEdit::default() };
        let by = Attribution { at, ..by() };
        done(store.update_organization(id, edit, None, &by).await.unwrap()).policy
    };
    set(Set::To(2), day(0)).await;
    let lifted = set(Set::Clear, day(3)).await;
    assert_eq!(
        lifted.lifetimes.end_of(key.created_at),
        Some((key.created_at.plus(Duration::from_secs(2 * 86_400)), 2))
    );
    let stored = store.find_organization(id).await.unwrap().unwrap().policy;
    assert_eq!(stored, lifted, "it reads back as it was written");
    for (state, expected) in [("active", 0), ("expired", 1)] {
        for (search, is_ascending) in [(None, true), (Some("old".to_owned()), false)] {
            let filter = KeyFilter {
                states: vec![state],
                search,
                lifetimes: stored.lifetimes.clone(),
                now: day(4),
                ..KeyFilter::default()
            };
            let order = if is_ascending { Order::Ascending } else { Order::Descending };
            let page = PageRequest { order, ..PageRequest::default() };
            let page = store.list_keys(world.scope, &filter, &page).await.unwrap().unwrap();
            assert_eq!(page.data.len(), expected, "{state}");
        }
    }
}

async fn only_a_suspended_organization_resumes_and_a_closed_one_stays(engine: Engine) {
    let world = World::new(engine).await;
    let (store, id) = (world.store(), world.scope.0);
    let move_to = async |state| {
        let edit = OrganizationEdit { state: Some((state, Some("abuse".to_owned()))), ..OrganizationEdit::default() };
        store.update_organization(id, edit, None, &by()).await.unwrap()
    };
    let suspended = done(move_to(OrganizationState::Suspended).await);
    assert_eq!((suspended.state, suspended.state_reason.as_deref()), (OrganizationState::Suspended, Some("abuse")));
    assert_eq!(done(move_to(OrganizationState::Active).await).state, OrganizationState::Active);
    assert_eq!(done(move_to(OrganizationState::Closed).await).state, OrganizationState::Closed);
    assert_eq!(move_to(OrganizationState::Active).await, Edited::Refused);
    assert_eq!(move_to(OrganizationState::Suspended).await, Edited::Refused);
}

async fn live_secrets_come_oldest_first(engine: Engine) {
    let mut world = World::new(engine).await;
    let first = world.key("first").await;
    let second = world.key("second").await;
    world
        .store()
        .revoke_key(world.scope, second.id, claviger_domain::key::RevocationReason::Unused, &by())
        .await
        .unwrap();
    let live = world.store().live_secrets(world.scope, START, 10).await.unwrap();
    assert_eq!(live.iter().map(|secret| secret.key).collect::<Vec<_>>(), [first.id]);
    assert_eq!(world.store().count_live_keys(world.scope, START).await.unwrap(), 1);
    let filter = KeyFilter { now: START, ..KeyFilter::default() };
    let page = PageRequest { limit: 10, ..PageRequest::default() };
    assert_eq!(world.store().list_keys(world.scope, &filter, &page).await.unwrap().unwrap().data.len(), 1);
}
