//! Request records: read back whole, listed in pages, summed.

use crate::on_both_engines;
use crate::world::{COST, World, by};
use claviger_domain::id::{EnvironmentId, KeyId, RequestId, UserId};
use claviger_domain::key::{NewKey, Owner};
use claviger_domain::meter::{Meter, Meters, UsageSource};
use claviger_domain::money::Nano;
use claviger_domain::request::{Delivery, Outcome, RequestRecord};
use claviger_domain::tenancy::TenantScope;
use claviger_domain::time::Timestamp;
use claviger_storage::{CreateKeyOutcome, Engine, Order, PageRequest, RequestFilter, UsageDimension, UsageQuery};

on_both_engines! {
    a_record_comes_back_whole,
    records_are_listed_in_pages_and_filtered,
    records_and_usage_of_an_owner_are_those_of_keys_they_own_now,
    usage_is_the_sum_of_the_records,
}

async fn append(world: &World, record: RequestRecord) {
    world.store().charges().try_reserve().unwrap().append(record).wait().await.unwrap().mark();
}

async fn a_record_comes_back_whole(engine: Engine) {
    let mut world = World::new(engine).await;
    world.fund(world.scope, 1_000_000).await;
    let full = world.record(world.scope);
    let mut bare = world.record(world.scope);
    bare.source_tag = None;
    bare.upstream_model = None;
    bare.upstream_request_id = None;
    bare.client_request_id = Some("caller \"1\" \\ é".to_owned());
    bare.is_stream = false;
    bare.is_test = true;
    bare.first_byte_at = None;
    bare.status = 429;
    bare.outcome = Outcome::Refused;
    bare.error_code = Some("insufficient_quota");
    bare.rule = 19;
    bare.usage_source = UsageSource::None;
    bare.is_anomalous = true;
    bare.meters = Meters::NONE;
    bare.price_version = None;
    (bare.hold, bare.charge) = (Nano(0), Nano(0));
    bare.attempts = Vec::new();
    bare.delivery = Delivery::NotDelivered;
    let mut every = world.record(world.scope);
    for (number, meter) in Meter::ALL.iter().enumerate() {
        every.meters.set(*meter, number as u64);
    }
    (every.hold, every.charge, every.absorbed) = (Nano(90), Nano(90), Nano(10));
    every.outcome = Outcome::CutAtHold;
    for record in [full, bare, every] {
        append(&world, record.clone()).await;
        let read = world.store().find_request(world.scope, record.id).await.unwrap();
        assert_eq!(read, Some(record));
    }
    assert_eq!(world.store().find_request(world.scope, RequestId::from_u128(1)).await.unwrap(), None);
}

async fn records_are_listed_in_pages_and_filtered(engine: Engine) {
    let mut world = World::new(engine).await;
    let neighbour = world.neighbour("umbrella").await;
    world.fund(world.scope, 1_000_000).await;
    world.fund(neighbour, 1_000_000).await;
    let mut made = Vec::new();
    for number in 0..7 {
        let mut record = world.record(world.scope);
        record.model = format!("m{}", number % 2);
        record.source_tag = (number % 3 == 0).then(|| "third".to_owned());
        // Ids of one instant differ at random: a list is in id order.
        record.id = RequestId::from_u128(record.id.to_u128() + (1 << 90) * number);
        made.push(record.clone());
        append(&world, record).await;
    }
    let foreign = world.record(neighbour);
    append(&world, foreign.clone()).await;
    let store = world.store();
    let ids: Vec<RequestId> = made.iter().map(|record| record.id).collect();
    let list = async |filter: RequestFilter, page: PageRequest| {
        store
            .list_requests(world.scope, &filter, &page)
            .await
            .unwrap()
            .map(|page| (page.data.iter().map(|record| record.id).collect::<Vec<_>>(), page.has_more))
    };
    let any = RequestFilter::default;
    let (first, has_more) = list(any(), PageRequest { limit: 3, ..PageRequest::default() }).await.unwrap();
    assert_eq!((first, has_more), (vec![ids[6], ids[5], ids[4]], true));
    let after = PageRequest { limit: 100, after: Some(ids[4].to_string()), ..PageRequest::default() };
    assert_eq!(list(any(), after).await.unwrap(), (vec![ids[3], ids[2], ids[1], ids[0]], false));
    let before =
        PageRequest { limit: 2, before: Some(ids[4].to_string()), order: Order::Ascending, ..PageRequest::default() };
    assert_eq!(list(any(), before).await.unwrap(), (vec![ids[2], ids[3]], true));
    for cursor in [foreign.id.to_string(), "nonsense".to_owned()] {
        let page = PageRequest { limit: 3, after: Some(cursor), ..PageRequest::default() };
        assert!(list(any(), page).await.is_none());
    }
    let all = PageRequest { limit: 100, order: Order::Ascending, ..PageRequest::default() };
    let filtered = async |filter| list(filter, all.clone()).await.unwrap().0;
    assert_eq!(filtered(RequestFilter { key: Some(made[2].key), ..any() }).await, [ids[2]]);
    assert_eq!(filtered(RequestFilter { model: Some("m1".to_owned()), ..any() }).await, [ids[1], ids[3], ids[5]]);
    assert_eq!(
        filtered(RequestFilter { source_tag: Some("third".to_owned()), ..any() }).await,
        [ids[0], ids[3], ids[6]]
    );
    let window = RequestFilter { since: Some(made[2].completed_at), until: Some(made[4].completed_at), ..any() };
    assert_eq!(filtered(window).await, [ids[2], ids[3]]);
    let here = RequestFilter { environment: Some(made[0].environment), ..any() };
    assert_eq!(filtered(here).await.len(), 7);
    let elsewhere = RequestFilter { environment: Some(EnvironmentId::from_u128(1)), ..any() };
    assert_eq!(filtered(elsewhere).await, []);
}

