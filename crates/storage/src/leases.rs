//! Credit leases: what a seat may spend of a wallet (`money.md` §6).
//!
//! A seat has one lease of a wallet, which grows by numbered grants and shrinks by numbered returns, each a transfer and
//! each booked once. The wallet's row is locked first, always; a charge touches the lease's row only. A lease outlives its
//! node: only the next start on the same seat, or who closes the books of a dead one (`seats.rs`), gives its rest back.

use crate::cells::Cells as _;
use crate::door::{Tx, both};
use crate::error::Error;
use crate::statements::statements;
use crate::store::Store;
use claviger_domain::credit_lease::{GrantAsk, Pool, grant_of};
use claviger_domain::id::{OrganizationId, SeatId};
use claviger_domain::ledger::{Account, TransferId, TransferKind};
use claviger_domain::money::Nano;
use claviger_domain::tenancy::TenantScope;
use claviger_domain::time::Timestamp;

statements! {
    LOCK_WALLET = "UPDATE wallet SET seq = seq + 1 WHERE org_id = $1 RETURNING balance, seq, recall";
    UNLOCK_WALLET = "UPDATE wallet SET seq = seq - 1, recall = $2 WHERE org_id = $1";
    TAKE = "UPDATE wallet SET balance = balance - $2, recall = $3 WHERE org_id = $1 AND balance >= $2";
    GIVE_BACK = "UPDATE wallet SET balance = balance + $2, recall = $3 WHERE org_id = $1";
    OPEN_LEASE = "INSERT INTO credit_lease (org_id, seat, granted, settled, returned, grants, returns) \
        VALUES ($1, $2, CAST(0 AS BIGINT), CAST(0 AS BIGINT), CAST(0 AS BIGINT), CAST(0 AS BIGINT), CAST(0 AS BIGINT)) \
        ON CONFLICT DO NOTHING";
    LEASE = "SELECT granted, settled, returned, grants, returns FROM credit_lease WHERE org_id = $1 AND seat = $2";
    OTHERS = "SELECT CAST(COALESCE(SUM(granted - settled - returned), 0) AS BIGINT) AS open FROM credit_lease \
        WHERE org_id = $1 AND seat <> $2";
    COUNT_NODES = "SELECT COUNT(*) AS nodes FROM node";
    GROW = "UPDATE credit_lease SET granted = granted + $3, grants = grants + 1 WHERE org_id = $1 AND seat = $2";
    SHRINK = "UPDATE credit_lease SET returned = returned + $3, returns = returns + 1 WHERE org_id = $1 AND seat = $2 \
        AND settled + returned + $3 <= granted";
    FIND_MOVEMENT = "SELECT amount FROM transfer WHERE kind = $1 AND ref = $2";
    BOOK = "INSERT INTO transfer \
        (kind, ref, id, org_id, debit, credit, amount, price_version, wallet_seq, at, detail) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, NULL, $8, $9, '{}')";
    LIST_SEAT = "SELECT org_id, granted - settled - returned AS open, returns FROM credit_lease \
        WHERE seat = $1 AND granted > settled + returned ORDER BY org_id";
    LIST_OPEN = "SELECT org_id, seat, granted, settled, returned FROM credit_lease \
        WHERE granted > settled + returned ORDER BY org_id, seat";
}

/// What came of asking for credit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseGrant {
    /// How much this seat may spend more; zero = nothing.
    pub amount: Nano,
    /// What the wallet has left, nobody's.
    pub wallet: Nano,
    /// What other seats may still spend or hold.
    pub others: Nano,
}

/// An open lease, for operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenLease {
    /// Whose wallet.
    pub organization: OrganizationId,
    /// Who may spend it.
    pub seat: SeatId,
    /// Ever granted.
    pub granted: Nano,
    /// Charged of it.
    pub settled: Nano,
    /// Given back of it.
    pub returned: Nano,
}

/// A lease's row.
struct Lease {
    grants: i64,
    returns: i64,
}

