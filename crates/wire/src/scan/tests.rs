//! W48, row by row, and the scanner beside serde_json: what one accepts the other does, with the same values.

use super::*;
use proptest::prelude::*;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tag {
    Model,
    Stream,
    Tokens,
    Role,
    Nested,
}

const MESSAGE_FIELDS: &[Field<Tag>] = &[Field::leaf("role", Tag::Role)];
static MESSAGE: Place<Tag> = Place::new(None, MESSAGE_FIELDS, None);
static TOP: Place<Tag> = Place::new(
    None,
    &[
        Field::leaf("model", Tag::Model),
        Field::leaf("stream", Tag::Stream),
        Field::leaf("max_tokens", Tag::Tokens),
        Field { name: "messages", place: Place::new(None, &[], Some(&MESSAGE)) },
        Field { name: "inner", place: Place::new(Some(Tag::Nested), MESSAGE_FIELDS, None) },
    ],
    None,
);

#[derive(Default)]
struct Found(Vec<(Tag, Value)>);

impl Sink<Tag> for Found {
    fn found(&mut self, tag: Tag, value: Value) {
        self.0.push((tag, value));
    }
}

fn strict(body: &[u8]) -> Result<Vec<(Tag, Value)>, Refused> {
    let mut found = Found::default();
    scan_strict(body, &TOP, &mut found).map(|()| found.0)
}

fn refused(body: impl AsRef<[u8]>) -> PublicError {
    strict(body.as_ref()).expect_err(&String::from_utf8_lossy(body.as_ref())).into()
}

fn invalid_at(body: impl AsRef<[u8]>) -> usize {
    match strict(body.as_ref()) {
        Err(Refused::Invalid { offset, .. }) => offset,
        other => panic!("{other:?} for {}", String::from_utf8_lossy(body.as_ref())),
    }
}

