//! Lengths in every spelling, and what upstreams say.

use super::*;
use crate::inference::{Ask, Edits, ModelLimits};
use bytes::Bytes;
use claviger_domain::catalog::Dialect;
use claviger_domain::error::Code;
use claviger_domain::meter::Meter;
use claviger_domain::task::Said;

fn ask(members: &str) -> Result<VideoAsk, (Code, Option<String>)> {
    VideoAsk::parse(format!(r#"{{"model":"m","prompt":"a cat",{members}}}"#).into())
        .map_err(|error| (error.code, error.param))
}

#[test]
fn a_video_is_held_for_by_the_length_that_is_asked_for_however_it_is_spelled() {
    for (members, seconds) in [
        (r#""n":1"#, 4),
        (r#""seconds":"8""#, 8),
        (r#""seconds":8"#, 8),
        (r#""duration":4.2"#, 5),
        (r#""num_frames":121,"fps":24"#, 6),
        (r#""seconds":5,"n":3"#, 15),
    ] {
        let bound = ask(members).unwrap().bound(ModelLimits::default()).unwrap();
        assert_eq!(bound.input.of(Meter::VideoSecond), Some(seconds), "{members}");
    }
    let param = |name: &str| Some(name.to_owned());
    for (members, code, name) in [
        (r#""seconds":0"#, Code::InvalidValue, "seconds"),
        (r#""seconds":"1e3""#, Code::InvalidValue, "seconds"),
        (r#""seconds":3601"#, Code::InvalidValue, "seconds"),
        (r#""duration":-1"#, Code::InvalidValue, "duration"),
        (r#""num_frames":10"#, Code::MissingRequiredParameter, "fps"),
        (r#""size":"1 x 1""#, Code::InvalidValue, "size"),
        (r#""n":0"#, Code::InvalidValue, "n"),
        (r#""stream":true"#, Code::InvalidValue, "stream"),
        (r#""seconds":4,"seconds":400"#, Code::DuplicateKey, "seconds"),
    ] {
        assert_eq!(ask(members).unwrap_err(), (code, param(name)), "{members}");
    }
}

#[test]
fn an_upstream_is_told_length_and_size_in_its_own_words() {
    let sent = |members: &str| {
        let edits = Edits { upstream_model: "sora", output_limit: None, dialect: Dialect::OpenAi };
        let request = ask(members).unwrap().upstream(&edits);
        (request.path, String::from_utf8(request.body.concat()).unwrap())
    };
    let (path, body) = sent(r#""duration":5,"width":640,"height":360"#);
    let expected =
        r#"{"seconds":"5","size":"640x360","model":"sora","prompt":"a cat","duration":5,"width":640,"height":360}"#;
    assert_eq!((path, body.as_str()), ("/v1/videos", expected));
    let (_, body) = sent(r#""seconds":"8","size":"1280x720""#);
    assert_eq!(body, r#"{"model":"sora","prompt":"a cat","seconds":"8","size":"1280x720"}"#);
}

#[test]
fn every_shape_of_an_answer_is_understood() {
    for (body, id, said) in [
        (r#"{"id":"v_1","status":"queued"}"#, "v_1", Said::Queued),
        (r#"{"id":"v_1","status":"in_progress","progress":40}"#, "v_1", Said::Running(40)),
        (r#"{"task_id":"t","status":"processing","progress":12.5}"#, "t", Said::Running(12)),
        (r#"{"id":"v","status":"warming","error":null}"#, "v", Said::Running(0)),
        (r#"{"id":"v","status":"completed","seconds":"4"}"#, "v", Said::Completed(Some(4))),
        (r#"{"id":"v","status":"succeeded","metadata":{"duration":4.1}}"#, "v", Said::Completed(Some(5))),
        (r#"{"id":"v","status":"completed","seconds":-1}"#, "v", Said::Completed(None)),
        (r#"{"id":"v","status":"failed","error":{"message":"no"}}"#, "v", Said::Failed("no".to_owned())),
        (r#"{"id":"v","status":"failed","error":"no"}"#, "v", Said::Failed("no".to_owned())),
        (r#"{"id":"v","status":"canceled"}"#, "v", Said::Cancelled),
    ] {
        let read = read_video(body.as_bytes()).unwrap();
        assert_eq!((read.id.as_str(), read.said), (id, said), "{body}");
    }
    for odd in
        ["", "[]", "{}", r#"{"id":"../x","status":"queued"}"#, r#"{"id":"a/b","status":"queued"}"#, r#"{"id":"v"}"#]
    {
        assert!(read_video(odd.as_bytes()).is_err(), "{odd}");
    }
}

#[test]
fn a_form_says_the_same_as_json() {
    let part =
        |name: &str, value: &str| format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
    let body = [part("prompt", "a cat"), part("model", "m"), part("seconds", "8"), part("size", "720x1280")].concat();
    let body = Bytes::from(body + "--b--\r\n");
    let ask = VideoAsk::parse_form(Some("multipart/form-data; boundary=b"), body).unwrap();
    assert_eq!(ask.video().map(|terms| (terms.seconds, terms.size.as_deref())), Some((8, Some("720x1280"))));
    assert!(ask.is_job());
    // Whoever says no length is paid for the usual one, so an upstream is told it.
    let body = Bytes::from([part("prompt", "a cat"), part("model", "m")].concat() + "--b--\r\n");
    let ask = VideoAsk::parse_form(Some("multipart/form-data; boundary=b"), body).unwrap();
    let edits = Edits { upstream_model: "sora", output_limit: None, dialect: Dialect::OpenAi };
    let sent = String::from_utf8(ask.upstream(&edits).body.concat()).unwrap();
    assert_eq!(sent, [part("seconds", "4"), part("prompt", "a cat"), part("model", "sora")].concat() + "--b--\r\n");
}
