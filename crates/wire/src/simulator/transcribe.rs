//! `sim-transcribe`: a text that tells what came (`wire.md` §8): `<bytes> bytes, sha256 <first 8 hex>`.
//!
//! Seconds are those that the head of a WAV file tells, else a second for each 16,000 bytes.

use super::fault::Fault;
use super::form::SimForm;
use super::knobs::Knobs;
use super::mode::Mode;
use super::models;
use super::script::{Script, Steps};
use super::shape::Shape;
use super::usage::{push_number, push_text};
use super::{SimCall, damage};
use bytes::Bytes;
use memchr::memmem;
use sha2::{Digest as _, Sha256};

/// Bytes of a second of a file that says nothing of itself.
const BYTES_PER_SECOND: u64 = 16_000;

/// Answers `POST audio/transcriptions` and `audio/translations`.
///
/// # Errors
/// What is wrong with the request, and the errors of the models that only fail.
pub(super) fn script(call: &SimCall<'_>) -> Result<Script, Fault> {
    let form = SimForm::read(call.body)?;
    let text = |name: &str| form.text(name);
    let sim = form.sim()?;
    let knobs = Knobs::read(sim.as_deref(), call.standalone.is_some())?;
    let mode = call.mode(&knobs);
    if let Some(mode) = mode
        && let Some(script) = damage::instead(mode, call)?
    {
        return Ok(script);
    }
    let model = text("model").filter(|model| !model.is_empty()).ok_or_else(|| Fault::missing("model"))?;
    models::refuse_by_name(&model, "transcribe", &knobs)?;
    let file = form.bytes("file").ok_or_else(|| Fault::missing("file"))?;
    let has_usage = !matches!(mode, Some(Mode::NoUsage {})) && call.shape != Shape::Ollama;
    let said = Said { text: transcript(file), seconds: seconds(file), has_usage };
    let format = text("response_format").unwrap_or_else(|| "json".to_owned());
    let mut script = if text("stream").as_deref() == Some("true") {
        let steps = Steps::listed(said.events(), knobs.gap_ms.unwrap_or(0));
        Script::at_once(200, call.shape.stream_type(), steps)
    } else {
        match format.as_str() {
            "text" => said.plain(format!("{}\n", said.text)),
            "srt" => said.plain(format!("1\n00:00:00,000 --> 00:00:01,000\n{}\n", said.text)),
            "vtt" => said.plain(format!("WEBVTT\n\n00:00:00.000 --> 00:00:01.000\n{}\n", said.text)),
            "verbose_json" => Script::json(200, call.shape.json_type(), said.json(true)),
            _ => Script::json(200, call.shape.json_type(), said.json(false)),
        }
    };
    script.head_wait_ms = knobs.first_ms.unwrap_or(0);
    Ok(match mode {
        Some(mode) => damage::bend(script, mode),
        None => script,
    })
}

fn transcript(file: &[u8]) -> String {
    let hash = Sha256::digest(file);
    let hex: String = hash.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    format!("{} bytes, sha256 {hex}", file.len())
}

/// From the rate and the size in the head of a WAV file.
fn seconds(file: &[u8]) -> u64 {
    let number = |at: usize| file.get(at..).and_then(<[u8]>::first_chunk::<4>).map(|bytes| u32::from_le_bytes(*bytes));
    let told = || {
        let rate = number(28).filter(|_| file.starts_with(b"RIFF"))?;
        let data = memmem::find(file, b"data")?;
        u64::from(number(data.checked_add(4)?)?)
            .checked_add(u64::from(rate).checked_sub(1)?)?
            .checked_div(u64::from(rate))
    };
    told().unwrap_or_else(|| u64::try_from(file.len()).unwrap_or(u64::MAX).div_ceil(BYTES_PER_SECOND))
}

/// What is answered.
struct Said {
    text: String,
    seconds: u64,
    has_usage: bool,
}

impl Said {
    fn plain(&self, text: String) -> Script {
        Script::at_once(200, "text/plain; charset=utf-8", Steps::whole(text.into()))
    }

    fn json(&self, is_verbose: bool) -> Vec<u8> {
        let mut out = Vec::new();
        if is_verbose {
            push_number(&mut out, b"{\"task\":\"transcribe\",\"language\":\"english\",\"duration\":", self.seconds);
            out.extend_from_slice(b".0,\"segments\":[],\"text\":");
        } else {
            out.extend_from_slice(b"{\"text\":");
        }
        push_text(&mut out, &self.text);
        self.push_usage(&mut out);
        out.push(b'}');
        out
    }

    fn push_usage(&self, out: &mut Vec<u8>) {
        if self.has_usage {
            push_number(out, b",\"usage\":{\"type\":\"duration\",\"seconds\":", self.seconds);
            out.push(b'}');
        }
    }

    fn events(&self) -> Vec<Bytes> {
        let mut delta = b"data: {\"type\":\"transcript.text.delta\",\"delta\":".to_vec();
        push_text(&mut delta, &self.text);
        delta.extend_from_slice(b"}\n\n");
        let mut done = b"data: {\"type\":\"transcript.text.done\",\"text\":".to_vec();
        push_text(&mut done, &self.text);
        self.push_usage(&mut done);
        done.extend_from_slice(b"}\n\n");
        vec![delta.into(), done.into()]
    }
}
