//! A task as its callers see it (W20).

use claviger_domain::endpoint::EndpointName;
use claviger_domain::id::TaskId;
use claviger_domain::meter::Meters;
use claviger_domain::request::RequestRecord;
use claviger_domain::task::{Task, TaskState};
use serde::Serialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// Where a task is found.
#[derive(Clone, Debug, Serialize)]
pub struct Links {
    /// Itself.
    pub get: String,
    /// Where it is ended.
    pub cancel: String,
}

/// What a task has come to.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum ShownResult {
    /// A JSON answer, byte for byte.
    Json(Box<RawValue>),
    /// Anything else.
    File {
        /// What it is.
        content_type: String,
        /// How large it is.
        bytes: usize,
        /// Where it is, without a key, until it is forgotten.
        url: String,
    },
}

impl ShownResult {
    /// A JSON answer; `None` for what is none.
    pub fn json(answer: Vec<u8>) -> Option<Self> {
        let text = String::from_utf8(answer).ok()?;
        RawValue::from_string(text).ok().map(Self::Json)
    }
}

#[derive(Serialize)]
struct ErrorShown<'a> {
    code: &'a str,
    message: &'a str,
}

#[derive(Serialize)]
struct Shown<'a> {
    id: String,
    object: &'static str,
    r#type: &'static str,
    model: &'a str,
    status: &'static str,
    created_at: i64,
    started_at: Option<i64>,
    completed_at: Option<i64>,
    expires_at: i64,
    progress: u8,
    request_id: String,
    result: Option<&'a ShownResult>,
    error: Option<ErrorShown<'a>>,
    usage: Option<BTreeMap<&'static str, u64>>,
    cost: Option<String>,
    metadata: Option<&'a RawValue>,
    urls: &'a Links,
}

#[derive(Serialize)]
struct List<'a> {
    object: &'static str,
    data: Vec<&'a RawValue>,
    first_id: Option<String>,
    last_id: Option<String>,
    has_more: bool,
}

/// The word for what a task is.
fn kind_word(kind: EndpointName) -> &'static str {
    match kind {
        EndpointName::ChatCompletions => "chat",
        EndpointName::Completions => "completion",
        EndpointName::Responses => "response",
        EndpointName::Messages => "message",
        EndpointName::Embeddings => "embedding",
        EndpointName::Images => "image",
        EndpointName::AudioSpeech => "speech",
        EndpointName::AudioTranscriptions => "transcription",
        EndpointName::AudioTranslations => "translation",
        other => other.name(),
    }
}

const fn status(state: TaskState) -> &'static str {
    match state {
        TaskState::Created | TaskState::Queued => "queued",
        TaskState::Running => "in_progress",
        TaskState::Completed => "completed",
        TaskState::Failed => "failed",
        TaskState::Cancelled => "cancelled",
        TaskState::Expired => "expired",
    }
}

/// The states that a word stands for; none for a word that is none.
pub fn state_of(word: &str) -> Vec<TaskState> {
    TaskState::ALL.iter().copied().filter(|state| status(*state) == word).collect()
}

fn usage(meters: &Meters) -> BTreeMap<&'static str, u64> {
    meters.iter().map(|(meter, quantity)| (meter.name(), quantity)).collect()
}

/// One task; its record says what it used and cost.
pub fn task(task: &Task, record: &RequestRecord, result: Option<&ShownResult>, urls: &Links) -> Vec<u8> {
    let has_ended = !task.state.is_open();
    let shown = Shown {
        id: task.id.to_string(),
        object: "task",
        r#type: kind_word(task.kind),
        model: &task.model,
        status: status(task.state),
        created_at: task.created_at.seconds(),
        started_at: task.started_at.map(|at| at.seconds()),
        completed_at: task.completed_at.map(|at| at.seconds()),
        expires_at: task.expires_at.seconds(),
        progress: task.progress,
        request_id: record.id.to_string(),
        result,
        error: task.error.as_ref().map(|error| ErrorShown { code: &error.code, message: &error.message }),
        usage: has_ended.then(|| usage(&record.meters)),
        cost: has_ended.then(|| record.charge.to_string()),
        metadata: serde_json::from_str(&task.metadata).ok(),
        urls,
    };
    // Structs of texts and numbers: serializing them cannot fail.
    serde_json::to_vec(&shown).unwrap_or_default()
}

/// A page of tasks, each as [`task`] shows it.
pub fn task_list(tasks: &[(TaskId, Vec<u8>)], has_more: bool) -> Vec<u8> {
    let id = |one: Option<&(TaskId, Vec<u8>)>| one.map(|(id, _)| id.to_string());
    let data = tasks.iter().filter_map(|(_, shown)| serde_json::from_slice(shown).ok()).collect();
    let list = List { object: "list", data, first_id: id(tasks.first()), last_id: id(tasks.last()), has_more };
    serde_json::to_vec(&list).unwrap_or_default()
}
