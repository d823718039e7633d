//! What prices depend on besides quantities, as requests ask for it and as answers tell it (`money.md` §3).
//!
//! `auto`, and for tiers of service `default`, ask for nothing. Which values have a price is not known here.

use crate::body::invalid;
use crate::scan::{Field, Kind, Place, Sink, Value, scan_lenient};
use claviger_domain::error::PublicError;
use claviger_domain::price::{Condition, Conditions, is_value};

/// The members of an answer, or of the response object in an event, that tell something.
macro_rules! told {
    ($($more:expr)?) => {
        &[
            Field::leaf("size", Condition::Size),
            Field::leaf("quality", Condition::Quality),
            Field::leaf("service_tier", Condition::ServiceTier),
            $($more,)?
        ]
    };
}

const TOLD_MEMBERS: &[Field<Condition>] = told!();
static TOLD: Place<Condition> =
    Place::new(None, told!(Field { name: "response", place: Place::new(None, TOLD_MEMBERS, None) }), None);

/// What a whole answer, or the data of one event, tells. What is no JSON tells nothing.
pub fn told(document: &[u8]) -> Conditions {
    let mut told = Told { document, conditions: Conditions::NONE };
    match scan_lenient(document, &TOLD, &mut told) {
        Ok(()) => told.conditions,
        Err(_) => Conditions::NONE,
    }
}

struct Told<'d> {
    document: &'d [u8],
    conditions: Conditions,
}

impl Sink<Condition> for Told<'_> {
    fn found(&mut self, condition: Condition, value: Value) {
        let Some(text) = value.text(self.document).filter(|text| !text.equals("auto")) else { return };
        self.conditions = std::mem::take(&mut self.conditions).with(condition, &text.to_text());
    }
}

/// Adds what a member of a body asks for.
///
/// # Errors
/// 400: it is no plain word, so it could be read as another one elsewhere.
pub(crate) fn ask(
    conditions: Conditions,
    condition: Condition,
    value: Option<Value>,
    body: &[u8],
) -> Result<Conditions, PublicError> {
    match value.filter(|value| value.kind != Kind::Null) {
        None => Ok(conditions),
        Some(value) => match value.text(body) {
            Some(text) => ask_text(conditions, condition, &text.to_text()),
            None => Err(invalid(condition.name(), "a text")),
        },
    }
}

/// The same of a form's field.
///
/// # Errors
/// As [`ask`].
pub(crate) fn ask_text(conditions: Conditions, condition: Condition, text: &str) -> Result<Conditions, PublicError> {
    match text {
        "auto" => Ok(conditions),
        "default" if condition == Condition::ServiceTier => Ok(conditions),
        text if is_value(text) => Ok(conditions.with(condition, text)),
        _ => Err(invalid(condition.name(), "a word of letters and digits, or `auto`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_tell_conditions_at_their_top_and_in_a_response_object() {
        let told = |document: &str| told(document.as_bytes()).to_string();
        assert_eq!(told(r#"{"data":[],"size":"1024x1536","quality":"high"}"#), "size=1024x1536 quality=high");
        assert_eq!(told(r#"{"type":"x","response":{"service_tier":"priority"}}"#), "service_tier=priority");
        for silent in ["", "<html>", "{}", r#"{"size":"auto","quality":7,"data":[{"size":"1x1"}]}"#] {
            assert_eq!(told(silent), "", "{silent}");
        }
    }

    #[test]
    fn a_word_that_could_be_read_as_another_elsewhere_is_refused() {
        let asked = |text: &str| ask_text(Conditions::NONE, Condition::Size, text).map(|asked| asked.to_string());
        assert_eq!(asked("1024x1024").unwrap(), "size=1024x1024");
        assert_eq!(asked("auto").unwrap(), "");
        for odd in ["1024x1024 ", "", "1024\u{d7}1024", "a b"] {
            assert_eq!(asked(odd).unwrap_err().param.as_deref(), Some("size"), "{odd:?}");
        }
    }
}
