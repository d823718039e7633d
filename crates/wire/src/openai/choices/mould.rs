//! Chunks that differ from one before them in nothing but their text: most of a stream. What lies around the text is
//! compared instead of read again, and sent as it was edited then.
//!
//! Why that reads the same: the bytes around the text are those of a chunk that was read, the text is a string where
//! that one had a string, and of a text only its length counts. Which chunks qualify is decided here; what they mean
//! for the stream is not known here.

use super::answer::Answer;
use crate::scan::Text;
use crate::splice::Splice;
use crate::sse::Frame;
use bytes::Bytes;

/// Chunks beyond this are read each time: a mould is kept as long as its stream.
const CHUNK_BYTES: usize = 2048;
/// Moulds in a row that fitted nothing, after which no more are made: this server changes something in each chunk.
const MISSES: u8 = 8;

/// The mould of a stream, once there is one.
#[derive(Debug, Default)]
pub(super) struct Moulds {
    last: Option<Box<Mould>>,
    misses: u8,
}

/// What lay around the text of a chunk, its quotes included.
#[derive(Debug)]
struct Mould {
    before: Box<[u8]>,
    behind: Box<[u8]>,
    /// The same of the event for the caller; `None` when nothing was edited.
    sent: Option<(Vec<u8>, Vec<u8>)>,
}

