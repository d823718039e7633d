//! A text, a list of texts, a list of token ids, or a list of such lists: the `input` of embeddings and the `prompt` of
//! completions. What is made of them is the endpoint's.

use crate::body::{invalid, missing};
use crate::scan::{Kind, Value, plain_integer};
use claviger_domain::error::PublicError;

/// What a scan has seen of them.
#[derive(Debug, Default)]
pub(super) struct Inputs {
    whole: Option<Value>,
    texts: u64,
    lists: u64,
    /// Numbers that stand for themselves in the list, and in all.
    numbers: u64,
    tokens: u64,
    text_bytes: u64,
    has_empty_text: bool,
    /// Something is neither a text nor a token id, or a list is empty.
    is_odd: bool,
}

/// How much there is of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counted {
    /// Inputs, each of which is answered.
    pub(super) inputs: u64,
    /// Token ids, when they are made of them.
    pub(super) token_ids: Option<u64>,
    /// UTF-8 bytes of text.
    pub(super) text_bytes: u64,
    /// Whether a text is empty.
    pub(super) has_empty_text: bool,
}

impl Inputs {
    /// The member itself.
    pub(super) fn whole(&mut self, value: Value, document: &[u8]) {
        self.whole = Some(value);
        if matches!(value.kind, Kind::Text { .. }) {
            self.text(value, document);
        }
    }

    /// An element of its list.
    pub(super) fn item(&mut self, value: Value, document: &[u8]) {
        match value.kind {
            Kind::Text { .. } => {
                self.texts = self.texts.saturating_add(1);
                self.text(value, document);
            }
            Kind::Number => {
                self.numbers = self.numbers.saturating_add(1);
                self.token(value, document);
            }
            Kind::List { is_empty: false } => self.lists = self.lists.saturating_add(1),
            _ => self.is_odd = true,
        }
    }

    /// An element of a list in its list.
    pub(super) fn token(&mut self, value: Value, document: &[u8]) {
        self.tokens = self.tokens.saturating_add(1);
        self.is_odd |= value.kind != Kind::Number || plain_integer(value.raw(document)).is_none();
    }

    fn text(&mut self, value: Value, document: &[u8]) {
        let bytes = value.text(document).map_or(0, |text| text.len());
        self.has_empty_text |= bytes == 0;
        self.text_bytes = self.text_bytes.saturating_add(bytes);
    }

    /// How much there is.
    ///
    /// # Errors
    /// `missing_required_parameter`, `invalid_value`, about `param`.
    pub(super) fn counted(&self, param: &str) -> Result<Counted, PublicError> {
        let whole = self.whole.ok_or_else(|| missing(param))?;
        let Self { texts, numbers, lists, tokens, text_bytes, has_empty_text, .. } = *self;
        let (inputs, token_ids) = match (whole.kind, texts, numbers, lists) {
            _ if self.is_odd => return Err(odd(param)),
            (Kind::Text { .. }, ..) => (1, None),
            (Kind::List { .. }, 1.., 0, 0) => (texts, None),
            (Kind::List { .. }, 0, 1.., 0) => (1, Some(tokens)),
            (Kind::List { .. }, 0, 0, 1..) => (lists, Some(tokens)),
            _ => return Err(odd(param)),
        };
        Ok(Counted { inputs, token_ids, text_bytes, has_empty_text })
    }
}

/// The refusal of something else.
pub(super) fn odd(param: &str) -> PublicError {
    invalid(param, "a text, a list of texts, a list of token ids, or a list of such lists; none empty")
}
