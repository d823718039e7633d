//! Rows of tasks, read and written; what they mean is not known here.

use super::{KeptTask, TaskResult};
use crate::cells::{Cells, corrupt, known, parse};
use crate::door::{Linked, both};
use crate::error::Error;
use crate::record_body::{self, Body};
use crate::statements::statements;
use claviger_domain::endpoint::EndpointName;
use claviger_domain::id::SeatId;
use claviger_domain::money::Nano;
use claviger_domain::request::RequestRecord;
use claviger_domain::task::{Callback, Late, Task, TaskError, TaskPlace, TaskState, VideoTerms};
use claviger_domain::time::Timestamp;

/// What every reading selects; results are read by themselves.
macro_rules! task_columns {
    () => {
        "SELECT id, org_id, environment_id, key_id, kind, model, prompt, seconds, videos, size, metadata, state, progress, \
         made_seconds, provider, provider_id, upstream_model, upstream_id, error_code, error_message, hold, created_at, \
         started_at, completed_at, expires_at, due_at, late, body, callback_url, callback_signing, callback_due_at, \
         callback_tries FROM task"
    };
}
pub(super) use task_columns;

statements! {
    INSERT = "INSERT INTO task (id, org_id, environment_id, key_id, seat, kind, model, prompt, seconds, videos, size, \
        metadata, state, is_open, progress, hold, created_at, started_at, expires_at, due_at, body, callback_url, \
        callback_signing, callback_tries) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, TRUE, \
        CAST(0 AS BIGINT), $14, $15, $16, $17, $18, $19, $20, $21, CAST(0 AS BIGINT))";
    SAVE = "UPDATE task SET state = $2, is_open = $3, progress = $4, made_seconds = $5, provider = $6, provider_id = $7, \
        upstream_model = $8, upstream_id = $9, error_code = $10, error_message = $11, started_at = $12, \
        completed_at = $13, expires_at = $14, due_at = $15 WHERE id = $1 AND is_open = TRUE";
    KEEP = "UPDATE task SET body = $2, callback_due_at = $3, result_type = $4, result = $5 WHERE id = $1";
    CORRECT = "UPDATE task SET late = $2, state = $3, error_code = $4, error_message = $5, due_at = $6 \
        WHERE id = $1 AND is_open = FALSE AND late IS NULL";
}

pub(super) async fn insert(linked: &mut impl Linked, kept: &KeptTask, seat: SeatId) -> Result<(), Error> {
    let KeptTask { task, record, .. } = kept;
    let terms = task.terms.as_ref();
    let callback = task.callback.as_ref();
    let body = body_of(record);
    both!(linked, c => {
        sqlx::query(INSERT)
            .bind(task.id.to_string())
            .bind(task.organization.to_string())
            .bind(task.environment.to_string())
            .bind(task.key.to_string())
            .bind(seat.to_string())
            .bind(task.kind.name())
            .bind(&task.model)
            .bind(terms.map(|terms| terms.prompt.clone()))
            .bind(terms.map(|terms| cell(terms.seconds)))
            .bind(terms.map(|terms| cell(terms.count)))
            .bind(terms.and_then(|terms| terms.size.clone()))
            .bind(&task.metadata)
            .bind(task.state.name())
            .bind(task.hold.0)
            .bind(task.created_at.0)
            .bind(task.started_at.map(|at| at.0))
            .bind(task.expires_at.0)
            .bind(task.due_at.0)
            .bind(&body)
            .bind(callback.map(|callback| callback.url.clone()))
            .bind(callback.map(|callback| callback.signing.to_vec()))
            .execute(c)
            .await?;
    });
    Ok(())
}

/// Writes the state of an open task; `false` when it is not open any more.
pub(super) async fn save(linked: &mut impl Linked, task: &Task) -> Result<bool, Error> {
    let place = task.place.as_ref();
    let error = task.error.as_ref();
    both!(linked, c => {
        let done = sqlx::query(SAVE)
            .bind(task.id.to_string())
            .bind(task.state.name())
            .bind(task.state.is_open())
            .bind(i64::from(task.progress))
            .bind(task.made_seconds.map(cell))
            .bind(place.map(|place| place.provider.clone()))
            .bind(place.and_then(|place| place.row).map(|row| row.to_string()))
            .bind(place.map(|place| place.upstream_model.clone()))
            .bind(place.map(|place| place.upstream_id.clone()))
            .bind(error.map(|error| error.code.clone()))
            .bind(error.map(|error| error.message.clone()))
            .bind(task.started_at.map(|at| at.0))
            .bind(task.completed_at.map(|at| at.0))
            .bind(task.expires_at.0)
            .bind(task.due_at.0)
            .execute(c)
            .await?;
        Ok(done.rows_affected() == 1)
    })
}

