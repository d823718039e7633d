//! Strings of JSON: where one ends, what it says, and how to write one.

use std::borrow::Cow;

/// The inside of a string, between its quotes, as the document has it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Text<'d> {
    pub(super) inner: &'d [u8],
    pub(super) is_escaped: bool,
}

impl<'d> Text<'d> {
    /// The inside of a string that a scan accepted.
    pub(crate) const fn new(inner: &'d [u8], is_escaped: bool) -> Self {
        Self { inner, is_escaped }
    }

    /// The inside of a string that begins the document and whose opening quote lies before it, and whether it holds a
    /// backslash; `None` if no string of an answer ends there.
    pub(crate) fn begin(document: &'d [u8]) -> Option<(&'d [u8], bool)> {
        let end = plain_length(document);
        let (end, is_escaped) = match document.get(end) {
            Some(b'"') => (end, false),
            _ => (skip_escaped(document, end, false).ok()?.checked_sub(1)?, true),
        };
        Some((document.get(..end)?, is_escaped))
    }

    /// The text that is written so between quotes.
    pub(super) fn written(inner: &'d [u8]) -> Self {
        Self { inner, is_escaped: memchr::memchr(b'\\', inner).is_some() }
    }

    /// The bytes it stands for.
    pub(crate) fn resolved(self) -> Cow<'d, [u8]> {
        if !self.is_escaped {
            return Cow::Borrowed(self.inner);
        }
        let mut out = Vec::with_capacity(self.inner.len());
        resolve(self.inner, |piece| out.extend_from_slice(piece));
        Cow::Owned(out)
    }

    /// The text it stands for; a lone surrogate or invalid UTF-8 reads as U+FFFD.
    pub(crate) fn to_text(self) -> String {
        match self.resolved() {
            Cow::Borrowed(text) => match std::str::from_utf8(text) {
                Ok(text) => text.to_owned(),
                Err(_) => String::from_utf8_lossy(text).into_owned(),
            },
            Cow::Owned(text) => {
                String::from_utf8(text).unwrap_or_else(|wrong| String::from_utf8_lossy(wrong.as_bytes()).into_owned())
            }
        }
    }

    /// Whether it stands for exactly these characters.
    pub(crate) fn equals(self, other: &str) -> bool {
        if self.is_escaped { *self.resolved() == *other.as_bytes() } else { self.inner == other.as_bytes() }
    }

    /// Whether it is written exactly as these characters, with no escape.
    pub(crate) fn is_raw(self, other: &str) -> bool {
        !self.is_escaped && self.inner == other.as_bytes()
    }

    /// Whether it stands for no character at all.
    pub(crate) const fn is_empty(self) -> bool {
        self.inner.is_empty()
    }

    /// UTF-8 bytes of the text it stands for.
    pub(crate) fn len(self) -> u64 {
        let mut length = self.inner.len();
        if self.is_escaped {
            length = 0;
            resolve(self.inner, |piece| length += piece.len());
        }
        u64::try_from(length).unwrap_or(u64::MAX)
    }

    /// Whether Unicode simple case folding makes it the reserved name.
    ///
    /// Reserved names are lower-case ASCII, and only two characters outside ASCII fold into it: U+212A KELVIN SIGN and
    /// U+017F LATIN SMALL LETTER LONG S (CaseFolding.txt, statuses C and S). Go's decoder folds the same two.
    pub(crate) fn folds_to(self, reserved: &str) -> bool {
        let resolved = self.resolved();
        let Ok(text) = std::str::from_utf8(&resolved) else { return false };
        let folded = text.chars().map(|character| match character {
            '\u{212A}' => 'k',
            '\u{17F}' => 's',
            other => other.to_ascii_lowercase(),
        });
        folded.eq(reserved.chars())
    }
}

/// From an opening quote to behind the closing one, and whether a backslash lies between.
///
/// With strict rules a surrogate must come in a pair. Errors carry the byte at which the string stops being one.
#[inline(always)]
pub(super) fn skip(document: &[u8], open: usize, is_strict: bool) -> Result<(usize, bool), (usize, &'static str)> {
    let start = open + 1;
    let end = start + plain_length(document.get(start..).unwrap_or_default());
    match document.get(end) {
        Some(b'"') => Ok((end + 1, false)),
        _ => Ok((skip_escaped(document, end, is_strict)?, true)),
    }
}

/// The rest of a string from its first byte that is not plain.
fn skip_escaped(document: &[u8], from: usize, is_strict: bool) -> Result<usize, (usize, &'static str)> {
    let mut at = from;
    loop {
        match document.get(at) {
            Some(b'"') => return Ok(at + 1),
            Some(b'\\') => at = skip_escape(document, at, is_strict)?,
            Some(_) => return Err((at, "a control character in a string")),
            None => return Err((at, "unexpected end")),
        }
        at += plain_length(document.get(at..).unwrap_or_default());
    }
}

/// Bytes before the first quote, backslash or control character. Most strings end in the first two words.
#[inline(never)]
fn plain_length(bytes: &[u8]) -> usize {
    let Some((first, rest)) = bytes.split_first_chunk() else { return long_plain_length(bytes, 0) };
    let plain = plain_in_word(*first);
    if plain < 8 {
        return plain;
    }
    let Some((second, rest)) = rest.split_first_chunk() else { return long_plain_length(rest, 8) };
    let plain = plain_in_word(*second);
    if plain < 8 {
        return 8 + plain;
    }
    long_plain_length(rest, 16)
}

