//! The token rule: a token is 4 Unicode scalar values, the last may be shorter.
//!
//! `tokens(s) = ⌈scalars(s)/4⌉`, so the empty text has none. Whose tokens they are is not known here.

use std::fmt::Write as _;

const SCALARS_PER_TOKEN: usize = 4;

/// Tokens of a text.
pub(super) fn count(text: &str) -> u64 {
    u64::try_from(text.chars().count().div_ceil(SCALARS_PER_TOKEN)).unwrap_or(u64::MAX)
}

/// Where token number `tokens` (from 0) begins, in bytes; the text's length if it has no more.
fn byte_of_token(text: &str, tokens: u64) -> usize {
    let scalars = usize::try_from(tokens).unwrap_or(usize::MAX).saturating_mul(SCALARS_PER_TOKEN);
    text.char_indices().nth(scalars).map_or(text.len(), |(byte, _)| byte)
}

/// A text that will be sent token by token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Words {
    /// Given as it is.
    Text {
        /// The text.
        text: String,
        /// Its tokens, counted once.
        tokens: u64,
    },
    /// `001 `, `002 `, …: k mod 1000 in three digits and a space, one token each.
    Numbers(u64),
    /// `r01 `, `r02 `, …: k mod 100 in two digits, one token each.
    Reasons(u64),
}

/// How far a text has been sent.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cursor {
    token: u64,
    byte: usize,
}

impl Words {
    /// A given text.
    pub(super) fn text(text: impl Into<String>) -> Self {
        let text = text.into();
        let tokens = count(&text);
        Self::Text { text, tokens }
    }

    /// Nothing to send.
    pub(super) const fn none() -> Self {
        Self::Numbers(0)
    }

    /// Tokens in all.
    pub(super) const fn tokens(&self) -> u64 {
        match self {
            Self::Text { tokens, .. } | Self::Numbers(tokens) | Self::Reasons(tokens) => *tokens,
        }
    }

    /// Drops what lies behind the first `limit` tokens.
    pub(super) fn cut(&mut self, limit: u64) {
        if self.tokens() <= limit {
            return;
        }
        match self {
            Self::Text { text, tokens } => {
                text.truncate(byte_of_token(text, limit));
                *tokens = limit;
            }
            Self::Numbers(tokens) | Self::Reasons(tokens) => *tokens = limit,
        }
    }

    /// The token the cursor stands on; `None` behind the last.
    pub(super) fn piece<'a>(&'a self, cursor: &Cursor, scratch: &'a mut String) -> Option<&'a str> {
        if cursor.token >= self.tokens() {
            return None;
        }
        let number = cursor.token.saturating_add(1);
        scratch.clear();
        let written = match self {
            Self::Text { text, .. } => {
                let rest = text.get(cursor.byte..).unwrap_or_default();
                return rest.get(..byte_of_token(rest, 1));
            }
            Self::Numbers(_) => write!(scratch, "{:03} ", number % 1000),
            Self::Reasons(_) => write!(scratch, "r{:02} ", number % 100),
        };
        written.ok().map(|()| scratch.as_str())
    }

    /// Moves the cursor to the next token.
    pub(super) fn advance(&self, cursor: &mut Cursor) {
        if let Self::Text { text, .. } = self {
            let rest = text.get(cursor.byte..).unwrap_or_default();
            cursor.byte = cursor.byte.saturating_add(byte_of_token(rest, 1));
        }
        cursor.token = cursor.token.saturating_add(1);
    }

    /// The whole text.
    pub(super) fn whole(&self) -> std::borrow::Cow<'_, str> {
        if let Self::Text { text, .. } = self {
            return text.as_str().into();
        }
        let mut all = String::new();
        let mut scratch = String::new();
        let mut cursor = Cursor::default();
        while let Some(piece) = self.piece(&cursor, &mut scratch) {
            all.push_str(piece);
            self.advance(&mut cursor);
        }
        all.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_four_scalars_and_the_last_may_be_shorter() {
        for (text, tokens) in
            [("", 0), ("a", 1), ("abcd", 1), ("abcde", 2), ("äöüß", 1), ("🦀🦀🦀🦀🦀", 2), ("Say hello", 3)]
        {
            assert_eq!(count(text), tokens, "{text}");
        }
    }

    fn pieces(words: &Words) -> Vec<String> {
        let (mut cursor, mut scratch, mut all) = (Cursor::default(), String::new(), Vec::new());
        while let Some(piece) = words.piece(&cursor, &mut scratch) {
            all.push(piece.to_owned());
            words.advance(&mut cursor);
        }
        all
    }

    #[test]
    fn a_text_is_sent_token_by_token() {
        assert_eq!(pieces(&Words::text("Say hellö")), ["Say ", "hell", "ö"]);
        assert_eq!(pieces(&Words::text("")), [""; 0]);
        assert_eq!(pieces(&Words::Numbers(3)), ["001 ", "002 ", "003 "]);
        assert_eq!(pieces(&Words::Reasons(2)), ["r01 ", "r02 "]);
        assert_eq!(pieces(&Words::Numbers(1001)).last().map(String::as_str), Some("001 "));
    }

    #[test]
    fn a_cut_text_has_exactly_the_tokens_of_the_limit() {
        let mut words = Words::text("äöüßabcdef");
        words.cut(2);
        assert_eq!((words.tokens(), words.whole().as_ref()), (2, "äöüßabcd"));
        words.cut(9);
        assert_eq!(words.tokens(), 2);
        words.cut(0);
        assert_eq!((words.tokens(), words.whole().as_ref()), (0, ""));
    }
}
