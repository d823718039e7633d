//! Grants, usage, records and receipts.

use super::authorization::Stage;
use super::{World, text};
use claviger_domain::endpoint::EndpointName;
use claviger_domain::id::{KeyId, RequestId, SecretId};
use claviger_domain::meter::{Meter, Meters, UsageSource};
use claviger_domain::money::{Nano, Price};
use claviger_domain::price::PriceSheet;
use claviger_domain::request::{Attempt, AttemptOutcome, Delivery, Outcome, RequestRecord};
use claviger_domain::tenancy::TenantScope;
use claviger_domain::time::{Clock as _, Timestamp};
use serde_json::{Value, json};

const RECORD: u128 = 0x0193_a4c1_f2a0_7def_8123_4567_89ab_cdef;

/// V4 of `money.md` §1, charged to the key.
async fn charge(world: &World, key: &Value) -> RequestRecord {
    charge_to(world, text(&key["id"]).parse().expect("an id"), RECORD).await
}

/// V4 of `money.md` §1, charged to the key under this id.
pub(super) async fn charge_to(world: &World, key_id: KeyId, number: u128) -> RequestRecord {
    let rows = vec![
        (Meter::InputToken, Price(2_500_000_000)),
        (Meter::CachedInputToken, Price(1_250_000_000)),
        (Meter::OutputToken, Price(10_000_000_000)),
    ];
    let sheet = PriceSheet::new("acme/chat", rows, None).expect("the prices are lawful");
    let store = &world.store.store;
    let now = world.clock.now();
    store.save_price_versions(std::slice::from_ref(&sheet), now).await.expect("the price is stored");
    let found = store.find_presented_key(key_id).await.expect("readable").expect("the key exists");
    let record = RequestRecord {
        id: RequestId::from_u128(number),
        organization: found.1.id,
        environment: found.0.environment,
        key: key_id,
        key_name: found.0.name,
        secret: SecretId::from_u128(1),
        source_tag: Some("checkout".to_owned()),
        endpoint: EndpointName::ChatCompletions,
        model: "acme/chat".to_owned(),
        upstream_model: None,
        upstream_request_id: None,
        client_request_id: None,
        alias: None,
        is_stream: false,
        is_test: false,
        admitted_at: now.wall,
        first_byte_at: None,
        completed_at: now.wall,
        status: 200,
        outcome: Outcome::Complete,
        error_code: None,
        refused_by: None,
        would_refuse: None,
        rule: 1,
        usage_source: UsageSource::UpstreamFinal,
        is_anomalous: false,
        meters: Meters::NONE
            .with(Meter::InputToken, 1_808)
            .with(Meter::CachedInputToken, 8_192)
            .with(Meter::OutputToken, 180)
            .with(Meter::ReasoningToken, 320),
        price_version: Some(sheet.version),
        hold: Nano(171_400_000),
        charge: Nano(19_760_000),
        absorbed: Nano::ZERO,
        attempts: vec![Attempt {
            provider: "vllm-a".to_owned(),
            upstream_model: None,
            outcome: Some(AttemptOutcome::Answered),
            status: 200,
            head_ms: 3,
        }],
        delivery: Delivery::Delivered,
        conditions: None,
        kept: None,
    };
    let slot = store.charges().try_reserve().expect("there is room");
    let durable = slot.append(record.clone()).wait().await;
    durable.unwrap_or_else(|_| panic!("the charge is durable")).mark();
    record
}

