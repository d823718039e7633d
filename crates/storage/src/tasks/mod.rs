//! Tasks and their holds (`money.md` §9).
//!
//! A task begins with its row and its hold in one transaction, and ends with the charge, its record, its result and the
//! rest of the hold in one, which only an open row admits. So there is exactly one capture or release, whoever asks for it
//! how often, and a crash leaves either all or nothing. The hold comes out of what this process may spend: the wallet, or
//! where nodes share it, this seat's lease; the rest goes back to the wallet. Another verdict of the upstream behind the
//! end is booked once, by a row that has none yet.

mod money;
mod rows;

use crate::cells::Cells as _;
use crate::door::{Tx, both};
use crate::error::Error;
use crate::keyset::{self, walked};
use crate::page::{Page, PageRequest};
use crate::statements::statements;
use crate::store::{Engine, Store};
use claviger_domain::endpoint::EndpointName;
use claviger_domain::id::{EnvironmentId, SeatId, TaskId};
use claviger_domain::limits;
use claviger_domain::money::Nano;
use claviger_domain::request::RequestRecord;
use claviger_domain::task::{Task, TaskState};
use claviger_domain::tenancy::TenantScope;
use claviger_domain::time::Timestamp;
use rows::{kept, task_columns};

statements! {
    FIND = concat!(task_columns!(), " WHERE org_id = $1 AND id = $2");
    FIND_ANY = concat!(task_columns!(), " WHERE id = $1");
    FIND_RESULT = "SELECT result_type, result FROM task WHERE org_id = $1 AND id = $2";
    DUE = concat!(task_columns!(), " WHERE due_at <= $1 ORDER BY due_at LIMIT CAST($2 AS BIGINT)");
    CLAIM = "UPDATE task SET due_at = $3 WHERE id = $1 AND due_at = $2";
    WAIT = "UPDATE task SET due_at = $2 WHERE id = $1 AND is_open = FALSE AND late IS NULL";
    COUNT_OPEN = "SELECT CAST(COUNT(*) AS BIGINT) AS tasks FROM task WHERE org_id = $1 AND is_open = TRUE";
    WAKE = "UPDATE task SET due_at = $2 WHERE is_open = TRUE AND seat = $1 AND provider IS NULL";
    DELETE = "DELETE FROM task WHERE org_id = $1 AND id = $2 AND is_open = FALSE";
    FORGET = "DELETE FROM task WHERE id IN (SELECT id FROM task WHERE is_open = FALSE AND expires_at <= $1 \
        LIMIT CAST($2 AS BIGINT))";
    TO_TELL = concat!(task_columns!(), " WHERE callback_due_at <= $1 ORDER BY callback_due_at LIMIT CAST($2 AS BIGINT)");
    CLAIM_TELLING = "UPDATE task SET callback_due_at = $3, callback_tries = callback_tries + 1 \
        WHERE id = $1 AND callback_tries = $2 AND callback_due_at IS NOT NULL";
    TOLD = "UPDATE task SET callback_due_at = $2 WHERE id = $1";
}

/// Those of an organization; of one environment, of one kind and in some of the states where a filter says so.
const OF_ORGANIZATION: keyset::List = keyset::of(
    "task",
    task_columns!(),
    "AND (CAST($5 AS TEXT) IS NULL OR environment_id = CAST($5 AS TEXT)) \
     AND (CAST($6 AS TEXT) IS NULL OR kind = CAST($6 AS TEXT)) \
     AND (CAST($7 AS TEXT) IS NULL OR REPLACE(CAST($7 AS TEXT), ',' || state || ',', '') <> CAST($7 AS TEXT))",
);

/// The texts of the list, for the test that prepares every statement.
pub(crate) fn built() -> Vec<(&'static str, String)> {
    OF_ORGANIZATION.built()
}

/// The texts that move money.
pub(crate) const MONEY: &[(&str, &str)] = money::STATEMENTS;

/// The texts that write rows.
pub(crate) const ROWS: &[(&str, &str)] = rows::STATEMENTS;

/// A task with the record of the request that asked for it.
#[derive(Clone, Debug, PartialEq)]
pub struct KeptTask {
    /// The task.
    pub task: Task,
    /// Its record: as it will be, but for what only its end knows, then as it is.
    pub record: RequestRecord,
    /// How often somebody has begun to tell its end.
    pub tellings: u32,
}

/// The answer of a call that was answered as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskResult {
    /// What it is.
    pub content_type: String,
    /// The bytes, as a caller who waits would have got them.
    pub bytes: Vec<u8>,
}

/// Which tasks a page shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskFilter {
    /// Those of one environment.
    pub environment: Option<EnvironmentId>,
    /// Those of one kind.
    pub kind: Option<EndpointName>,
    /// Those in one of these states; none = in any.
    pub states: Vec<TaskState>,
}

/// Why a task was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CreateTaskOutcome {
    /// Row and hold are durable.
    Created,
    /// The organization has as many open ones as it may.
    TooMany,
}

