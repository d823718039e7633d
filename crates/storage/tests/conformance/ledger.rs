//! Wallets and transfers: funding, append-only rows, and the proof from zero.

use crate::on_both_engines;
use crate::world::{COST, World, by};
use claviger_domain::audit::{Action, Chain};
use claviger_domain::ledger::{TransferId, TransferKind};
use claviger_domain::money::Nano;
use claviger_domain::request::RequestRecord;
use claviger_storage::{AuditEvent, AuditFilter, Engine, Error, PageRequest, Wallet};

on_both_engines! {
    a_grant_is_booked_once,
    a_balance_never_leaves_the_range_of_money,
    transfers_are_append_only,
    charges_of_the_former_form_are_read_and_proved,
    a_sound_ledger_has_no_faults,
    one_changed_nano_is_found,
    price_versions_are_kept_as_they_are,
}

async fn a_grant_is_booked_once(engine: Engine) {
    let mut world = World::new(engine).await;
    let neighbour = world.neighbour("umbrella").await;
    let grant = world.grant(1000);
    let store = world.store();
    let epoch = store.grant(world.scope, grant.clone(), &by()).await.unwrap();
    // The answer got lost and the call comes again.
    assert_eq!(store.grant(world.scope, grant.clone(), &by()).await.unwrap(), epoch);
    let more = claviger_storage::Grant { amount: Nano(1001), ..grant.clone() };
    assert!(matches!(store.grant(world.scope, more, &by()).await, Err(Error::Conflict(_))));
    assert!(matches!(store.grant(neighbour, grant, &by()).await, Err(Error::Conflict(_))));
    let wallet = store.wallet(world.scope).await.unwrap();
    assert_eq!(
        wallet,
        Wallet { balance: Nano(1000), leased: Nano(0), tasks: Nano(0), funded: Nano(1000), charged: Nano(0) }
    );
    assert_eq!(store.wallet(neighbour).await.unwrap(), Wallet::default());
    let report = store.verify_ledger().await.unwrap();
    assert_eq!((report.transfers, report.organizations, report.faults), (1, 2, vec![]));
}

async fn a_balance_never_leaves_the_range_of_money(engine: Engine) {
    let mut world = World::new(engine).await;
    world.fund(world.scope, i64::MAX).await;
    for amount in [1, 0, -5, i64::MAX] {
        let grant = world.grant(amount);
        let answer = world.store().grant(world.scope, grant, &by()).await;
        assert!(matches!(answer, Err(Error::Conflict(_))), "{amount}");
    }
    assert_eq!(world.store().wallet(world.scope).await.unwrap().balance, Nano(i64::MAX));
    assert_eq!(world.store().verify_ledger().await.unwrap().faults, vec![]);
    assert_eq!(world.store().verify_audit().await.unwrap().faults, vec![]);
}

async fn transfers_are_append_only(engine: Engine) {
    let mut world = World::new(engine).await;
    world.fund(world.scope, 1000).await;
    for sql in ["UPDATE transfer SET amount = 1", "DELETE FROM transfer", "UPDATE transfer SET detail = '{}'"] {
        let refused = world.tamper(sql).expect_err(sql);
        assert!(refused.contains("transfers are append-only"), "{refused}");
    }
    let record = world.record(world.scope);
    charge(&world, record).await;
    // A reading waits until the journal's records are rows.
    world.store().wallet(world.scope).await.unwrap();
    for sql in [
        "UPDATE request SET charge = 1",
        "UPDATE request SET account = NULL",
        "UPDATE request SET wallet_seq = 7",
        "UPDATE request SET body = NULL",
        "DELETE FROM request",
    ] {
        let refused = world.tamper(sql).expect_err(sql);
        assert!(refused.contains("charges are append-only"), "{refused}");
    }
    world.tamper("UPDATE request SET delivery = 'in_doubt'").unwrap();
    assert!(world.tamper("UPDATE wallet SET balance = -1").is_err());
    assert_eq!(world.store().verify_ledger().await.unwrap().faults, vec![]);
}

async fn charge(world: &World, record: RequestRecord) {
    world.store().charges().try_reserve().unwrap().append(record).wait().await.unwrap().mark();
}

/// Some charges, one of them above its hold.
async fn charged(engine: Engine) -> World {
    let mut world = World::new(engine).await;
    let neighbour = world.neighbour("umbrella").await;
    world.fund(world.scope, 10_000).await;
    world.fund(neighbour, 10_000).await;
    for number in 0..20 {
        let mut record = world.record(if number % 3 == 0 { neighbour } else { world.scope });
        if number == 7 {
            (record.hold, record.charge, record.absorbed) = (Nano(60), Nano(60), Nano(40));
        }
        if number == 8 {
            (record.charge, record.price_version, record.hold) = (Nano(0), None, Nano(0));
        }
        charge(&world, record).await;
    }
    // Leased by nobody.
    let grant = world.grant(5);
    world.store().grant(world.scope, grant, &by()).await.unwrap();
    world
}

