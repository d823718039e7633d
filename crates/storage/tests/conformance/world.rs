//! A store with an organization in it, and the things that tests put there.

use claviger_domain::audit::{Actor, Attribution};
use claviger_domain::credit_lease::GrantAsk;
use claviger_domain::endpoint::EndpointName;
use claviger_domain::id::{EnvironmentId, GrantId, KeyId, OrganizationId, RequestId, SecretId};
use claviger_domain::key::{Name, NewKey, SourceTag, StoredSecret};
use claviger_domain::meter::{Meter, Meters, UsageSource};
use claviger_domain::money::{Nano, Price};
use claviger_domain::price::PriceSheet;
use claviger_domain::request::{Attempt, AttemptOutcome, Delivery, Outcome, RequestRecord};
use claviger_domain::secret::Pepper;
use claviger_domain::tenancy::{OrganizationState, TenantScope};
use claviger_domain::time::Timestamp;
use claviger_storage::{CreateKeyOutcome, DatabaseUrl, Engine, Grant, NewOrganization, Store};
use claviger_testkit::clock::START;
use claviger_testkit::rng::SeededRandom;
use claviger_testkit::stores::{TestStore, now};
use std::process::Command;

/// What one request costs under [`World::price`].
pub(crate) const COST: Nano = Nano(100);

/// A store and the seed of everything drawn in it.
pub(crate) struct World {
    /// The store and its place.
    pub(crate) at: TestStore,
    /// The source of ids.
    pub(crate) random: SeededRandom,
    /// The first organization.
    pub(crate) scope: TenantScope,
    /// Its default environment.
    pub(crate) environment: EnvironmentId,
    /// Time goes on from record to record, so that ids grow as they do in life.
    pub(crate) clock: Timestamp,
}

impl World {
    /// A store with one active organization, and a price of [`COST`] a request.
    pub(crate) async fn new(engine: Engine) -> Self {
        let at = TestStore::new(engine).await;
        let mut random = SeededRandom::new(1);
        let (scope, environment) = organization(&at.store, &mut random, "acme").await;
        let world = Self { at, random, scope, environment, clock: START };
        world.store().save_price_versions(&[price()], now()).await.unwrap();
        world
    }

    pub(crate) fn store(&self) -> &Store {
        &self.at.store
    }

    /// Closes and opens the store again.
    pub(crate) async fn reopen(self) -> Self {
        let Self { at, random, scope, environment, clock } = self;
        let world = Self { at: at.reopen().await, random, scope, environment, clock };
        // A restart gives everything back and asks anew.
        world.lease(scope).await;
        world
    }

    /// Another organization.
    pub(crate) async fn neighbour(&mut self, slug: &str) -> TenantScope {
        organization(&self.at.store, &mut self.random, slug).await.0
    }

    /// Credit.
    pub(crate) async fn fund(&mut self, scope: TenantScope, amount: i64) {
        let grant = self.grant(amount);
        self.store().grant(scope, grant, &by()).await.unwrap();
        self.lease(scope).await;
    }

    /// Takes everything a wallet has.
    pub(crate) async fn lease(&self, scope: TenantScope) {
        lease(self.store(), scope).await;
    }

    pub(crate) fn grant(&mut self, amount: i64) -> Grant {
        let id = GrantId::generate(START, &mut self.random);
        Grant { id, amount: Nano(amount), reason: "test".to_owned(), at: START }
    }

