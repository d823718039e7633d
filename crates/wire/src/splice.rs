//! Edits a document by span and leaves every other byte alone: slices of the original and insertions, nothing copied.

use bytes::Bytes;
use std::ops::Range;

/// Edits of one document. Spans come from its scan and do not overlap, save that members may be removed side by side.
#[derive(Debug, Default)]
pub struct Splice {
    edits: Vec<Edit>,
}

#[derive(Debug)]
struct Edit {
    span: Range<usize>,
    text: Bytes,
    is_member: bool,
}

enum Piece {
    Kept(Range<usize>),
    New(Bytes),
}

impl Splice {
    /// No edits.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether the document stays as it is.
    pub fn is_empty(&self) -> bool {
        self.edits.is_empty()
    }

    /// Puts `text` in the place of a span.
    pub fn replace(&mut self, span: Range<usize>, text: impl Into<Bytes>) {
        self.edits.push(Edit { span, text: text.into(), is_member: false });
    }

    /// Puts `text` before the byte `at`. Of several at one place the first stays first.
    pub fn insert(&mut self, at: usize, text: impl Into<Bytes>) {
        self.replace(at..at, text);
    }

    /// Takes a member out of its object, or an element out of its list, with the comma that belongs to it.
    pub fn remove_member(&mut self, span: Range<usize>) {
        self.edits.push(Edit { span, text: Bytes::new(), is_member: true });
    }

    /// The edited document in pieces; none is empty.
    pub fn apply(self, document: &Bytes) -> Vec<Bytes> {
        let mut pieces = Vec::with_capacity(self.edits.len() * 2 + 1);
        self.walk(document, |piece| match piece {
            Piece::Kept(span) => pieces.push(document.slice(span)),
            Piece::New(text) => pieces.push(text),
        });
        pieces.retain(|piece| !piece.is_empty());
        pieces
    }

    /// The edited document in one piece; the document itself when nothing is edited.
    pub fn apply_whole(self, document: &Bytes) -> Bytes {
        if self.is_empty() {
            return document.clone();
        }
        self.apply_between(b"", document, b"")
    }

    /// The edited document between two texts, in one piece.
    pub fn apply_between(self, before: &[u8], document: &[u8], behind: &[u8]) -> Bytes {
        let inserted: usize = self.edits.iter().map(|edit| edit.text.len()).sum();
        let mut whole = Vec::with_capacity(before.len() + document.len() + inserted + behind.len());
        whole.extend_from_slice(before);
        self.walk(document, |piece| match piece {
            Piece::Kept(span) => whole.extend_from_slice(document.get(span).unwrap_or_default()),
            Piece::New(text) => whole.extend_from_slice(&text),
        });
        whole.extend_from_slice(behind);
        whole.into()
    }

    fn walk(mut self, document: &[u8], mut piece: impl FnMut(Piece)) {
        self.edits.sort_by_key(|edit| (edit.span.start, edit.span.end));
        if self.edits.iter().any(|edit| edit.is_member) {
            self.widen_removals(document);
        }
        let mut at = 0_usize;
        for edit in self.edits {
            let start = edit.span.start.clamp(at, document.len());
            piece(Piece::Kept(at..start));
            piece(Piece::New(edit.text));
            at = edit.span.end.clamp(start, document.len());
        }
        piece(Piece::Kept(at..document.len()));
    }

    /// Joins removed neighbours and takes one comma with each run: the one behind it, else the one before it.
    fn widen_removals(&mut self, document: &[u8]) {
        let mut joined: Vec<Edit> = Vec::with_capacity(self.edits.len());
        for edit in self.edits.drain(..) {
            match joined.last_mut() {
                Some(last)
                    if last.is_member && edit.is_member && is_one_comma(document, last.span.end..edit.span.start) =>
                {
                    last.span.end = edit.span.end;
                }
                _ => joined.push(edit),
            }
        }
        for edit in joined.iter_mut().filter(|edit| edit.is_member) {
            let behind = document.get(edit.span.end..).unwrap_or_default();
            let before = document.get(..edit.span.start).unwrap_or_default();
            if let Some(comma) =
                behind.iter().position(|byte| !is_space(*byte)).filter(|at| behind.get(*at) == Some(&b','))
            {
                let rest = behind.get(comma + 1..).unwrap_or_default();
                let space = rest.iter().position(|byte| !is_space(*byte)).unwrap_or(rest.len());
                edit.span.end += comma + 1 + space;
            } else if let Some(comma) =
                before.iter().rposition(|byte| !is_space(*byte)).filter(|at| before.get(*at) == Some(&b','))
            {
                edit.span.start = comma;
            }
        }
        self.edits = joined;
    }
}

