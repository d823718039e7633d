//! One strict pass over a JSON body (W48): refuse ambiguity, tell where the values lie that we act on.
//!
//! Parsers behind us disagree: the last of two equal keys wins, or the first, or case is ignored. So a request that
//! two parsers could read differently is refused before any decision. Grammar: RFC 8259, and nothing more. A reader
//! declares the objects it reads as a table of [`Place`]s and gets each value as a span of the document, children
//! before their parents; what the values mean is not known here.
//!
//! Answers of upstreams go through [`scan_lenient`]: the same grammar, but what we only pass on may repeat keys, carry
//! a lone surrogate or a huge number.

mod names;
mod place;
mod text;

/// Whether a seeded bug lets repeated keys pass.
#[cfg(feature = "bugs")]
fn tolerates_repetition() -> bool {
    crate::bugs::accepts_duplicate_keys()
}

/// Repeated keys are refused.
#[cfg(not(feature = "bugs"))]
const fn tolerates_repetition() -> bool {
    false
}

#[cfg(test)]
mod tests;

use claviger_domain::error::{Code, PublicError};
use claviger_domain::limits;
use names::Names;
use place::name_bit;
use std::fmt;

pub(crate) use place::plain_integer;
pub use place::{Field, Kind, Place, Sink, Value};
pub(crate) use text::{Text, quote_into};

/// Nesting of an upstream's answer; recursion needs a bound, and no server nests deeper.
const LENIENT_DEPTH: usize = 128;
/// Bytes of a path in an error's `param`; keys can be as long as the body.
const PATH_BYTES: usize = 200;

/// Why a body is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Not JSON; `offset` is the byte at which that shows.
    Invalid {
        /// The byte, counted from 0.
        offset: usize,
        /// What is wrong there.
        what: &'static str,
    },
    /// A key occurs twice in one object, escapes resolved.
    Duplicate {
        /// Where, as `messages[0].role`.
        path: String,
    },
    /// A key folds to a reserved one without being it.
    Ambiguous {
        /// Where.
        path: String,
        /// The reserved key.
        reserved: &'static str,
    },
    /// Nested deeper than [`limits::JSON_DEPTH`].
    TooDeep,
    /// More than [`limits::JSON_VALUES`] values.
    TooLarge,
    /// Valid JSON, but not an object.
    NotObject,
}

impl Refused {
    fn inside(mut self, segment: impl fmt::Display) -> Self {
        if let Self::Duplicate { path } | Self::Ambiguous { path, .. } = &mut self {
            let dot = if path.is_empty() || path.starts_with('[') { "" } else { "." };
            *path = format!("{segment}{dot}{path}");
            if path.len() > PATH_BYTES {
                path.truncate((0..=PATH_BYTES).rev().find(|at| path.is_char_boundary(*at)).unwrap_or(0));
            }
        }
        self
    }
}

impl From<Refused> for PublicError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Invalid { offset, what } => {
                Self::with_message(Code::InvalidJson, format!("The body is not valid JSON: {what} at byte {offset}."))
            }
            Refused::Duplicate { path } => {
                Self::with_message(Code::DuplicateKey, format!("Duplicate key '{path}'.")).about(path)
            }
            Refused::Ambiguous { path, reserved } => Self::with_message(
                Code::AmbiguousKey,
                format!("The key '{path}' differs from '{reserved}' only in case. Send it exactly as '{reserved}'."),
            )
            .about(path),
            Refused::TooDeep => Self::new(Code::JsonTooDeep),
            Refused::TooLarge => Self::new(Code::JsonTooLarge),
            Refused::NotObject => Self::new(Code::BodyNotObject),
        }
    }
}

/// Reads a caller's body, strictly.
///
/// # Errors
/// [`Refused`]: the first rule of W48 that the body breaks.
pub fn scan_strict<T: Copy, S: Sink<T>>(body: &[u8], top: &'static Place<T>, sink: &mut S) -> Result<(), Refused> {
    check_length(body)?;
    let is_ascii = body.is_ascii();
    if !is_ascii && let Err(invalid) = std::str::from_utf8(body) {
        return Err(Refused::Invalid { offset: invalid.valid_up_to(), what: "invalid UTF-8" });
    }
    Scanner::<T, S, true>::new(body, is_ascii, sink).document(top).map_err(|refused| *refused)
}

/// Reads an upstream's answer: the same grammar, without the rules against ambiguity.
///
/// # Errors
/// [`Refused`]: not JSON, too deep, or not an object.
pub fn scan_lenient<T: Copy, S: Sink<T>>(body: &[u8], top: &'static Place<T>, sink: &mut S) -> Result<(), Refused> {
    check_length(body)?;
    Scanner::<T, S, false>::new(body, false, sink).document(top).map_err(|refused| *refused)
}

/// Spans are of 32 bits; no body that may be read is longer.
fn check_length(body: &[u8]) -> Result<(), Refused> {
    u32::try_from(body.len()).map(drop).map_err(|_| Refused::TooLarge)
}