#[tokio::test]
async fn a_receipt_adds_up_to_the_last_unit() {
    let (world, admin) = World::set_up().await;
    let key = world.key("prod-backend").await;
    let record = charge(&world, &key).await;
    let receipt =
        world.with(&admin, "GET", &format!("/v1/organization/requests/{}/receipt", record.id), &Value::Null).await.body;
    let amounts: Vec<&str> =
        receipt["lines"].as_array().into_iter().flatten().map(|line| text(&line["amount"])).collect();
    assert_eq!(amounts, ["0.004520000", "0.010240000", "0.001800000", "0.003200000"]);
    assert_eq!(text(&receipt["lines"][3]["priced_as"]), "output_token");
    assert_eq!(text(&receipt["lines"][0]["price"]), "2.50");
    for (field, amount) in [
        ("exact", "0.019760000"),
        ("rounding", "0.000000000"),
        ("charged", "0.019760000"),
        ("held", "0.171400000"),
        ("released", "0.151640000"),
        ("absorbed", "0.000000000"),
    ] {
        assert_eq!(text(&receipt[field]), amount, "{field}");
    }
    assert!(text(&receipt["transfer"]).starts_with("t_"));

    let wallet = world.with(&admin, "GET", "/v1/organization/credits", &Value::Null).await.body;
    assert_eq!((text(&wallet["balance"]), text(&wallet["total_usage"])), ("10.480240000", "0.019760000"));
    let report = world.operator("POST", "/api/operator/ledger/verify", &Value::Null).await.body;
    assert_eq!(report["ok"], json!(true), "{report}");
}

#[tokio::test]
async fn sums_of_usage_are_made_again_by_the_operator() {
    let (world, _) = World::set_up().await;
    let key = world.key("prod-backend").await;
    let record = charge(&world, &key).await;
    let verify = async || world.operator("POST", "/api/operator/ledger/verify", &Value::Null).await.body;
    assert_eq!(verify().await["ok"], json!(true), "and the record has come into the database");
    for _ in 0..2 {
        let rebuilt = world.operator("POST", "/api/operator/usage/rebuild", &Value::Null).await.body;
        assert_eq!(rebuilt, json!({ "object": "usage.rebuilt", "records": 1 }));
        assert_eq!(verify().await["ok"], json!(true));
    }
    let job = world.operator("POST", "/api/operator/jobs/usage/run", &Value::Null).await;
    assert_eq!(job.status, 200, "{}", job.body);
    let scope = TenantScope(record.organization);
    let spend = world.store.store.key_spend(scope, record.key, [Timestamp(0); 3]).await;
    assert_eq!(spend.map(|spend| spend.total).ok(), Some(record.charge));
}

#[tokio::test]
async fn usage_is_filtered_and_grouped_by_source_tag() {
    let (world, admin) = World::set_up().await;
    let key = world.key("prod-backend").await;
    charge(&world, &key).await;
    let start = world.clock.now().wall.seconds() - 86_400;
    let ask = async |query: &str| -> Value {
        let target = format!("/v1/organization/usage/completions?start_time={start}{query}");
        world.with(&admin, "GET", &target, &Value::Null).await.body
    };
    let page = ask("&group_by[]=source_tag&group_by%5B%5D=model&bucket_width=1d").await;
    let buckets = page["data"].as_array().cloned().unwrap_or_default();
    assert_eq!(buckets.len(), 2, "{page}");
    assert_eq!(buckets[0]["results"], json!([]));
    let result = &buckets[1]["results"][0];
    assert_eq!((text(&result["source_tag"]), text(&result["model"])), ("checkout", "acme/chat"));
    assert_eq!(
        (&result["input_tokens"], &result["input_cached_tokens"], &result["output_tokens"]),
        (&json!(10_000), &json!(8_192), &json!(500))
    );
    assert_eq!((&result["num_model_requests"], text(&result["charge"])), (&json!(1), "0.019760000"));

    let count = |page: &Value| {
        page["data"]
            .as_array()
            .into_iter()
            .flatten()
            .flat_map(|bucket| bucket["results"].as_array().cloned().unwrap_or_default())
            .count()
    };
    assert_eq!(count(&ask("&source_tags[]=checkout").await), 1);
    assert_eq!(count(&ask("&source_tags[]=etl").await), 0);
    assert_eq!(count(&ask(&format!("&api_key_ids={}", text(&key["id"]))).await), 1);
    assert_eq!(count(&ask("&api_key_ids=key_zzzzzzzzzzzz").await), 0);
    assert_eq!(count(&ask("&api_key_ids=nonsense").await), 0);
    assert_eq!(count(&ask("&models=acme/chat").await), 1);
    assert_eq!(text(&ask("&group_by=colour").await["error"]["code"]), "invalid_value");
}

