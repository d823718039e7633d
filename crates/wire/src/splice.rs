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
    pub fn apply(mut self, document: &Bytes) -> Vec<Bytes> {
        self.edits.sort_by_key(|edit| (edit.span.start, edit.span.end));
        self.widen_removals(document);
        let mut pieces = Vec::with_capacity(self.edits.len() * 2 + 1);
        let mut at = 0_usize;
        for edit in self.edits {
            let end = edit.span.end.clamp(at, document.len());
            let start = edit.span.start.clamp(at, document.len());
            pieces.push(document.slice(at..start));
            pieces.push(edit.text);
            at = end;
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
        let pieces = self.apply(document);
        let mut whole = Vec::with_capacity(pieces.iter().map(Bytes::len).sum());
        for piece in &pieces {
            whole.extend_from_slice(piece);
        }
        whole.into()
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