/// Writes what an ended task leaves: the record it ended with, its result, and that its end is to be told.
pub(super) async fn keep(
    linked: &mut impl Linked,
    task: &Task,
    record: &RequestRecord,
    result: Option<&TaskResult>,
) -> Result<(), Error> {
    let body = body_of(record);
    let told_at = task.callback.as_ref().and(task.completed_at);
    both!(linked, c => {
        sqlx::query(KEEP)
            .bind(task.id.to_string())
            .bind(&body)
            .bind(told_at.map(|at| at.0))
            .bind(result.map(|result| result.content_type.clone()))
            .bind(result.map(|result| result.bytes.clone()))
            .execute(c)
            .await?;
    });
    Ok(())
}

/// Writes another verdict of the upstream; `false` when one was written before, or the task is open.
pub(super) async fn correct(linked: &mut impl Linked, task: &Task) -> Result<bool, Error> {
    let error = task.error.as_ref();
    both!(linked, c => {
        let done = sqlx::query(CORRECT)
            .bind(task.id.to_string())
            .bind(task.late.map(Late::name))
            .bind(task.state.name())
            .bind(error.map(|error| error.code.clone()))
            .bind(error.map(|error| error.message.clone()))
            .bind(task.due_at.0)
            .execute(c)
            .await?;
        Ok(done.rows_affected() == 1)
    })
}

fn body_of(record: &RequestRecord) -> Vec<u8> {
    let mut body = Vec::new();
    record_body::put(&mut body, record);
    body
}

fn cell(quantity: u64) -> i64 {
    i64::try_from(quantity).unwrap_or(i64::MAX)
}

pub(super) fn kept<R: Cells>(row: &R) -> Result<KeptTask, Error> {
    let id = row.text("id")?;
    let bytes = row.bytes("body")?;
    let record = Body::read(&bytes).ok_or_else(|| corrupt("task.body", &id))?.record();
    let tellings = u32::try_from(row.int("callback_tries")?).unwrap_or(u32::MAX);
    Ok(KeptTask { task: task(row, &id)?, record, tellings })
}

fn task<R: Cells>(row: &R, id: &str) -> Result<Task, Error> {
    let (state, kind) = (row.text("state")?, row.text("kind")?);
    let late = row.text_or_none("late")?;
    let at = |column: &'static str| Ok::<_, Error>(row.int_or_none(column)?.map(Timestamp));
    Ok(Task {
        id: row.parsed("id")?,
        organization: row.parsed("org_id")?,
        environment: row.parsed("environment_id")?,
        key: row.parsed("key_id")?,
        kind: known(EndpointName::from_name(&kind), "task.kind", &kind)?,
        model: row.text("model")?,
        terms: terms(row)?,
        metadata: row.text("metadata")?,
        callback: callback(row, id)?,
        state: known(TaskState::from_name(&state), "task.state", &state)?,
        progress: u8::try_from(row.int("progress")?).unwrap_or(100),
        made_seconds: row.int_or_none("made_seconds")?.and_then(|seconds| u64::try_from(seconds).ok()),
        place: place(row)?,
        error: error(row)?,
        hold: Nano(row.int("hold")?),
        created_at: Timestamp(row.int("created_at")?),
        started_at: at("started_at")?,
        completed_at: at("completed_at")?,
        expires_at: Timestamp(row.int("expires_at")?),
        due_at: Timestamp(row.int("due_at")?),
        late: late.map(|late| known(Late::from_name(&late), "task.late", &late)).transpose()?,
    })
}

fn terms<R: Cells>(row: &R) -> Result<Option<VideoTerms>, Error> {
    let whole = |column: &'static str| {
        Ok::<_, Error>(row.int_or_none(column)?.and_then(|quantity| u64::try_from(quantity).ok()))
    };
    let (Some(prompt), Some(seconds), Some(count)) = (row.text_or_none("prompt")?, whole("seconds")?, whole("videos")?)
    else {
        return Ok(None);
    };
    Ok(Some(VideoTerms { prompt, seconds, count, size: row.text_or_none("size")? }))
}

fn place<R: Cells>(row: &R) -> Result<Option<TaskPlace>, Error> {
    let columns =
        (row.text_or_none("provider")?, row.text_or_none("upstream_model")?, row.text_or_none("upstream_id")?);
    let (Some(provider), Some(upstream_model), Some(upstream_id)) = columns else { return Ok(None) };
    let id = row.text_or_none("provider_id")?.map(|id| parse("task.provider_id", &id)).transpose()?;
    Ok(Some(TaskPlace { provider, row: id, upstream_model, upstream_id }))
}

fn error<R: Cells>(row: &R) -> Result<Option<TaskError>, Error> {
    let error = row.text_or_none("error_code")?.zip(row.text_or_none("error_message")?);
    Ok(error.map(|(code, message)| TaskError { code, message }))
}

fn callback<R: Cells>(row: &R, id: &str) -> Result<Option<Callback>, Error> {
    let Some(url) = row.text_or_none("callback_url")? else { return Ok(None) };
    let signing = row.bytes_or_none("callback_signing")?.unwrap_or_default();
    let signing = signing.try_into().map_err(|_| corrupt("task.callback_signing", id))?;
    Ok(Some(Callback { url, signing }))
}