impl Store {
    /// Makes a task and takes its hold out of what this process may spend; whoever calls holds that much in memory.
    ///
    /// # Errors
    /// `Conflict` when the ledger has less than memory believes. `OutcomeUnknown`: repeat with the same task.
    pub async fn create_task(&self, kept: KeptTask) -> Result<CreateTaskOutcome, Error> {
        let (seat, is_shared) = (self.seat(), self.engine() == Engine::Postgres);
        self.act(async move |tx: &mut Tx<'_>| create(tx, &kept, seat, is_shared).await).await
    }

    /// Keeps what is known of an open task; `false` when it has ended meanwhile.
    ///
    /// # Errors
    /// Those of writing.
    pub async fn save_task(&self, task: Task) -> Result<bool, Error> {
        self.act(async move |tx: &mut Tx<'_>| rows::save(tx, &task).await).await
    }

    /// Ends an open task: charges what its record says, gives the rest of its hold back, and keeps state and result, all
    /// at once; `false` when it had ended before, and nothing is done. `is_recorded` = somebody else writes its record,
    /// which then charges nothing.
    ///
    /// # Errors
    /// `Conflict` for a charge above the hold. `OutcomeUnknown`: repeat it.
    pub async fn end_task(&self, kept: KeptTask, is_recorded: bool, result: Option<TaskResult>) -> Result<bool, Error> {
        self.act(async move |tx: &mut Tx<'_>| {
            money::end(tx, &kept.task, &kept.record, (is_recorded, result.as_ref())).await
        })
        .await
    }

    /// Books what follows from another verdict of its upstream behind the end: the charge goes back, or `absorbed` is
    /// ours; `false` when that was done before, and nothing is.
    ///
    /// # Errors
    /// `OutcomeUnknown`: repeat it.
    pub async fn correct_task(&self, kept: KeptTask, absorbed: Nano, at: Timestamp) -> Result<bool, Error> {
        self.act(async move |tx: &mut Tx<'_>| money::correct(tx, &kept, absorbed, at).await).await
    }

    /// Keeps when an ended task is looked at next.
    ///
    /// # Errors
    /// Those of writing.
    pub async fn postpone_task(&self, id: TaskId, due_at: Timestamp) -> Result<(), Error> {
        let id = id.to_string();
        self.act(async move |tx: &mut Tx<'_>| {
            both!(tx, c => { sqlx::query(WAIT).bind(&id).bind(due_at.0).execute(c).await?; });
            Ok(())
        })
        .await
    }

    /// Tasks that are due, with their records, at most `most`; each is this caller's until `until`.
    ///
    /// # Errors
    /// Those of reading and writing.
    pub async fn claim_tasks(&self, now: Timestamp, until: Timestamp, most: u32) -> Result<Vec<KeptTask>, Error> {
        let mut reader = self.reader().await?;
        let due: Vec<KeptTask> = both!(&mut reader, c => {
            let query = sqlx::query(DUE).bind(now.0).bind(i64::from(most));
            query.fetch_all(c).await?.iter().map(kept).collect::<Result<_, Error>>()?
        });
        drop(reader);
        self.claim(due, CLAIM, |kept| kept.task.due_at.0, until).await
    }

    /// What the last process of this seat had not handed to an upstream is due at once: nobody will. How many there are.
    ///
    /// # Errors
    /// Those of writing.
    pub async fn wake_lost_tasks(&self, now: Timestamp) -> Result<u64, Error> {
        let seat = self.seat().to_string();
        self.act(async move |tx: &mut Tx<'_>| {
            both!(tx, c => Ok(sqlx::query(WAKE).bind(&seat).bind(now.0).execute(c).await?.rows_affected()))
        })
        .await
    }

