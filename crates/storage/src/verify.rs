//! `ledger verify`: the ledger re-proved from zero.
//!
//! Recomputes ids, accounts, L2 at every prefix (`wallet_seq` is counted in the wallet row, so its order is commit order)
//! and the cached balances; re-rates every charge from its own row; pairs charges and records both ways. L1 holds by
//! form: a transfer has one amount and two accounts, so their sum is always zero.

use crate::cells::{Cells, known, parse};
use crate::door::both;
use crate::error::Error;
use crate::record::ChargeDetail;
use crate::statements::statements;
use crate::store::Store;
use claviger_domain::id::PriceVersionId;
use claviger_domain::ledger::{Account, TransferId, TransferKind, apply};
use claviger_domain::money::Nano;
use claviger_domain::price::PriceSheet;
use futures_util::TryStreamExt as _;
use std::collections::{BTreeMap, HashMap};

statements! {
    LIST_WALLETS = "SELECT org_id, balance, funded, seq FROM wallet ORDER BY org_id";
    LIST_PRICES = "SELECT id, body FROM price_version";
    LIST_TRANSFERS = "SELECT kind, ref, id, org_id, debit, credit, amount, price_version, wallet_seq, detail \
        FROM transfer ORDER BY org_id, COALESCE(wallet_seq, CAST(0 AS BIGINT)), ref";
    REFUSED = "SELECT request_id, charge, reason FROM journal_refused ORDER BY request_id LIMIT CAST(100 AS BIGINT)";
    UNCHARGED_RECORDS = "SELECT r.id FROM request r LEFT JOIN transfer t ON t.kind = 'charge' AND t.ref = r.id \
        WHERE r.charge <> 0 AND (t.ref IS NULL OR t.amount <> r.charge OR t.org_id <> r.org_id) \
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
            for row in sqlx::query(LIST_WALLETS).fetch_all(c).await? {
                check.wallet(&row.text("org_id")?, row.int("balance")?, row.int("funded")?, row.int("seq")?);
            }
        });
        check.strangers();
        both!(&mut snapshot, c => {
            for row in sqlx::query(REFUSED).fetch_all(c).await? {
                let (request, charge, reason) = (row.text("request_id")?, Nano(row.int("charge")?), row.text("reason")?);
                check.fault(format!("{request}: {charge} was charged and is not in the ledger: {reason}"));
            }
        });
        both!(&mut snapshot, c => {
            for row in sqlx::query(UNCHARGED_RECORDS).fetch_all(c).await? {
                check.fault(format!("{}: the record's charge is not in the ledger", row.text("id")?));
            }
        });
        both!(&mut snapshot, c => {
            for row in sqlx::query(UNRECORDED_CHARGES).fetch_all(c).await? {
                check.fault(format!("{}: the ledger's charge is not in its record", row.text("ref")?));
            }
        });
        Ok(check.report)
    }
}

struct Stored {
    kind: TransferKind,
    reference: String,
    id: String,
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

#[derive(Default)]
struct Check {
    report: LedgerReport,
    prices: HashMap<PriceVersionId, PriceSheet>,
    wallets: BTreeMap<String, Running>,
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
        let name = format!("{} ({} {})", transfer.id, transfer.kind.name(), transfer.reference);
        if TransferId::of(transfer.kind, &transfer.reference).to_string() != transfer.id {
            self.fault(format!("{name}: the id does not follow from kind and reference"));
        }
        let (debit, credit) = transfer.kind.accounts();
        if transfer.debit != debit.name() || transfer.credit != credit.name() {
            self.fault(format!("{name}: the accounts are not those of its kind"));
        }
        if debit == Account::Wallet || credit == Account::Wallet {
            self.movement(transfer, &name);
        }
        let followed = match transfer.kind {
            TransferKind::Charge => self.rerate(transfer),
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
        if transfer.kind.wallet_sign() > 0 {
            running.funded = running.funded.checked_add(transfer.amount).unwrap_or(running.funded);
        }
        self.wallets.insert(transfer.organization.clone(), running);
    }

    /// The charge recomputed from its own row: `min(cost of its meters, its hold)`.
    fn rerate(&self, transfer: &Stored) -> Result<(), String> {
        let detail: ChargeDetail =
            serde_json::from_str(&transfer.detail).map_err(|_| "its detail does not read".to_owned())?;
        let meters = detail.meters().ok_or("it has a meter that is not known")?;
        let version = transfer.price_version.ok_or("it has no price version")?;
        let sheet = self.prices.get(&version).ok_or_else(|| format!("its price version {version} is not stored"))?;
        let cost = sheet.cost(&meters).ok_or("its cost is out of range")?;
        let expected = cost.min(Nano(detail.hold));
        if expected == transfer.amount {
            Ok(())
        } else {
            Err(format!("charged {}, re-rated {expected}", transfer.amount))
        }
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

    /// Transfers whose wallet does not exist.
    fn strangers(&mut self) {
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
        id: row.text("id")?,
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
