//! `ledger verify`: the ledger re-proved from zero.
//!
//! Recomputes ids, accounts, L2 at every prefix (`wallet_seq` is counted in the wallet row, so its order is commit order)
//! and the cached balances; re-rates every charge from its own row; pairs charges and records both ways. L1 holds by
//! form: a transfer has one amount and two accounts, so their sum is always zero. A charge is a transfer that lies in the
//! row of its request; those of before are transfers beside it. That sums of usage are those of records is proved beside
//! it ([`usage`]).

mod usage;

use crate::cells::{Cells, known, parse};
use crate::door::both;
use crate::error::Error;
use crate::record::{ChargeDetail, cell_of, meter_columns};
use crate::record_body::Body;
use crate::statements::statements;
use crate::store::{Snapshot, Store};
use claviger_domain::id::PriceVersionId;
use claviger_domain::ledger::{Account, TransferId, TransferKind, apply};
use claviger_domain::meter::{Meter, Meters};
use claviger_domain::money::Nano;
use claviger_domain::price::{Conditions, PriceSheet};
use futures_util::TryStreamExt as _;
use sqlx::AssertSqlSafe;
use std::collections::{BTreeMap, HashMap};

statements! {
    LIST_WALLETS = "SELECT org_id, balance, funded, seq FROM wallet ORDER BY org_id";
    LIST_LEASES = "SELECT org_id, seat, granted, settled, returned, grants, returns FROM credit_lease";
    LIST_PRICES = "SELECT id, body FROM price_version";
    LIST_TRANSFERS = "SELECT * FROM (\
        SELECT kind, ref, id, org_id, debit, credit, amount, price_version, wallet_seq, detail FROM transfer \
        UNION ALL SELECT 'charge', id, NULL, org_id, account, 'revenue', charge, NULL, wallet_seq, '' FROM request \
        WHERE account IS NOT NULL\
        ) AS moved ORDER BY org_id, COALESCE(wallet_seq, CAST(0 AS BIGINT)), ref";
    REFUSED = "SELECT request_id, charge, reason FROM journal_refused ORDER BY request_id LIMIT CAST(100 AS BIGINT)";
    OPEN_TASKS = "SELECT id, hold FROM task WHERE is_open = TRUE AND hold > 0";
    UNFOUNDED_REFUNDS = "SELECT t.ref FROM transfer t LEFT JOIN request r ON r.org_id = t.org_id AND r.id = t.ref \
        WHERE t.kind = 'refund' AND (r.id IS NULL OR r.charge < t.amount) ORDER BY t.ref LIMIT CAST(10 AS BIGINT)";
    UNCHARGED_RECORDS = "SELECT r.id FROM request r LEFT JOIN transfer t ON t.kind = 'charge' AND t.ref = r.id \
        WHERE r.charge <> 0 AND r.account IS NULL AND (t.ref IS NULL OR t.amount <> r.charge OR t.org_id <> r.org_id) \
        ORDER BY r.id LIMIT CAST(10 AS BIGINT)";
    UNRECORDED_CHARGES = "SELECT t.ref FROM transfer t LEFT JOIN request r ON r.org_id = t.org_id AND r.id = t.ref \
        WHERE t.kind = 'charge' AND (r.id IS NULL OR r.charge <> t.amount) \
        ORDER BY t.ref LIMIT CAST(10 AS BIGINT)";
}

/// Faults listed before the rest is only counted on.
const FAULTS: usize = 100;

/// One thing that is wrong in the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerFault {
    /// What, with the id it is about.
    pub what: String,
}

/// What a check of the whole ledger found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LedgerReport {
    /// Transfers read.
    pub transfers: u64,
    /// Wallets read.
    pub organizations: u64,
    /// What is wrong, at most 100 entries; the first names the first bad id. Empty = sound.
    pub faults: Vec<LedgerFault>,
}