    /// One task of an organization.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn find_task(&self, scope: TenantScope, id: TaskId) -> Result<Option<KeptTask>, Error> {
        let (organization, id) = (scope.0.to_string(), id.to_string());
        let mut reader = self.reader().await?;
        both!(&mut reader, c => {
            let row = sqlx::query(FIND).bind(&organization).bind(&id).fetch_optional(c).await?;
            row.as_ref().map(kept).transpose()
        })
    }

    /// A task, whoever's it is: for whoever has a link that this instance signed.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn find_signed_task(&self, id: TaskId) -> Result<Option<KeptTask>, Error> {
        let id = id.to_string();
        let mut reader = self.reader().await?;
        both!(&mut reader, c => {
            sqlx::query(FIND_ANY).bind(&id).fetch_optional(c).await?.as_ref().map(kept).transpose()
        })
    }

    /// The result of a task, if it has one.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn find_task_result(&self, scope: TenantScope, id: TaskId) -> Result<Option<TaskResult>, Error> {
        let (organization, id) = (scope.0.to_string(), id.to_string());
        let mut reader = self.reader().await?;
        both!(&mut reader, c => {
            let row = sqlx::query(FIND_RESULT).bind(&organization).bind(&id).fetch_optional(c).await?;
            let Some(row) = row else { return Ok(None) };
            let result = row.text_or_none("result_type")?.zip(row.bytes_or_none("result")?);
            Ok(result.map(|(content_type, bytes)| TaskResult { content_type, bytes }))
        })
    }

    /// A page of an organization's tasks, by (creation, id). `None` = the cursor is no task of it.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn page_tasks(
        &self,
        scope: TenantScope,
        filter: &TaskFilter,
        page: &PageRequest,
    ) -> Result<Option<Page<KeptTask>>, Error> {
        let environment = filter.environment.map(|id| id.to_string());
        let kind = filter.kind.map(|kind| kind.name().to_owned());
        let states: Vec<String> = filter.states.iter().map(|state| state.name().to_owned()).collect();
        let states = keyset::spread(&states);
        walked!(self, OF_ORGANIZATION, Some(scope.0.to_string()), page, kept, environment, kind, states)
    }

    /// Forgets a task that has ended; `false` when it has not, or is none.
    ///
    /// # Errors
    /// Those of writing.
    pub async fn delete_task(&self, scope: TenantScope, id: TaskId) -> Result<bool, Error> {
        let (organization, id) = (scope.0.to_string(), id.to_string());
        self.act(async move |tx: &mut Tx<'_>| {
            both!(tx, c => Ok(sqlx::query(DELETE).bind(&organization).bind(&id).execute(c).await?.rows_affected() == 1))
        })
        .await
    }

    /// Forgets tasks whose time is over, some at a time; how many.
    ///
    /// # Errors
    /// Those of writing.
    pub async fn forget_tasks(&self, now: Timestamp) -> Result<u64, Error> {
        self.act(async move |tx: &mut Tx<'_>| {
            let most = i64::from(limits::TASKS_FORGOTTEN);
            both!(tx, c => Ok(sqlx::query(FORGET).bind(now.0).bind(most).execute(c).await?.rows_affected()))
        })
        .await
    }

    /// Ended tasks whose end is to be told now, at most `most`; each is this caller's until `until`, and counts as one
    /// telling more.
    ///
    /// # Errors
    /// Those of reading and writing.
    pub async fn claim_tellings(&self, now: Timestamp, until: Timestamp, most: u32) -> Result<Vec<KeptTask>, Error> {
        let mut reader = self.reader().await?;
        let due: Vec<KeptTask> = both!(&mut reader, c => {
            let query = sqlx::query(TO_TELL).bind(now.0).bind(i64::from(most));
            query.fetch_all(c).await?.iter().map(kept).collect::<Result<_, Error>>()?
        });
        drop(reader);
        let mut claimed = self.claim(due, CLAIM_TELLING, |kept| i64::from(kept.tellings), until).await?;
        claimed.iter_mut().for_each(|kept| kept.tellings = kept.tellings.saturating_add(1));
        Ok(claimed)
    }

    /// The end of a task was told, or is told again at `again`.
    ///
    /// # Errors
    /// Those of writing.
    pub async fn note_telling(&self, id: TaskId, again: Option<Timestamp>) -> Result<(), Error> {
        let id = id.to_string();
        self.act(async move |tx: &mut Tx<'_>| {
            let again = again.map(|at| at.0);
            both!(tx, c => { sqlx::query(TOLD).bind(&id).bind(again).execute(c).await?; });
            Ok(())
        })
        .await
    }

    /// Of several that saw the same rows, each row is one's: whose statement finds it as it was seen.
    async fn claim(
        &self,
        due: Vec<KeptTask>,
        sql: &'static str,
        seen: fn(&KeptTask) -> i64,
        until: Timestamp,
    ) -> Result<Vec<KeptTask>, Error> {
        if due.is_empty() {
            return Ok(due);
        }
        self.act(async move |tx: &mut Tx<'_>| {
            let mut claimed = Vec::with_capacity(due.len());
            for kept in &due {
                let (id, seen) = (kept.task.id.to_string(), seen(kept));
                let rows = both!(tx, c => {
                    sqlx::query(sql).bind(&id).bind(seen).bind(until.0).execute(c).await?.rows_affected()
                });
                if rows == 1 {
                    claimed.push(kept.clone());
                }
            }
            Ok(claimed)
        })
        .await
    }
}

async fn create(tx: &mut Tx<'_>, kept: &KeptTask, seat: SeatId, is_shared: bool) -> Result<CreateTaskOutcome, Error> {
    let (id, org) = (kept.task.id.to_string(), kept.task.organization.to_string());
    let former = both!(tx, c => sqlx::query(FIND_ANY).bind(&id).fetch_optional(c).await?.is_some());
    if former {
        // Made before; only the answer was lost.
        return Ok(CreateTaskOutcome::Created);
    }
    let open = both!(tx, c => sqlx::query(COUNT_OPEN).bind(&org).fetch_one(c).await?.int("tasks")?);
    if open >= i64::from(limits::TASKS_OPEN) {
        return Ok(CreateTaskOutcome::TooMany);
    }
    rows::insert(tx, kept, seat).await?;
    money::take(tx, &kept.task, is_shared.then_some(seat)).await?;
    Ok(CreateTaskOutcome::Created)
}
