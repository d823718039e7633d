//! `sim-speech`: sound that is a function of the text's length alone (`wire.md` §8).
//!
//! 50 ms for each scalar of `input`: a square wave of 400 Hz, ± 8000, in 16 bits, one channel, 8 kHz. As `mp3` frames of
//! silence of that length. Each scalar leaves as a piece of its own.

use super::damage;
use super::fault::Fault;
use super::knobs::Knobs;
use super::models;
use super::script::{Script, Steps};
use super::tokens;
use super::usage::{push_number, push_text};
use super::{SimCall, mode::Mode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

/// Samples of one scalar: 50 ms at 8 kHz.
const SAMPLES: usize = 400;
const RATE: u32 = 8_000;
/// A period of 400 Hz, half up and half down.
const PERIOD: usize = 20;
const AMPLITUDE: i16 = 8_000;

/// A body, as far as it is read.
#[derive(Deserialize)]
struct Ask<'a> {
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    input: Option<String>,
    #[serde(default)]
    response_format: Option<String>,
    #[serde(default)]
    stream_format: Option<String>,
    #[serde(borrow, default)]
    sim: Option<&'a RawValue>,
}

/// Answers `POST audio/speech`.
///
/// # Errors
/// What is wrong with the request, and the errors of the models that only fail.
pub(super) fn script(call: &SimCall<'_>) -> Result<Script, Fault> {
    let ask: Ask<'_> = serde_json::from_slice(call.body).map_err(|error| Fault::invalid_body(&error))?;
    let knobs = Knobs::read(ask.sim, call.standalone.is_some())?;
    let mode = call.mode(&knobs);
    if let Some(mode) = mode
        && let Some(script) = damage::instead(mode, call)?
    {
        return Ok(script);
    }
    let model = ask.model.filter(|model| !model.is_empty()).ok_or_else(|| Fault::missing("model"))?;
    models::refuse_by_name(&model, "speech", &knobs)?;
    let input = ask.input.filter(|input| !input.is_empty()).ok_or_else(|| Fault::missing("input"))?;
    let (content_type, pieces) = match ask.response_format.as_deref().unwrap_or("mp3") {
        "wav" => ("audio/wav", wav(input.chars().count())),
        "pcm" => ("audio/pcm", (0..input.chars().count()).map(|_| square_wave()).collect()),
        "mp3" => ("audio/mpeg", input.chars().map(|_| silence()).collect()),
        _ => return Err(Fault::invalid_value("response_format", "the simulator speaks wav, pcm and mp3")),
    };
    let gap_ms = knobs.gap_ms.unwrap_or(0);
    let mut script = if ask.stream_format.as_deref() == Some("sse") {
        let has_usage = !matches!(mode, Some(Mode::NoUsage {}));
        let tokens = (tokens::count(&input), u64::try_from(pieces.len()).unwrap_or(u64::MAX));
        Script::at_once(
            200,
            call.shape.stream_type(),
            Steps::listed(events(&pieces, has_usage.then_some(tokens)), gap_ms),
        )
    } else {
        Script::at_once(200, content_type, Steps::listed(pieces, gap_ms))
    };
    script.head_wait_ms = knobs.first_ms.unwrap_or(0);
    Ok(match mode {
        Some(mode) => damage::bend(script, mode),
        None => script,
    })
}

/// One scalar.
fn square_wave() -> Bytes {
    let sample = |at: usize| if at % PERIOD < PERIOD / 2 { AMPLITUDE } else { -AMPLITUDE };
    (0..SAMPLES).flat_map(|at| sample(at).to_le_bytes()).collect()
}

fn wav(scalars: usize) -> Vec<Bytes> {
    let data = u32::try_from(scalars.saturating_mul(SAMPLES * 2)).unwrap_or(u32::MAX);
    let mut head = Vec::with_capacity(44);
    head.extend_from_slice(b"RIFF");
    head.extend_from_slice(&data.saturating_add(36).to_le_bytes());
    head.extend_from_slice(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    head.extend_from_slice(&RATE.to_le_bytes());
    head.extend_from_slice(&(RATE * 2).to_le_bytes());
    head.extend_from_slice(b"\x02\0\x10\0data");
    head.extend_from_slice(&data.to_le_bytes());
    std::iter::once(Bytes::from(head)).chain((0..scalars).map(|_| square_wave())).collect()
}

/// MPEG-2.5 layer III at 8 kHz and 8 kbit/s: a frame has 576 samples, 72 ms, 72 bytes of which all but the head are zero.
/// One frame stands for a scalar's 50 ms.
fn silence() -> Bytes {
    let mut frame = vec![0_u8; 72];
    if let Some(head) = frame.first_chunk_mut::<4>() {
        *head = [0xFF, 0xE3, 0x18, 0xC4];
    }
    frame.into()
}

fn events(pieces: &[Bytes], tokens: Option<(u64, u64)>) -> Vec<Bytes> {
    let delta = |piece: &Bytes| {
        let mut out = b"data: {\"type\":\"speech.audio.delta\",\"audio\":".to_vec();
        push_text(&mut out, &STANDARD.encode(piece));
        out.extend_from_slice(b"}\n\n");
        Bytes::from(out)
    };
    let mut done = b"data: {\"type\":\"speech.audio.done\"".to_vec();
    if let Some((input, output)) = tokens {
        push_number(&mut done, b",\"usage\":{\"input_tokens\":", input);
        push_number(&mut done, b",\"output_tokens\":", output);
        push_number(&mut done, b",\"total_tokens\":", input.saturating_add(output));
        done.push(b'}');
    }
    done.extend_from_slice(b"}\n\n");
    pieces.iter().map(delta).chain(std::iter::once(Bytes::from(done))).collect()
}