impl Store {
    /// Recomputes the ledger from zero, at one point in time.
    ///
    /// # Errors
    /// Those of reading; what does not fit is a fault, not an error.
    pub async fn verify_ledger(&self) -> Result<LedgerReport, Error> {
        let mut snapshot = self.level_snapshot().await?;
        let mut check = Check::default();
        both!(&mut snapshot, c => {
            for row in sqlx::query(LIST_PRICES).fetch_all(c).await? {
                check.price(row.text("id")?, &row.text("body")?);
            }
        });
        both!(&mut snapshot, c => {
            let mut rows = sqlx::query(LIST_TRANSFERS).fetch(c);
            while let Some(row) = rows.try_next().await? {
                match transfer(&row) {
                    Ok(transfer) => check.transfer(&transfer),
                    Err(error) => check.fault(format!("a transfer does not read: {error}")),
                }
            }
        });
        both!(&mut snapshot, c => {
            let mut rows = sqlx::query(AssertSqlSafe(list_charges())).fetch(c);
            while let Some(row) = rows.try_next().await? {
                if let Err(what) = check.charge(&row)? {
                    check.fault(format!("{} (charge): {what}", row.text("id")?));
                }
            }
        });
        both!(&mut snapshot, c => {
            for row in sqlx::query(LIST_WALLETS).fetch_all(c).await? {
                check.wallet(&row.text("org_id")?, row.int("balance")?, row.int("funded")?, row.int("seq")?);
            }
        });
        both!(&mut snapshot, c => {
            for row in sqlx::query(LIST_LEASES).fetch_all(c).await? {
                check.lease(&lease(&row)?);
            }
        });
        both!(&mut snapshot, c => {
            for row in sqlx::query(OPEN_TASKS).fetch_all(c).await? {
                check.open_task(&row.text("id")?, Nano(row.int("hold")?));
            }
        });
        check.ended_tasks();
        check.strangers();
        for what in usage::faults(&mut snapshot).await? {
            check.fault(what);
        }
        pairs(&mut snapshot, &mut check).await?;
        Ok(check.report)
    }
}

/// Charges and records, and charges and refunds, both ways.
async fn pairs(snapshot: &mut Snapshot, check: &mut Check) -> Result<(), Error> {
    both!(snapshot, c => {
        for row in sqlx::query(REFUSED).fetch_all(c).await? {
            let (request, charge, reason) = (row.text("request_id")?, Nano(row.int("charge")?), row.text("reason")?);
            check.fault(format!("{request}: {charge} was charged and is not in the ledger: {reason}"));
        }
    });
    both!(snapshot, c => {
        for row in sqlx::query(UNCHARGED_RECORDS).fetch_all(c).await? {
            check.fault(format!("{}: the record's charge is not in the ledger", row.text("id")?));
        }
    });
    both!(snapshot, c => {
        for row in sqlx::query(UNFOUNDED_REFUNDS).fetch_all(c).await? {
            check.fault(format!("{}: more was given back than charged", row.text("ref")?));
        }
    });
    both!(snapshot, c => {
        for row in sqlx::query(UNRECORDED_CHARGES).fetch_all(c).await? {
            check.fault(format!("{}: the ledger's charge is not in its record", row.text("ref")?));
        }
    });
    Ok(())
}

/// Every charge in the row of its request.
fn list_charges() -> String {
    format!("SELECT id, org_id, charge, {}, body FROM request WHERE account IS NOT NULL", meter_columns().join(", "))
}

/// The texts that are made at run time.
pub(crate) fn built() -> Vec<(&'static str, String)> {
    let texts = [("charges", list_charges()), ("counted records", usage::list_records())];
    texts.into_iter().chain(usage::STATEMENTS.iter().map(|(name, sql)| (*name, (*sql).to_owned()))).collect()
}

struct Stored {
    kind: TransferKind,
    reference: String,
    /// `None` = a charge in the row of its request, whose id needs no other.
    id: Option<String>,
    organization: String,
    debit: String,
    credit: String,
    amount: Nano,
    price_version: Option<PriceVersionId>,
    sequence: Option<i64>,
    detail: String,
}

/// A wallet as recomputed so far.
#[derive(Clone, Copy, Default)]
struct Running {
    balance: Nano,
    funded: Nano,
    sequence: i64,
}

/// A lease as its transfers make it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct LeaseSums {
    granted: i64,
    settled: i64,
    returned: i64,
    grants: i64,
    returns: i64,
}

