//! Wallets and transfers: funding, append-only rows, and the proof from zero.

use crate::on_both_engines;
use crate::world::{COST, World, by};
use claviger_domain::money::Nano;
use claviger_storage::{Engine, Error, Wallet};

on_both_engines! {
    a_grant_is_booked_once,
    a_balance_never_leaves_the_range_of_money,
    transfers_are_append_only,
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
    assert_eq!(wallet, Wallet { balance: Nano(1000), leased: Nano(0), funded: Nano(1000), charged: Nano(0) });
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
    assert!(world.tamper("UPDATE wallet SET balance = -1").is_err());
    assert_eq!(world.store().verify_ledger().await.unwrap().faults, vec![]);
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
        world.store().charges().try_reserve().unwrap().append(record).wait().await.unwrap().mark();
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
        Engine::Sqlite => &["DROP TRIGGER transfer_no_update", "DROP TRIGGER transfer_no_delete"],
        Engine::Postgres => &[
            "ALTER TABLE transfer DISABLE TRIGGER transfer_no_change",
            "ALTER TABLE credit_lease DROP CONSTRAINT credit_lease_org_id_fkey",
        ],
    };
    for sql in off {
        world.tamper(sql).unwrap();
    }
}

async fn one_changed_nano_is_found(engine: Engine) {
    const ONE: &str = "WHERE ref = (SELECT MIN(ref) FROM transfer WHERE kind = 'charge')";
    let tamperings = [
        ("UPDATE wallet SET balance = balance + 1 WHERE balance > 0", "the balance is"),
        ("UPDATE wallet SET funded = funded + 1", "funded is"),
        ("UPDATE wallet SET seq = seq + 1", "the wallet counted"),
        (&format!("UPDATE transfer SET amount = amount + 1 {ONE}"), "re-rated"),
        (&format!("UPDATE transfer SET id = 't_0' {ONE}"), "the id does not follow"),
        (&format!("UPDATE transfer SET ref = 'req_0' {ONE}"), "the id does not follow"),
        (&format!("UPDATE transfer SET debit = 'adjust' {ONE}"), "the accounts"),
        (&format!("UPDATE transfer SET wallet_seq = 99 {ONE}"), "wallet_seq"),
        (&format!("UPDATE transfer SET price_version = NULL {ONE}"), "no price version"),
        (&format!("UPDATE transfer SET price_version = 'pv_0000000000000000000001' {ONE}"), "is not stored"),
        (&format!("UPDATE transfer SET detail = '{{\"rule\":1,\"hold\":99,\"meters\":{{}}}}' {ONE}"), "re-rated"),
        (&format!("UPDATE transfer SET detail = 'x' {ONE}"), "does not read"),
        (&format!("UPDATE transfer SET kind = 'gift' {ONE}"), "does not read"),
        (&format!("DELETE FROM transfer {ONE}"), "the record's charge is not in the ledger"),
        ("UPDATE transfer SET amount = amount + 1 WHERE kind = 'absorb'", "absorbed"),
        ("UPDATE price_version SET body = 'x'", "not the one its id names"),
        ("UPDATE request SET charge = charge + 1 WHERE charge > 0", "the record's charge is not in the ledger"),
        ("DELETE FROM request WHERE charge > 0", "the ledger's charge is not in its record"),
    ];
    let leased = [
        ("UPDATE credit_lease SET granted = granted + 1", "the row says"),
        ("UPDATE credit_lease SET settled = settled - 1", "the row says"),
        ("DELETE FROM credit_lease", "transfers without the lease"),
        ("UPDATE transfer SET debit = 'lease:x' WHERE kind = 'charge'", "transfers without the lease"),
        ("DELETE FROM transfer WHERE kind = 'lease'", "the row says"),
        ("UPDATE transfer SET ref = ref || '0' WHERE kind = 'lease'", "out of its numbers"),
    ];
    let is_leased = engine == Engine::Postgres;
    let tamperings = tamperings.into_iter().chain(leased.into_iter().filter(|_| is_leased));
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

async fn price_versions_are_kept_as_they_are(engine: Engine) {
    let world = World::new(engine).await;
    let sheet = crate::world::price();
    world.store().save_price_versions(&[sheet.clone(), sheet.clone()], claviger_testkit::stores::now()).await.unwrap();
    assert_eq!(world.store().find_price_version(sheet.version).await.unwrap(), Some(sheet));
    let unknown = claviger_domain::id::PriceVersionId::from_u128(1);
    assert_eq!(world.store().find_price_version(unknown).await.unwrap(), None);
    world.tamper("UPDATE price_version SET body = 'x'").unwrap();
    let error = world.store().find_price_version(crate::world::price().version).await.unwrap_err();
    assert!(matches!(error, Error::Corrupt { table: "price_version", .. }), "{error}");
}
