//! The epoch and its events: what a node must know before it may admit.
//!
//! The epoch row is locked to the end of the transaction that changes it, so numbers become visible in commit order (a
//! sequence would not do). It is the last lock an act takes.

use crate::cells::{Cells, known, parse};
use crate::door::{Linked, Tx, both};
use crate::error::Error;
use crate::keys;
use crate::providers;
use crate::rate_limits;
use crate::statements::statements;
use crate::store::Store;
use crate::tenancy;
use claviger_domain::id::OrganizationId;
use claviger_domain::key::Key;
use claviger_domain::money::Nano;
use claviger_domain::own_provider::Shown;
use claviger_domain::place::TenantRules;
use claviger_domain::revocation::{Change, Epoch, EventKind, Position, RightsEvent};
use claviger_domain::tenancy::{Organization, TenantScope};
use claviger_domain::time::Timestamp;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

statements! {
    BUMP = "UPDATE epoch SET value = value + 1 WHERE id = 1 RETURNING value";
    CURRENT = "SELECT value FROM epoch WHERE id = 1";
    INSERT_EVENT = "INSERT INTO rights_event (epoch, org_id, kind, object, amount, at) VALUES ($1, $2, $3, $4, $5, $6)";
    SINCE = "SELECT epoch, org_id, kind, object, amount, mark FROM rights_event WHERE epoch > $1 ORDER BY epoch";
    FIND_MARK = "SELECT mark FROM rights_event WHERE epoch = $1";
    FIND_EVENT = "SELECT epoch FROM rights_event WHERE epoch = $1 AND org_id = $2";
    BALANCES = "SELECT org_id, balance FROM wallet";
}

/// Reading the events; the follower asks again at once.
const POLL: Duration = Duration::from_secs(3);

/// Reading everything; every statement of it has the time of a report.
const LOAD: Duration = Duration::from_secs(120);

/// Everything a node must know to admit, at one consistent point.
#[derive(Clone, Debug)]
pub struct Rights {
    /// The point: events above it are still to be followed.
    pub position: Position,
    /// Every organization and its wallet's balance.
    pub organizations: Vec<(Organization, Nano)>,
    /// What organizations and environments restrict, where they do.
    pub rules: BTreeMap<OrganizationId, TenantRules>,
    /// What organizations bring along, where they do.
    pub providers: BTreeMap<OrganizationId, Vec<Shown>>,
}

impl Store {
    /// Reads everything at one consistent point. Every key goes to `learn`, but for those that ended before
    /// `ended_after`: there may be millions, so they are never all held here.
    ///
    /// # Errors
    /// Those of reading; a retry is safe.
    pub async fn load_rights(
        &self,
        ended_after: Timestamp,
        learn: &mut (dyn FnMut(Key) + Send),
    ) -> Result<Rights, Error> {
        self.within(LOAD, self.load(ended_after, learn)).await
    }

    async fn load(&self, ended_after: Timestamp, learn: &mut (dyn FnMut(Key) + Send)) -> Result<Rights, Error> {
        let mut snapshot = self.level_snapshot().await?;
        let epoch = current_epoch(&mut snapshot).await?;
        let mark = both!(&mut snapshot, c => {
            let row = sqlx::query(FIND_MARK).bind(epoch.0).fetch_optional(c).await?;
            row.map_or(Ok::<_, Error>(0), |row| row.int("mark"))?
        });
        let mut balances: HashMap<OrganizationId, Nano> = HashMap::new();
        both!(&mut snapshot, c => {
            for row in sqlx::query(BALANCES).fetch_all(c).await? {
                balances.insert(row.parsed("org_id")?, Nano(row.int("balance")?));
            }
        });
        let organizations = tenancy::list(&mut snapshot).await?;
        keys::each(&mut snapshot, ended_after, learn).await?;
        let rules = rate_limits::load(&mut snapshot, None).await?;
        let mut shown: BTreeMap<OrganizationId, Vec<Shown>> = BTreeMap::new();
        for one in providers::load(&mut snapshot, None).await? {
            shown.entry(one.provider.organization).or_default().push(one);
        }
        let organizations = organizations
            .into_iter()
            .map(|organization| {
                let balance = balances.get(&organization.id).copied().unwrap_or(Nano::ZERO);
                (organization, balance)
            })
            .collect();
        Ok(Rights { position: Position { epoch, mark }, organizations, rules, providers: shown })
    }