/// A lease as its row has it.
struct LeaseRow {
    organization: String,
    seat: String,
    sums: LeaseSums,
}

impl LeaseSums {
    fn spent(&self) -> Option<i64> {
        self.settled.checked_add(self.returned)
    }

    /// Counts a transfer in; `false` when its amount or number cannot be. Grants and returns are numbered, so none is
    /// missing and none counts twice.
    fn move_by(&mut self, transfer: &Stored) -> bool {
        let number = transfer.reference.rsplit('/').next().and_then(|number| number.parse::<i64>().ok());
        let (sum, count) = match transfer.kind {
            TransferKind::Lease => (&mut self.granted, Some(&mut self.grants)),
            TransferKind::LeaseReturn | TransferKind::WriteOff => (&mut self.returned, Some(&mut self.returns)),
            _ => (&mut self.settled, None),
        };
        let Some(after) = sum.checked_add(transfer.amount.0) else { return false };
        *sum = after;
        let Some(count) = count else { return true };
        *count = count.saturating_add(1);
        number == Some(*count)
    }
}

impl std::fmt::Display for LeaseSums {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { granted, settled, returned, grants, returns } = self;
        let (granted, settled, returned) = (Nano(*granted), Nano(*settled), Nano(*returned));
        write!(f, "granted {granted} in {grants}, settled {settled}, returned {returned} in {returns}")
    }
}

impl Stored {
    /// The seat whose lease it moves, if it moves one.
    fn lease(&self) -> Option<&str> {
        seat_of(&self.debit).or_else(|| seat_of(&self.credit))
    }
}

fn seat_of(account: &str) -> Option<&str> {
    account.strip_prefix(Account::Lease.name())?.strip_prefix(':')
}

fn task_of(account: &str) -> Option<&str> {
    account.strip_prefix(Account::Task.name())?.strip_prefix(':')
}

/// Whether a stored account is this one; leases are told apart by their seat.
fn is_account(stored: &str, account: Account) -> bool {
    match account {
        Account::Lease => seat_of(stored).is_some(),
        Account::Task => task_of(stored).is_some(),
        other => stored == other.name(),
    }
}

fn lease<R: Cells>(row: &R) -> Result<LeaseRow, Error> {
    let sums = LeaseSums {
        granted: row.int("granted")?,
        settled: row.int("settled")?,
        returned: row.int("returned")?,
        grants: row.int("grants")?,
        returns: row.int("returns")?,
    };
    Ok(LeaseRow { organization: row.text("org_id")?, seat: row.text("seat")?, sums })
}

#[derive(Default)]
struct Check {
    report: LedgerReport,
    prices: HashMap<PriceVersionId, PriceSheet>,
    wallets: BTreeMap<String, Running>,
    /// By organization and seat.
    leases: BTreeMap<(String, String), LeaseSums>,
    /// What tasks hold and what left their accounts, by account.
    tasks: BTreeMap<String, (i64, i64)>,
}

impl Check {
    fn fault(&mut self, what: String) {
        if self.report.faults.len() < FAULTS {
            self.report.faults.push(LedgerFault { what });
        }
    }

    fn price(&mut self, id: String, body: &str) {
        match PriceSheet::from_canonical(body) {
            Ok(sheet) if sheet.version.to_string() == id => {
                self.prices.insert(sheet.version, sheet);
            }
            _ => self.fault(format!("{id}: the stored price version is not the one its id names")),
        }
    }