/// As [`plain_length`], behind bytes that were looked at already.
#[inline(never)]
fn long_plain_length(bytes: &[u8], before: usize) -> usize {
    // The compiler makes vector instructions of it.
    let has_other = |block: &[u8; 32]| {
        let is_other = |byte: &u8| (byte ^ b'"').min(byte ^ b'\\').min(byte & 0xE0) == 0;
        block.iter().fold(false, |found, byte| found | is_other(byte))
    };
    let mut length = before;
    let mut rest = bytes;
    while let Some((_, behind)) = rest.split_first_chunk().filter(|(block, _)| !has_other(block)) {
        length += 32;
        rest = behind;
    }
    while let Some((word, behind)) = rest.split_first_chunk() {
        let plain = plain_in_word(*word);
        length += plain;
        if plain < 8 {
            return length;
        }
        rest = behind;
    }
    length + rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20)).unwrap_or(rest.len())
}

/// Plain bytes of eight before the first other one.
#[inline]
fn plain_in_word(word: [u8; 8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    let word = u64::from_le_bytes(word);
    // A byte is zero: its high bit is set in the result, which is exact up to the first such byte.
    let zero = |word: u64| word.wrapping_sub(ONES) & !word;
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    let found = (zero(word ^ (ONES * 0x22)) | zero(word ^ (ONES * 0x5C)) | control) & HIGHS;
    (found.trailing_zeros() / 8) as usize
}

fn skip_escape(document: &[u8], at: usize, is_strict: bool) -> Result<usize, (usize, &'static str)> {
    const WRONG: &str = "an unknown escape";
    match document.get(at.saturating_add(1)) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => return Ok(at.saturating_add(2)),
        Some(b'u') => {}
        Some(_) => return Err((at, WRONG)),
        None => return Err((document.len(), "unexpected end")),
    }
    let unit = unit_at(document, at).ok_or((at, WRONG))?;
    let next = at.saturating_add(6);
    if !is_strict || !(0xD800..=0xDFFF).contains(&unit) {
        return Ok(next);
    }
    let is_pair = unit <= 0xDBFF && unit_at(document, next).is_some_and(|low| (0xDC00..=0xDFFF).contains(&low));
    if is_pair { Ok(at.saturating_add(12)) } else { Err((at, "a lone surrogate")) }
}

/// The UTF-16 unit of `\uXXXX` at this place.
fn unit_at(document: &[u8], at: usize) -> Option<u32> {
    let [b'\\', b'u', digits @ ..] = document.get(at..at.checked_add(6)?)? else { return None };
    digits.iter().try_fold(0_u32, |unit, digit| Some((unit << 4) | char::from(*digit).to_digit(16)?))
}

/// Resolves the escapes of a string that a scan has accepted, piece by piece.
fn resolve(inner: &[u8], mut out: impl FnMut(&[u8])) {
    let mut at = 0;
    while let Some(byte) = inner.get(at) {
        if *byte != b'\\' {
            let rest = inner.get(at..).unwrap_or_default();
            let plain = memchr::memchr(b'\\', rest).unwrap_or(rest.len());
            out(rest.get(..plain).unwrap_or_default());
            at += plain;
            continue;
        }
        let (character, length) = match inner.get(at + 1) {
            Some(b'u') => resolve_unit(inner, at),
            Some(b'b') => ('\u{8}', 2),
            Some(b'f') => ('\u{C}', 2),
            Some(b'n') => ('\n', 2),
            Some(b'r') => ('\r', 2),
            Some(b't') => ('\t', 2),
            Some(other) => (char::from(*other), 2),
            None => break,
        };
        out(character.encode_utf8(&mut [0; 4]).as_bytes());
        at += length;
    }
}

fn resolve_unit(inner: &[u8], at: usize) -> (char, usize) {
    let high = unit_at(inner, at).unwrap_or(0xFFFD);
    if (0xD800..=0xDBFF).contains(&high)
        && let Some(low @ 0xDC00..=0xDFFF) = unit_at(inner, at + 6)
        && let Some(pair) = char::from_u32(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00))
    {
        return (pair, 12);
    }
    (char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER), 6)
}

/// Appends `text` as a JSON string, quotes included; nothing beyond what RFC 8259 §7 demands is escaped.
pub(crate) fn quote_into(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut left = text.as_bytes();
    loop {
        let (plain, rest) = left.split_at(plain_length(left));
        out.extend_from_slice(plain);
        let Some((byte, rest)) = rest.split_first() else { break };
        escape_into(out, *byte);
        left = rest;
    }
    out.push(b'"');
}

fn escape_into(out: &mut Vec<u8>, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0');
    match byte {
        b'"' => out.extend_from_slice(b"\\\""),
        b'\\' => out.extend_from_slice(b"\\\\"),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        b'\t' => out.extend_from_slice(b"\\t"),
        _ => out.extend_from_slice(&[b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte & 15)]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn plain_text_ends_at_the_first_byte_that_is_not_plain(
            bytes in prop::collection::vec(
                prop_oneof![60 => 0x5D_u8..=255, 1 => Just(b'"'), 1 => Just(b'\\'), 1 => 0_u8..0x30], 0..200,
            ),
        ) {
            let is_other = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
            prop_assert_eq!(plain_length(&bytes), bytes.iter().position(is_other).unwrap_or(bytes.len()));
        }
    }
}