impl Store {
    /// Asks for credit of a wallet for this seat: the `number`th grant of its lease, counted from 1. A repetition under the
    /// same number answers the same.
    ///
    /// # Errors
    /// `Conflict` when the wallet or the number is not what the caller believes. `OutcomeUnknown`: repeat with the same
    /// number.
    pub async fn grant_lease(
        &self,
        scope: TenantScope,
        number: i64,
        ask: GrantAsk,
        at: Timestamp,
    ) -> Result<LeaseGrant, Error> {
        let seat = self.seat();
        self.act(async move |tx: &mut Tx<'_>| grant(tx, scope.0, seat, number, ask, at).await).await
    }

    /// Gives back credit that this seat has not spent: the `number`th return of its lease.
    ///
    /// # Errors
    /// As of [`Store::grant_lease`]; `Conflict` too when more would be returned than is open.
    pub async fn return_lease(
        &self,
        scope: TenantScope,
        number: i64,
        amount: Nano,
        at: Timestamp,
    ) -> Result<(), Error> {
        let seat = self.seat();
        let kind = TransferKind::LeaseReturn;
        self.act(async move |tx: &mut Tx<'_>| give_back(tx, kind, scope.0, seat, number, amount, at).await).await
    }

    /// How many grants and returns this seat's lease of a wallet has had.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn lease_numbers(&self, scope: TenantScope) -> Result<(i64, i64), Error> {
        let (organization, seat) = (scope.0.to_string(), self.seat().to_string());
        let mut reader = self.reader().await?;
        both!(&mut reader, c => {
            let row = sqlx::query(LEASE).bind(&organization).bind(&seat).fetch_optional(c).await?;
            row.map_or(Ok((0, 0)), |row| Ok((row.int("grants")?, row.int("returns")?)))
        })
    }

    /// Every lease that holds credit.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn list_open_leases(&self) -> Result<Vec<OpenLease>, Error> {
        let mut reader = self.reader().await?;
        both!(&mut reader, c => {
            let rows = sqlx::query(LIST_OPEN).fetch_all(c).await?;
            rows.iter()
                .map(|row| {
                    Ok(OpenLease {
                        organization: row.parsed("org_id")?,
                        seat: row.parsed("seat")?,
                        granted: Nano(row.int("granted")?),
                        settled: Nano(row.int("settled")?),
                        returned: Nano(row.int("returned")?),
                    })
                })
                .collect()
        })
    }
}

/// Gives back everything that the last start on this seat left; how many leases, and how much. The seat's lock says that
/// this start has ended, and that whatever it was committing is decided.
pub(crate) async fn return_left(
    tx: &mut Tx<'_>,
    kind: TransferKind,
    seat: SeatId,
    at: Timestamp,
) -> Result<(u64, Nano), Error> {
    let seat_text = seat.to_string();
    let left: Vec<(OrganizationId, Nano, i64)> = both!(tx, c => {
        let mut left = Vec::new();
        for row in sqlx::query(LIST_SEAT).bind(&seat_text).fetch_all(c).await? {
            left.push((row.parsed("org_id")?, Nano(row.int("open")?), row.int("returns")?));
        }
        left
    });
    let (mut count, mut sum) = (0_u64, 0_i64);
    for (organization, open, returns) in left {
        give_back(tx, kind, organization, seat, returns.saturating_add(1), open, at).await?;
        (count, sum) = (count.saturating_add(1), sum.saturating_add(open.0));
    }
    Ok((count, Nano(sum)))
}

async fn grant(
    tx: &mut Tx<'_>,
    organization: OrganizationId,
    seat: SeatId,
    number: i64,
    ask: GrantAsk,
    at: Timestamp,
) -> Result<LeaseGrant, Error> {
    let (org, seat_text) = (organization.to_string(), seat.to_string());
    let (balance, sequence, recall) = lock(tx, &org).await?;
    both!(tx, c => { sqlx::query(OPEN_LEASE).bind(&org).bind(&seat_text).execute(c).await?; });
    let lease = find(tx, &org, &seat_text).await?;
    let others = both!(tx, c => {
        Nano(sqlx::query(OTHERS).bind(&org).bind(&seat_text).fetch_one(c).await?.int("open")?)
    });
    let reference = reference(organization, seat, number);
    if lease.grants == number {
        // Granted before; only the answer was lost.
        let amount = movement(tx, TransferKind::Lease, &reference).await?.ok_or(Error::Conflict("lease grant"))?;
        unlock(tx, &org, recall).await?;
        return Ok(LeaseGrant { amount, wallet: balance, others });
    }
    if lease.grants.saturating_add(1) != number {
        return Err(Error::Conflict("lease grant number"));
    }
    let nodes = both!(tx, c => sqlx::query(COUNT_NODES).fetch_one(c).await?.int("nodes")?);
    let pool = Pool { wallet: balance, others, nodes: u32::try_from(nodes).unwrap_or(u32::MAX) };
    let granted = grant_of(pool, ask);
    let recall = i64::from(granted.is_short && others > Nano::ZERO);
    if granted.amount == Nano::ZERO {
        unlock(tx, &org, recall).await?;
        return Ok(LeaseGrant { amount: Nano::ZERO, wallet: balance, others });
    }
    let amount = granted.amount;
    let taken = both!(tx, c => {
        sqlx::query(TAKE).bind(&org).bind(amount.0).bind(recall).execute(c).await?.rows_affected()
    });
    if taken != 1 {
        return Err(Error::Conflict("the wallet has less"));
    }
    both!(tx, c => { sqlx::query(GROW).bind(&org).bind(&seat_text).bind(amount.0).execute(c).await?; });
    book(tx, TransferKind::Lease, &reference, organization, seat, amount, sequence, at).await?;
    Ok(LeaseGrant { amount, wallet: balance.saturating_sub(amount), others })
}

