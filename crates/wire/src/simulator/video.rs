//! `sim-video`: a video that takes its time (`wire.md` §8). Everything there is to know of it is in its id, so that each
//! answer depends on the request and the clock of the call alone.
//!
//! `video_<created>_<milliseconds>_<seconds>_<size>_<word>`; the word is `fail` where the prompt begins so.

use super::SimCall;
use super::damage;
use super::fault::Fault;
use super::form::SimForm;
use super::knobs::Knobs;
use super::models;
use super::script::{Script, Steps};
use super::usage::{push_number, push_text};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// In all, when nobody says otherwise.
const MILLISECONDS: u64 = 3_000;

/// The smallest file that says it is an MP4: its brand, and free space.
const FILE: &[u8] = b"\0\0\0\x18ftypisom\0\0\x02\0isomiso2\0\0\0\x10free-sim-1-";

/// A request, as far as it is read.
#[derive(Deserialize)]
struct Ask<'a> {
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    prompt: Option<String>,
    #[serde(borrow, default)]
    seconds: Option<Cow<'a, RawValue>>,
    #[serde(default)]
    size: Option<String>,
    #[serde(borrow, default)]
    sim: Option<Cow<'a, RawValue>>,
}

/// What an id says.
struct Video<'a> {
    id: &'a str,
    created: i64,
    milliseconds: u64,
    seconds: u64,
    size: &'a str,
    fails: bool,
}

impl<'a> Video<'a> {
    fn of(id: &'a str) -> Option<Self> {
        let mut parts = id.strip_prefix("video_")?.split('_');
        let (created, milliseconds) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let (seconds, size, word) = (parts.next()?.parse().ok()?, parts.next()?, parts.next()?);
        parts.next().is_none().then_some(Self { id, created, milliseconds, seconds, size, fails: word == "fail" })
    }

    /// The first third it waits.
    fn json(&self, now_seconds: i64) -> Vec<u8> {
        let past = u64::try_from(now_seconds.saturating_sub(self.created)).unwrap_or(0).saturating_mul(1_000);
        let progress = past.saturating_mul(100).checked_div(self.milliseconds).unwrap_or(100).min(100);
        let status = match progress {
            100 if self.fails => "failed",
            100 => "completed",
            0..=33 => "queued",
            _ => "in_progress",
        };
        let mut out = b"{\"id\":".to_vec();
        push_text(&mut out, self.id);
        out.extend_from_slice(b",\"object\":\"video\",\"status\":");
        push_text(&mut out, status);
        push_number(&mut out, b",\"progress\":", progress);
        push_number(&mut out, b",\"created_at\":", u64::try_from(self.created).unwrap_or(0));
        push_number(&mut out, b",\"seconds\":\"", self.seconds);
        out.extend_from_slice(b"\",\"size\":");
        push_text(&mut out, self.size);
        if status == "failed" {
            out.extend_from_slice(
                b",\"error\":{\"code\":\"simulated\",\"message\":\"The prompt asked for a failure.\"}}",
            );
        } else {
            out.extend_from_slice(b",\"error\":null}");
        }
        out
    }
}

/// Answers `POST videos`.
///
/// # Errors
/// What is wrong with the request, and the errors of the models that only fail.
pub(super) fn create(call: &SimCall<'_>) -> Result<Script, Fault> {
    let ask = if call.body.starts_with(b"--") { form(call.body)? } else { json(call.body)? };
    let knobs = Knobs::read(ask.sim.as_deref(), call.standalone.is_some())?;
    let mode = call.mode(&knobs);
    if let Some(mode) = mode
        && let Some(script) = damage::instead(mode, call)?
    {
        return Ok(script);
    }
    let model = ask.model.as_deref().filter(|model| !model.is_empty()).ok_or_else(|| Fault::missing("model"))?;
    models::refuse_by_name(model, "video", &knobs)?;
    let prompt = ask.prompt.as_deref().ok_or_else(|| Fault::missing("prompt"))?;
    let seconds = ask.seconds.as_deref().map_or("4", |seconds| seconds.get().trim_matches('"'));
    let seconds: u64 = seconds.parse().map_err(|_| Fault::invalid_value("seconds", "it must be a whole number"))?;
    let size = ask.size.as_deref().filter(|size| size.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    let word = if prompt.starts_with("fail") { "fail" } else { "ok" };
    let (created, milliseconds) = (call.now_seconds.max(0), knobs.first_ms.unwrap_or(MILLISECONDS));
    let id = format!("video_{created}_{milliseconds}_{seconds}_{}_{word}", size.unwrap_or("720x1280"));
    let script = get(call, &id)?;
    Ok(match mode {
        Some(mode) => damage::bend(script, mode),
        None => script,
    })
}

/// Answers `GET videos/{id}`.
///
/// # Errors
/// There is none of this id.
pub(super) fn get(call: &SimCall<'_>, id: &str) -> Result<Script, Fault> {
    let video = Video::of(id).ok_or_else(|| Fault::model_not_found(id))?;
    Ok(Script::json(200, call.shape.json_type(), video.json(call.now_seconds)))
}

/// Answers `DELETE videos/{id}`.
///
/// # Errors
/// There is none of this id.
pub(super) fn delete(call: &SimCall<'_>, id: &str) -> Result<Script, Fault> {
    Video::of(id).ok_or_else(|| Fault::model_not_found(id))?;
    let mut out = b"{\"id\":".to_vec();
    push_text(&mut out, id);
    out.extend_from_slice(b",\"object\":\"video.deleted\",\"deleted\":true}");
    Ok(Script::json(200, call.shape.json_type(), out))
}

/// Answers `GET videos/{id}/content`.
///
/// # Errors
/// There is none of this id.
pub(super) fn content(id: &str) -> Result<Script, Fault> {
    Video::of(id).ok_or_else(|| Fault::model_not_found(id))?;
    Ok(Script::at_once(200, "video/mp4", Steps::whole(Bytes::from_static(FILE))))
}

fn json(body: &[u8]) -> Result<Ask<'_>, Fault> {
    serde_json::from_slice(body).map_err(|error| Fault::invalid_body(&error))
}

fn form(body: &[u8]) -> Result<Ask<'static>, Fault> {
    let form = SimForm::read(body)?;
    let seconds = form.text("seconds").map(RawValue::from_string).transpose();
    Ok(Ask {
        model: form.text("model"),
        prompt: form.text("prompt"),
        seconds: seconds.map_err(|error| Fault::invalid_body(&error))?.map(Cow::Owned),
        size: form.text("size"),
        sim: form.sim()?.map(Cow::Owned),
    })
}
