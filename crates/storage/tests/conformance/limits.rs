//! Limits of organizations and environments, model permissions, and counts of refusals.

use crate::on_both_engines;
use crate::world::{World, by};
use claviger_domain::gcra::Rate;
use claviger_domain::id::{EnvironmentId, KeyId};
use claviger_domain::key::Limits;
use claviger_domain::place::ModelRule;
use claviger_domain::rate_share::ShareAsk;
use claviger_domain::revocation::Change;
use claviger_domain::tenancy::TenantScope;
use claviger_domain::time::Timestamp;
use claviger_storage::{ALL_MODELS, Engine, PageRequest, RateLimitChange, Refusals, SharedLimiter, Store};
use claviger_testkit::clock::START;
use futures_util::future::join_all;
use std::time::Duration;

on_both_engines! {
    limits_are_kept_by_place_and_model_and_come_as_news,
    a_limit_on_nothing_is_gone,
    model_permissions_are_replaced_and_lifted,
    nothing_of_another_organization_can_be_limited,
    refusals_are_counted_by_hour_key_and_reason,
    nodes_share_one_rate_and_none_of_it_is_given_twice,
}

const RPM_60: RateLimitChange = RateLimitChange { rpm: Some(Some(60)), tpm: None, concurrency: None };

async fn environment(store: &Store, scope: TenantScope) -> EnvironmentId {
    store.find_organization(scope.0).await.unwrap().unwrap().default_environment
}

async fn limits_are_kept_by_place_and_model_and_come_as_news(engine: Engine) {
    let world = World::new(engine).await;
    let store = world.store();
    let place = environment(store, world.scope).await;
    let (limit, epoch) =
        store.set_rate_limit(world.scope, Some(place), ALL_MODELS, RPM_60, &by()).await.unwrap().unwrap();
    assert_eq!((limit.limits.rpm, limit.set_at), (Some(60), by().at));
    let news = store.changes_since(claviger_domain::revocation::Epoch(epoch.0 - 1)).await.unwrap();
    assert_eq!(news.iter().map(|event| event.change.clone()).collect::<Vec<_>>(), [Change::Organization]);

    let tpm = RateLimitChange { tpm: Some(Some(6_000)), ..RateLimitChange::default() };
    store.set_rate_limit(world.scope, Some(place), ALL_MODELS, tpm, &by()).await.unwrap().unwrap();
    store.set_rate_limit(world.scope, Some(place), "acme/chat", tpm, &by()).await.unwrap().unwrap();
    let cap = RateLimitChange { concurrency: Some(Some(4)), ..RateLimitChange::default() };
    store.set_rate_limit(world.scope, None, ALL_MODELS, cap, &by()).await.unwrap().unwrap();

    let listed = store.list_rate_limits(world.scope, Some(place)).await.unwrap().unwrap();
    let both = Limits { rpm: Some(60), tpm: Some(6_000), ..Limits::default() };
    let tokens = Limits { tpm: Some(6_000), ..Limits::default() };
    let listed: Vec<_> = listed.into_iter().map(|limit| (limit.model, limit.limits)).collect();
    assert_eq!(listed, [(ALL_MODELS.to_owned(), both), ("acme/chat".to_owned(), tokens)]);

    let rules = store.find_tenant_rules(world.scope.0).await.unwrap();
    assert_eq!(rules.organization.limits.concurrency, Some(4));
    assert_eq!(rules.environments.len(), 1);
    assert_eq!((rules.environments[0].0, rules.environments[0].1.limits), (place, both));
    assert_eq!(rules.environments[0].1.limits_of("acme/chat"), Some(&tokens));
    assert_eq!(store.load_rights(START, &mut drop).await.unwrap().rules.get(&world.scope.0), Some(&rules));

    let audit = store.list_audit(world.scope, &PageRequest { limit: 1, ..PageRequest::default() }).await.unwrap();
    let record = &audit.unwrap().data[0].record;
    assert_eq!((record.action.name(), record.target.clone()), ("rate_limit.updated", world.scope.0.to_string()));
    assert_eq!((record.changes[0].field.as_str(), record.changes[0].to.as_deref()), ("*.concurrency", Some("4")));
}

async fn nodes_share_one_rate_and_none_of_it_is_given_twice(engine: Engine) {
    let world = World::new(engine).await;
    let store = world.store();
    let limiter = |name: &str, limit, is_new| SharedLimiter {
        name: name.to_owned(),
        rate: Rate::per_minute(limit, None),
        is_new,
    };
    let one = ShareAsk { need: 1, debt: 0 };
    let asks = (0..40).map(|_| store.share_rate(limiter("key_a rpm", 600, true), one, START));
    let granted: u64 = join_all(asks).await.into_iter().map(|asked| asked.unwrap().unwrap_or(0)).sum();
    // What the database's own clock adds meanwhile is little: one unit in 100 ms.
    assert!((100..=160).contains(&granted), "{granted} of a burst of 100");
    let told = store.share_rate(limiter("key_a rpm", 600, true), ShareAsk { need: 0, debt: 50 }, START).await.unwrap();
    assert_eq!(told, Ok(0));
    let refused = store.share_rate(limiter("key_a rpm", 600, true), one, START).await.unwrap().unwrap_err();
    assert!(refused.wait > Duration::from_secs(3), "50 units of debt are owed: {refused:?}");
    // An edit lets nothing more through, and what is not new begins with nothing left.
    let raised = store.share_rate(limiter("key_a rpm", 6_000, true), one, START).await.unwrap();
    assert!(raised.is_err(), "{raised:?}");
    let older = store.share_rate(limiter("key_b rpm", 6, false), one, START).await.unwrap();
    assert!(older.is_err(), "{older:?}");
    assert_eq!(store.share_rate(limiter("key_c rpm", 6, true), one, START).await.unwrap(), Ok(1), "each its own");
    assert_eq!(store.prune_shared_rates(Timestamp(0)).await.unwrap(), 0);
    assert_eq!(store.prune_shared_rates(Timestamp(i64::MAX)).await.unwrap(), 3);
}

