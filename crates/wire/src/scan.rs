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

#[cfg(test)]
mod tests;

use claviger_domain::error::{Code, PublicError};
use claviger_domain::limits;
use names::Names;
use std::fmt;

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
    if let Err(invalid) = std::str::from_utf8(body) {
        return Err(Refused::Invalid { offset: invalid.valid_up_to(), what: "invalid UTF-8" });
    }
    Scanner::<T, S, true>::new(body, sink).document(top)
}

/// Reads an upstream's answer: the same grammar, without the rules against ambiguity.
///
/// # Errors
/// [`Refused`]: not JSON, too deep, or not an object.
pub fn scan_lenient<T: Copy, S: Sink<T>>(body: &[u8], top: &'static Place<T>, sink: &mut S) -> Result<(), Refused> {
    Scanner::<T, S, false>::new(body, sink).document(top)
}

struct Scanner<'d, 's, T, S, const STRICT: bool> {
    document: &'d [u8],
    at: usize,
    depth: usize,
    values: usize,
    names: Names<'d>,
    sink: &'s mut S,
    tags: std::marker::PhantomData<T>,
}

impl<'d, 's, T: Copy + 'static, S: Sink<T>, const STRICT: bool> Scanner<'d, 's, T, S, STRICT> {
    fn new(document: &'d [u8], sink: &'s mut S) -> Self {
        Self { document, at: 0, depth: 0, values: 0, names: Names::default(), sink, tags: std::marker::PhantomData }
    }

    fn document(mut self, top: &'static Place<T>) -> Result<(), Refused> {
        self.skip_space();
        let is_object = self.peek() == Some(b'{');
        self.value(Some(top), self.at)?;
        self.skip_space();
        if self.at < self.document.len() {
            return self.invalid("unexpected text behind the end");
        }
        if is_object { Ok(()) } else { Err(Refused::NotObject) }
    }

    fn value(&mut self, place: Option<&'static Place<T>>, member_start: usize) -> Result<(), Refused> {
        self.values = self.values.saturating_add(1);
        if STRICT && self.values > limits::JSON_VALUES {
            return Err(Refused::TooLarge);
        }
        let start = self.at;
        let kind = match self.peek() {
            Some(b'"') => Kind::Text { is_escaped: self.text()? },
            Some(b'{') => Kind::Object { is_empty: self.object(place)? },
            Some(b'[') => Kind::List { is_empty: self.list(place)? },
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(b't') => self.literal(b"true", Kind::Bool(true))?,
            Some(b'f') => self.literal(b"false", Kind::Bool(false))?,
            Some(b'n') => self.literal(b"null", Kind::Null)?,
            Some(_) => return self.invalid("expected a value"),
            None => return self.invalid("unexpected end"),
        };
        if let Some(tag) = place.and_then(|place| place.tag) {
            self.sink.found(tag, Value { kind, start, end: self.at, member_start });
        }
        Ok(())
    }

    fn object(&mut self, place: Option<&'static Place<T>>) -> Result<bool, Refused> {
        self.enter()?;
        if self.peek() == Some(b'}') {
            self.leave();
            return Ok(true);
        }
        let fields = place.map(|place| place.fields).unwrap_or_default();
        let mark = self.names.mark();
        loop {
            let member_start = self.at;
            if self.peek() != Some(b'"') {
                return self.invalid("expected a key");
            }
            let is_escaped = self.text()?;
            let inner = member_start.saturating_add(1)..self.at.saturating_sub(1);
            let name = Text { inner: self.document.get(inner).unwrap_or_default(), is_escaped };
            if STRICT && self.names.is_repeated(name, mark) {
                return Err(Refused::Duplicate { path: name.to_text() });
            }
            let child = if fields.is_empty() { None } else { Self::field(fields, name)? };
            self.skip_space();
            if self.peek() != Some(b':') {
                return self.invalid("expected ':'");
            }
            self.advance();
            self.skip_space();
            self.value(child, member_start).map_err(|refused| refused.inside(name.to_text()))?;
            self.skip_space();
            match self.peek() {
                Some(b',') => self.advance(),
                Some(b'}') => break,
                Some(_) => return self.invalid("expected ',' or '}'"),
                None => return self.invalid("unexpected end"),
            }
            self.skip_space();
        }
        if STRICT && let Some(path) = self.names.close(mark) {
            return Err(Refused::Duplicate { path });
        }
        self.leave();
        Ok(false)
    }

    fn field(fields: &'static [Field<T>], name: Text<'_>) -> Result<Option<&'static Place<T>>, Refused> {
        if let Some(field) = fields.iter().find(|field| name.equals(field.name)) {
            return Ok(Some(&field.place));
        }
        match fields.iter().find(|field| STRICT && name.folds_to(field.name)) {
            Some(field) => Err(Refused::Ambiguous { path: name.to_text(), reserved: field.name }),
            None => Ok(None),
        }
    }

    fn list(&mut self, place: Option<&'static Place<T>>) -> Result<bool, Refused> {
        self.enter()?;
        if self.peek() == Some(b']') {
            self.leave();
            return Ok(true);
        }
        let elements = place.and_then(|place| place.elements);
        let mut index = 0_usize;
        loop {
            self.value(elements, self.at).map_err(|refused| refused.inside(format_args!("[{index}]")))?;
            index = index.saturating_add(1);
            self.skip_space();
            match self.peek() {
                Some(b',') => self.advance(),
                Some(b']') => break,
                Some(_) => return self.invalid("expected ',' or ']'"),
                None => return self.invalid("unexpected end"),
            }
            self.skip_space();
        }
        self.leave();
        Ok(false)
    }

    /// Behind the opening bracket and the space after it.
    fn enter(&mut self) -> Result<(), Refused> {
        self.depth = self.depth.saturating_add(1);
        if self.depth > if STRICT { limits::JSON_DEPTH } else { LENIENT_DEPTH } {
            return Err(Refused::TooDeep);
        }
        self.advance();
        self.skip_space();
        Ok(())
    }

    /// Behind the closing bracket.
    fn leave(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        self.advance();
    }

    /// Behind the closing quote; whether the text holds a backslash.
    fn text(&mut self) -> Result<bool, Refused> {
        match text::skip(self.document, self.at, STRICT) {
            Ok((end, is_escaped)) => {
                self.at = end;
                Ok(is_escaped)
            }
            Err((offset, what)) => Err(Refused::Invalid { offset, what }),
        }
    }

    fn number(&mut self) -> Result<Kind, Refused> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.advance();
        }
        match self.peek() {
            Some(b'0') => self.advance(),
            _ => self.digits()?,
        }
        let mut is_plain = true;
        if self.peek() == Some(b'.') {
            self.advance();
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            is_plain = false;
            self.advance();
            if let Some(b'+' | b'-') = self.peek() {
                self.advance();
            }
            self.digits()?;
        }
        // A double holds every number of up to 308 digits without an exponent.
        if STRICT && (!is_plain || self.at.saturating_sub(start) > 308) {
            let text = self.document.get(start..self.at).and_then(|text| std::str::from_utf8(text).ok());
            if text.and_then(|text| text.parse::<f64>().ok()).is_none_or(f64::is_infinite) {
                return Err(Refused::Invalid { offset: start, what: "a number beyond the range of a double" });
            }
        }
        Ok(Kind::Number)
    }

    fn digits(&mut self) -> Result<(), Refused> {
        if !self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            return self.invalid("expected a digit");
        }
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.advance();
        }
        Ok(())
    }

    fn literal(&mut self, text: &[u8], kind: Kind) -> Result<Kind, Refused> {
        if !self.document.get(self.at..).is_some_and(|rest| rest.starts_with(text)) {
            return self.invalid("expected a value");
        }
        self.at = self.at.saturating_add(text.len());
        Ok(kind)
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.advance();
        }
    }

    fn peek(&self) -> Option<u8> {
        self.document.get(self.at).copied()
    }

    fn advance(&mut self) {
        self.at = self.at.saturating_add(1);
    }

    fn invalid<R>(&self, what: &'static str) -> Result<R, Refused> {
        Err(Refused::Invalid { offset: self.at, what })
    }
}
