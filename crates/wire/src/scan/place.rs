//! What a reader of JSON declares, and what it is given. What the values mean is not known here.

use super::text::Text;

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

/// Where a value lies in its document, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value {
    /// What it is.
    pub kind: Kind,
    /// Its first byte.
    pub start: usize,
    /// Behind its last byte.
    pub end: usize,
    /// The opening quote of its name if it is a member, else its first byte.
    pub member_start: usize,
}

impl Value {
    /// The bytes of the value in the document it was found in.
    pub fn raw<'d>(&self, document: &'d [u8]) -> &'d [u8] {
        document.get(self.start..self.end).unwrap_or_default()
    }

    /// The text, if it is one.
    pub(crate) fn text<'d>(&self, document: &'d [u8]) -> Option<Text<'d>> {
        let Kind::Text { is_escaped } = self.kind else { return None };
        let inner = document.get(self.start.checked_add(1)?..self.end.checked_sub(1)?)?;
        Some(Text { inner, is_escaped })
    }
}

/// An object or list that a reader looks into.
#[derive(Debug)]
pub struct Place<T: 'static> {
    /// What the reader calls it; `None` when only its content counts.
    pub tag: Option<T>,
    /// The members it reads, if it is an object. Names are lower-case ASCII.
    pub fields: &'static [Field<T>],
    /// Its elements, if it is a list.
    pub elements: Option<&'static Place<T>>,
}

impl<T> Place<T> {
    /// A value read as a whole.
    pub const fn leaf(tag: T) -> Self {
        Self { tag: Some(tag), fields: &[], elements: None }
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

impl<T> Field<T> {
    /// A member read as a whole.
    pub const fn leaf(name: &'static str, tag: T) -> Self {
        Self { name, place: Place::leaf(tag) }
    }
}

/// Takes what a scan finds.
pub trait Sink<T> {
    /// A value of a tagged place has ended. Children come before their parents.
    fn found(&mut self, tag: T, value: Value);
}