    fn transfer(&mut self, transfer: &Stored) {
        self.report.transfers = self.report.transfers.saturating_add(1);
        let name = match &transfer.id {
            Some(id) => format!("{id} ({} {})", transfer.kind.name(), transfer.reference),
            None => format!("{} ({})", transfer.reference, transfer.kind.name()),
        };
        let follows = |id: &String| TransferId::of(transfer.kind, &transfer.reference).to_string() == *id;
        if !transfer.id.as_ref().is_none_or(follows) {
            self.fault(format!("{name}: the id does not follow from kind and reference"));
        }
        let lease = transfer.lease();
        let (debit, credit) = match (transfer.kind, &lease) {
            (TransferKind::Charge, Some(_)) => (Account::Lease, Account::Revenue),
            (TransferKind::Charge, None) if is_account(&transfer.debit, Account::Task) => {
                (Account::Task, Account::Revenue)
            }
            (TransferKind::TaskHold, Some(_)) => (Account::Lease, Account::Task),
            (kind, _) => kind.accounts(),
        };
        if !is_account(&transfer.debit, debit) || !is_account(&transfer.credit, credit) {
            self.fault(format!("{name}: the accounts are not those of its kind"));
        }
        if debit == Account::Wallet || credit == Account::Wallet {
            self.movement(transfer, &name);
        } else if transfer.sequence.is_some() {
            self.fault(format!("{name}: it has a wallet_seq and moves no wallet"));
        }
        if debit == Account::Task || credit == Account::Task {
            let (own, is_held) =
                if credit == Account::Task { (&transfer.credit, true) } else { (&transfer.debit, false) };
            let (held, gone) = self.tasks.entry(own.clone()).or_default();
            let sum = if is_held { held } else { gone };
            *sum = sum.saturating_add(transfer.amount.0);
        }
        if let Some(seat) = lease {
            let lease = self.leases.entry((transfer.organization.clone(), seat.to_owned())).or_default();
            if !lease.move_by(transfer) {
                self.fault(format!("{name}: beyond what the lease holds, or out of its numbers"));
            }
        }
        let followed = match transfer.kind {
            // One in the row of its request is rated there.
            TransferKind::Charge if transfer.id.is_none() => Ok(()),
            TransferKind::Charge => self.rerate_alone(transfer),
            TransferKind::Absorb => reread(transfer),
            _ => Ok(()),
        };
        if let Err(what) = followed {
            self.fault(format!("{name}: {what}"));
        }
    }

    /// L2 at this prefix.
    fn movement(&mut self, transfer: &Stored, name: &str) {
        let mut running = self.wallets.get(&transfer.organization).copied().unwrap_or_default();
        let next = running.sequence.saturating_add(1);
        if transfer.sequence != Some(next) {
            self.fault(format!("{name}: wallet_seq is {:?}, {next} follows", transfer.sequence));
        }
        running.sequence = transfer.sequence.unwrap_or(next);
        match apply(running.balance, transfer.kind, transfer.amount) {
            Ok(balance) => running.balance = balance,
            Err(error) => self.fault(format!("{name}: {error}")),
        }
        if transfer.kind.is_funding() {
            running.funded = running.funded.checked_add(transfer.amount).unwrap_or(running.funded);
        }
        self.wallets.insert(transfer.organization.clone(), running);
    }

    /// A charge in the row of its request: what its columns say follows from its body.
    fn charge<R: Cells>(&self, row: &R) -> Result<Result<(), String>, Error> {
        let bytes = row.bytes_or_none("body")?.unwrap_or_default();
        let Some(Body { columns, conditions, .. }) = Body::read(&bytes) else {
            return Ok(Err("its body does not read".to_owned()));
        };
        let is_same = row.text("id")? == *columns.id.text() && row.text("org_id")? == *columns.organization.text();
        if !is_same {
            return Ok(Err("its body is another request's".to_owned()));
        }
        for (meter, column) in Meter::ALL.iter().zip(meter_columns()) {
            if row.int_or_none(column)? != cell_of(&columns.meters, *meter) {
                return Ok(Err(format!("its column says another {} than its body", meter.name())));
            }
        }
        let amount = Nano(row.int("charge")?);
        let told = conditions.unwrap_or_default();
        Ok(self.rerate(amount, columns.price_version, (&columns.meters, &*told), columns.hold))
    }

    /// A charge beside its record, recomputed from its own row.
    fn rerate_alone(&self, transfer: &Stored) -> Result<(), String> {
        let detail: ChargeDetail =
            serde_json::from_str(&transfer.detail).map_err(|_| "its detail does not read".to_owned())?;
        let meters = detail.meters().ok_or("it has a meter that is not known")?;
        self.rerate(transfer.amount, transfer.price_version, (&meters, &Conditions::NONE), Nano(detail.hold))
    }