async fn a_sound_ledger_has_no_faults(engine: Engine) {
    let world = charged(engine).await;
    let report = world.store().verify_ledger().await.unwrap();
    assert_eq!(report.faults, vec![]);
    // Three grants, nineteen charges, one absorbed rest; where charges come from leases, two of those.
    let leases = if engine == Engine::Postgres { 2 } else { 0 };
    assert_eq!((report.transfers, report.organizations), (23 + leases, 2));
    let wallet = world.store().wallet(world.scope).await.unwrap();
    assert_eq!(wallet.balance.0 + wallet.charged.0, 10_005);
    assert_eq!(wallet.charged.0, COST.0 * 11 + 60);
}

/// Takes the guard off the table, as someone who owns the database file can.
fn unguard(world: &World, engine: Engine) {
    let off: &[&str] = match engine {
        Engine::Sqlite => &[
            "DROP TRIGGER transfer_no_update",
            "DROP TRIGGER transfer_no_delete",
            "DROP TRIGGER charge_no_update",
            "DROP TRIGGER charge_no_delete",
        ],
        Engine::Postgres => &[
            "ALTER TABLE transfer DISABLE TRIGGER transfer_no_change",
            "ALTER TABLE request DISABLE TRIGGER USER",
            "ALTER TABLE credit_lease DROP CONSTRAINT credit_lease_org_id_fkey",
        ],
    };
    for sql in off {
        world.tamper(sql).unwrap();
    }
}

async fn one_changed_nano_is_found(engine: Engine) {
    const ONE: &str = "WHERE id = (SELECT MIN(id) FROM request WHERE charge > 0)";
    let tamperings = [
        ("UPDATE wallet SET balance = balance + 1 WHERE balance > 0", "the balance is"),
        ("UPDATE wallet SET funded = funded + 1", "funded is"),
        ("UPDATE wallet SET seq = seq + 1", "the wallet counted"),
        ("UPDATE transfer SET amount = amount + 1 WHERE kind = 'grant'", "the balance is"),
        ("UPDATE transfer SET id = 't_0' WHERE kind = 'grant'", "the id does not follow"),
        ("UPDATE transfer SET ref = ref || '0' WHERE kind = 'grant'", "the id does not follow"),
        ("UPDATE transfer SET kind = 'gift' WHERE kind = 'absorb'", "does not read"),
        (&format!("UPDATE request SET charge = charge + 1 {ONE}"), "re-rated"),
        (&format!("UPDATE request SET id = 'req_0' {ONE}"), "another request's"),
        (&format!("UPDATE request SET account = 'adjust' {ONE}"), "the accounts"),
        (&format!("UPDATE request SET account = 'wallet', wallet_seq = 99 {ONE}"), "wallet_seq"),
        (&format!("UPDATE request SET m_input_token = m_input_token + 1 {ONE}"), "another input_token"),
        (&format!("UPDATE request SET m_image = 0 {ONE}"), "another image"),
        (&format!("UPDATE request SET body = NULL {ONE}"), "does not read"),
        (&format!("UPDATE request SET body = 'x' {ONE}"), "does not read"),
        (&format!("UPDATE request SET account = NULL, detail = 'x' {ONE}"), "the record's charge is not in the ledger"),
        ("UPDATE transfer SET amount = amount + 1 WHERE kind = 'absorb'", "absorbed"),
        ("UPDATE price_version SET body = 'x'", "not the one its id names"),
        ("DELETE FROM price_version", "is not stored"),
    ];
    let of_wallets = [
        (&*format!("DELETE FROM request {ONE}"), "the balance is"),
        ("DELETE FROM transfer WHERE kind = 'grant'", "the balance is"),
    ];
    let leased = [
        (&*format!("DELETE FROM request {ONE}"), "the row says"),
        ("UPDATE credit_lease SET granted = granted + 1", "the row says"),
        ("UPDATE credit_lease SET settled = settled - 1", "the row says"),
        ("DELETE FROM credit_lease", "transfers without the lease"),
        ("UPDATE request SET account = 'lease:x' WHERE charge > 0", "transfers without the lease"),
        ("DELETE FROM transfer WHERE kind = 'lease'", "the row says"),
        ("UPDATE transfer SET ref = ref || '0' WHERE kind = 'lease'", "out of its numbers"),
    ];
    let is_leased = engine == Engine::Postgres;
    let tamperings = tamperings
        .into_iter()
        .chain(of_wallets.into_iter().filter(|_| !is_leased))
        .chain(leased.into_iter().filter(|_| is_leased));
    let world = charged(engine).await;
    unguard(&world, engine);
    let tables = ["transfer", "wallet", "request", "price_version", "credit_lease"];
    for table in tables {
        world.tamper(&format!("CREATE TABLE {table}_kept AS SELECT * FROM {table}")).unwrap();
    }
    for (sql, what) in tamperings {
        world.tamper(sql).unwrap();
        let report = world.store().verify_ledger().await.unwrap();
        assert!(report.faults.iter().any(|fault| fault.what.contains(what)), "{sql}: {:?}", report.faults);
        let table = tables.into_iter().find(|table| sql.split(' ').take(3).any(|word| word == *table)).unwrap();
        world.tamper(&format!("DELETE FROM {table}")).unwrap();
        world.tamper(&format!("INSERT INTO {table} SELECT * FROM {table}_kept")).unwrap();
        assert_eq!(world.store().verify_ledger().await.unwrap().faults, vec![], "{sql}");
    }
}