const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\r' | b'\t')
}

fn is_one_comma(document: &[u8], between: Range<usize>) -> bool {
    let between = document.get(between).unwrap_or_default();
    between.iter().filter(|byte| **byte == b',').count() == 1
        && between.iter().all(|byte| is_space(*byte) || *byte == b',')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn edited(document: &'static str, edit: impl FnOnce(&mut Splice)) -> String {
        let document = Bytes::from_static(document.as_bytes());
        let mut splice = Splice::new();
        edit(&mut splice);
        String::from_utf8(splice.apply(&document).concat()).unwrap()
    }

    #[test]
    fn untouched_bytes_are_slices_of_the_document() {
        let document = Bytes::from_static(b"0123456789");
        let mut splice = Splice::new();
        splice.replace(2..4, "xy");
        let pieces = splice.apply(&document);
        assert_eq!(pieces.concat(), b"01xy456789");
        assert!(std::ptr::eq(pieces[0].as_ptr(), document.as_ptr()));
        assert!(std::ptr::eq(pieces[2].as_ptr(), document[4..].as_ptr()));
    }

    #[test]
    fn no_edit_gives_the_very_buffer() {
        let document = Bytes::from_static(b"{}");
        assert!(std::ptr::eq(Splice::new().apply_whole(&document).as_ptr(), document.as_ptr()));
    }

    #[test]
    fn insertions_at_one_place_keep_their_order() {
        assert_eq!(
            edited("{1}", |splice| {
                splice.insert(1, "a");
                splice.insert(1, "b");
            }),
            "{ab1}"
        );
    }

    #[test]
    fn a_member_takes_one_comma_with_it() {
        for (document, spans, expected) in [
            ("{a,b,c}", vec![(1, 2)], "{b,c}"),
            ("{a,b,c}", vec![(3, 4)], "{a,c}"),
            ("{a,b,c}", vec![(5, 6)], "{a,b}"),
            ("{a}", vec![(1, 2)], "{}"),
            ("{a , b , c}", vec![(1, 2)], "{b , c}"),
            ("{a , b , c}", vec![(9, 10)], "{a , b }"),
            ("{a,b,c}", vec![(3, 4), (5, 6)], "{a}"),
            ("{a,b,c}", vec![(1, 2), (3, 4)], "{c}"),
            ("{a,b,c}", vec![(1, 2), (5, 6)], "{b}"),
            ("{a,b,c}", vec![(1, 2), (3, 4), (5, 6)], "{}"),
            ("[ a ,\n b ]", vec![(2, 3), (7, 8)], "[  ]"),
        ] {
            let edit = |splice: &mut Splice| spans.iter().rev().for_each(|span| splice.remove_member(span.0..span.1));
            assert_eq!(edited(document, edit), expected, "{document} without {spans:?}");
        }
    }

    #[test]
    fn a_removal_beside_an_insertion_and_a_replacement() {
        assert_eq!(
            edited("{a,b,c}", |splice| {
                splice.remove_member(5..6);
                splice.insert(1, "x,");
                splice.replace(3..4, "B");
            }),
            "{x,a,B}"
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn an_object_without_some_members_is_still_one(
            count in 1_usize..12, removed in any::<u16>(), space in "[ \n]{0,2}",
        ) {
            let mut document = "{".to_owned();
            let mut spans = Vec::new();
            for number in 0..count {
                if number > 0 {
                    document.push_str(&format!("{space},{space}"));
                }
                let start = document.len();
                document.push_str(&format!("\"k{number}\":{number}"));
                spans.push(start..document.len());
            }
            document.push('}');
            let mut splice = Splice::new();
            let mut kept = serde_json::Map::new();
            for (number, span) in spans.into_iter().enumerate() {
                if removed >> number & 1 == 1 {
                    splice.remove_member(span);
                } else {
                    kept.insert(format!("k{number}"), number.into());
                }
            }
            let left = splice.apply_between(b"", document.as_bytes(), b"");
            let left: serde_json::Value = serde_json::from_slice(&left).unwrap();
            prop_assert_eq!(left, serde_json::Value::Object(kept));
        }
    }
}
