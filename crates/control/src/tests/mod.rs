//! The management plane over a real SQLite store: what each caller gets for each row.

mod admin_keys;
mod authenticator;
mod authorization;
mod key_life;
mod keys;
mod ladder;
mod leaving;
mod lifetimes;
mod limits;
mod money;
mod passkeys;
mod people;
mod places;
mod presented;
mod providers;
mod setup;
mod sign_on;
mod signing_in;
mod standing;
mod strength;
mod takeover;
mod trusts;
mod walls;

use crate::{Control, NoNodes, Origin, Settings};
use claviger_domain::audit::{Actor, Attribution};
use claviger_domain::endpoint::EndpointTable;
use claviger_domain::id::{EnvironmentId, OrganizationId, RequestId};
use claviger_domain::key::Prefixes;
use claviger_domain::secret::Pepper;
use claviger_domain::tenancy::OrganizationState;
use claviger_domain::time::Clock as _;
use claviger_storage::{Engine, NewOrganization};
use claviger_testkit::clock::SteppedClock;
use claviger_testkit::rng::SeededRandom;
use claviger_testkit::stores::TestStore;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt as _, Full};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;

const KEYS: &str = "/v1/organization/api_keys";

/// One management plane over one store.
pub(crate) struct World {
    store: TestStore,
    pub(crate) control: Control,
    pub(crate) clock: Arc<SteppedClock>,
    table: EndpointTable,
    random: SeededRandom,
}

/// An answer, taken apart.
#[derive(Clone, Debug, PartialEq)]
struct Answer {
    status: u16,
    headers: HeaderMap,
    bytes: Vec<u8>,
    body: Value,
}

impl Answer {
    fn code(&self) -> &str {
        self.body["error"]["code"].as_str().unwrap_or_default()
    }

    fn refusal(&self) -> (u16, &str) {
        (self.status, self.code())
    }
}

impl World {
    /// A fresh instance, as the first start leaves it.
    async fn fresh() -> Self {
        Self::fresh_with(|_| ()).await
    }

    /// The same, with settings that the operator changed.
    pub(crate) async fn fresh_with(change: impl FnOnce(&mut Settings)) -> Self {
        Self::fresh_on(Engine::Sqlite, change).await
    }

    /// The same, on this engine.
    async fn fresh_on(engine: Engine, change: impl FnOnce(&mut Settings)) -> Self {
        let clock = Arc::new(SteppedClock::new());
        let store = TestStore::new(engine).await;
        let mut settings = settings();
        change(&mut settings);
        let control = Control::new(
            store.store.clone(),
            Arc::new(NoNodes),
            clock.clone(),
            Box::new(SeededRandom::new(7)),
            settings,
        );
        let mut world = Self { store, control, clock, table: EndpointTable::new(), random: SeededRandom::new(8) };
        world.organization("setup", OrganizationState::SetUp).await;
        world
    }

    /// A fresh instance that was set up, and its admin key.
    async fn set_up() -> (Self, String) {
        Self::set_up_with(|_| ()).await
    }

    /// The same, with settings that the operator changed.
    pub(crate) async fn set_up_with(change: impl FnOnce(&mut Settings)) -> (Self, String) {
        Self::fresh_with(change).await.named().await
    }

    /// A fresh instance on this engine that was set up, and its admin key.
    async fn set_up_on(engine: Engine) -> (Self, String) {
        Self::fresh_on(engine, |_| ()).await.named().await
    }

    async fn named(self) -> (Self, String) {
        let world = self;
        let answer = world.operator("POST", "/api/operator/setup", &world_setup()).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let key = answer.body["admin_key"]["value"].as_str().expect("set-up shows the admin key").to_owned();
        (world, key)
    }

    async fn organization(&mut self, slug: &str, state: OrganizationState) -> OrganizationId {
        let at = self.clock.now().wall;
        let id = OrganizationId::generate(at, &mut self.random);
        let new = NewOrganization {
            id,
            slug: slug.to_owned(),
            name: slug.to_owned(),
            state,
            environment: EnvironmentId::generate(at, &mut self.random),
            keys_max: claviger_domain::limits::KEYS_PER_ORGANIZATION,
            at,
        };
        let by = Attribution::local(Actor::System, "", at);
        self.store.store.create_organization(new, &by).await.expect("the organization is stored");
        id
    }

    /// As the operator at this machine.
    async fn operator(&self, method: &str, target: &str, body: &Value) -> Answer {
        self.send(Origin::LocalOperator, method, target, &[], body).await
    }

    /// As the operator, with further headers.
    async fn operator_with(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
        self.send(Origin::LocalOperator, method, target, headers, body).await
    }

    /// As the operator, in one of several organizations.
    async fn operator_in(&self, organization: &str, method: &str, target: &str, body: &Value) -> Answer {
        self.send(Origin::LocalOperator, method, target, &[("x-claviger-organization", organization)], body).await
    }

    /// Over the network, with a key.
    async fn with(&self, key: &str, method: &str, target: &str, body: &Value) -> Answer {
        let bearer = format!("Bearer {key}");
        self.network(method, target, &[("authorization", &bearer)], body).await
    }

    async fn network(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
        let address = SocketAddr::from(([192, 0, 2, 7], 4711));
        self.send(Origin::Network { address, is_known: true }, method, target, headers, body).await
    }

    async fn send(&self, origin: Origin, method: &str, target: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
        let mut request = Request::builder().method(method).uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let bytes = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        if !body.is_null() {
            request = request.header("content-type", "application/json");
        }
        let path = target.split('?').next().unwrap_or_default();
        let matched = self.table.find(method, path).expect("the test names a row");
        let operation = (matched.row.operation, matched.row.method);
        let request = request.body(Full::new(bytes.into())).expect("the request is well-formed");
        let response = self.control.answer(origin, matched, request, RequestId::from_u128(1)).await;
        let (head, body) = response.into_parts();
        let bytes = body.collect().await.expect("the body is whole").to_bytes().to_vec();
        let body = serde_json::from_slice(&bytes).unwrap_or_default();
        if head.status == 200 {
            let described = crate::openapi::compare(operation.0, operation.1, &body);
            described.unwrap_or_else(|cause| {
                panic!(
                    "the reply of {} is not as crates/control/src/openapi/ describes it: {cause}",
                    operation.0.name()
                )
            });
        }
        Answer { status: head.status.as_u16(), headers: head.headers, bytes, body }
    }

    /// Creates a key of this name in the only organization and gives its object.
    async fn key(&self, name: &str) -> Value {
        let answer = self.operator("POST", KEYS, &json!({ "name": name })).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body
    }
}

fn settings() -> Settings {
    Settings {
        prefixes: Prefixes::new("clv_", &[]).expect("the default prefix is lawful"),
        peppers: vec![Pepper::new(1, [1; 32]), Pepper::new(2, [2; 32])],
        currency: "USD".to_owned(),
        public_url: "http://127.0.0.1:8080".to_owned(),
        people: crate::PeopleSettings::default(),
        issuers: crate::IssuerSettings::default(),
        audit: crate::AuditSettings::default(),
        leaks: crate::LeakSettings::default(),
        providers: crate::ProviderSettings::default(),
    }
}

fn world_setup() -> Value {
    json!({ "organization": "Acme", "email": "Li@Acme.io", "password": "correct horse battery", "credit": "10.5" })
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The program itself.
fn by_system() -> Attribution {
    Attribution::local(Actor::System, "", claviger_testkit::clock::START)
}
