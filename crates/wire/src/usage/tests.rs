//! The table of `money.md` §2, and figures that cannot be.

use super::*;
use crate::scan::{Field, Place, Sink, scan_lenient};
use proptest::prelude::*;

#[derive(Clone, Copy)]
enum Tag {
    Figure(Figure),
}

const FIELDS: &[Field<Tag>] = usage_fields!(Tag::Figure);
static TOP: Place<Tag> = Place::new(None, FIELDS, None);

struct Read<'d>(&'d [u8], Figures);

impl Sink<Tag> for Read<'_> {
    fn found(&mut self, Tag::Figure(figure): Tag, value: Value) {
        self.1.take(figure, value, self.0);
    }
}

fn figures(json: &str) -> Figures {
    let mut read = Read(json.as_bytes(), Figures::default());
    scan_lenient(json.as_bytes(), &TOP, &mut read).unwrap();
    read.1
}

/// The meters in words, `!` behind them when anomalous.
fn metered(json: &str, dialect: Dialect) -> String {
    match figures(json).usage(dialect, UsageSource::UpstreamFinal, true) {
        None => "none".to_owned(),
        Some(usage) => {
            let meters: Vec<_> = usage.meters.iter().map(|(meter, n)| format!("{meter}={n}")).collect();
            format!("{}{}", meters.join(" "), if usage.is_anomalous { "!" } else { "" })
        }
    }
}

