//! Funding and balances; charges are appended by `charges/`.
//!
//! Transfers are append-only: triggers refuse UPDATE and DELETE on both engines. `(kind, ref)` is the primary key, so one
//! cause is booked once, whoever repeats it.

use crate::audit::record;
use crate::cells::{Cells, parse};
use crate::door::{Tx, both};
use crate::epochs::{current_epoch, publish};
use crate::error::Error;
use crate::keys::change;
use crate::statements::statements;
use crate::store::Store;
use claviger_domain::audit::{Action, Attribution};
use claviger_domain::id::{GrantId, OrganizationId, RequestId};
use claviger_domain::ledger::{TransferId, TransferKind, apply};
use claviger_domain::money::Nano;
use claviger_domain::revocation::{Change, Epoch};
use claviger_domain::tenancy::TenantScope;
use claviger_domain::time::Timestamp;

statements! {
    LOCK_WALLET = "UPDATE wallet SET seq = seq + 1 WHERE org_id = $1 RETURNING balance, funded, seq";
    FUND_WALLET = "UPDATE wallet SET balance = $2, funded = $3 WHERE org_id = $1";
    UNLOCK_UNCHANGED = "UPDATE wallet SET seq = seq - 1 WHERE org_id = $1";
    FIND_TRANSFER = "SELECT org_id, amount FROM transfer WHERE kind = $1 AND ref = $2";
    INSERT_TRANSFER = "INSERT INTO transfer \
        (kind, ref, id, org_id, debit, credit, amount, price_version, wallet_seq, at, detail) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, NULL, $8, $9, $10)";
    FIND_WALLET = "SELECT balance, funded, CAST(COALESCE((SELECT SUM(granted - settled - returned) FROM credit_lease \
        WHERE credit_lease.org_id = wallet.org_id), 0) AS BIGINT) AS leased, \
        CAST(COALESCE((SELECT SUM(hold) FROM task WHERE task.org_id = wallet.org_id AND is_open = TRUE), 0) AS BIGINT) \
        AS tasks FROM wallet WHERE org_id = $1";
    LIST_IN_DOUBT = "SELECT request_id, org_id, charge, at FROM in_doubt ORDER BY request_id";
}

/// Credit that an operator gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Its id: the same id is booked once.
    pub id: GrantId,
    /// How much; above zero.
    pub amount: Nano,
    /// Why, for the audit record and the transfer.
    pub reason: String,
    /// When.
    pub at: Timestamp,
}

/// An organization's wallet as it stands in the database; holds are in the node's memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wallet {
    /// What is left, whoever may spend it.
    pub balance: Nano,
    /// What of it nodes may spend or hold.
    pub leased: Nano,
    /// What is held for tasks, beside the balance.
    pub tasks: Nano,
    /// What ever came in.
    pub funded: Nano,
    /// What was charged.
    pub charged: Nano,
}

/// A charge whose answer may not have arrived: the node stopped in between.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InDoubt {
    /// The request.
    pub request: RequestId,
    /// Who paid.
    pub organization: OrganizationId,
    /// How much.
    pub charge: Nano,
    /// When the request ended.
    pub at: Timestamp,
}

impl Store {
    /// Funds a wallet. Repeating it with the same grant changes nothing and answers the current epoch.
    ///
    /// # Errors
    /// `Conflict` when the grant id was used with another content, the amount is not above zero, or the balance would
    /// leave the range of money. `OutcomeUnknown`: repeat with the same grant.
    pub async fn grant(&self, scope: TenantScope, act: Grant, by: &Attribution) -> Result<Epoch, Error> {
        let by = by.clone();
        self.act(async move |tx: &mut Tx<'_>| grant(tx, scope, &act, &by).await).await
    }

    /// The organization's wallet; all zero when it has none.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn wallet(&self, scope: TenantScope) -> Result<Wallet, Error> {
        let mut reader = self.level_reader().await?;
        let organization = scope.0.to_string();
        both!(&mut reader, c => {
            let row = sqlx::query(FIND_WALLET).bind(&organization).fetch_optional(c).await?;
            let Some(row) = row else { return Ok(Wallet::default()) };
            let (funded, leased) = (Nano(row.int("funded")?), Nano(row.int("leased")?));
            let balance = Nano(row.int("balance")?.saturating_add(leased.0));
            let tasks = Nano(row.int("tasks")?);
            let charged = funded.saturating_sub(balance).saturating_sub(tasks);
            Ok(Wallet { balance, leased, tasks, funded, charged })
        })
    }