impl Moulds {
    /// The event for the caller and the text in it, if the event is a chunk that fits.
    pub(super) fn fit<'f>(&mut self, frame: &'f Frame) -> Option<(Bytes, Text<'f>)> {
        let mould = self.last.as_ref().filter(|_| frame.is_plain)?;
        let rest = frame.data.strip_prefix(&*mould.before)?;
        let (inner, is_escaped) = Text::begin(rest)?;
        if rest.get(inner.len()..) != Some(&*mould.behind) {
            return None;
        }
        self.misses = 0;
        let event = match &mould.sent {
            None => frame.raw.clone(),
            Some((before, behind)) => [before, inner, behind].concat().into(),
        };
        Some((event, Text::new(inner, is_escaped)))
    }

    /// Keeps the mould of a chunk that was read and edited in whole, if it has one.
    pub(super) fn keep(&mut self, answer: &Answer<'_>, data: &[u8], splice: &Splice, frame: &Frame) {
        if self.misses >= MISSES || !frame.is_plain || data.len() > CHUNK_BYTES {
            return;
        }
        let Some(text) = answer.only_text() else { return };
        let inside = text.start() + 1..text.span().end.saturating_sub(1);
        let (Some(before), Some(behind)) = (data.get(..inside.start), data.get(inside.end..)) else { return };
        self.misses += 1;
        self.last = Some(Box::new(Mould {
            before: before.into(),
            behind: behind.into(),
            sent: (!splice.is_empty()).then(|| splice.around(b"data: ", data, inside, b"\n\n")),
        }));
    }

    /// Never keeps one.
    #[cfg(test)]
    fn none() -> Self {
        Self { last: None, misses: MISSES }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inference::{AnswerStream as _, StreamStep};
    use crate::openai::chat::ChatAsk;
    use crate::openai::choices::ChoiceStream;
    use crate::sse::SseReader;
    use claviger_domain::catalog::Dialect;
    use proptest::prelude::*;

    fn stream(members: &str) -> ChoiceStream {
        let body = format!(r#"{{"model":"m/a","messages":[],"stream":true{members}}}"#);
        ChoiceStream::new(ChatAsk::parse(body.into()).unwrap().wanted(), Dialect::Vllm)
    }

    fn steps(stream: &mut ChoiceStream, chunks: &[String]) -> Vec<StreamStep> {
        let mut reader = SseReader::new();
        reader.push(chunks.iter().map(|chunk| format!("data: {chunk}\n\n")).collect::<String>().into());
        std::iter::from_fn(|| reader.next()).map(|frame| stream.event(frame.unwrap())).collect()
    }

    fn chunk(model: &str, delta: &str, end: &str) -> String {
        format!(
            r#"{{"id":"c1","model":"{model}","choices":[{{"index":0,"delta":{{{delta}}},"finish_reason":{end}}}]}}"#
        )
    }

    #[test]
    fn chunks_that_differ_in_text_only_are_not_read_again() {
        for model in ["m/a", "up"] {
            let mut stream = stream("");
            let chunks: Vec<_> = ["a", "", "é\\n\\\"", "b"]
                .iter()
                .map(|text| chunk(model, &format!(r#""content":"{text}""#), "null"))
                .collect();
            let whole = steps(&mut stream, &chunks);
            assert_eq!(stream.moulds.misses, 0, "the later ones fitted");
            let forwarded = whole.iter().map(|step| std::str::from_utf8(step.forward.as_ref().unwrap()).unwrap());
            assert!(
                forwarded.eq(chunks.iter().map(|chunk| format!("data: {}\n\n", chunk.replace("\"up\"", "\"m/a\""))))
            );
            let content: Vec<_> = whole.iter().map(|step| step.content.map(|content| content.bytes)).collect();
            assert_eq!(content, [Some(1), None, Some(4), Some(1)]);
        }
    }

    #[test]
    fn a_server_that_changes_something_in_each_chunk_is_not_learnt_for_ever() {
        let mut stream = stream("");
        let chunks: Vec<_> =
            (0..20).map(|number| chunk("up", &format!(r#""content":"a","n":{number}"#), "null")).collect();
        steps(&mut stream, &chunks);
        assert_eq!(stream.moulds.misses, MISSES);
    }

    /// Chunks that fit each other, nearly fit, or not at all.
    fn chunks() -> impl Strategy<Value = Vec<String>> {
        let model = prop::sample::select(vec!["m/a", "up"]);
        let text = prop::sample::select(vec![
            "",
            "a",
            "é",
            "\\n",
            "\\\"",
            "\\\\",
            "\",\"x\":\"",
            "\"",
            "\\u00e9",
            "\u{1}",
            "\\x",
        ]);
        let delta = prop::sample::select(vec![
            r#""content":"TEXT""#,
            r#""role":"assistant","content":"TEXT""#,
            r#""content":"TEXT","refusal":null"#,
            r#""reasoning":"TEXT""#,
            r#""content":"TEXT","reasoning":"TEXT""#,
            r#""content":"","images":["TEXT"]"#,
            r#""tool_calls":[{"function":{"arguments":"TEXT"}}]"#,
            r#""content":[{"text":"TEXT"}]"#,
            r#""other":"TEXT""#,
            "",
        ]);
        let end = prop::sample::select(vec![
            "null",
            "null",
            "null",
            "\"\"",
            "\"stop\"",
            "\"eos\"",
            "\"error\"",
            r#"null}],"usage":null,"x":[{"y":1"#,
            r#"null}],"usage":{"completion_tokens":1},"x":[{"y":1"#,
        ]);
        let chunk = (model, text, delta, end)
            .prop_map(|(model, text, delta, end)| chunk(model, &delta.replace("TEXT", text), end));
        prop::collection::vec((chunk, 1_usize..3), 1..12)
            .prop_map(|chunks| chunks.into_iter().flat_map(|(chunk, times)| vec![chunk; times]).collect())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 1024, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_stream_is_the_same_as_if_each_chunk_were_read(
            chunks in chunks(), members in prop::sample::select(vec!["", r#","stream_options":{"include_usage":true}"#]),
        ) {
            let (mut quick, mut slow) = (stream(members), stream(members));
            slow.moulds = Moulds::none();
            prop_assert_eq!(steps(&mut quick, &chunks), steps(&mut slow, &chunks));
            prop_assert_eq!(quick.is_finished(), slow.is_finished());
            prop_assert_eq!((quick.content, quick.usage), (slow.content, slow.usage));
        }
    }
}
