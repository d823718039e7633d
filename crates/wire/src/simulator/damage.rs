//! What the modes of the standalone simulator do to an answer: replace it, or tear its bytes.
//!
//! Modes that change what is said or counted are decided in `plan.rs`.

use super::SimCall;
use super::fault::Fault;
use super::mode::{EchoPlace, Mode};
use super::script::{Ending, Script, Source, Step, Steps};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, header};
use serde_json::Value;

/// Above the bound of one event (`limits::SSE_EVENT_BYTES`).
const HUGE_LINE_BYTES: u64 = 17 * 1024 * 1024;
/// What the padding of a huge line is sent in.
static PADDING: [u8; 64 * 1024] = [b'a'; 64 * 1024];

/// The answer of modes that do not ask the model.
///
/// # Errors
/// Parameters of the mode that make no answer.
pub(super) fn instead(mode: &Mode, call: &SimCall<'_>) -> Result<Option<Script>, Fault> {
    Ok(Some(match mode {
        Mode::Status { code, headers, body } => {
            let mut script = status(*code, body.as_ref(), call)?;
            for (name, value) in headers {
                let name = HeaderName::from_bytes(name.as_bytes())
                    .map_err(|_| Fault::invalid_value("sim.headers", "a name is not a field name"))?;
                script.set(name, value);
            }
            script
        }
        Mode::Raw { base64 } => {
            let bytes =
                STANDARD.decode(base64).map_err(|error| Fault::invalid_value("sim.base64", &error.to_string()))?;
            let mut script = Script::at_once(200, "text/plain", Steps::whole(bytes.into()));
            script.is_raw = true;
            script.ending = Ending::Cut { is_reset: false };
            script
        }
        Mode::Refuse {} => {
            let mut script = Script::at_once(200, "text/plain", Steps::none());
            script.is_raw = true;
            script.ending = Ending::Cut { is_reset: true };
            script
        }
        Mode::Redirect { to } => {
            let mut script = Script::at_once(307, "text/plain", Steps::none());
            script.set(header::LOCATION, to);
            script
        }
        Mode::GzipBomb {} => {
            let mut script = Script::json(200, call.shape.json_type(), zeros_in_gzip());
            script.set(header::CONTENT_ENCODING, "gzip");
            script
        }
        Mode::EchoHeaders { place: EchoPlace::Error } => {
            let headers = call.standalone.map(|standalone| headers_text(standalone.headers)).unwrap_or_default();
            Fault::message(headers).script(call.shape)
        }
        _ => return Ok(None),
    }))
}

fn status(code: u16, body: Option<&Value>, call: &SimCall<'_>) -> Result<Script, Fault> {
    if !(200..=999).contains(&code) {
        return Err(Fault::invalid_value("sim.code", "it must be a status from 200 to 999"));
    }
    let text = match body {
        None => return Ok(Fault::of_status(code).script(call.shape)),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    Ok(Script::json(code, call.shape.json_type(), text.into_bytes()))
}

/// Header fields as a JSON object of lower-case names; a repeated field's values are joined by a comma and a space.
pub(super) fn headers_text(headers: &HeaderMap) -> String {
    let mut object = serde_json::Map::new();
    for name in headers.keys() {
        let values: Vec<_> =
            headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
        object.insert(name.as_str().to_owned(), values.join(", ").into());
    }
    Value::Object(object).to_string()
}

/// Tears the bytes of a good answer; every other answer stays as it is.
pub(super) fn bend(mut script: Script, mode: &Mode) -> Script {
    if script.status != 200 || script.is_raw {
        return script;
    }
    let is_whole = script.steps.size_bytes().is_some();
    let how = match mode {
        Mode::Cut { bytes, rst } => {
            script.ending = Ending::Cut { is_reset: *rst };
            How::Limit { left: *bytes }
        }
        Mode::Truncate { after } if is_whole => How::Limit { left: *after },
        Mode::Stall { after } if is_whole => {
            script.ending = Ending::Stall;
            How::Limit { left: *after }
        }
        Mode::Drip { gap_ms } => How::Drip { gap_ms: *gap_ms, rest: Bytes::new() },
        Mode::Crlf {} if !is_whole => How::Crlf,
        Mode::BadJson {} => How::BadJson { step: if is_whole { 0 } else { 1 } },
        Mode::HugeLine { bytes } => {
            How::Pad { step: if is_whole { 0 } else { 1 }, padding: bytes.unwrap_or(HUGE_LINE_BYTES), tail: None }
        }
        _ => return script,
    };
    let inner = std::mem::replace(&mut script.steps, Steps::none());
    script.steps = Steps(Source::Damaged(Box::new(Damaged { inner, how })));
    script
}

/// Steps with their bytes torn.
#[derive(Debug)]
pub(super) struct Damaged {
    inner: Steps,
    how: How,
}

#[derive(Debug)]
enum How {
    /// Only the first bytes.
    Limit { left: u64 },
    /// One byte a step.
    Drip { gap_ms: u64, rest: Bytes },
    /// CR LF for LF.
    Crlf,
    /// This step (from 0) is cut in the middle of its JSON.
    BadJson { step: u64 },
    /// This step (from 0) gets so many bytes of padding behind its first brace; `tail` is what stands behind them.
    Pad { step: u64, padding: u64, tail: Option<Bytes> },
}

impl Iterator for Damaged {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        match &mut self.how {
            How::Limit { left } => {
                if *left == 0 {
                    return None;
                }
                let mut step = self.inner.next()?;
                step.bytes.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
                *left = left.saturating_sub(u64::try_from(step.bytes.len()).unwrap_or(u64::MAX));
                Some(step)
            }
            How::Drip { gap_ms, rest } => {
                let mut wait_ms = *gap_ms;
                if rest.is_empty() {
                    let step = self.inner.next()?;
                    wait_ms = wait_ms.saturating_add(step.wait_ms);
                    *rest = step.bytes;
                }
                let bytes = rest.split_to(rest.len().min(1));
                Some(Step { wait_ms, bytes })
            }
            How::Crlf => {
                let mut step = self.inner.next()?;
                let mut out = Vec::with_capacity(step.bytes.len().saturating_add(2));
                for byte in &step.bytes {
                    out.extend_from_slice(if *byte == b'\n' { b"\r\n" } else { std::slice::from_ref(byte) });
                }
                step.bytes = out.into();
                Some(step)
            }
            How::BadJson { step: left } => {
                let mut step = self.inner.next()?;
                if *left == 0 {
                    let half = step.bytes.len() / 2;
                    let is_event = step.bytes.ends_with(b"\n\n");
                    step.bytes.truncate(half);
                    if is_event {
                        step.bytes = [step.bytes.as_ref(), b"\n\n"].concat().into();
                    }
                }
                *left = left.wrapping_sub(1);
                Some(step)
            }
            How::Pad { step, padding, tail } => pad(&mut self.inner, step, padding, tail),
        }
    }
}