    /// Charges whose delivery is not known, oldest first.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn list_in_doubt(&self) -> Result<Vec<InDoubt>, Error> {
        let mut reader = self.level_reader().await?;
        both!(&mut reader, c => {
            let rows = sqlx::query(LIST_IN_DOUBT).fetch_all(c).await?;
            rows.iter()
                .map(|row| {
                    Ok(InDoubt {
                        request: parse("in_doubt.request_id", &row.text("request_id")?)?,
                        organization: row.parsed("org_id")?,
                        charge: Nano(row.int("charge")?),
                        at: Timestamp(row.int("at")?),
                    })
                })
                .collect()
        })
    }
}

/// Funds a wallet inside a transaction.
pub(crate) async fn grant(tx: &mut Tx<'_>, scope: TenantScope, act: &Grant, by: &Attribution) -> Result<Epoch, Error> {
    let (organization, reference) = (scope.0.to_string(), act.id.to_string());
    let kind = TransferKind::Grant;
    let wallet = both!(tx, c => {
        let row = sqlx::query(LOCK_WALLET).bind(&organization).fetch_optional(c).await?;
        row.map(|row| Ok::<_, Error>((row.int("balance")?, row.int("funded")?, row.int("seq")?))).transpose()?
    });
    let Some((balance, funded, sequence)) = wallet else { return Err(Error::Conflict("no such wallet")) };
    let former = both!(tx, c => {
        let row = sqlx::query(FIND_TRANSFER).bind(kind.name()).bind(&reference).fetch_optional(c).await?;
        row.map(|row| Ok::<_, Error>((row.text("org_id")?, row.int("amount")?))).transpose()?
    });
    if let Some((owner, amount)) = former {
        if owner != organization || amount != act.amount.0 {
            return Err(Error::Conflict("grant id"));
        }
        both!(tx, c => { sqlx::query(UNLOCK_UNCHANGED).bind(&organization).execute(c).await?; });
        return current_epoch(tx).await;
    }
    let balance = apply(Nano(balance), kind, act.amount).map_err(|_| Error::Conflict("grant amount"))?;
    let funded = apply(Nano(funded), kind, act.amount).map_err(|_| Error::Conflict("grant amount"))?;
    both!(tx, c => {
        sqlx::query(FUND_WALLET).bind(&organization).bind(balance.0).bind(funded.0).execute(c).await?;
    });
    let (debit, credit) = kind.accounts();
    let detail = serde_json::json!({ "reason": act.reason }).to_string();
    both!(tx, c => {
        sqlx::query(INSERT_TRANSFER)
            .bind(kind.name())
            .bind(&reference)
            .bind(TransferId::of(kind, &reference).to_string())
            .bind(&organization)
            .bind(debit.name())
            .bind(credit.name())
            .bind(act.amount.0)
            .bind(sequence)
            .bind(act.at.0)
            .bind(&detail)
            .execute(c)
            .await?;
    });
    tx.funded.push((scope.0, act.amount));
    let changes =
        [change("amount", None, Some(act.amount.to_string())), change("reason", None, Some(act.reason.clone()))];
    record(tx, scope.0, by, Action::GrantCreated, &reference, &changes).await?;
    publish(tx, scope.0, &Change::Funding(act.amount), by.at).await
}
