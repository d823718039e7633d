//! What a reader of JSON declares, and what it is given. What the values mean is not known here.

use super::text::Text;
use std::ops::Range;

/// The kind of a value, and the little that is needed to act on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number; its text is the span.
    Number,
    /// A string; the span includes its quotes.
    Text {
        /// Whether it holds a backslash.
        is_escaped: bool,
    },
    /// A list.
    List {
        /// Whether it has no element.
        is_empty: bool,
    },
    /// An object.
    Object {
        /// Whether it has no member.
        is_empty: bool,
    },
}

/// Where a value lies in its document, in bytes; small, because it is handed on and kept for each value that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value {
    /// What it is.
    pub kind: Kind,
    start: u32,
    end: u32,
    member_start: u32,
}

impl Value {
    /// A value of a document of at most `u32::MAX` bytes.
    #[inline]
    pub(super) const fn new(kind: Kind, span: Range<usize>, member_start: usize) -> Self {
        Self { kind, start: span.start as u32, end: span.end as u32, member_start: member_start as u32 }
    }

    /// Its first byte.
    pub const fn start(&self) -> usize {
        self.start as usize
    }

    /// Its bytes.
    pub const fn span(&self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    /// Its bytes from the opening quote of its name on, if it is a member.
    pub const fn member(&self) -> Range<usize> {
        self.member_start as usize..self.end as usize
    }

    /// The bytes of the value in the document it was found in.
    pub fn raw<'d>(&self, document: &'d [u8]) -> &'d [u8] {
        document.get(self.span()).unwrap_or_default()
    }

    /// The text, if it is one.
    pub(crate) fn text<'d>(&self, document: &'d [u8]) -> Option<Text<'d>> {
        let Kind::Text { is_escaped } = self.kind else { return None };
        let inner = document.get(self.start() + 1..(self.end as usize).checked_sub(1)?)?;
        Some(Text { inner, is_escaped })
    }
}

/// An object or list that a reader looks into.
#[derive(Debug)]
pub struct Place<T: 'static> {
    /// What the reader calls it; `None` when only its content counts.
    pub(super) tag: Option<T>,
    /// The members it reads, if it is an object.
    pub(super) fields: &'static [Field<T>],
    /// Its elements, if it is a list.
    pub(super) elements: Option<&'static Self>,
    /// The bit of each field's name: most other names are told apart by theirs.
    pub(super) names: u128,
}

impl<T: Copy> Place<T> {
    /// A value of which nothing is read.
    pub const UNREAD: Self = Self::new(None, &[], None);

    /// An object with these members, a list of these elements, or either. Names are lower-case ASCII.
    pub const fn new(tag: Option<T>, fields: &'static [Field<T>], elements: Option<&'static Self>) -> Self {
        let mut names = 0;
        let mut left = fields;
        while let [field, rest @ ..] = left {
            names |= name_bit(field.name.as_bytes());
            left = rest;
        }
        Self { tag, fields, elements, names }
    }

    /// A value read as a whole.
    pub const fn leaf(tag: T) -> Self {
        Self::new(Some(tag), &[], None)
    }
}

/// A member that a reader looks at.
#[derive(Debug)]
pub struct Field<T: 'static> {
    /// Its name, exactly.
    pub name: &'static str,
    /// What lies there.
    pub place: Place<T>,
}

impl<T: Copy> Field<T> {
    /// A member read as a whole.
    pub const fn leaf(name: &'static str, tag: T) -> Self {
        Self { name, place: Place::leaf(tag) }
    }
}

/// One of 128 bits for a name. Names that differ only in the case of ASCII letters have the same; of others few do.
#[inline]
pub(super) const fn name_bit(name: &[u8]) -> u128 {
    let (_, from_middle) = name.split_at(name.len() / 2);
    let (Some(first), Some(middle), Some(last)) = (name.first(), from_middle.first(), name.last()) else { return 1 };
    // Factors that part the fields of a chat request from those that clients often send beside them.
    let sum = (*first | 0x20)
        .wrapping_mul(16)
        .wrapping_add((*middle | 0x20).wrapping_mul(3))
        .wrapping_add((*last | 0x20).wrapping_mul(57))
        .wrapping_add((name.len() as u8).wrapping_mul(61));
    1 << (sum & 127)
}

/// Takes what a scan finds.
pub trait Sink<T> {
    /// A value of a tagged place has ended. Children come before their parents.
    fn found(&mut self, tag: T, value: Value);
}

/// The number of a text that is digits and nothing else.
pub(crate) fn plain_integer(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |number, byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 { None } else { number.checked_mul(10)?.checked_add(digit.into()) }
    })
}