#[test]
fn fields_are_found_with_their_spans() {
    let body = br#" {"x":[{"model":1}], "model" : "a\u0062" ,"inner":{"role":null},"messages":[{"role":"u"}]} "#;
    let found = strict(body).unwrap();
    let texts: Vec<_> = found.iter().map(|(tag, value)| (*tag, value.raw(body))).collect();
    assert_eq!(
        texts,
        [
            (Tag::Model, br#""a\u0062""#.as_slice()),
            (Tag::Role, b"null"),
            (Tag::Nested, br#"{"role":null}"#),
            (Tag::Role, br#""u""#),
        ]
    );
    assert_eq!(found[0].1.text(body).unwrap().to_text(), "ab");
    assert_eq!(&body[found[0].1.member()], br#""model" : "a\u0062""#);
}

#[test]
fn an_escaped_name_is_the_name() {
    let found = strict(br#"{"mod\u0065l":"a"}"#).unwrap();
    assert_eq!(found[0].0, Tag::Model);
}

#[test]
fn a_repeated_key_is_refused_with_its_path() {
    for (body, path) in [
        (r#"{"model":"a","model":"b"}"#, "model"),
        (r#"{"model":"a","mod\u0065l":"b"}"#, "model"),
        (r#"{"unknown":1,"unknown":1}"#, "unknown"),
        (r#"{"messages":[{},{"role":"a","r\u006fle":"b"}]}"#, "messages[1].role"),
        (r#"{"tools":[{"function":{"parameters":{"a":1,"b":{},"a":2}}}]}"#, "tools[0].function.parameters.a"),
        (r#"{"a":[[{"é":1,"\u00e9":2}]]}"#, "a[0][0].é"),
        (r#"{"":1,"":2}"#, ""),
    ] {
        let error = refused(body);
        assert_eq!((error.code, error.param.as_deref()), (Code::DuplicateKey, Some(path)), "{body}");
    }
    assert_eq!(refused(r#"{"model":"a","model":"b"}"#).message, "Duplicate key 'model'.");
}

#[test]
fn a_repeated_key_is_found_among_many() {
    let mut members: Vec<String> = (0..1000).map(|number| format!("\"key{number}\":{number}")).collect();
    assert!(strict(format!("{{{}}}", members.join(",")).as_bytes()).is_ok());
    members.push("\"key7\":0".to_owned());
    let error = refused(format!("{{\"in\":{{{}}}}}", members.join(",")));
    assert_eq!((error.code, error.param.as_deref()), (Code::DuplicateKey, Some("in.key7")));
}

#[test]
fn the_same_key_in_different_objects_is_no_repetition() {
    assert!(strict(br#"{"a":{"a":{"a":1}},"b":[{"a":1},{"a":1}],"c":{"a":1}}"#).is_ok());
}

#[test]
fn a_key_that_only_folds_to_a_reserved_one_is_refused() {
    for (body, path) in [
        (r#"{"model":"a","Model":"b"}"#, "Model"),
        (r#"{"MODEL":"a"}"#, "MODEL"),
        ("{\"max_to\u{212A}ens\":1}", "max_to\u{212A}ens"),
        ("{\"max_token\u{17F}\":1}", "max_token\u{17F}"),
        (r#"{"max_to\u212aens":1}"#, "max_to\u{212A}ens"),
        (r#"{"messages":[{"Role":"u"}]}"#, "messages[0].Role"),
        (r#"{"inner":{"rolE":1}}"#, "inner.rolE"),
    ] {
        let error = refused(body);
        assert_eq!((error.code, error.param.as_deref()), (Code::AmbiguousKey, Some(path)), "{body}");
    }
}

#[test]
fn folding_keys_pass_where_nothing_is_read() {
    assert!(strict(br#"{"metadata":{"Model":"a","model":"b"},"schema":[{"Role":1}]}"#).is_ok());
}

#[test]
fn what_is_not_json_is_refused_at_its_byte() {
    for (body, offset) in [
        (r#""#, 0),
        ("   ", 3),
        (r#"{"a":NaN}"#, 5),
        (r#"{"a":Infinity}"#, 5),
        (r#"{"a":-Infinity}"#, 6),
        (r#"{"a":1e400}"#, 5),
        (r#"{"a":[1,-1E+309]}"#, 8),
        (r#"{"a":"\ud800"}"#, 6),
        (r#"{"a":"\ud800x"}"#, 6),
        (r#"{"a":"\udc00\ud800"}"#, 6),
        (r#"{"a":"\ud800\ud800"}"#, 6),
        (r#"{"a":"\udc00\udc00"}"#, 6),
        ("\u{feff}{}", 0),
        (r#"{} x"#, 3),
        (r#"{}{}"#, 2),
        (r#"{"a":1,}"#, 7),
        (r#"{"a":[1,]}"#, 8),
        (r#"{"a":1}//c"#, 7),
        (r#"{/*c*/}"#, 1),
        (r#"{'a':1}"#, 1),
        (r#"{a:1}"#, 1),
        (r#"{"a":'b'}"#, 5),
        (r#"{"a":01}"#, 6),
        (r#"{"a":1.}"#, 7),
        (r#"{"a":.5}"#, 5),
        (r#"{"a":+1}"#, 5),
        (r#"{"a":1e}"#, 7),
        (r#"{"a":-}"#, 6),
        (r#"{"a":tru}"#, 5),
        (r#"{"a":"\x"}"#, 6),
        (r#"{"a":"\u12g4"}"#, 6),
        ("{\"a\":\"\n\"}", 6),
        ("{\"a\":\"b", 7),
        ("{\"a\":\"\\", 7),
        (r#"{"a""#, 4),
        (r#"{"a":1"#, 6),
        (r#"{"a":[1"#, 7),
        (r#"{"a" 1}"#, 5),
        ("{\"a\":1}\0", 7),
    ] {
        assert_eq!(invalid_at(body), offset, "{body}");
    }
    assert_eq!(invalid_at(b"{\"a\":\"\xff\"}"), 6);
    let long = format!("{{\"a\":1{}}}", "0".repeat(400));
    assert_eq!(invalid_at(long), 5);
    assert_eq!(refused(r#"{"a":NaN}"#).message, "The body is not valid JSON: expected a value at byte 5.");
}

#[test]
fn a_control_character_is_found_wherever_it_stands_in_a_string() {
    for at in 0..40 {
        for control in 0..0x20 {
            let mut text = vec![b'x'; 40];
            text[at] = control;
            assert_eq!(invalid_at([b"{\"a\":\"", text.as_slice(), b"\"}"].concat()), 6 + at);
        }
        let mut text = "é\u{7f}".repeat(20);
        text.insert_str(at / 3 * 3, "\\\"");
        assert!(strict(format!("{{\"a\":\"{text}\"}}").as_bytes()).is_ok(), "{text}");
    }
}

#[test]
fn large_numbers_within_a_double_pass() {
    let long = format!(r#"{{"a":{},"b":1e308,"c":-1e-400,"d":0.{}}}"#, "9".repeat(308), "1".repeat(2000));
    assert!(strict(long.as_bytes()).is_ok());
}

#[test]
fn depth_64_passes_and_65_is_refused_also_in_ignored_fields() {
    let nested = |lists: usize| format!("{{\"x\":{}{}}}", "[".repeat(lists), "]".repeat(lists));
    assert!(strict(nested(63).as_bytes()).is_ok());
    assert_eq!(refused(nested(64)).code, Code::JsonTooDeep);
    assert_eq!(refused("[".repeat(100_000)).code, Code::JsonTooDeep);
}

#[test]
fn a_million_values_pass_and_one_more_is_refused() {
    // The object, the list, and its elements.
    let many = |elements: usize| format!("{{\"x\":[1{}]}}", ",1".repeat(elements - 1));
    assert!(strict(many(999_998).as_bytes()).is_ok());
    assert_eq!(refused(many(999_999)).code, Code::JsonTooLarge);
}

#[test]
fn a_body_that_is_no_object_is_refused_as_such() {
    for body in ["[]", "null", "\"x\"", "1", " [{}] "] {
        assert_eq!(refused(body).code, Code::BodyNotObject, "{body}");
    }
}

#[test]
fn a_long_path_is_cut() {
    let error = refused(format!(r#"{{"{}":{{"b":1,"b":2}}}}"#, "é".repeat(1000)));
    assert!(error.param.unwrap().len() <= 200);
}

#[test]
fn lenient_rules_let_pass_what_is_only_passed_on() {
    for body in [r#"{"a":1,"a":2}"#, r#"{"Model":1}"#, r#"{"a":"\ud83d"}"#, r#"{"a":1e999}"#] {
        assert!(scan_lenient(body.as_bytes(), &TOP, &mut Found::default()).is_ok(), "{body}");
    }
    for body in ["", "[]", "{", r#"{"a":}"#, "x"] {
        assert!(scan_lenient(body.as_bytes(), &TOP, &mut Found::default()).is_err(), "{body}");
    }
    assert!(scan_lenient(b"{\"a\":\"\xf0\x9f\"}", &TOP, &mut Found::default()).is_ok());
    assert_eq!(scan_lenient("[".repeat(1_000_000).as_bytes(), &TOP, &mut Found::default()), Err(Refused::TooDeep));
}

/// Everything serde_json reads, so that repeated keys show.
struct Checked;

impl<'de> Deserialize<'de> for Checked {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Checked)
    }
}

impl<'de> Visitor<'de> for Checked {
    type Value = Self;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("anything")
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(Self)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(Self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(Self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(Self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(Self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(Self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self, A::Error> {
        while list.next_element::<Self>()?.is_some() {}
        Ok(Self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self, A::Error> {
        let mut seen = std::collections::HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            if !seen.insert(key) {
                return Err(serde::de::Error::custom("repeated"));
            }
            map.next_value::<Self>()?;
        }
        Ok(Self)
    }
}

/// Pieces of which JSON and near-JSON is made.
fn near_json() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        " ",
        "\n",
        "null",
        "true",
        "false",
        "0",
        "-1",
        "1.5",
        "2e3",
        "1e400",
        "\"model\"",
        "\"m\\u006fdel\"",
        "\"stream\"",
        "\"a\"",
        "\"b\"",
        "\"\\ud83d\\ude00\"",
        "\"\\ud83d\"",
        "\\",
        "é",
        "{\"a\":",
        "\"model\":\"x\"",
        "\"messages\":[{\"role\":1}]",
        "\t",
        "\u{1}",
        "01",
        "\"\\n\"",
        "//",
    ]);
    prop::collection::vec(piece, 0..16).prop_map(|pieces| pieces.concat())
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        (-1e300..1e300_f64).prop_map(Into::into),
        any::<String>().prop_map(Into::into),
    ];
    leaf.prop_recursive(6, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Into::into),
            prop::collection::btree_map(any::<String>(), inner, 0..20)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn near_json_is_accepted_exactly_when_serde_accepts_it(text in near_json()) {
        let is_ours = match strict(text.as_bytes()) {
            Ok(_) => true,
            Err(Refused::Ambiguous { .. }) => return Ok(()),
            Err(_) => false,
        };
        let is_theirs = text.trim_ascii_start().starts_with('{') && serde_json::from_str::<Checked>(&text).is_ok();
        prop_assert_eq!(is_ours, is_theirs, "{}", text);
    }

    #[test]
    fn valid_documents_are_accepted_and_reserved_fields_mean_the_same(
        model in json(), stream in json(), extra in json(), is_pretty in any::<bool>(),
    ) {
        let document = serde_json::json!({"extra": extra, "model": model, "stream": stream, "max_tokens": 7});
        let text =
            if is_pretty { serde_json::to_string_pretty(&document).unwrap() } else { document.to_string() };
        // Read back: printing a double may move its last digit.
        let document: serde_json::Value = serde_json::from_str(&text).unwrap();
        let found = strict(text.as_bytes()).unwrap();
        for (tag, name) in [(Tag::Model, "model"), (Tag::Stream, "stream"), (Tag::Tokens, "max_tokens")] {
            let value = found.iter().find(|(found, _)| *found == tag).unwrap().1;
            let read: serde_json::Value = serde_json::from_slice(value.raw(text.as_bytes())).unwrap();
            prop_assert_eq!(&read, &document[name]);
            if let Some(text_of) = value.text(text.as_bytes()) {
                prop_assert_eq!(Some(text_of.to_text()), document[name].as_str().map(str::to_owned));
                prop_assert_eq!(text_of.len(), document[name].as_str().unwrap().len() as u64);
            }
        }
    }

    #[test]
    fn a_quoted_text_reads_as_itself(text in any::<String>()) {
        let mut quoted = Vec::new();
        quote_into(&mut quoted, &text);
        prop_assert_eq!(serde_json::from_slice::<String>(&quoted).unwrap(), text);
    }
}