async fn give_back(
    tx: &mut Tx<'_>,
    kind: TransferKind,
    organization: OrganizationId,
    seat: SeatId,
    number: i64,
    amount: Nano,
    at: Timestamp,
) -> Result<(), Error> {
    let (org, seat_text) = (organization.to_string(), seat.to_string());
    let (_, sequence, recall) = lock(tx, &org).await?;
    let lease = find(tx, &org, &seat_text).await?;
    let reference = reference(organization, seat, number);
    if lease.returns == number {
        return match movement(tx, kind, &reference).await? {
            Some(former) if former == amount => unlock(tx, &org, recall).await,
            _ => Err(Error::Conflict("lease return")),
        };
    }
    if lease.returns.saturating_add(1) != number || amount <= Nano::ZERO {
        return Err(Error::Conflict("lease return number"));
    }
    let shrunk = both!(tx, c => {
        sqlx::query(SHRINK).bind(&org).bind(&seat_text).bind(amount.0).execute(c).await?.rows_affected()
    });
    if shrunk != 1 {
        return Err(Error::Conflict("more is returned than is open"));
    }
    // Once nothing is open anywhere else, there is nobody left to recall from.
    let others = both!(tx, c => sqlx::query(OTHERS).bind(&org).bind("").fetch_one(c).await?.int("open")?);
    let recall = if others == 0 { 0 } else { recall };
    both!(tx, c => { sqlx::query(GIVE_BACK).bind(&org).bind(amount.0).bind(recall).execute(c).await?; });
    book(tx, kind, &reference, organization, seat, amount, sequence, at).await
}

async fn lock(tx: &mut Tx<'_>, org: &str) -> Result<(Nano, i64, i64), Error> {
    let row = both!(tx, c => {
        let row = sqlx::query(LOCK_WALLET).bind(org).fetch_optional(c).await?;
        row.map(|row| Ok::<_, Error>((Nano(row.int("balance")?), row.int("seq")?, row.int("recall")?))).transpose()?
    });
    row.ok_or(Error::Conflict("no such wallet"))
}

async fn unlock(tx: &mut Tx<'_>, org: &str, recall: i64) -> Result<(), Error> {
    both!(tx, c => { sqlx::query(UNLOCK_WALLET).bind(org).bind(recall).execute(c).await?; });
    Ok(())
}

async fn find(tx: &mut Tx<'_>, org: &str, seat: &str) -> Result<Lease, Error> {
    both!(tx, c => {
        let row = sqlx::query(LEASE).bind(org).bind(seat).fetch_optional(c).await?;
        row.map_or(Err(Error::Conflict("no such lease")), |row| {
            Ok(Lease { grants: row.int("grants")?, returns: row.int("returns")? })
        })
    })
}

async fn movement(tx: &mut Tx<'_>, kind: TransferKind, reference: &str) -> Result<Option<Nano>, Error> {
    both!(tx, c => {
        let row = sqlx::query(FIND_MOVEMENT).bind(kind.name()).bind(reference).fetch_optional(c).await?;
        row.map(|row| Ok(Nano(row.int("amount")?))).transpose()
    })
}

#[expect(clippy::too_many_arguments, reason = "the columns of one row")]
async fn book(
    tx: &mut Tx<'_>,
    kind: TransferKind,
    reference: &str,
    organization: OrganizationId,
    seat: SeatId,
    amount: Nano,
    sequence: i64,
    at: Timestamp,
) -> Result<(), Error> {
    let (debit, credit) = kind.accounts();
    let name = |account: Account| match account {
        Account::Lease => account_of(seat),
        other => other.name().to_owned(),
    };
    both!(tx, c => {
        sqlx::query(BOOK)
            .bind(kind.name())
            .bind(reference)
            .bind(TransferId::of(kind, reference).to_string())
            .bind(organization.to_string())
            .bind(name(debit))
            .bind(name(credit))
            .bind(amount.0)
            .bind(sequence)
            .bind(at.0)
            .execute(c)
            .await?;
    });
    Ok(())
}

/// The account of a seat's lease; with the organization of the row it is one lease.
pub(crate) fn account_of(seat: SeatId) -> String {
    format!("{}:{seat}", Account::Lease.name())
}

/// What names the `number`th grant or return of a lease.
fn reference(organization: OrganizationId, seat: SeatId, number: i64) -> String {
    format!("{seat}/{organization}/{number}")
}
