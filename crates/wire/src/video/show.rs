//! A task as either route shows it (W18): `videos*` in exactly OpenAI's states, `video/generations*` in the superset of
//! what other clients read.

use claviger_domain::task::{Task, TaskState, VideoTerms};
use serde::Serialize;

#[derive(Serialize)]
struct ErrorShown<'a> {
    code: &'a str,
    message: &'a str,
}

#[derive(Serialize)]
struct Video<'a> {
    id: String,
    object: &'static str,
    model: &'a str,
    status: &'static str,
    progress: u8,
    created_at: i64,
    completed_at: Option<i64>,
    expires_at: i64,
    prompt: &'a str,
    size: Option<&'a str>,
    seconds: String,
    error: Option<ErrorShown<'a>>,
    remixed_from_video_id: Option<&'a str>,
}

#[derive(Serialize)]
struct Usage {
    seconds: u64,
}

#[derive(Serialize)]
struct Metadata<'a> {
    duration: u64,
    size: Option<&'a str>,
}

#[derive(Serialize)]
struct Generation<'a> {
    id: String,
    task_id: String,
    object: &'static str,
    model: &'a str,
    status: &'static str,
    progress: u8,
    created: i64,
    created_at: i64,
    completed_at: Option<i64>,
    expires_at: i64,
    url: Option<&'a str>,
    video_url: Option<&'a str>,
    duration_seconds: Option<u64>,
    seconds: u64,
    size: Option<&'a str>,
    format: &'static str,
    metadata: Metadata<'a>,
    error: Option<ErrorShown<'a>>,
    usage: Usage,
}

#[derive(Serialize)]
struct List<'a> {
    object: &'static str,
    data: Vec<Video<'a>>,
    first_id: Option<String>,
    last_id: Option<String>,
    has_more: bool,
}

#[derive(Serialize)]
struct Deleted {
    id: String,
    object: &'static str,
    deleted: bool,
}

fn body(shown: &impl Serialize) -> Vec<u8> {
    // Structs of texts and numbers: serializing them cannot fail.
    serde_json::to_vec(shown).unwrap_or_default()
}

fn error(task: &Task) -> Option<ErrorShown<'_>> {
    match (&task.error, task.state) {
        (Some(error), _) => Some(ErrorShown { code: &error.code, message: &error.message }),
        (None, TaskState::Cancelled) => Some(ErrorShown { code: "cancelled", message: "The video was cancelled." }),
        (None, _) => None,
    }
}

/// What was asked for; nothing of a task that is no video.
fn terms(task: &Task) -> &VideoTerms {
    static NONE: VideoTerms = VideoTerms { prompt: String::new(), seconds: 0, count: 0, size: None };
    task.terms.as_ref().unwrap_or(&NONE)
}

fn shown(task: &Task) -> Video<'_> {
    Video {
        id: task.id.to_string(),
        object: "video",
        model: &task.model,
        // Other words would end the poll loops of SDKs.
        status: match task.state {
            TaskState::Created | TaskState::Queued => "queued",
            TaskState::Running => "in_progress",
            TaskState::Completed => "completed",
            TaskState::Failed | TaskState::Cancelled | TaskState::Expired => "failed",
        },
        progress: task.progress,
        created_at: task.created_at.seconds(),
        completed_at: task.completed_at.map(|at| at.seconds()),
        expires_at: task.expires_at.seconds(),
        prompt: &terms(task).prompt,
        size: terms(task).size.as_deref(),
        seconds: task.made_seconds.unwrap_or(terms(task).seconds).to_string(),
        error: error(task),
        remixed_from_video_id: None,
    }
}

/// One task on the route `videos`.
pub fn video(task: &Task) -> Vec<u8> {
    body(&shown(task))
}

/// A page of them.
pub fn video_list(tasks: &[Task], has_more: bool) -> Vec<u8> {
    let id = |task: Option<&Task>| task.map(|task| task.id.to_string());
    body(&List {
        object: "list",
        data: tasks.iter().map(shown).collect(),
        first_id: id(tasks.first()),
        last_id: id(tasks.last()),
        has_more,
    })
}

/// That one is gone.
pub fn video_deleted(task: &Task) -> Vec<u8> {
    body(&Deleted { id: task.id.to_string(), object: "video.deleted", deleted: true })
}

/// One task on the route `video/generations`; `url` is where its bytes are, once there are any.
pub fn generation(task: &Task, url: Option<&str>) -> Vec<u8> {
    let id = task.id.to_string();
    let seconds = task.made_seconds.unwrap_or(terms(task).seconds);
    body(&Generation {
        task_id: id.clone(),
        id,
        object: "video.job",
        model: &task.model,
        status: match task.state {
            TaskState::Created | TaskState::Queued => "queued",
            TaskState::Running => "processing",
            TaskState::Completed => "completed",
            TaskState::Failed | TaskState::Expired => "failed",
            TaskState::Cancelled => "cancelled",
        },
        progress: task.progress,
        created: task.created_at.seconds(),
        created_at: task.created_at.seconds(),
        completed_at: task.completed_at.map(|at| at.seconds()),
        expires_at: task.expires_at.seconds(),
        url,
        video_url: url,
        duration_seconds: task.made_seconds,
        seconds,
        size: terms(task).size.as_deref(),
        format: "mp4",
        metadata: Metadata { duration: seconds, size: terms(task).size.as_deref() },
        error: error(task),
        usage: Usage { seconds: task.made_seconds.unwrap_or(0).saturating_mul(terms(task).count) },
    })
}