fn pad(inner: &mut Steps, left: &mut u64, padding: &mut u64, tail: &mut Option<Bytes>) -> Option<Step> {
    if tail.is_some() && *padding > 0 {
        let size = usize::try_from(*padding).unwrap_or(usize::MAX).min(PADDING.len());
        *padding = padding.saturating_sub(u64::try_from(size).unwrap_or(u64::MAX));
        return Some(Step { wait_ms: 0, bytes: Bytes::from_static(PADDING.get(..size).unwrap_or_default()) });
    }
    if let Some(bytes) = tail.take() {
        return Some(Step { wait_ms: 0, bytes });
    }
    let mut step = inner.next()?;
    if *left == 0
        && let Some(brace) = memchr::memchr(b'{', &step.bytes)
    {
        let rest = step.bytes.split_off(brace.saturating_add(1));
        *tail = Some([b"\",".as_slice(), rest.as_ref()].concat().into());
        step.bytes = [step.bytes.as_ref(), b"\"padding\":\""].concat().into();
    }
    *left = left.wrapping_sub(1);
    Some(step)
}

/// A gzip member (RFC 1952) of 100 MiB of zeros in one block of fixed Huffman codes (RFC 1951 §3.2.6): one literal, then
/// copies of 258 bytes at distance 1, 13 bits each.
fn zeros_in_gzip() -> Vec<u8> {
    const COPIES: u32 = 406_425;
    const SIZE: u32 = 1 + 258 * COPIES;
    /// CRC-32 of that many zeros.
    const CRC: u32 = 0x2938_15AD;
    let mut out = vec![0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 0xFF];
    let mut bits = Bits { out: &mut out, word: 0, count: 0 };
    bits.push(0b011, 3); // final block, fixed codes
    bits.push(reversed(0b0011_0000, 8), 8); // literal 0
    for _ in 0..COPIES {
        bits.push(reversed(0b1100_0101, 8), 8); // length 258
        bits.push(0, 5); // distance 1
    }
    bits.push(0, 7); // end of block
    bits.finish();
    out.extend_from_slice(&CRC.to_le_bytes());
    out.extend_from_slice(&SIZE.to_le_bytes());
    out
}

/// Huffman codes go out from their highest bit.
const fn reversed(code: u32, bits: u32) -> u32 {
    code.reverse_bits() >> (32 - bits)
}

struct Bits<'a> {
    out: &'a mut Vec<u8>,
    word: u32,
    count: u32,
}

impl Bits<'_> {
    fn push(&mut self, bits: u32, count: u32) {
        self.word |= bits << self.count;
        self.count += count;
        while self.count >= 8 {
            self.out.push(self.word.to_le_bytes()[0]);
            self.word >>= 8;
            self.count -= 8;
        }
    }

    fn finish(self) {
        if self.count > 0 {
            self.out.push(self.word.to_le_bytes()[0]);
        }
    }
}
