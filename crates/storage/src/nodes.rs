//! Nodes: registration, the poll that renews and brings news, and who is known at all.
//!
//! On Postgres a poll is one statement, and so one point in time: it counts the node's renewals up and reads everything
//! that this renewal stands for. On SQLite there is one node, and its polls renew nothing.

use crate::audit::record_for_instance;
use crate::cells::Cells;
use crate::door::{Linked as _, Tx, both};
use crate::engine;
use crate::epochs::current_epoch;
use crate::error::Error;
use crate::statements::statements;
use crate::store::{Engine, Store};
use claviger_domain::audit::{Action, Attribution};
use claviger_domain::id::{NodeId, OrganizationId, SeatId};
use claviger_domain::revocation::{Answered, Counter, Epoch, Position, Standing};
use claviger_domain::time::Timestamp;
use std::time::Duration;

statements! {
    FORGET_ALL = "DELETE FROM node";
    REGISTER = "INSERT INTO node (id, seat, started_at, applied_epoch, renewals, renewed_at, validity) \
        SELECT $1, $2, $3, value, CAST(0 AS BIGINT), $3, $4 FROM epoch WHERE id = 1 ON CONFLICT DO NOTHING";
    DEREGISTER = "DELETE FROM node WHERE id = $1";
    FORGET = "DELETE FROM node WHERE id = $1 AND renewals = $2";
    LIST = "SELECT id, seat, started_at, applied_epoch, renewals, renewed_at, validity, draining FROM node ORDER BY id";
    DRAIN = "UPDATE node SET draining = CAST(1 AS BIGINT) WHERE id = $1";
    IS_DRAINING = "SELECT draining FROM node WHERE id = $1";
    PRUNE = "DELETE FROM rights_event WHERE at < $1 AND epoch < (SELECT value FROM epoch WHERE id = 1) \
        AND epoch <= COALESCE((SELECT MIN(applied_epoch) FROM node), CAST(0 AS BIGINT))";
}

/// Reading who is registered: an observer asks again at once.
const READING: Duration = Duration::from_secs(2);

/// A registered node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRow {
    /// This start of it.
    pub id: NodeId,
    /// Where it started.
    pub seat: SeatId,
    /// S as it is set there: how long its leases last.
    pub validity: Duration,
    /// When it started.
    pub started_at: Timestamp,
    /// What it has said it applied.
    pub applied: Epoch,
    /// How often it was renewed.
    pub renewals: i64,
    /// When it was renewed last, by its own wall clock: for people.
    pub renewed_at: Timestamp,
    /// Whether it was told to leave.
    pub is_draining: bool,
}

impl NodeRow {
    /// What an observer looks at.
    pub const fn counter(&self) -> Counter {
        Counter { id: self.id, applied: self.applied, renewals: self.renewals, validity: self.validity }
    }
}

/// What a poll says and asks.
#[derive(Clone, Copy, Debug)]
pub struct PollAsk {
    /// Who polls.
    pub id: NodeId,
    /// What it has applied.
    pub applied: Position,
    /// S: a node that lags behind an event older than this is not renewed.
    pub validity: Duration,
    /// The poller's wall clock, for people.
    pub at: Timestamp,
    /// How long an answer is worth waiting for.
    pub patience: Duration,
}

/// What a poll brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Polled {
    /// For the machine.
    pub answer: Answered,
    /// Wallets whose unused credit is asked back.
    pub recalled: Vec<OrganizationId>,
    /// Whether this node was told to leave.
    pub is_draining: bool,
    /// How many nodes are registered, this one among them.
    pub nodes: i64,
    /// The database's own clock, where it has one.
    pub clock: Option<Timestamp>,
}

