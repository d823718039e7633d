//! `sim-image`: pictures of one colour, a function of the prompt (`wire.md` §8).
//!
//! PNG of the asked size, its colour the first three bytes of SHA-256(prompt ‖ index), stored without compression. Pictures
//! that are to be edited are counted and not looked at.

use super::damage;
use super::fault::Fault;
use super::form::SimForm;
use super::knobs::Knobs;
use super::models;
use super::script::{Script, Steps};
use super::tokens;
use super::usage::{push_number, push_text};
use super::{SimCall, SimEndpoint, mode::Mode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};
use std::borrow::Cow;

/// Pixels on a side; larger ones are no test of anything.
const SIDE_MAX: u32 = 1_536;
/// Bytes of one stored block of deflate.
const BLOCK: usize = 65_535;
/// Output tokens of one picture.
const TOKENS: u64 = 100;
/// Input tokens of one.
const PICTURE_TOKENS: u64 = 10;

/// A request, as far as it is read.
#[derive(Deserialize)]
struct Ask<'a> {
    /// Pictures that are to be edited, and the mask.
    #[serde(skip)]
    pictures: u64,
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    prompt: Option<String>,
    #[serde(default)]
    n: Option<u64>,
    #[serde(default)]
    size: Option<String>,
    #[serde(default)]
    response_format: Option<String>,
    #[serde(default)]
    stream: Option<bool>,
    #[serde(default)]
    partial_images: Option<u64>,
    #[serde(borrow, default)]
    sim: Option<Cow<'a, RawValue>>,
}

impl<'a> Ask<'a> {
    fn json(body: &'a [u8]) -> Result<Self, Fault> {
        serde_json::from_slice(body).map_err(|error| Fault::invalid_body(&error))
    }

    fn form(body: &[u8]) -> Result<Self, Fault> {
        let form = SimForm::read(body)?;
        if form.count(&["image", "image[]"]) == 0 {
            return Err(Fault::missing("image"));
        }
        Ok(Self {
            pictures: u64::try_from(form.count(&["image", "image[]", "mask"])).unwrap_or(u64::MAX),
            model: form.text("model"),
            prompt: form.text("prompt"),
            n: form.number("n")?,
            size: form.text("size"),
            response_format: form.text("response_format"),
            stream: form.text("stream").map(|flag| flag.eq_ignore_ascii_case("true")),
            partial_images: form.number("partial_images")?,
            sim: form.sim()?.map(Cow::Owned),
        })
    }
}

/// Answers `POST images/generations` and `images/edits`.
///
/// # Errors
/// What is wrong with the request, and the errors of the models that only fail.
pub(super) fn script(call: &SimCall<'_>) -> Result<Script, Fault> {
    let is_edit = call.endpoint == SimEndpoint::ImageEdits;
    let ask = if is_edit { Ask::form(call.body)? } else { Ask::json(call.body)? };
    let knobs = Knobs::read(ask.sim.as_deref(), call.standalone.is_some())?;
    let mode = call.mode(&knobs);
    if let Some(mode) = mode
        && let Some(script) = damage::instead(mode, call)?
    {
        return Ok(script);
    }
    let model = ask.model.as_deref().filter(|model| !model.is_empty()).ok_or_else(|| Fault::missing("model"))?;
    models::refuse_by_name(model, "image", &knobs)?;
    let prompt = ask.prompt.as_deref().ok_or_else(|| Fault::missing("prompt"))?;
    let side = side(ask.size.as_deref())?;
    let count = ask.n.unwrap_or(1);
    if !(1..=10).contains(&count) {
        return Err(Fault::invalid_value("n", "it must be a whole number from 1 to 10"));
    }
    let pictures: Vec<String> = (0..count).map(|index| STANDARD.encode(png(side, colour(prompt, index)))).collect();
    let read = Read { text: tokens::count(prompt), pictures: ask.pictures.saturating_mul(PICTURE_TOKENS) };
    let usage = (!matches!(mode, Some(Mode::NoUsage {}))).then_some(read);
    let mut script = if ask.stream == Some(true) {
        let steps = Steps::listed(
            events(&pictures, ask.partial_images.unwrap_or(0), usage, is_edit),
            knobs.gap_ms.unwrap_or(0),
        );
        Script::at_once(200, call.shape.stream_type(), steps)
    } else {
        let is_url = ask.response_format.as_deref() == Some("url");
        Script::json(200, call.shape.json_type(), whole(call.now_seconds, &pictures, is_url, usage))
    };
    script.head_wait_ms = knobs.first_ms.unwrap_or(0);
    Ok(match mode {
        Some(mode) => damage::bend(script, mode),
        None => script,
    })
}

/// Width and height; 256 by 256 when nobody says, or says `auto`.
fn side(size: Option<&str>) -> Result<(u32, u32), Fault> {
    let Some(size) = size.filter(|size| *size != "auto") else { return Ok((256, 256)) };
    let number = |text: &str| text.parse::<u32>().ok().filter(|side| (1..=SIDE_MAX).contains(side));
    let found = size.split_once('x').and_then(|(width, height)| Some((number(width)?, number(height)?)));
    found.ok_or_else(|| Fault::invalid_value("size", "it must be two sides from 1 to 1536, as 256x256"))
}

