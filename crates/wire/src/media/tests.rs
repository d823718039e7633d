//! Requests row by row, and the course of streams. Whole exchanges of each dialect are golden cases in `tests/golden/`.

use super::duration;
use super::edits::EditsAsk;
use super::images::ImagesAsk;
use super::speech::SpeechAsk;
use super::transcribe::TranscribeAsk;
use crate::inference::{Ask, Edits, ModelLimits};
use bytes::Bytes;
use claviger_domain::catalog::Dialect;
use claviger_domain::endpoint::EndpointName;
use claviger_domain::error::{Code, PublicError};
use claviger_domain::meter::{Meter, Meters, UsageSource};

const LIMITS: ModelLimits = ModelLimits { context_tokens: None, output_tokens_max: Some(6_000) };

fn about(error: PublicError) -> (Code, Option<String>) {
    (error.code, error.param)
}

fn speech(members: &str) -> Result<SpeechAsk, (Code, Option<String>)> {
    SpeechAsk::parse(format!(r#"{{"model":"m/s",{members}}}"#).into()).map_err(about)
}

fn images(members: &str) -> Result<ImagesAsk, (Code, Option<String>)> {
    ImagesAsk::parse(format!(r#"{{"model":"m/i",{members}}}"#).into()).map_err(about)
}

#[test]
fn what_is_spoken_is_counted_in_scalars() {
    // V13: é as one scalar, and as a letter with a mark.
    for (text, characters) in [("h\u{e9}llo 你好 👋", 10), ("he\u{301}llo 你好 👋", 11), (r"h\u00e9llo", 5)] {
        let ask = speech(&format!(r#""input":"{text}""#)).unwrap();
        assert_eq!(ask.estimate().input.of(Meter::Character), Some(characters), "{text}");
        let bound = ask.bound(LIMITS).unwrap();
        assert_eq!(bound.input.of(Meter::Character), Some(characters), "{text}");
        assert_eq!((bound.input.of(Meter::AudioOutputToken), bound.output_per_choice), (Some(6_000), 0));
    }
}

#[test]
fn what_is_no_speech_is_refused() {
    let param = |name: &str| Some(name.to_owned());
    for (members, code, name) in [
        (r#""voice":"a""#, Code::MissingRequiredParameter, "input"),
        (r#""input":"""#, Code::InvalidValue, "input"),
        (r#""input":["a"]"#, Code::InvalidValue, "input"),
        (r#""input":"a","response_format":"midi""#, Code::InvalidValue, "response_format"),
        (r#""input":"a","response_format":7"#, Code::InvalidValue, "response_format"),
        (r#""input":"a","stream_format":"xml""#, Code::InvalidValue, "stream_format"),
        (r#""input":"a","Input":"b""#, Code::AmbiguousKey, "Input"),
        (r#""input":"a","base_url":"http://x""#, Code::ForbiddenParameter, "base_url"),
    ] {
        assert_eq!(speech(members).unwrap_err(), (code, param(name)), "{members}");
    }
    let ask = speech(r#""input":"a","response_format":"wav","stream_format":"audio""#).unwrap();
    assert_eq!((ask.content_type(), ask.is_binary(), ask.is_stream()), ("audio/wav", true, false));
    let events = speech(r#""input":"a","stream_format":"sse""#).unwrap();
    assert_eq!((events.is_binary(), events.is_stream()), (false, true));
    assert_eq!(ask.check_dialect(Dialect::Vllm).unwrap_err().code, Code::UnsupportedEndpoint);
}

#[test]
fn as_many_pictures_are_held_for_as_are_asked_for() {
    let ask = images(r#""prompt":"a red apple","n":3"#).unwrap();
    let bytes = u64::try_from(ask.body_bytes()).unwrap();
    let expected =
        Meters::NONE.with(Meter::InputToken, bytes + 1_024).with(Meter::Image, 3).with(Meter::ImageOutputToken, 18_000);
    assert_eq!(ask.bound(LIMITS).unwrap().input, expected);
    assert_eq!(ask.estimate().input, Meters::NONE.with(Meter::InputToken, 3));
}

#[test]
fn what_is_no_picture_is_refused() {
    let param = |name: &str| Some(name.to_owned());
    for (members, code, name) in [
        (r#""n":1"#, Code::MissingRequiredParameter, "prompt"),
        (r#""prompt":"""#, Code::InvalidValue, "prompt"),
        (r#""prompt":"a","n":0"#, Code::InvalidValue, "n"),
        (r#""prompt":"a","n":129"#, Code::InvalidValue, "n"),
        (r#""prompt":"a","partial_images":-1"#, Code::InvalidValue, "partial_images"),
        (r#""prompt":"a","stream":"yes""#, Code::InvalidValue, "stream"),
        (r#""prompt":"a","n":1,"n":100"#, Code::DuplicateKey, "n"),
    ] {
        assert_eq!(images(members).unwrap_err(), (code, param(name)), "{members}");
    }
    assert!(images(r#""prompt":"a","partial_images":0,"n":null,"size":"auto""#).is_ok());
}

/// A tone of 2.4 s in each format.
const SOUNDS: [(&str, &[u8]); 6] = [
    ("wav", include_bytes!("../../tests/sounds/short.wav")),
    ("mp3", include_bytes!("../../tests/sounds/short.mp3")),
    ("flac", include_bytes!("../../tests/sounds/short.flac")),
    ("opus", include_bytes!("../../tests/sounds/short.opus")),
    ("m4a", include_bytes!("../../tests/sounds/short.m4a")),
    ("webm", include_bytes!("../../tests/sounds/short.webm")),
];

#[test]
fn a_file_says_how_long_it_is_in_every_format() {
    for (format, file) in SOUNDS {
        assert_eq!(duration::seconds(Bytes::from_static(file)), Some(3), "{format}");
    }
    for file in [&b""[..], b"hello", &[0; 4096], b"RIFF\x24\0\0\0WAVEfmt "] {
        assert_eq!(duration::seconds(Bytes::copy_from_slice(file)), None, "{file:?}");
    }
}

#[test]
fn a_torn_or_lying_file_ends_no_request_and_is_no_longer_than_it_was() {
    for (format, file) in SOUNDS {
        for part in 1..16 {
            let mut torn = file[..file.len() * part / 16].to_vec();
            assert!(duration::seconds(torn.clone().into()).unwrap_or(0) <= 3, "{format} {part}");
            for at in (0..torn.len().min(600)).step_by(7) {
                torn[at] ^= 0x5a;
            }
            duration::seconds(torn.into());
        }
    }
    // A head that tells of hours: what counts is what is there.
    let mut wav = SOUNDS[0].1.to_vec();
    let at = wav.windows(4).position(|word| word == b"data").unwrap() + 4;
    wav[at..at + 4].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(duration::seconds(wav.into()).unwrap_or(0) <= 3);
}

fn form(parts: &[(&str, &[u8])]) -> Bytes {
    let mut body = Vec::new();
    for (name, value) in parts {
        body.extend_from_slice(format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n").as_bytes());
        body.extend_from_slice(value);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--b--\r\n");
    body.into()
}

fn hear(parts: &[(&str, &[u8])]) -> Result<TranscribeAsk, (Code, Option<String>)> {
    let kind = Some("multipart/form-data; boundary=b");
    TranscribeAsk::parse(EndpointName::AudioTranscriptions, kind, form(parts)).map_err(about)
}

#[test]
fn of_a_form_only_the_model_is_changed() {
    let parts: &[(&str, &[u8])] = &[("file", SOUNDS[0].1), ("timestamp_granularities[]", b"word"), ("model", b"m/t")];
    let ask = hear(parts).unwrap();
    let edits = Edits { upstream_model: "whisper-1", output_limit: None, dialect: Dialect::OpenAi };
    let mut expected = parts.to_vec();
    expected[2].1 = b"whisper-1";
    assert_eq!(ask.upstream(&edits).body.concat(), form(&expected));
    assert_eq!((ask.model(), ask.request_type()), ("m/t", "multipart/form-data; boundary=b"));
    let same = Edits { upstream_model: "m/t", ..edits };
    assert_eq!(ask.upstream(&same).body.concat(), form(parts));
}

#[test]
fn a_sound_is_held_for_by_its_length_and_by_its_bytes_when_it_has_none() {
    let known = hear(&[("model", b"m"), ("file", SOUNDS[1].1)]).unwrap();
    let bound = known.bound(LIMITS).unwrap().input;
    assert_eq!((bound.of(Meter::AudioSecond), bound.of(Meter::InputToken)), (Some(3), Some(1_324)));
    assert_eq!(bound.of(Meter::OutputToken), Some(6_000));
    assert_eq!(known.estimate().input, Meters::NONE.with(Meter::AudioSecond, 3).with(Meter::InputToken, 30));
    let unknown = hear(&[("model", b"m"), ("file", &[7; 16_001])]).unwrap();
    assert_eq!(unknown.bound(LIMITS).unwrap().input.of(Meter::AudioSecond), Some(33));
    let guess = unknown.estimate().input;
    assert_eq!(guess, Meters::NONE.with(Meter::AudioSecond, 2).with(Meter::InputToken, 20), "no gift by tokens either");
}

#[test]
fn what_is_no_request_for_a_transcript_is_refused() {
    let param = |name: &str| Some(name.to_owned());
    let model: (&str, &[u8]) = ("model", b"m");
    let file: (&str, &[u8]) = ("file", b"abc");
    for (parts, code, name) in [
        (vec![file], Code::MissingRequiredParameter, "model"),
        (vec![model], Code::MissingRequiredParameter, "file"),
        (vec![model, ("file", b"")], Code::MissingRequiredParameter, "file"),
        (vec![("model", b""), file], Code::InvalidModel, "model"),
        (vec![("model", b"a\nb"), file], Code::InvalidModel, "model"),
        (vec![("model", b"\xff"), file], Code::InvalidValue, "model"),
        (vec![model, file, model], Code::DuplicateKey, "model"),
        (vec![model, file, ("MODEL", b"x")], Code::AmbiguousKey, "MODEL"),
        (vec![model, file, ("stream", b"yes")], Code::InvalidValue, "stream"),
        (vec![model, file, ("response_format", b"xml")], Code::InvalidValue, "response_format"),
        (vec![model, file, ("base_url", b"http://x")], Code::ForbiddenParameter, "base_url"),
    ] {
        assert_eq!(hear(&parts).unwrap_err(), (code, param(name)), "{name}");
    }
    let ask = hear(&[model, file, ("priority", b"1")]).unwrap();
    assert_eq!(ask.check_dialect(Dialect::Vllm).unwrap_err().code, Code::ForbiddenParameter);
    assert!(ask.check_dialect(Dialect::OpenAi).is_ok());
    assert_eq!(ask.check_dialect(Dialect::LlamaCpp).unwrap_err().code, Code::UnsupportedEndpoint);
}

#[test]
fn seconds_and_tokens_are_read_wherever_they_stand() {
    let ask = hear(&[("model", b"m"), ("file", b"abc")]).unwrap();
    let meters = |answer: &str| {
        let reply = ask.read_reply(Bytes::copy_from_slice(answer.as_bytes()), Dialect::OpenAi).unwrap();
        reply.usage.map(|usage| (usage.meters, usage.source, usage.is_anomalous))
    };
    let told = |meters: Meters, is_anomalous| Some((meters, UsageSource::UpstreamFinal, is_anomalous));
    let seconds = |seconds| Meters::NONE.with(Meter::AudioSecond, seconds);
    assert_eq!(meters(r#"{"text":"a"}"#), None);
    assert_eq!(meters(r#"{"text":"a","usage":{"type":"duration","seconds":61.2}}"#), told(seconds(62), false));
    assert_eq!(meters(r#"{"text":"a","usage":{"seconds":62}}"#), told(seconds(62), false));
    assert_eq!(meters(r#"{"text":"a","duration":"61.000"}"#), told(seconds(61), false));
    assert_eq!(meters(r#"{"text":"a","usage":{"seconds":-3}}"#), told(Meters::NONE, true));
    let tokens = r#"{"text":"a","usage":{"type":"tokens","input_tokens":40,"output_tokens":9,"input_token_details":{},"input_tokens_details":{"audio_tokens":30}}}"#;
    let split = Meters::NONE.with(Meter::InputToken, 10).with(Meter::AudioInputToken, 30).with(Meter::OutputToken, 9);
    assert_eq!(meters(tokens), told(split, false));
    for odd in ["", "[]", "{}", r#"{"text":7}"#, r#"{"error":{"message":"x"}}"#] {
        assert!(ask.read_reply(Bytes::copy_from_slice(odd.as_bytes()), Dialect::OpenAi).is_err(), "{odd}");
    }
}

fn edit(parts: &[(&str, &[u8])]) -> Result<EditsAsk, (Code, Option<String>)> {
    EditsAsk::parse(Some("multipart/form-data; boundary=b"), form(parts)).map_err(about)
}

#[test]
fn pictures_that_come_in_are_held_for_beside_those_that_go_out() {
    let parts: &[(&str, &[u8])] =
        &[("image[]", b"one"), ("image[]", b"two"), ("mask", b"m"), ("prompt", b"a hat"), ("model", b"m"), ("n", b"2")];
    let input = edit(parts).unwrap().bound(LIMITS).unwrap().input;
    let expected = Meters::NONE
        .with(Meter::InputToken, 5 + 1_024 + 3 * 16_384)
        .with(Meter::ImageInputToken, 0)
        .with(Meter::Image, 2)
        .with(Meter::ImageOutputToken, 12_000);
    assert_eq!(input, expected);
    let small = ModelLimits { context_tokens: Some(9_000), ..LIMITS };
    assert_eq!(edit(parts).unwrap().bound(small).unwrap().input.of(Meter::InputToken), Some(9_000));
}

#[test]
fn what_is_no_request_for_an_edit_is_refused() {
    let param = |name: &str| Some(name.to_owned());
    let model: (&str, &[u8]) = ("model", b"m");
    let prompt: (&str, &[u8]) = ("prompt", b"a");
    let image: (&str, &[u8]) = ("image", b"abc");
    for (parts, code, name) in [
        (vec![model, prompt], Code::MissingRequiredParameter, "image"),
        (vec![model, prompt, image, ("image", b"")], Code::MissingRequiredParameter, "image"),
        (vec![model, image], Code::MissingRequiredParameter, "prompt"),
        (vec![prompt, image], Code::MissingRequiredParameter, "model"),
        (vec![model, image, ("prompt", b"")], Code::InvalidValue, "prompt"),
        (vec![model, prompt, image, ("n", b"0")], Code::InvalidValue, "n"),
        (vec![model, prompt, image, ("n", b"1e2")], Code::InvalidValue, "n"),
        (vec![model, prompt, image, ("n", b"1"), ("n", b"2")], Code::DuplicateKey, "n"),
        (vec![model, prompt, image, ("Prompt", b"b")], Code::AmbiguousKey, "Prompt"),
        (vec![model, prompt, image, ("stream", b"yes")], Code::InvalidValue, "stream"),
        (vec![model, prompt, image, ("api_key", b"x")], Code::ForbiddenParameter, "api_key"),
    ] {
        assert_eq!(edit(&parts).unwrap_err(), (code, param(name)), "{parts:?}");
    }
    let ask = edit(&[model, prompt, image, image, ("partial_images", b"0")]).unwrap();
    assert_eq!(ask.check_dialect(Dialect::Ollama).unwrap_err().code, Code::UnsupportedEndpoint);
}