async fn records_and_usage_of_an_owner_are_those_of_keys_they_own_now(engine: Engine) {
    let mut world = World::new(engine).await;
    world.fund(world.scope, 1_000_000).await;
    let (me, she) = (Owner::User(UserId::from_u128(1)), Owner::User(UserId::from_u128(2)));
    let mut made = Vec::new();
    for owner in [Some(me), Some(she), None] {
        let new = NewKey { owner, ..world.new_key("owned") };
        let CreateKeyOutcome::Created { key, .. } = world.store().create_key(world.scope, new, &by()).await.unwrap()
        else {
            panic!("not created")
        };
        let mut record = world.record(world.scope);
        record.key = key.id;
        made.push((record.id, key));
        append(&world, record).await;
    }
    let list = async |owner: Owner| {
        let filter = RequestFilter { owner: Some(owner), ..RequestFilter::default() };
        let page = PageRequest { limit: 100, ..PageRequest::default() };
        let page = world.store().list_requests(world.scope, &filter, &page).await.unwrap().unwrap();
        page.data.iter().map(|record| record.id).collect::<Vec<_>>()
    };
    assert_eq!((list(me).await, list(she).await), (vec![made[0].0], vec![made[1].0]));
    let usage = async |owners: Vec<Owner>| {
        let query = UsageQuery {
            group_by: vec![UsageDimension::Owner],
            owners,
            ..UsageQuery::between(Timestamp(0), Timestamp(i64::MAX))
        };
        let rows = world.store().usage(world.scope, &query).await.unwrap();
        let mut rows: Vec<_> = rows.iter().map(|row| (row.owner, row.requests)).collect();
        rows.sort_by_key(|row| row.0.map(|owner| owner.to_string()));
        rows
    };
    assert_eq!(usage(vec![]).await, [(None, 1), (Some(me), 1), (Some(she), 1)]);
    assert_eq!(usage(vec![me]).await, [(Some(me), 1)]);
}

async fn usage_is_the_sum_of_the_records(engine: Engine) {
    let mut world = World::new(engine).await;
    let neighbour = world.neighbour("umbrella").await;
    world.fund(world.scope, 1_000_000).await;
    world.fund(neighbour, 1_000_000).await;
    let (first, second) =
        (KeyId::from_symbols(b"00000000000A").unwrap(), KeyId::from_symbols(b"00000000000B").unwrap());
    let minute = 60_000_000;
    for number in 0..6_i64 {
        let mut record = world.record(if number == 5 { neighbour } else { world.scope });
        record.key = if number % 2 == 0 { first } else { second };
        record.source_tag = (number < 3).then(|| "a".to_owned());
        record.completed_at = Timestamp(number * minute);
        record.meters = Meters::NONE.with(Meter::InputToken, 10);
        append(&world, record).await;
    }
    let usage = async |query: UsageQuery| world.store().usage(world.scope, &query).await.unwrap();
    let whole = UsageQuery::between(Timestamp(0), Timestamp(minute * 10));
    let total = usage(whole.clone()).await;
    assert_eq!(total.len(), 1);
    assert_eq!((total[0].requests, total[0].charge, total[0].bucket_start), (5, Nano(COST.0 * 5), Timestamp(0)));
    assert_eq!(total[0].meters, Meters::NONE.with(Meter::InputToken, 50));
    assert_eq!((total[0].key, total[0].model.clone()), (None, None));
    let by_key = usage(UsageQuery { group_by: vec![UsageDimension::Key], ..whole.clone() }).await;
    assert_eq!(
        by_key.iter().map(|row| (row.key, row.requests)).collect::<Vec<_>>(),
        [(Some(first), 3), (Some(second), 2)]
    );
    let every =
        vec![UsageDimension::Key, UsageDimension::SourceTag, UsageDimension::Model, UsageDimension::Environment];
    let split = usage(UsageQuery { group_by: every, ..whole.clone() }).await;
    assert_eq!(split.len(), 4);
    assert_eq!(split.iter().map(|row| row.requests).sum::<u64>(), 5);
    assert!(split.iter().all(|row| row.environment == Some(world.environment)));
    let twos = (0..5).map(|two| (Timestamp(two * 2 * minute), Timestamp((two + 1) * 2 * minute))).collect();
    let buckets = usage(UsageQuery { buckets: twos, ..whole.clone() }).await;
    let starts: Vec<_> = buckets.iter().map(|row| (row.bucket_start.0 / minute, row.requests)).collect();
    assert_eq!(starts, [(0, 2), (2, 2), (4, 1)]);
    let narrow = UsageQuery {
        keys: vec![first],
        source_tags: vec!["a".to_owned(), "b".to_owned()],
        models: vec!["acme/chat".to_owned()],
        environments: vec![world.environment],
        ..whole.clone()
    };
    assert_eq!(usage(narrow).await[0].requests, 2);
    assert_eq!(usage(UsageQuery { models: vec!["x' OR 1=1 --".to_owned()], ..whole.clone() }).await, vec![]);
    let window = UsageQuery { buckets: vec![(Timestamp(minute), Timestamp(minute * 3))], ..whole };
    assert_eq!(usage(window).await[0].requests, 2, "the end is not part of the window");
    assert_eq!(TenantScope(world.scope.0), world.scope);
}