impl Store {
    /// Registers a start of a node, before it loads, and gives the epoch at that point: the row says that the node has it,
    /// since everything it will ever load is newer.
    ///
    /// # Errors
    /// Those of writing; repeating it with the same id is safe.
    pub async fn register_node(&self, id: NodeId, validity: Duration, at: Timestamp) -> Result<Epoch, Error> {
        let validity = i64::try_from(validity.as_micros()).unwrap_or(i64::MAX);
        let seat = self.seat().to_string();
        let is_alone = self.engine() == Engine::Sqlite;
        self.act(async move |tx: &mut Tx<'_>| {
            if is_alone {
                // The lock of the directory says that whoever was here has ended.
                both!(tx, c => { sqlx::query(FORGET_ALL).execute(c).await?; });
            }
            let id = id.to_string();
            both!(tx, c => {
                sqlx::query(REGISTER).bind(&id).bind(&seat).bind(at.0).bind(validity).execute(c).await?;
            });
            current_epoch(tx).await
        })
        .await
    }

    /// Reports what a node has applied, renews it, and brings what is news to it.
    ///
    /// # Errors
    /// Those of reading; nothing is known of the renewal then.
    pub async fn poll_node(&self, ask: PollAsk) -> Result<Polled, Error> {
        let polled = self.within(ask.patience, async {
            match self.engine() {
                Engine::Sqlite => self.look(ask.id, ask.applied.epoch).await,
                Engine::Postgres => {
                    let mut renewal = self.renewal().await?;
                    let crate::door::Link::Postgres(connection) = renewal.link() else {
                        return Err(Error::unavailable("renewals are Postgres's"));
                    };
                    engine::postgres::poll(connection, &ask).await
                }
            }
        });
        polled.await
    }

    /// The one node of SQLite.
    async fn look(&self, id: NodeId, applied: Epoch) -> Result<Polled, Error> {
        let is_draining = {
            let mut reader = self.reader().await?;
            both!(&mut reader, c => {
                let row = sqlx::query(IS_DRAINING).bind(id.to_string()).fetch_optional(c).await?;
                row.map_or(Ok::<_, Error>(0), |row| row.int("draining"))? > 0
            })
        };
        let events = self.changes_since(applied).await?;
        let epoch = events.last().map_or(applied, |event| event.epoch);
        let answer = Answered { standing: Standing::Renewed, epoch, mark: None, events };
        Ok(Polled { answer, recalled: Vec::new(), is_draining, nodes: 1, clock: None })
    }

    /// Every registered node, at one point in time.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn list_nodes(&self) -> Result<Vec<NodeRow>, Error> {
        self.within(READING, async {
            let mut reader = self.renewal().await?;
            both!(&mut reader, c => sqlx::query(LIST).fetch_all(c).await?.iter().map(node).collect())
        })
        .await
    }

    /// Tells a node to let its requests end and to leave; `false` when there is none of this id.
    ///
    /// # Errors
    /// Those of writing; repeating is safe.
    pub async fn drain_node(&self, id: NodeId, by: &Attribution) -> Result<bool, Error> {
        let by = by.clone();
        self.act(async move |tx: &mut Tx<'_>| {
            let id = id.to_string();
            let found = both!(tx, c => sqlx::query(DRAIN).bind(&id).execute(c).await?.rows_affected() > 0);
            if found {
                record_for_instance(tx, &by, Action::NodeDrained, &id, &[]).await?;
            }
            Ok(found)
        })
        .await
    }

    /// Takes a node out that admits nothing any more.
    ///
    /// # Errors
    /// Those of writing.
    pub async fn deregister_node(&self, id: NodeId) -> Result<(), Error> {
        self.act(async move |tx: &mut Tx<'_>| {
            both!(tx, c => { sqlx::query(DEREGISTER).bind(id.to_string()).execute(c).await?; });
            Ok(())
        })
        .await
    }

    /// Takes a node out that has been silent since its renewals were read as this number; `false` when it has spoken.
    /// Whoever asks must have watched that silence for longer than a lease lasts; the node must then register anew.
    ///
    /// # Errors
    /// Those of writing.
    pub async fn forget_node(&self, id: NodeId, renewals: i64) -> Result<bool, Error> {
        self.act(async move |tx: &mut Tx<'_>| {
            both!(tx, c => {
                let query = sqlx::query(FORGET).bind(id.to_string()).bind(renewals);
                Ok(query.execute(c).await?.rows_affected() > 0)
            })
        })
        .await
    }

    /// Deletes events from before `before` that every registered node has; how many.
    ///
    /// # Errors
    /// Those of writing.
    pub async fn prune_rights_events(&self, before: Timestamp) -> Result<u64, Error> {
        self.act(async move |tx: &mut Tx<'_>| {
            both!(tx, c => Ok(sqlx::query(PRUNE).bind(before.0).execute(c).await?.rows_affected()))
        })
        .await
    }
}

fn node<R: Cells>(row: &R) -> Result<NodeRow, Error> {
    Ok(NodeRow {
        id: row.parsed("id")?,
        seat: row.parsed("seat")?,
        validity: Duration::from_micros(u64::try_from(row.int("validity")?).unwrap_or(u64::MAX)),
        started_at: Timestamp(row.int("started_at")?),
        applied: Epoch(row.int("applied_epoch")?),
        renewals: row.int("renewals")?,
        renewed_at: Timestamp(row.int("renewed_at")?),
        is_draining: row.int("draining")? > 0,
    })
}
