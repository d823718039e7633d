//! What an upstream says of a video, in any of the shapes that are about (`wire.md` §2.10).

use crate::inference::UpstreamFault;
use crate::media::usage::whole_seconds;
use crate::scan::{Field, Kind, Place, Sink, Value, plain_integer, scan_lenient};
use claviger_domain::limits;
use claviger_domain::task::Said;

/// A video at an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamVideo {
    /// Its id there: it becomes part of a path, so it has letters, digits, `-`, `_`, `.` and `:` alone.
    pub id: String,
    /// Where it is.
    pub said: Said,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tag {
    Id,
    TaskId,
    Status,
    Progress,
    Seconds,
    Error,
    ErrorMessage,
}

static ANSWER: Place<Tag> = Place::new(
    None,
    &[
        Field::leaf("id", Tag::Id),
        Field::leaf("task_id", Tag::TaskId),
        Field::leaf("status", Tag::Status),
        Field::leaf("progress", Tag::Progress),
        Field::leaf("seconds", Tag::Seconds),
        Field::leaf("duration_seconds", Tag::Seconds),
        Field { name: "metadata", place: Place::new(None, &[Field::leaf("duration", Tag::Seconds)], None) },
        Field {
            name: "error",
            place: Place::new(Some(Tag::Error), &[Field::leaf("message", Tag::ErrorMessage)], None),
        },
    ],
    None,
);

#[derive(Default)]
struct Answer<'d> {
    document: &'d [u8],
    id: Option<Value>,
    task_id: Option<Value>,
    status: Option<Value>,
    progress: Option<u8>,
    seconds: Option<u64>,
    has_error: bool,
    message: Option<Value>,
}

impl Sink<Tag> for Answer<'_> {
    fn found(&mut self, tag: Tag, value: Value) {
        if value.kind == Kind::Null {
            return;
        }
        match tag {
            Tag::Id => self.id = Some(value),
            Tag::TaskId => self.task_id = Some(value),
            Tag::Status => self.status = Some(value),
            Tag::Progress => {
                let whole = value.raw(self.document).split(|byte| *byte == b'.').next().unwrap_or_default();
                self.progress = plain_integer(whole).and_then(|progress| u8::try_from(progress).ok());
            }
            Tag::Seconds => self.seconds = whole_seconds(value, self.document).or(self.seconds),
            Tag::Error => {
                self.has_error = true;
                self.message = Some(value).filter(|value| matches!(value.kind, Kind::Text { .. })).or(self.message);
            }
            Tag::ErrorMessage => self.message = Some(value),
        }
    }
}

/// Reads an answer about one video.
///
/// # Errors
/// It is none: no JSON, no id, no status.
pub fn read_video(body: &[u8]) -> Result<UpstreamVideo, UpstreamFault> {
    let mut answer = Answer { document: body, ..Answer::default() };
    scan_lenient(body, &ANSWER, &mut answer)
        .map_err(|_| UpstreamFault::unreadable("The answer is not a JSON object."))?;
    let text = |value: Option<Value>| value.and_then(|value| value.text(body)).map(|text| text.to_text());
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    let is_sound = |id: &String| {
        (1..=limits::UPSTREAM_TASK_ID_BYTES).contains(&id.len()) && id.bytes().all(is_plain) && !id.starts_with('.')
    };
    let id = text(answer.id).or_else(|| text(answer.task_id)).filter(is_sound);
    let (Some(id), Some(status)) = (id, text(answer.status)) else {
        if answer.has_error {
            return Err(UpstreamFault::reported(body));
        }
        return Err(UpstreamFault::unreadable("The answer is no video: it has no id or no status."));
    };
    let said = match status.to_ascii_lowercase().as_str() {
        "queued" | "pending" | "submitted" | "created" | "not_start" => Said::Queued,
        "completed" | "succeeded" | "success" | "done" => Said::Completed(answer.seconds),
        "failed" | "failure" | "error" | "expired" => {
            let words = text(answer.message).unwrap_or_else(|| "The upstream says that it failed.".to_owned());
            let end = words.floor_char_boundary(limits::UPSTREAM_MESSAGE_BYTES.min(words.len()));
            Said::Failed(words.get(..end).unwrap_or_default().replace('\0', ""))
        }
        "cancelled" | "canceled" => Said::Cancelled,
        // Words that nobody has heard yet are no end.
        _ => Said::Running(answer.progress.unwrap_or(0)),
    };
    Ok(UpstreamVideo { id, said })
}