fn colour(prompt: &str, index: u64) -> [u8; 3] {
    let hash = Sha256::new().chain_update(prompt).chain_update(index.to_string()).finalize();
    hash.first_chunk::<3>().copied().unwrap_or_default()
}

fn whole(created: i64, pictures: &[String], is_url: bool, usage: Option<Read>) -> Vec<u8> {
    let mut out = Vec::new();
    push_number(&mut out, b"{\"created\":", u64::try_from(created).unwrap_or(0));
    out.extend_from_slice(b",\"data\":[");
    for (position, picture) in pictures.iter().enumerate() {
        if position > 0 {
            out.push(b',');
        }
        if is_url {
            out.extend_from_slice(b"{\"url\":");
            push_text(&mut out, &format!("data:image/png;base64,{picture}"));
        } else {
            out.extend_from_slice(b"{\"b64_json\":");
            push_text(&mut out, picture);
        }
        out.push(b'}');
    }
    out.push(b']');
    if let Some(read) = usage {
        push_usage(&mut out, read, u64::try_from(pictures.len()).unwrap_or(u64::MAX));
    }
    out.push(b'}');
    out
}

/// Tokens of what came in.
#[derive(Clone, Copy)]
struct Read {
    text: u64,
    pictures: u64,
}

fn push_usage(out: &mut Vec<u8>, read: Read, count: u64) {
    let input = read.text.saturating_add(read.pictures);
    let output = TOKENS.saturating_mul(count);
    push_number(out, b",\"usage\":{\"total_tokens\":", input.saturating_add(output));
    push_number(out, b",\"input_tokens\":", input);
    push_number(out, b",\"output_tokens\":", output);
    push_number(out, b",\"input_tokens_details\":{\"text_tokens\":", read.text);
    push_number(out, b",\"image_tokens\":", read.pictures);
    out.extend_from_slice(b"}}");
}

fn events(pictures: &[String], partial: u64, usage: Option<Read>, is_edit: bool) -> Vec<Bytes> {
    let mut events = Vec::new();
    let begin = |event: &str| {
        let name = format!("{}.{event}", if is_edit { "image_edit" } else { "image_generation" });
        format!("event: {name}\ndata: {{\"type\":\"{name}\"").into_bytes()
    };
    for picture in pictures {
        for index in 0..partial.min(3) {
            let mut out = begin("partial_image");
            push_number(&mut out, b",\"partial_image_index\":", index);
            out.extend_from_slice(b",\"b64_json\":");
            push_text(&mut out, picture);
            out.extend_from_slice(b"}\n\n");
            events.push(out.into());
        }
        let mut out = begin("completed");
        out.extend_from_slice(b",\"b64_json\":");
        push_text(&mut out, picture);
        if let Some(read) = usage {
            push_usage(&mut out, read, 1);
        }
        out.extend_from_slice(b"}\n\n");
        events.push(out.into());
    }
    events
}

/// An image of one colour (PNG, third edition): signature, head, stored pixels, end.
fn png((width, height): (u32, u32), colour: [u8; 3]) -> Vec<u8> {
    let columns = usize::try_from(width).unwrap_or(0);
    let rows = usize::try_from(height).unwrap_or(0);
    let row: Vec<u8> =
        std::iter::once(0).chain(colour.iter().copied().cycle().take(columns.saturating_mul(3))).collect();
    let pixels = row.repeat(rows);
    let mut zlib = vec![0x78, 0x01];
    let mut blocks = pixels.chunks(BLOCK).peekable();
    while let Some(block) = blocks.next() {
        let length = u16::try_from(block.len()).unwrap_or(u16::MAX);
        zlib.push(u8::from(blocks.peek().is_none()));
        zlib.extend_from_slice(&length.to_le_bytes());
        zlib.extend_from_slice(&(!length).to_le_bytes());
        zlib.extend_from_slice(block);
    }
    zlib.extend_from_slice(&adler32(&pixels).to_be_bytes());
    let head = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[8, 2, 0, 0, 0]].concat();
    let mut out = b"\x89PNG\r\n\x1a\n".to_vec();
    for (kind, data) in [(b"IHDR", &head), (b"IDAT", &zlib), (b"IEND", &Vec::new())] {
        let body = [&kind[..], data].concat();
        out.extend_from_slice(&u32::try_from(data.len()).unwrap_or(u32::MAX).to_be_bytes());
        out.extend_from_slice(&body);
        out.extend_from_slice(&crc32(&body).to_be_bytes());
    }
    out
}

fn adler32(bytes: &[u8]) -> u32 {
    let (mut low, mut high) = (1_u32, 0_u32);
    for byte in bytes {
        low = (low + u32::from(*byte)) % 65_521;
        high = (high + low) % 65_521;
    }
    high << 16 | low
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 };
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_the_standards() {
        assert_eq!((crc32(b"123456789"), adler32(b"Wikipedia")), (0xCBF4_3926, 0x11E6_0398));
        let one = png((1, 1), [1, 2, 3]);
        assert!(one.starts_with(b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR") && one.ends_with(b"IEND\xae\x42\x60\x82"));
        assert_eq!(png((300, 300), [0; 3]).len(), 57 + 2 + 5 * 5 + 300 * 901 + 4);
    }
}