    /// A charge is `min(cost of its meters, its hold)`.
    fn rerate(
        &self,
        amount: Nano,
        version: Option<PriceVersionId>,
        (meters, told): (&Meters, &Conditions),
        hold: Nano,
    ) -> Result<(), String> {
        let version = version.ok_or("it has no price version")?;
        let sheet = self.prices.get(&version).ok_or_else(|| format!("its price version {version} is not stored"))?;
        let cost = sheet.settling(told).0.cost(meters).ok_or("its cost is out of range")?;
        let expected = cost.min(hold);
        if expected == amount { Ok(()) } else { Err(format!("charged {amount}, re-rated {expected}")) }
    }

    fn wallet(&mut self, organization: &str, balance: i64, funded: i64, sequence: i64) {
        self.report.organizations = self.report.organizations.saturating_add(1);
        let running = self.wallets.remove(organization).unwrap_or_default();
        if running.balance.0 != balance {
            self.fault(format!(
                "{organization}: the balance is {}, the transfers give {}",
                Nano(balance),
                running.balance
            ));
        }
        if running.funded.0 != funded {
            self.fault(format!("{organization}: funded is {}, the transfers give {}", Nano(funded), running.funded));
        }
        if running.sequence != sequence {
            self.fault(format!(
                "{organization}: the wallet counted {sequence} transfers, there are {}",
                running.sequence
            ));
        }
    }

    /// A lease as its row has it, against its transfers.
    fn lease(&mut self, row: &LeaseRow) {
        let name = format!("lease of {} by {}", row.organization, row.seat);
        let sums = self.leases.remove(&(row.organization.clone(), row.seat.clone())).unwrap_or_default();
        if sums != row.sums {
            self.fault(format!("{name}: the row says {}, the transfers give {sums}", row.sums));
        }
        if row.sums.spent().is_none_or(|spent| spent > row.sums.granted) {
            self.fault(format!("{name}: more was settled and returned than granted"));
        }
    }

    /// An open task holds its whole hold.
    fn open_task(&mut self, id: &str, hold: Nano) {
        let sums = self.tasks.remove(&format!("{}:{id}", Account::Task.name())).unwrap_or_default();
        if sums != (hold.0, 0) {
            let (held, gone) = (Nano(sums.0), Nano(sums.1));
            self.fault(format!("{id}: it holds {hold}, the transfers say {held} held and {gone} gone"));
        }
    }

    /// Of every other one the whole hold was captured or released.
    fn ended_tasks(&mut self) {
        for (account, (held, gone)) in std::mem::take(&mut self.tasks) {
            if held != gone {
                let (held, gone) = (Nano(held), Nano(gone));
                self.fault(format!("{account}: {held} was held, {gone} was captured and released"));
            }
        }
    }

    /// Transfers whose wallet or lease does not exist.
    fn strangers(&mut self) {
        for (organization, seat) in std::mem::take(&mut self.leases).into_keys() {
            self.fault(format!("{organization}: transfers without the lease of {seat}"));
        }
        for organization in std::mem::take(&mut self.wallets).into_keys() {
            self.fault(format!("{organization}: transfers without a wallet"));
        }
    }
}

/// What was used above a hold follows from what the upstream said, so it is only compared with its own row's detail.
fn reread(transfer: &Stored) -> Result<(), String> {
    let detail: ChargeDetail =
        serde_json::from_str(&transfer.detail).map_err(|_| "its detail does not read".to_owned())?;
    if detail.absorbed == transfer.amount.0 {
        Ok(())
    } else {
        Err(format!("absorbed {}, its detail says {}", transfer.amount, Nano(detail.absorbed)))
    }
}

fn transfer<R: Cells>(row: &R) -> Result<Stored, Error> {
    let kind = row.text("kind")?;
    Ok(Stored {
        kind: known(TransferKind::from_name(&kind), "transfer.kind", &kind)?,
        reference: row.text("ref")?,
        id: row.text_or_none("id")?,
        organization: row.text("org_id")?,
        debit: row.text("debit")?,
        credit: row.text("credit")?,
        amount: Nano(row.int("amount")?),
        price_version: row
            .text_or_none("price_version")?
            .map(|text| parse("transfer.price_version", &text))
            .transpose()?,
        sequence: row.int_or_none("wallet_seq")?,
        detail: row.text("detail")?,
    })
}