async fn a_limit_on_nothing_is_gone(engine: Engine) {
    let world = World::new(engine).await;
    let store = world.store();
    store.set_rate_limit(world.scope, None, ALL_MODELS, RPM_60, &by()).await.unwrap().unwrap();
    let lift = RateLimitChange { rpm: Some(None), ..RateLimitChange::default() };
    for _ in 0..2 {
        let (limit, _) = store.set_rate_limit(world.scope, None, ALL_MODELS, lift, &by()).await.unwrap().unwrap();
        assert_eq!(limit.limits, Limits::default());
        assert_eq!(store.list_rate_limits(world.scope, None).await.unwrap().unwrap(), []);
    }
    assert!(store.load_rights(START, &mut drop).await.unwrap().rules.is_empty());
}

async fn model_permissions_are_replaced_and_lifted(engine: Engine) {
    let world = World::new(engine).await;
    let store = world.store();
    let place = environment(store, world.scope).await;
    assert_eq!(store.find_model_permissions(world.scope, place).await.unwrap(), Some(None));
    let list = || vec!["acme/*".parse().unwrap(), "gpt-4".parse().unwrap()];
    for rule in [ModelRule::Only(list()), ModelRule::AllBut(list())] {
        store.set_model_permissions(world.scope, place, rule.clone(), &by()).await.unwrap().unwrap();
        let found = store.find_model_permissions(world.scope, place).await.unwrap().unwrap().unwrap();
        assert_eq!(found.rule, rule);
        assert_eq!(store.find_tenant_rules(world.scope.0).await.unwrap().environments[0].1.models, rule);
    }
    store.set_model_permissions(world.scope, place, ModelRule::Any, &by()).await.unwrap().unwrap();
    assert_eq!(store.find_model_permissions(world.scope, place).await.unwrap(), Some(None));
    assert!(store.find_tenant_rules(world.scope.0).await.unwrap().environments.is_empty());
}

async fn nothing_of_another_organization_can_be_limited(engine: Engine) {
    let mut world = World::new(engine).await;
    let other = world.neighbour("umbrella").await;
    let store = world.store();
    let foreign = environment(store, other).await;
    let rule = ModelRule::Only(vec!["acme/*".parse().unwrap()]);
    for place in [foreign, EnvironmentId::from_u128(77)] {
        let set = store.set_rate_limit(world.scope, Some(place), ALL_MODELS, RPM_60, &by()).await.unwrap();
        assert!(set.is_none());
        assert!(store.list_rate_limits(world.scope, Some(place)).await.unwrap().is_none());
        assert!(store.find_model_permissions(world.scope, place).await.unwrap().is_none());
        assert!(store.set_model_permissions(world.scope, place, rule.clone(), &by()).await.unwrap().is_none());
    }
    assert!(store.load_rights(START, &mut drop).await.unwrap().rules.is_empty());
}

async fn refusals_are_counted_by_hour_key_and_reason(engine: Engine) {
    let mut world = World::new(engine).await;
    let other = world.neighbour("umbrella").await;
    let store = world.store();
    let (one, two) = (KeyId::from_symbols(b"000000000001"), KeyId::from_symbols(b"000000000002"));
    let (one, two) = (one.unwrap(), two.unwrap());
    let refused =
        |key: KeyId, code: &str, count| Refusals { organization: world.scope.0, key, code: code.to_owned(), count };
    let later = START.plus(Duration::from_secs(3_600));
    let first = vec![refused(one, "rate_limit_exceeded", 7), refused(two, "ip_not_allowed", 1)];
    store.add_refusals(first.clone(), START).await.unwrap();
    store.add_refusals(vec![refused(one, "rate_limit_exceeded", 5)], later).await.unwrap();
    let count = async |key, since: Timestamp| store.count_refusals(world.scope, key, since).await.unwrap();
    assert_eq!(count(None, START).await, [refused(one, "rate_limit_exceeded", 12), first[1].clone()]);
    assert_eq!(count(Some(one), later).await, [refused(one, "rate_limit_exceeded", 5)]);
    assert_eq!(store.count_refusals(other, None, START).await.unwrap(), []);
    let long_after = START.plus(Duration::from_secs(91 * 24 * 3_600));
    store.add_refusals(Vec::new(), long_after).await.unwrap();
    assert_eq!(count(None, Timestamp(0)).await, []);
}
