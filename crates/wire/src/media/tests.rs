//! Requests row by row, and the course of streams. Whole exchanges of each dialect are golden cases in `tests/golden/`.

use super::images::ImagesAsk;
use super::speech::SpeechAsk;
use crate::inference::{Ask, ModelLimits};
use claviger_domain::catalog::Dialect;
use claviger_domain::error::{Code, PublicError};
use claviger_domain::meter::{Meter, Meters};

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
