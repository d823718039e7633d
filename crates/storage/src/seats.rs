//! Closing the books of a seat whose node is dead: what its next start would do, done by somebody else.
//!
//! A charge is durable only in the database, so what a dead node had leased and not charged is known exactly. Two things
//! say that it is dead: its renewals stood still for longer than its rights last, and nobody holds its seat's lock, which
//! goes with the session that writes its charges, after that session's last transaction. A process that comes back finds
//! its node gone and its seat closed: it has no lease any more, and the lease's own check refuses what it still charges.

use crate::audit::record_for_instance;
use crate::cells::Cells as _;
use crate::door::{Link, Linked as _, Tx, both};
use crate::engine;
use crate::error::Error;
use crate::recovery;
use crate::statements::statements;
use crate::store::{Engine, Store};
use claviger_domain::audit::{Action, Attribution, FieldChange};
use claviger_domain::id::{NodeId, SeatId};
use claviger_domain::money::Nano;
use claviger_domain::time::Now;

statements! {
    LIST_NODES = "SELECT id, renewals FROM node WHERE seat = $1";
    FORGET_NODES = "DELETE FROM node WHERE seat = $1";
    COUNT_UP = "INSERT INTO seat (seat, closed, closed_at) VALUES ($1, CAST(1 AS BIGINT), $2) \
        ON CONFLICT (seat) DO UPDATE SET closed = seat.closed + 1, closed_at = EXCLUDED.closed_at";
    TIMES_CLOSED = "SELECT closed FROM seat WHERE seat = $1";
    LIST_LEFT = "SELECT DISTINCT l.seat FROM credit_lease l WHERE l.granted > l.settled + l.returned AND l.seat <> $1 \
        AND NOT EXISTS (SELECT 1 FROM node n WHERE n.seat = l.seat) ORDER BY l.seat LIMIT CAST(100 AS BIGINT)";
}

/// What was found in the books of a seat.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClosedSeat {
    /// Requests that were lost with the node.
    pub lost: u64,
    /// Charges whose answers may not have arrived.
    pub in_doubt: u64,
    /// Leases that held credit.
    pub leases: u64,
    /// What they held, given back to the wallets.
    pub returned: Nano,
}

/// What came of closing the books of a seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseSeatOutcome {
    /// Closed.
    Closed(ClosedSeat),
    /// Its node has spoken, or a session of it may still write charges.
    Alive,
    /// There is nothing to close.
    Unknown,
}

impl Store {
    /// Closes the books of another seat: `silent` are its nodes and their renewals, whose silence the caller has proved.
    /// All of them must be named, and none may have spoken since.
    ///
    /// # Errors
    /// Those of writing; repeating is safe.
    pub async fn close_seat(
        &self,
        seat: SeatId,
        silent: Vec<(NodeId, i64)>,
        now: Now,
        by: &Attribution,
    ) -> Result<CloseSeatOutcome, Error> {
        if self.engine() == Engine::Sqlite || seat == self.seat() {
            // This process is the seat's, and it is alive.
            return Ok(CloseSeatOutcome::Alive);
        }
        let by = by.clone();
        self.act(async move |tx: &mut Tx<'_>| close(tx, seat, &silent, now, &by).await).await
    }

    /// How often somebody else closed the books of this process's seat.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn times_closed(&self) -> Result<i64, Error> {
        let seat = self.seat().to_string();
        let mut reader = self.renewal().await?;
        both!(&mut reader, c => {
            let row = sqlx::query(TIMES_CLOSED).bind(&seat).fetch_optional(c).await?;
            row.map_or(Ok(0), |row| row.int("closed"))
        })
    }

    /// Other seats that hold credit and have no node, at most 100.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn list_left_seats(&self) -> Result<Vec<SeatId>, Error> {
        let seat = self.seat().to_string();
        let mut reader = self.renewal().await?;
        both!(&mut reader, c => {
            sqlx::query(LIST_LEFT).bind(&seat).fetch_all(c).await?.iter().map(|row| row.parsed("seat")).collect()
        })
    }
}

async fn close(
    tx: &mut Tx<'_>,
    seat: SeatId,
    silent: &[(NodeId, i64)],
    now: Now,
    by: &Attribution,
) -> Result<CloseSeatOutcome, Error> {
    if let Link::Postgres(connection) = tx.link()
        && !engine::postgres::take_seat(connection, seat).await?
    {
        return Ok(CloseSeatOutcome::Alive);
    }
    let name = seat.to_string();
    let nodes: Vec<(NodeId, i64)> = both!(tx, c => {
        let rows = sqlx::query(LIST_NODES).bind(&name).fetch_all(c).await?;
        rows.iter().map(|row| Ok::<_, Error>((row.parsed("id")?, row.int("renewals")?))).collect::<Result<_, _>>()?
    });
    if nodes.iter().any(|node| !silent.contains(node)) {
        return Ok(CloseSeatOutcome::Alive);
    }
    let found = recovery::close(tx, seat, now).await?;
    if nodes.is_empty() && found == ClosedSeat::default() {
        return Ok(CloseSeatOutcome::Unknown);
    }
    both!(tx, c => { sqlx::query(FORGET_NODES).bind(&name).execute(c).await?; });
    both!(tx, c => { sqlx::query(COUNT_UP).bind(&name).bind(now.wall.0).execute(c).await?; });
    let change = |field: &str, to: String| FieldChange { field: field.to_owned(), from: None, to: Some(to) };
    let changes = [change("amount", found.returned.to_string()), change("count", found.leases.to_string())];
    record_for_instance(tx, by, Action::SeatClosed, &name, &changes).await?;
    Ok(CloseSeatOutcome::Closed(found))
}
