//! How the jobs of this process fare, and one run of one of them. For the operator.

use crate::authorize::Operator;
use crate::jobs::JobStatus;
use crate::page::List;
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;
use claviger_domain::error::Code;
use claviger_domain::time::Timestamp;
use serde::Serialize;

#[derive(Serialize)]
pub(crate) struct JobObject {
    object: &'static str,
    id: &'static str,
    period_seconds: u64,
    last_success: Option<i64>,
    done: u64,
    has_backlog: bool,
    last_error: Option<String>,
}

impl JobObject {
    fn new(status: &JobStatus) -> Self {
        Self {
            object: "job",
            id: status.name,
            period_seconds: status.period.as_secs(),
            last_success: status.last_success.map(Timestamp::seconds),
            done: status.done,
            has_backlog: status.has_backlog,
            last_error: status.last_error.clone(),
        }
    }
}

pub(crate) async fn list(State(call): State<Call<Operator>>, query: Query) -> Result<Json<List<JobObject>>, Refusal> {
    query.finish()?;
    let statuses = call.control.job_statuses();
    Ok(Json(List::whole(&statuses, |status| status.name.to_owned(), JobObject::new)))
}

pub(crate) async fn run(State(call): State<Call<Operator>>, query: Query) -> Result<Json<JobObject>, Refusal> {
    query.finish()?;
    let name = call.matched.captured("job").unwrap_or_default().to_owned();
    let run = call.control.run_job_once(&name).await.ok_or_else(Refusal::not_found)?;
    if let Err(error) = run {
        tracing::error!(job = name, %error, "a job failed");
        return Err(Refusal::because(Code::InternalError, format!("The job failed: {error}.")));
    }
    let statuses = call.control.job_statuses();
    let status = statuses.iter().find(|status| status.name == name).ok_or_else(Refusal::not_found)?;
    Ok(Json(JobObject::new(status)))
}