/// As rows were before a charge lay in the row of its request.
fn rewrite_as_before(world: &World, record: &RequestRecord) {
    let id = record.id.to_string();
    let transfer = TransferId::of(TransferKind::Charge, &id).to_string();
    let version = record.price_version.unwrap().to_string();
    let charge = "{\"rule\":1,\"hold\":100,\"meters\":{\"input_token\":12,\"output_token\":34}}";
    let (secret, at, first) = (record.secret, record.admitted_at.0, record.first_byte_at.unwrap().0);
    let rest = format!(
        "{{\"key_name\":\"prod\",\"secret\":\"{secret}\",\"endpoint\":\"chat.completions\",\"upstream_model\":\"chat\",\
         \"upstream_request_id\":\"up-1\",\"stream\":true,\"test\":false,\"admitted_at\":{at},\"first_byte_at\":{first},\
         \"status\":200,\"rule\":1,\"usage_source\":\"upstream_final\",\"price_version\":\"{version}\",\"hold\":100,\
         \"absorbed\":0,\"attempts\":[{{\"provider\":\"sim\",\"status\":200,\"head_ms\":3}}]}}"
    );
    let book = format!(
        "INSERT INTO transfer (kind, ref, id, org_id, debit, credit, amount, price_version, wallet_seq, at, detail) \
         SELECT 'charge', id, '{transfer}', org_id, account, 'revenue', charge, '{version}', wallet_seq, completed_at, \
         '{charge}' FROM request WHERE id = '{id}'"
    );
    let strip = format!(
        "UPDATE request SET account = NULL, wallet_seq = NULL, body = NULL, detail = '{rest}' WHERE id = '{id}'"
    );
    for sql in [book, strip] {
        world.tamper(&sql).unwrap();
    }
}

async fn charges_of_the_former_form_are_read_and_proved(engine: Engine) {
    let mut world = World::new(engine).await;
    world.fund(world.scope, 1000).await;
    let (mut before, behind) = (world.record(world.scope), world.record(world.scope));
    charge(&world, before.clone()).await;
    world.store().wallet(world.scope).await.unwrap();
    unguard(&world, engine);
    rewrite_as_before(&world, &before);
    for attempt in &mut before.attempts {
        // What that form did not say.
        (attempt.upstream_model, attempt.outcome) = (None, None);
    }
    charge(&world, behind.clone()).await;
    for record in [&before, &behind] {
        assert_eq!(world.store().find_request(world.scope, record.id).await.unwrap().as_ref(), Some(record));
    }
    let faults = async || world.store().verify_ledger().await.unwrap().faults;
    assert_eq!(faults().await, vec![]);
    for (sql, back, what) in [
        ("amount = amount + 1", "amount = amount - 1", "re-rated"),
        ("id = 't_0'", "id = 't_1'", "the id does not follow"),
        ("detail = 'x'", "detail = ''", "does not read"),
        ("ref = 'req_0'", "ref = 'req_1'", "the record's charge is not in the ledger"),
        ("ref = 'req_0'", "ref = 'req_1'", "the ledger's charge is not in its record"),
    ] {
        world.tamper(&format!("UPDATE transfer SET {sql} WHERE kind = 'charge'")).unwrap();
        assert!(faults().await.iter().any(|fault| fault.what.contains(what)), "{sql}: {:?}", faults().await);
        world.tamper(&format!("UPDATE transfer SET {back} WHERE kind = 'charge'")).unwrap();
    }
}

async fn price_versions_are_kept_as_they_are(engine: Engine) {
    let world = World::new(engine).await;
    let sheet = crate::world::price();
    let event = AuditEvent::done(Action::ConfigurationReloaded, "", Vec::new());
    world.store().save_reload(std::slice::from_ref(&sheet), event, &by()).await.unwrap();
    let filter = AuditFilter { actions: vec![Action::ConfigurationReloaded], ..AuditFilter::default() };
    let page = PageRequest { limit: 2, ..PageRequest::default() };
    let recorded = world.store().list_audit_of(Chain::Instance, &filter, &page).await.unwrap().unwrap();
    assert_eq!(recorded.data.len(), 1, "prices and the record of them stand or fall together");
    world.store().save_price_versions(&[sheet.clone(), sheet.clone()], claviger_testkit::stores::now()).await.unwrap();
    assert_eq!(world.store().find_price_version(sheet.version).await.unwrap(), Some(sheet));
    let unknown = claviger_domain::id::PriceVersionId::from_u128(1);
    assert_eq!(world.store().find_price_version(unknown).await.unwrap(), None);
    world.tamper("UPDATE price_version SET body = 'x'").unwrap();
    let error = world.store().find_price_version(crate::world::price().version).await.unwrap_err();
    assert!(matches!(error, Error::Corrupt { table: "price_version", .. }), "{error}");
}
