//! Edits a document by span and leaves every other byte alone: slices of the original and insertions, nothing copied.

use bytes::Bytes;
use std::ops::Range;

/// Edits of one document. Spans come from its scan and do not overlap, save that members may be removed side by side.
#[derive(Debug, Default)]
pub struct Splice {
    /// The only edit of most documents, on the stack.
    first: Option<Edit>,
    more: Vec<Edit>,
}

#[derive(Clone, Debug)]
struct Edit {
    span: Range<usize>,
    text: Bytes,
    is_member: bool,
}

impl Splice {
    /// No edits.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether the document stays as it is.
    pub fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// Puts `text` in the place of a span.
    pub fn replace(&mut self, span: Range<usize>, text: impl Into<Bytes>) {
        self.push(Edit { span, text: text.into(), is_member: false });
    }

    /// Puts `text` before the byte `at`. Of several at one place the first stays first.
    pub fn insert(&mut self, at: usize, text: impl Into<Bytes>) {
        self.replace(at..at, text);
    }

    /// Takes a member out of its object, or an element out of its list, with the comma that belongs to it.
    pub fn remove_member(&mut self, span: Range<usize>) {
        self.push(Edit { span, text: Bytes::new(), is_member: true });
    }

    fn push(&mut self, edit: Edit) {
        if self.first.is_none() {
            self.first = Some(edit);
        } else {
            self.more.push(edit);
        }
    }

    /// The edited document in pieces; none is empty.
    pub fn apply(mut self, document: &Bytes) -> Vec<Bytes> {
        self.settle(document);
        let mut pieces = Vec::with_capacity(self.more.len() * 2 + 3);
        let mut at = 0;
        for Edit { span, text, .. } in self.first.into_iter().chain(self.more) {
            pieces.push(document.slice(at..span.start));
            pieces.push(text);
            at = span.end;
        }
        pieces.push(document.slice(at..));
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
    pub fn apply_between(mut self, before: &[u8], document: &[u8], behind: &[u8]) -> Bytes {
        self.settle(document);
        let edits = || self.first.iter().chain(&self.more);
        let grown = before.len() + document.len() + behind.len() + edits().map(|edit| edit.text.len()).sum::<usize>();
        // Exact, so that the buffer becomes the result as it is.
        let mut whole = Vec::with_capacity(grown - edits().map(|edit| edit.span.len()).sum::<usize>());
        whole.extend_from_slice(before);
        let mut at = 0;
        for Edit { span, text, .. } in edits() {
            whole.extend_from_slice(document.get(at..span.start).unwrap_or_default());
            whole.extend_from_slice(text);
            at = span.end;
        }
        whole.extend_from_slice(document.get(at..).unwrap_or_default());
        whole.extend_from_slice(behind);
        whole.into()
    }

    /// The edited document between two texts, in two pieces: what comes before and behind a hole that no edit touches.
    pub(crate) fn around(
        &self,
        before: &[u8],
        document: &[u8],
        hole: Range<usize>,
        behind: &[u8],
    ) -> (Vec<u8>, Vec<u8>) {
        let side = |is_wanted: &dyn Fn(&Edit) -> bool| {
            let mut edits = self.first.iter().chain(&self.more).filter(|edit| is_wanted(edit)).cloned();
            Self { first: edits.next(), more: edits.collect() }
        };
        let head = side(&|edit| edit.span.end <= hole.start);
        let head = head.apply_between(before, document.get(..hole.start).unwrap_or_default(), b"");
        let mut tail = side(&|edit| edit.span.start >= hole.end);
        for edit in tail.first.iter_mut().chain(&mut tail.more) {
            edit.span = edit.span.start - hole.end..edit.span.end - hole.end;
        }
        let tail = tail.apply_between(b"", document.get(hole.end..).unwrap_or_default(), behind);
        (head.into(), tail.into())
    }

    /// Puts the edits in order, apart from each other and within the document.
    fn settle(&mut self, document: &[u8]) {
        let is_removing = self.first.iter().chain(&self.more).any(|edit| edit.is_member);
        if is_removing || !self.more.is_empty() {
            if let Some(first) = self.first.take() {
                self.more.insert(0, first);
            }
            self.more.sort_by_key(|edit| (edit.span.start, edit.span.end));
            if is_removing {
                self.more = widen_removals(std::mem::take(&mut self.more), document);
            }
        }
        let mut at = 0;
        for edit in self.first.iter_mut().chain(&mut self.more) {
            edit.span.start = edit.span.start.clamp(at, document.len());
            edit.span.end = edit.span.end.clamp(edit.span.start, document.len());
            at = edit.span.end;
        }
    }
}

/// Joins removed neighbours and takes one comma with each run: the one behind it, else the one before it.
fn widen_removals(edits: Vec<Edit>, document: &[u8]) -> Vec<Edit> {
    let mut joined: Vec<Edit> = Vec::with_capacity(edits.len());
    for edit in edits {
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
        if let Some(comma) = behind.iter().position(|byte| !is_space(*byte)).filter(|at| behind.get(*at) == Some(&b','))
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
    joined
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
