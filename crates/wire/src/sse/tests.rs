//! Every line end, comments, and every split of every case.

use super::*;
use proptest::prelude::*;

/// Reads a stream that arrives in these pieces; what it leaves behind comes last.
fn read(pieces: impl IntoIterator<Item = Bytes>) -> Vec<Frame> {
    let mut reader = SseReader::new();
    let mut frames = Vec::new();
    for piece in pieces {
        reader.push(piece);
        while let Some(frame) = reader.next() {
            frames.push(frame.unwrap());
        }
    }
    frames.extend(reader.finish());
    frames
}

fn said(frames: &[Frame]) -> Vec<(Option<&str>, &str)> {
    let text = |bytes| std::str::from_utf8(bytes).unwrap();
    frames.iter().map(|frame| (frame.event.as_deref().map(text), text(&frame.data))).collect()
}

/// The `event` and the `data` of a frame.
type Said = (Option<&'static str>, &'static str);

const STREAMS: &[(&str, &[Said])] = &[
    ("data: a\n\ndata: b\n\n", &[(None, "a"), (None, "b")]),
    ("data: a\r\n\r\ndata: b\r\n\r\n", &[(None, "a"), (None, "b")]),
    ("event: x\r\ndata: a\r\ndata: b\r\n\r\n:\r\ndata: c\r\n\r\n", &[(Some("x"), "a\nb"), (None, "c")]),
    ("event: x\rdata: a\rdata: b\r\r", &[(Some("x"), "a\nb")]),
    ("data: a\r\rdata: b\r\r", &[(None, "a"), (None, "b")]),
    ("data: a\n\r\ndata: b\r\n\ndata: c\r\r\n", &[(None, "a"), (None, "b"), (None, "c")]),
    (": hello\n\ndata: a\n\n:\n\n: keep-alive\n\ndata: b\n\n", &[(None, "a"), (None, "b")]),
    (": hello\ndata: a\n: between\n\n", &[(None, "a")]),
    ("event: x\ndata: a\nid: 7\nretry: 5\n\nevent: y\n\ndata: b\n\n", &[(Some("x"), "a"), (None, "b")]),
    ("data: a\ndata: b\ndata:\ndata\n\n", &[(None, "a\nb\n\n")]),
    ("data:a\n\ndata:  b\n\ndata\n\n", &[(None, "a"), (None, " b"), (None, "")]),
    ("\u{feff}data: a\n\n\u{feff}data: b\n\ndata: c\n\n", &[(None, "a"), (None, "c")]),
    ("\n\n\ndata: a\n\n\n\n\ndata: b\n\n", &[(None, "a"), (None, "b")]),
    ("\r\n\r\ndata: a\r\n\r\n\r\n", &[(None, "a")]),
    ("data: a: b\n\n:data: c\n\ndatum: d\n\n", &[(None, "a: b")]),
    ("data: a\n\ndata: [DONE]", &[(None, "a"), (None, "[DONE]")]),
    ("data: a\n\ndata: [DONE]\n", &[(None, "a"), (None, "[DONE]")]),
    ("data: {\"content\":\"é\u{2028}\u{1F600}\"}\n\n", &[(None, "{\"content\":\"é\u{2028}\u{1F600}\"}")]),
    ("", &[]),
    (": only a comment", &[]),
];

#[test]
fn every_stream_reads_the_same_at_every_split() {
    for (stream, expected) in STREAMS {
        let whole = Bytes::from_static(stream.as_bytes());
        assert_eq!(said(&read([whole.clone()])), *expected, "{stream:?}");
        for first in 0..=whole.len() {
            for second in first..=whole.len() {
                let pieces = [whole.slice(..first), whole.slice(first..second), whole.slice(second..)];
                assert_eq!(said(&read(pieces)), *expected, "{stream:?} cut at {first} and {second}");
            }
        }
        let bytes = (0..whole.len()).map(|at| whole.slice(at..=at));
        assert_eq!(said(&read(bytes)), *expected, "{stream:?} byte by byte");
    }
}

#[test]
fn two_pushes_before_a_next_lose_nothing() {
    let mut reader = SseReader::new();
    reader.push(Bytes::from_static(b"data: a\n\nda"));
    reader.push(Bytes::from_static(b"ta: b\n\n"));
    assert_eq!(reader.next().unwrap().unwrap().data, "a");
    assert_eq!(reader.next().unwrap().unwrap().data, "b");
    assert_eq!(reader.next(), None);
}

#[test]
fn an_event_that_came_in_one_piece_is_a_slice_of_it() {
    let piece = Bytes::from_static(b"data: a\n\ndata: b\n\n");
    let frames = read([piece.clone()]);
    for (frame, at) in frames.iter().zip([0, 9]) {
        assert!(std::ptr::eq(frame.raw.as_ptr(), piece[at..].as_ptr()), "copied");
        assert!(std::ptr::eq(frame.data.as_ptr(), piece[at + 6..].as_ptr()), "copied");
        assert!(frame.is_plain && frame.is_whole);
    }
}

#[test]
fn only_one_data_line_with_line_feeds_is_plain() {
    for (stream, is_plain) in [
        ("data: a\n\n", true),
        ("data:a\n\n", false),
        ("data: a\r\n\r\n", false),
        ("data: a\n\r\n", false),
        ("data: a\ndata: b\n\n", false),
        ("event: x\ndata: a\n\n", false),
        (": x\ndata: a\n\n", false),
    ] {
        assert_eq!(read([Bytes::from_static(stream.as_bytes())])[0].is_plain, is_plain, "{stream:?}");
    }
}

#[test]
fn what_a_closed_stream_leaves_behind_is_not_whole() {
    let frames = read([Bytes::from_static(b"data: a\n\ndata: {\"b\":")]);
    assert_eq!(frames.iter().map(|frame| frame.is_whole).collect::<Vec<_>>(), [true, false]);
}

#[test]
fn an_event_at_the_limit_passes_and_one_beyond_it_ends_the_stream() {
    let event = |bytes: usize| Bytes::from(format!("data: {}\n\n", "x".repeat(bytes - 8)));
    for pieces in [1, 7, 100] {
        let run = |event: Bytes| {
            let mut reader = SseReader::with_limit(100);
            let mut last = None;
            for piece in event.chunks(pieces) {
                reader.push(Bytes::copy_from_slice(piece));
                last = last.or(reader.next());
            }
            last.unwrap()
        };
        assert_eq!(run(event(100)).unwrap().raw.len(), 100);
        assert_eq!(run(event(101)), Err(TooLong));
    }
    let mut reader = SseReader::with_limit(100);
    reader.push(vec![b':'; 101].into());
    assert_eq!(reader.next(), Some(Err(TooLong)), "a line without end is bounded too");
}

#[test]
fn the_default_limit_is_sixteen_mebibytes() {
    assert_eq!(SseReader::new().event_bytes_max, 16 * 1024 * 1024);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_stream_reads_the_same_whole_and_byte_by_byte(
        tokens in prop::collection::vec(
            prop::sample::select(vec!["data", "data: ", "event", ":", " ", "\r", "\n", "\r\n", "\n\n", "x", "é", "\u{feff}"]),
            0..40,
        ),
    ) {
        let whole = Bytes::from(tokens.concat());
        let said_of = |frames: Vec<Frame>| -> Vec<_> {
            frames.into_iter().map(|frame| (frame.event, frame.data, frame.is_whole)).collect()
        };
        let at_once = said_of(read([whole.clone()]));
        let bit_by_bit = said_of(read((0..whole.len()).map(|at| whole.slice(at..=at))));
        prop_assert_eq!(at_once, bit_by_bit);
    }
}