#[tokio::test]
async fn request_records_are_listed_and_read_inside_the_organization_only() {
    let (mut world, admin) = World::set_up().await;
    let key = world.key("prod-backend").await;
    let record = charge(&world, &key).await;
    let list = world.with(&admin, "GET", "/v1/organization/requests?model=acme/chat", &Value::Null).await.body;
    assert_eq!((text(&list["data"][0]["id"]), &list["has_more"]), (record.id.to_string().as_str(), &json!(false)));
    let path = format!("/v1/organization/requests/{}", record.id);
    assert_eq!(text(&world.with(&admin, "GET", &path, &Value::Null).await.body["outcome"]), "complete");
    world.organization("other", claviger_domain::tenancy::OrganizationState::Active).await;
    assert_eq!(world.operator_in("other", "GET", &path, &Value::Null).await.refusal(), (404, "not_found"));
    assert_eq!(
        world.operator_in("other", "GET", &format!("{path}/receipt"), &Value::Null).await.refusal(),
        (404, "not_found")
    );
}

#[tokio::test]
async fn developers_see_the_requests_and_the_usage_of_their_own_keys_unless_the_policy_shows_all() {
    let stage = Stage::set().await;
    let [own, other, _] = &stage.ids["request"];
    let ask = async |target: &str| stage.world.with(&stage.keys["developer"], "GET", target, &Value::Null).await;
    let list = async || -> Vec<String> {
        let list = ask("/v1/organization/requests").await.body;
        list["data"].as_array().into_iter().flatten().map(|row| text(&row["id"]).to_owned()).collect()
    };
    let start = stage.world.clock.now().wall.seconds() - 60;
    let used = async |query: &str| -> Value {
        let page = ask(&format!("/v1/organization/usage/completions?start_time={start}{query}")).await.body;
        page["data"][0]["results"].clone()
    };
    assert_eq!(list().await, std::slice::from_ref(own));
    assert_eq!(used("").await[0]["num_model_requests"], json!(1));
    let refused = ask(&format!("/v1/organization/requests/{other}/receipt")).await;
    assert_eq!(refused.refusal(), (403, "permission_denied"));
    let grouped = used("&group_by=user_id").await;
    let me = text(&grouped[0]["user_id"]).to_owned();
    assert!(me.starts_with("usr_") && grouped.as_array().map(Vec::len) == Some(1), "{grouped}");
    let all = stage.world.with(&stage.keys["owner"], "GET", "/v1/organization/requests", &Value::Null).await.body;
    assert_eq!(all["data"].as_array().map(Vec::len), Some(2), "{all}");
    let not_me = &format!("&user_ids={}", stage.ids["user"][0]);
    assert_eq!(used(not_me).await, json!([]));
    assert_eq!(used(&format!("&user_ids[]={me}")).await[0]["num_model_requests"], json!(1));

    let shown = json!({ "developers_see_all": true });
    assert_eq!(stage.world.operator_in("acme", "POST", "/v1/organization/policy", &shown).await.status, 200);
    assert_eq!(list().await.len(), 2);
    assert_eq!(used("").await[0]["num_model_requests"], json!(2));
    assert_eq!(ask(&format!("/v1/organization/requests/{other}/receipt")).await.status, 200);
}

#[tokio::test]
async fn a_grant_needs_an_amount_a_reason_and_an_organization() {
    let (world, _) = World::set_up().await;
    let grant = async |organization: &str, amount: &str, reason: &str| {
        let body = json!({ "organization": organization, "amount": amount, "reason": reason });
        world.operator("POST", "/api/operator/grants", &body).await
    };
    let booked = grant("acme", "0.000000001", "thanks").await;
    assert_eq!((booked.status, text(&booked.body["balance"])), (200, "10.500000001"));
    for amount in ["0", "-1", "1e3", "0.0000000001", "99999999999"] {
        assert_eq!(grant("acme", amount, "x").await.refusal(), (400, "invalid_amount"), "{amount}");
    }
    assert_eq!(grant("nobody", "1", "x").await.refusal(), (404, "not_found"));
    assert_eq!(grant("acme", "1", " ").await.refusal(), (400, "invalid_value"));
}