    /// The events after an epoch, in commit order. An answer also says that this process still held the database, as
    /// shown at most about two seconds before: rights may be prolonged by it.
    ///
    /// # Errors
    /// Those of reading, and `Unavailable` while the hold on the database cannot be shown; a retry is safe.
    pub async fn changes_since(&self, epoch: Epoch) -> Result<Vec<RightsEvent>, Error> {
        let events = self.within(POLL, async {
            let mut reader = self.reader().await?;
            both!(&mut reader, c => {
                sqlx::query(SINCE).bind(epoch.0).fetch_all(c).await?.iter().map(event).collect()
            })
        });
        let events = events.await?;
        // Afterwards: a process that slept for a minute reads first what it knew before.
        self.check_holding()?;
        Ok(events)
    }

    /// Whether an epoch is a change of this organization's rights that is still remembered.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn has_epoch(&self, scope: TenantScope, epoch: Epoch) -> Result<bool, Error> {
        let organization = scope.0.to_string();
        self.within(POLL, async {
            let mut reader = self.reader().await?;
            both!(&mut reader, c => {
                Ok(sqlx::query(FIND_EVENT).bind(epoch.0).bind(&organization).fetch_optional(c).await?.is_some())
            })
        })
        .await
    }
}

/// The epoch as this transaction or reader sees it.
pub(crate) async fn current_epoch(linked: &mut impl Linked) -> Result<Epoch, Error> {
    both!(linked, c => Ok(Epoch(sqlx::query(CURRENT).fetch_one(c).await?.int("value")?)))
}

/// Bumps the epoch and writes its event; published to this process when the transaction commits.
pub(crate) async fn publish(
    tx: &mut Tx<'_>,
    organization: OrganizationId,
    change: &Change,
    at: Timestamp,
) -> Result<Epoch, Error> {
    let epoch = next(tx).await?;
    let organization = organization.to_string();
    let (kind, object, amount) = match change {
        Change::Key(key) => (EventKind::Key, Some(key.to_string()), None),
        Change::Organization => (EventKind::Organization, None, None),
        Change::Funding(amount) => (EventKind::Funding, None, Some(amount.0)),
    };
    both!(tx, c => {
        sqlx::query(INSERT_EVENT)
            .bind(epoch)
            .bind(&organization)
            .bind(kind.name())
            .bind(object)
            .bind(amount)
            .bind(at.0)
            .execute(c)
            .await?;
    });
    tx.epoch = Some(Epoch(epoch));
    Ok(Epoch(epoch))
}

/// The next number. The row stays locked until the transaction ends, so whoever sees a number sees all below it.
async fn next(tx: &mut Tx<'_>) -> Result<i64, Error> {
    #[cfg(feature = "bugs")]
    if crate::bugs::is_epoch_from_a_sequence() {
        return drawn(tx).await;
    }
    both!(tx, c => sqlx::query(BUMP).fetch_one(c).await?.int("value"))
}

/// The seeded bug "epoch from a sequence": the number is drawn at once, and every second transaction commits late.
#[cfg(feature = "bugs")]
async fn drawn(tx: &mut Tx<'_>) -> Result<i64, Error> {
    let crate::door::Link::Postgres(connection) = tx.link() else {
        return Err(Error::unavailable("sequences are Postgres's"));
    };
    let begin = "CREATE SEQUENCE IF NOT EXISTS claviger_bug_epoch START 1000001";
    sqlx::query(begin).execute(&mut *connection).await?;
    let draw = sqlx::query("SELECT nextval('claviger_bug_epoch') AS value");
    let epoch = draw.fetch_one(&mut *connection).await?.int("value")?;
    if epoch % 2 == 0 {
        tokio::time::sleep(crate::bugs::SEQUENCE_LAG).await;
    }
    let shown = sqlx::query("UPDATE epoch SET value = GREATEST(value, $1) WHERE id = 1").bind(epoch);
    shown.execute(&mut *connection).await?;
    Ok(epoch)
}

fn event<R: Cells>(row: &R) -> Result<RightsEvent, Error> {
    let (kind, object) = (row.text("kind")?, row.text_or_none("object")?);
    let change = change_of(&kind, object.as_deref(), row.int_or_none("amount")?)?;
    let (epoch, mark) = (Epoch(row.int("epoch")?), row.int("mark")?);
    Ok(RightsEvent { epoch, mark, organization: row.parsed("org_id")?, change })
}

/// The change of a stored event.
pub(crate) fn change_of(kind: &str, object: Option<&str>, amount: Option<i64>) -> Result<Change, Error> {
    Ok(match known(EventKind::from_name(kind), "rights_event.kind", kind)? {
        EventKind::Key => Change::Key(parse("rights_event.object", object.unwrap_or_default())?),
        EventKind::Organization => Change::Organization,
        EventKind::Funding => Change::Funding(Nano(known(amount, "rights_event.amount", kind)?)),
    })
}