#[test]
fn usage_is_split_into_disjoint_meters() {
    for (json, expected) in [
        (r#"{"prompt_tokens":10,"completion_tokens":2,"total_tokens":12}"#, "input_token=10 output_token=2"),
        // V4.
        (
            r#"{"prompt_tokens":10000,"completion_tokens":500,"total_tokens":10500,"prompt_tokens_details":{"cached_tokens":8192},"completion_tokens_details":{"reasoning_tokens":320}}"#,
            "input_token=1808 cached_input_token=8192 output_token=180 reasoning_token=320",
        ),
        // V5: reasoning outside the completion.
        (
            r#"{"prompt_tokens":10120,"completion_tokens":1499,"total_tokens":14428,"prompt_tokens_details":{"cached_tokens":128},"completion_tokens_details":{"reasoning_tokens":2809}}"#,
            "input_token=9992 cached_input_token=128 output_token=1499 reasoning_token=2809",
        ),
        // Neither identity holds: inside, and contradictory.
        (
            r#"{"prompt_tokens":10,"completion_tokens":20,"total_tokens":99,"completion_tokens_details":{"reasoning_tokens":5}}"#,
            "input_token=10 output_token=15 reasoning_token=5!",
        ),
        // Every part, in order; predictions stay in output.
        (
            r#"{"prompt_tokens":100,"completion_tokens":50,"prompt_tokens_details":{"cached_tokens":40,"cache_write_tokens":30,"audio_tokens":20,"image_tokens":5},"completion_tokens_details":{"reasoning_tokens":10,"audio_tokens":20,"accepted_prediction_tokens":7}}"#,
            "input_token=5 cached_input_token=40 cache_write_token=30 image_input_token=5 audio_input_token=20 output_token=20 reasoning_token=10 audio_output_token=20",
        ),
        // Overlapping parts cannot bill twice.
        (
            r#"{"prompt_tokens":10,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":8,"audio_tokens":8}}"#,
            "input_token=0 cached_input_token=8 audio_input_token=2 output_token=1!",
        ),
        // DeepSeek; a top-level cached count; SGLang's reasoning, inside.
        (
            r#"{"prompt_tokens":10,"completion_tokens":1,"prompt_cache_hit_tokens":4}"#,
            "input_token=6 cached_input_token=4 output_token=1",
        ),
        (
            r#"{"prompt_tokens":10,"completion_tokens":1,"cached_tokens":4}"#,
            "input_token=6 cached_input_token=4 output_token=1",
        ),
        (
            r#"{"prompt_tokens":10,"completion_tokens":9,"total_tokens":19,"reasoning_tokens":4}"#,
            "input_token=10 output_token=5 reasoning_token=4",
        ),
        // Not reported is not 0.
        (r#"{"prompt_tokens":10,"completion_tokens":1,"prompt_tokens_details":null}"#, "input_token=10 output_token=1"),
        (
            r#"{"prompt_tokens":10,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":null}}"#,
            "input_token=10 output_token=1",
        ),
        (
            r#"{"prompt_tokens":10,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":0}}"#,
            "input_token=10 cached_input_token=0 output_token=1",
        ),
        (r#"{"completion_tokens":3}"#, "output_token=3"),
        (r#"{}"#, "none"),
        (r#"{"prompt_tokens":null,"completion_tokens":null}"#, "none"),
        (r#"{"cost":0.1}"#, "none"),
        // A whole number in another coat.
        (r#"{"prompt_tokens":10.0,"completion_tokens":2.0}"#, "input_token=10 output_token=2"),
    ] {
        assert_eq!(metered(json, Dialect::OpenAi), expected, "{json}");
    }
}

#[test]
fn absurd_figures_are_not_reported_and_flagged() {
    for (json, expected) in [
        (r#"{"prompt_tokens":-1,"completion_tokens":2}"#, "output_token=2!"),
        (r#"{"prompt_tokens":10,"completion_tokens":0.5}"#, "input_token=10!"),
        (r#"{"prompt_tokens":"10","completion_tokens":2}"#, "output_token=2!"),
        (r#"{"prompt_tokens":10,"completion_tokens":1e3}"#, "input_token=10!"),
        (r#"{"prompt_tokens":10,"completion_tokens":1000000000001}"#, "input_token=10!"),
        (r#"{"prompt_tokens":10,"completion_tokens":1000000000000}"#, "input_token=10 output_token=1000000000000"),
        (r#"{"prompt_tokens":10,"completion_tokens":99999999999999999999}"#, "input_token=10!"),
        (
            r#"{"prompt_tokens":10,"completion_tokens":2,"completion_tokens_details":{"reasoning_tokens":-4}}"#,
            "input_token=10 output_token=2!",
        ),
        (
            r#"{"prompt_tokens":10,"completion_tokens":2,"completion_tokens_details":{"reasoning_tokens":5}}"#,
            "input_token=10 output_token=0 reasoning_token=2!",
        ),
        (r#"{"prompt_tokens":10,"completion_tokens":2,"total_tokens":-12}"#, "input_token=10 output_token=2!"),
    ] {
        assert_eq!(metered(json, Dialect::Vllm), expected, "{json}");
    }
}

#[test]
fn zero_output_beside_content_is_not_reported() {
    let zero = figures(r#"{"prompt_tokens":10,"completion_tokens":0,"total_tokens":10}"#);
    let with_content = zero.usage(Dialect::OpenAi, UsageSource::UpstreamFinal, true).unwrap();
    assert_eq!(with_content.meters, Meters::NONE.with(Meter::InputToken, 10));
    assert!(with_content.is_anomalous);
    let without = zero.usage(Dialect::OpenAi, UsageSource::UpstreamFinal, false).unwrap();
    assert_eq!(without.meters, Meters::NONE.with(Meter::InputToken, 10).with(Meter::OutputToken, 0));
    assert!(!without.is_anomalous);
}

#[test]
fn only_ollamas_zero_prompt_means_unknown() {
    let json = r#"{"prompt_tokens":0,"completion_tokens":2,"total_tokens":2}"#;
    assert_eq!(metered(json, Dialect::Ollama), "output_token=2");
    assert_eq!(metered(json, Dialect::OpenAi), "input_token=0 output_token=2");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn meters_always_add_up_to_the_totals(
        prompt in 0_u64..1000, completion in 1_u64..1000, parts in prop::array::uniform6(0_u64..1500),
    ) {
        let [cached, written, audio, image, reasoning, spoken] = parts;
        let json = format!(
            r#"{{"prompt_tokens":{prompt},"completion_tokens":{completion},"total_tokens":{},"prompt_tokens_details":{{"cached_tokens":{cached},"cache_write_tokens":{written},"audio_tokens":{audio},"image_tokens":{image}}},"completion_tokens_details":{{"reasoning_tokens":{reasoning},"audio_tokens":{spoken}}}}}"#,
            prompt + completion
        );
        let usage = figures(&json).usage(Dialect::OpenAi, UsageSource::UpstreamFinal, true).unwrap();
        prop_assert_eq!(openai_totals(&usage.meters), (prompt, completion));
        let is_clipped = cached + written + audio + image > prompt || reasoning + spoken > completion;
        prop_assert_eq!(usage.is_anomalous, is_clipped);
    }
}