/// Refusals are boxed on the way up, so that a step's result is two words.
type Step<R> = Result<R, Box<Refused>>;

/// Every step takes the byte at which it begins and gives the one behind what it read.
struct Scanner<'d, 's, T, S, const STRICT: bool> {
    document: &'d [u8],
    is_ascii: bool,
    depth: usize,
    values: usize,
    sink: &'s mut S,
    tags: std::marker::PhantomData<T>,
}

impl<'d, 's, T: Copy + 'static, S: Sink<T>, const STRICT: bool> Scanner<'d, 's, T, S, STRICT> {
    fn new(document: &'d [u8], is_ascii: bool, sink: &'s mut S) -> Self {
        Self { document, is_ascii, depth: 0, values: 0, sink, tags: std::marker::PhantomData }
    }

    fn document(mut self, top: &'static Place<T>) -> Step<()> {
        let start = self.space(0);
        let end = self.value(start, start, Some(top))?;
        let end = self.space(end);
        if end < self.document.len() {
            return invalid(end, "unexpected text behind the end");
        }
        if self.byte(start) == Some(b'{') { Ok(()) } else { Err(Box::new(Refused::NotObject)) }
    }

    #[inline(always)]
    fn value(&mut self, start: usize, member_start: usize, place: Option<&'static Place<T>>) -> Step<usize> {
        if STRICT {
            self.values += 1;
            if self.values > limits::JSON_VALUES {
                return Err(Box::new(Refused::TooLarge));
            }
        }
        // Here and not with the others: most values are texts.
        if self.byte(start) == Some(b'"') {
            let (end, is_escaped) = self.text(start)?;
            if let Some(tag) = place.and_then(|place| place.tag) {
                self.sink.found(tag, Value::new(Kind::Text { is_escaped }, start..end, member_start));
            }
            return Ok(end);
        }
        self.other_value(start, member_start, place)
    }

    #[inline(never)]
    fn other_value(&mut self, start: usize, member_start: usize, place: Option<&'static Place<T>>) -> Step<usize> {
        let (end, kind) = match self.byte(start) {
            Some(b'{') => {
                let inside = self.enter(start)?;
                let is_empty = self.byte(inside) == Some(b'}');
                let end = if is_empty { inside + 1 } else { self.object(inside, place)? };
                self.depth -= 1;
                (end, Kind::Object { is_empty })
            }
            Some(b'[') => {
                let inside = self.enter(start)?;
                let is_empty = self.byte(inside) == Some(b']');
                let end = if is_empty { inside + 1 } else { self.list(inside, place)? };
                self.depth -= 1;
                (end, Kind::List { is_empty })
            }
            Some(b'-' | b'0'..=b'9') => (self.number(start)?, Kind::Number),
            Some(b't') => (self.literal(start, b"true")?, Kind::Bool(true)),
            Some(b'f') => (self.literal(start, b"false")?, Kind::Bool(false)),
            Some(b'n') => (self.literal(start, b"null")?, Kind::Null),
            Some(_) => return invalid(start, "expected a value"),
            None => return invalid(start, "unexpected end"),
        };
        if let Some(tag) = place.and_then(|place| place.tag) {
            self.sink.found(tag, Value::new(kind, start..end, member_start));
        }
        Ok(end)
    }

    /// The members of an object that has one, from the first quote to behind the closing brace.
    fn object(&mut self, inside: usize, place: Option<&'static Place<T>>) -> Step<usize> {
        let mut names = Names::new();
        let mut at = inside;
        loop {
            let member_start = at;
            if self.byte(at) != Some(b'"') {
                return invalid(at, "expected a key");
            }
            let (end, is_escaped) = self.text(at)?;
            let name = Text::new(self.document.get(at + 1..end - 1).unwrap_or_default(), is_escaped);
            let bit = name_bit(name.inner);
            if STRICT && names.is_repeated(name, bit) && !tolerates_repetition() {
                return Err(Box::new(Refused::Duplicate { path: name.to_text() }));
            }
            let child = match place {
                Some(place) => self.field(place, name, bit)?,
                None => None,
            };
            at = self.space(end);
            if self.byte(at) != Some(b':') {
                return invalid(at, "expected ':'");
            }
            let start = self.space(at + 1);
            at = self.value(start, member_start, child).map_err(|refused| inside_member(*refused, name))?;
            at = self.space(at);
            match self.byte(at) {
                Some(b',') => at = self.space(at + 1),
                Some(b'}') => break,
                Some(_) => return invalid(at, "expected ',' or '}'"),
                None => return invalid(at, "unexpected end"),
            }
        }
        if STRICT
            && let Some(path) = names.repeated()
            && !tolerates_repetition()
        {
            return Err(Box::new(Refused::Duplicate { path }));
        }
        Ok(at + 1)
    }

    #[inline]
    fn field(&self, place: &'static Place<T>, name: Text<'_>, bit: u128) -> Step<Option<&'static Place<T>>> {
        if place.names & bit != 0
            && let Some(field) = place.fields.iter().find(|field| field.name.as_bytes() == name.inner)
        {
            return Ok(Some(&field.place));
        }
        // A plain name that is no field's can only fold to one with the same bit.
        if !name.is_escaped && (!STRICT || place.names & bit == 0 && (self.is_ascii || name.inner.is_ascii())) {
            return Ok(None);
        }
        Self::odd_field(place, name)
    }

    /// A field whose name is written with an escape, or a name that may fold to one.
    fn odd_field(place: &'static Place<T>, name: Text<'_>) -> Step<Option<&'static Place<T>>> {
        if let Some(field) = place.fields.iter().find(|field| name.equals(field.name)) {
            return Ok(Some(&field.place));
        }
        let is_ascii = !name.is_escaped && name.inner.is_ascii();
        let folds = |field: &&Field<T>| match is_ascii {
            true => name.inner.eq_ignore_ascii_case(field.name.as_bytes()),
            false => name.folds_to(field.name),
        };
        match place.fields.iter().find(|field| STRICT && folds(field)) {
            Some(field) => Err(Box::new(Refused::Ambiguous { path: name.to_text(), reserved: field.name })),
            None => Ok(None),
        }
    }

    /// The elements of a list that has one, from the first to behind the closing bracket.
    fn list(&mut self, inside: usize, place: Option<&'static Place<T>>) -> Step<usize> {
        let elements = place.and_then(|place| place.elements);
        let mut at = inside;
        for index in 0_usize.. {
            at = self.value(at, at, elements).map_err(|refused| inside_list(*refused, index))?;
            at = self.space(at);
            match self.byte(at) {
                Some(b',') => at = self.space(at + 1),
                Some(b']') => break,
                Some(_) => return invalid(at, "expected ',' or ']'"),
                None => return invalid(at, "unexpected end"),
            }
        }
        Ok(at + 1)
    }

    /// Behind an opening bracket and the space after it.
    fn enter(&mut self, bracket: usize) -> Step<usize> {
        self.depth += 1;
        if self.depth > if STRICT { limits::JSON_DEPTH } else { LENIENT_DEPTH } {
            return Err(Box::new(Refused::TooDeep));
        }
        Ok(self.space(bracket + 1))
    }

    /// Behind the closing quote, and whether the text holds a backslash.
    #[inline]
    fn text(&self, open: usize) -> Step<(usize, bool)> {
        text::skip(self.document, open, STRICT).map_err(|(offset, what)| Box::new(Refused::Invalid { offset, what }))
    }

    fn number(&self, start: usize) -> Step<usize> {
        let mut at = start + usize::from(self.byte(start) == Some(b'-'));
        at = if self.byte(at) == Some(b'0') { at + 1 } else { self.digits(at)? };
        let mut is_plain = true;
        if self.byte(at) == Some(b'.') {
            at = self.digits(at + 1)?;
        }
        if let Some(b'e' | b'E') = self.byte(at) {
            is_plain = false;
            let has_sign = matches!(self.byte(at + 1), Some(b'+' | b'-'));
            at = self.digits(at + 1 + usize::from(has_sign))?;
        }
        // A double holds every number of up to 308 digits without an exponent.
        if STRICT && (!is_plain || at - start > 308) {
            let text = self.document.get(start..at).and_then(|text| std::str::from_utf8(text).ok());
            if text.and_then(|text| text.parse::<f64>().ok()).is_none_or(f64::is_infinite) {
                return invalid(start, "a number beyond the range of a double");
            }
        }
        Ok(at)
    }

    #[inline]
    fn digits(&self, from: usize) -> Step<usize> {
        let mut at = from;
        while self.byte(at).is_some_and(|byte| byte.is_ascii_digit()) {
            at += 1;
        }
        if at == from { invalid(at, "expected a digit") } else { Ok(at) }
    }

    #[inline]
    fn literal(&self, start: usize, text: &[u8]) -> Step<usize> {
        match self.document.get(start..) {
            Some(rest) if rest.starts_with(text) => Ok(start + text.len()),
            _ => invalid(start, "expected a value"),
        }
    }

    /// The first byte from here on that is no white space.
    #[inline]
    fn space(&self, from: usize) -> usize {
        let mut at = from;
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.byte(at) {
            at += 1;
        }
        at
    }

    #[inline]
    fn byte(&self, at: usize) -> Option<u8> {
        self.document.get(at).copied()
    }
}

#[cold]
fn invalid<R>(offset: usize, what: &'static str) -> Step<R> {
    Err(Box::new(Refused::Invalid { offset, what }))
}

#[cold]
fn inside_member(refused: Refused, name: Text<'_>) -> Box<Refused> {
    Box::new(refused.inside(name.to_text()))
}

#[cold]
fn inside_list(refused: Refused, index: usize) -> Box<Refused> {
    Box::new(refused.inside(format_args!("[{index}]")))
}