    /// A stored key.
    pub(crate) async fn key(&mut self, name: &str) -> claviger_domain::key::Key {
        let new = self.new_key(name);
        match self.store().create_key(self.scope, new, &by()).await.unwrap() {
            CreateKeyOutcome::Created { key, .. } => key,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn new_key(&mut self, name: &str) -> NewKey {
        let id = KeyId::generate(&mut self.random);
        let digest = Pepper::new(1, [1; 32]).digest(id.to_string().as_bytes());
        let secret = SecretId::generate(START, &mut self.random);
        let secret = StoredSecret::new(secret, digest, 1, "clv_…min8".to_owned(), START);
        NewKey {
            source_tag: Some(SourceTag::parse("checkout").unwrap()),
            ..NewKey::new(id, Name::parse(name).unwrap(), secret)
        }
    }

    /// Every key that nodes remember.
    pub(crate) async fn rights_keys(&self) -> Vec<claviger_domain::key::Key> {
        let mut keys = Vec::new();
        self.store().load_rights(Timestamp(0), &mut |key| keys.push(key)).await.unwrap();
        keys
    }

    /// A complete, delivered request of one [`COST`].
    pub(crate) fn record(&mut self, scope: TenantScope) -> RequestRecord {
        self.clock = Timestamp(self.clock.0 + 40);
        let at = self.clock;
        RequestRecord {
            id: RequestId::generate(at, &mut self.random),
            environment: self.environment,
            admitted_at: at,
            first_byte_at: Some(Timestamp(at.0 + 1000)),
            completed_at: Timestamp(at.0 + 5000),
            key: KeyId::generate(&mut self.random),
            ..record(scope, 0)
        }
    }

    /// Runs SQL behind the store's back, as a tamperer or a test of triggers does; its error text if it is refused.
    ///
    /// On SQLite the store must be closed or idle.
    pub(crate) fn tamper(&self, sql: &str) -> Result<String, String> {
        let mut command = match self.at.database.url() {
            DatabaseUrl::Sqlite(path) => {
                let script = "import sqlite3,sys\nc=sqlite3.connect(sys.argv[1]); r=c.execute(sys.argv[2]).fetchall(); \
                              c.commit(); print(r)";
                let mut command = Command::new("python3");
                command.arg("-c").arg(script).arg(path).arg(sql);
                command
            }
            DatabaseUrl::Postgres(url) => {
                let mut command = Command::new("psql");
                command.args(["-X", "-q", "-t", "-A", "-v", "ON_ERROR_STOP=1", "-c", sql]).arg(url);
                command
            }
        };
        let output = command.output().expect("the client of this engine");
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }
}

/// A complete, delivered request of one [`COST`], the same for the same number.
pub(crate) fn record(scope: TenantScope, number: i64) -> RequestRecord {
    let mut random = SeededRandom::new(number.unsigned_abs());
    RequestRecord {
        id: RequestId::generate(START, &mut random),
        organization: scope.0,
        environment: EnvironmentId::from_u128(1),
        key: KeyId::generate(&mut random),
        key_name: "prod".to_owned(),
        secret: SecretId::generate(START, &mut random),
        source_tag: Some("checkout".to_owned()),
        endpoint: EndpointName::ChatCompletions,
        model: "acme/chat".to_owned(),
        upstream_model: Some("chat".to_owned()),
        upstream_request_id: Some("up-1".to_owned()),
        client_request_id: None,
        alias: None,
        is_stream: true,
        is_test: false,
        admitted_at: START,
        first_byte_at: None,
        completed_at: START,
        status: 200,
        outcome: Outcome::Complete,
        error_code: None,
        refused_by: None,
        would_refuse: None,
        rule: 1,
        usage_source: UsageSource::UpstreamFinal,
        is_anomalous: false,
        meters: Meters::NONE.with(Meter::InputToken, 12).with(Meter::OutputToken, 34),
        price_version: Some(price().version),
        hold: COST,
        charge: COST,
        absorbed: Nano::ZERO,
        attempts: vec![Attempt {
            provider: "sim".to_owned(),
            upstream_model: Some("chat".to_owned()),
            outcome: Some(AttemptOutcome::Answered),
            status: 200,
            head_ms: 3,
        }],
        delivery: Delivery::Delivered,
        conditions: None,
        kept: None,
    }
}

/// One request costs 100 nano, whatever it used.
pub(crate) fn price() -> PriceSheet {
    PriceSheet::new("acme/chat", vec![(Meter::Request, Price(100_000_000))], None).unwrap()
}

/// The operator at this machine.
pub(crate) fn by() -> Attribution {
    Attribution::local(Actor::LocalOperator, "req_test", START)
}

/// On Postgres charges come from a lease: this seat takes everything.
pub(crate) async fn lease(store: &Store, scope: TenantScope) {
    if store.engine() == Engine::Postgres {
        let (grants, _) = store.lease_numbers(scope).await.unwrap();
        let ask = GrantAsk { need: Nano(i64::MAX), spent: Nano::ZERO, takes_rest: true };
        store.grant_lease(scope, grants + 1, ask, START).await.unwrap();
    }
}

async fn organization(store: &Store, random: &mut SeededRandom, slug: &str) -> (TenantScope, EnvironmentId) {
    let id = OrganizationId::generate(START, random);
    let environment = EnvironmentId::generate(START, random);
    let new = NewOrganization {
        id,
        slug: slug.to_owned(),
        name: slug.to_uppercase(),
        state: OrganizationState::Active,
        environment,
        keys_max: claviger_domain::limits::KEYS_PER_ORGANIZATION,
        at: START,
    };
    store.create_organization(new, &by()).await.unwrap();
    (TenantScope(id), environment)
}
