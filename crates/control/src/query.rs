//! The query string, read strictly: each handler takes what it knows, the rest is refused by name.

use crate::respond::Refusal;
use crate::serve::Call;
use axum::extract::FromRequestParts;
use claviger_domain::error::Code;
use claviger_domain::limits;
use claviger_storage::{Order, PageRequest};
use http::request::Parts;

/// Decoded parameters that no handler has taken yet.
#[derive(Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Decodes a query string: `application/x-www-form-urlencoded` names and values.
    pub(crate) fn parse(raw: &str) -> Result<Self, Refusal> {
        let mut pairs = Vec::new();
        for part in raw.split('&').filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let (Some(name), Some(value)) = (decoded(name), decoded(value)) else {
                return Err(Refusal::because(
                    Code::InvalidValue,
                    "The query string is not valid percent-encoded UTF-8.",
                ));
            };
            pairs.push((name, value));
        }
        Ok(Self(pairs))
    }

    /// Takes a parameter that may come once.
    pub(crate) fn text(&mut self, name: &str) -> Result<Option<String>, Refusal> {
        let mut found = self.take(|candidate| candidate == name);
        match found.len() {
            0 => Ok(None),
            1 => Ok(found.pop()),
            _ => Err(Refusal::because(Code::InvalidValue, format!("The parameter '{name}' came twice.")).about(name)),
        }
    }

    /// Takes a list: `name=a&name=b`, `name[]=a&name[]=b` or `name=a,b`; empty when absent.
    pub(crate) fn list(&mut self, name: &str) -> Vec<String> {
        let bracketed = format!("{name}[]");
        let found = self.take(|candidate| candidate == name || candidate == bracketed);
        found.iter().flat_map(|value| value.split(',')).filter(|value| !value.is_empty()).map(str::to_owned).collect()
    }

    /// Takes a list whose values may hold commas: only repeats and brackets.
    pub(crate) fn repeats(&mut self, name: &str) -> Vec<String> {
        let bracketed = format!("{name}[]");
        self.take(|candidate| candidate == name || candidate == bracketed)
    }

    /// Takes a whole number.
    pub(crate) fn integer(&mut self, name: &str) -> Result<Option<i64>, Refusal> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        text.parse().map(Some).map_err(|_| Refusal::invalid(name, "a whole number"))
    }

    /// Takes a truth value; absent is false.
    pub(crate) fn flag(&mut self, name: &str) -> Result<bool, Refusal> {
        match self.text(name)?.as_deref() {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(Refusal::invalid(name, "true or false")),
        }
    }

    /// Takes `limit`, `after`, `before` and `order`.
    pub(crate) fn page(&mut self) -> Result<PageRequest, Refusal> {
        let limit = match self.integer("limit")? {
            None => 20,
            Some(limit) => match u32::try_from(limit) {
                Ok(limit) if (1..=limits::PAGE_ROWS).contains(&limit) => limit,
                _ => {
                    return Err(Refusal::invalid(
                        "limit",
                        format_args!("a whole number from 1 to {}", limits::PAGE_ROWS),
                    ));
                }
            },
        };
        let order = match self.text("order")?.as_deref() {
            None | Some("desc") => Order::Descending,
            Some("asc") => Order::Ascending,
            Some(_) => return Err(Refusal::invalid("order", "'asc' or 'desc'")),
        };
        Ok(PageRequest { limit, after: self.text("after")?, before: self.text("before")?, order })
    }

    /// Refuses what nobody took.
    pub(crate) fn finish(self) -> Result<(), Refusal> {
        match self.0.into_iter().next() {
            None => Ok(()),
            Some((name, _)) => {
                Err(Refusal::because(Code::UnknownField, format!("Unknown parameter: '{name}'.")).about(name))
            }
        }
    }

    fn take(&mut self, is_wanted: impl Fn(&str) -> bool) -> Vec<String> {
        let (wanted, rest) = std::mem::take(&mut self.0).into_iter().partition(|(name, _)| is_wanted(name));
        self.0 = rest;
        let wanted: Vec<(String, String)> = wanted;
        wanted.into_iter().map(|(_, value)| value).collect()
    }
}

impl<A: Send + Sync> FromRequestParts<Call<A>> for Query {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _call: &Call<A>) -> Result<Self, Refusal> {
        Self::parse(parts.uri.query().unwrap_or_default())
    }
}

/// A captured piece of a path as it was meant: clients escape what could end a piece, such as the slash in a model's id.
pub(crate) fn unescaped(piece: &str) -> Option<String> {
    decoded(&piece.replace('+', "%2B"))
}

/// `+` is a space, `%XX` a byte; `None` for a broken escape or text that is not UTF-8.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let high = char::from(rest.next()?).to_digit(16)?;
                let low = char::from(rest.next()?).to_digit(16)?;
                bytes.push(u8::try_from(high * 16 + low).ok()?);
            }
            other => bytes.push(other),
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_come_bracketed_encoded_or_repeated() {
        let mut query = Query::parse("models%5B%5D=a%2Fb&models[]=c&models=d&x=1+2").ok().unwrap_or_default();
        assert_eq!(query.list("models"), ["a/b", "c", "d"]);
        assert_eq!(query.text("x").ok().flatten().as_deref(), Some("1 2"));
        assert!(query.finish().is_ok());
    }

    #[test]
    fn a_piece_of_a_path_is_read_as_it_was_meant() {
        assert_eq!(unescaped("acme%2Fchat+1%3Afree").as_deref(), Some("acme/chat+1:free"));
        assert_eq!(unescaped("*").as_deref(), Some("*"));
        assert_eq!((unescaped("%F"), unescaped("%ff")), (None, None));
    }

    #[test]
    fn an_unknown_parameter_is_refused_by_name() {
        let refusal = Query::parse("limmit=5").and_then(Query::finish).err();
        let error = refusal.as_ref().map(Refusal::public);
        assert_eq!(error.map(|error| error.code), Some(Code::UnknownField));
        assert_eq!(error.and_then(|error| error.param.as_deref()), Some("limmit"));
    }

    #[test]
    fn a_page_has_1_to_100_rows() {
        for (text, is_good) in
            [("limit=1", true), ("limit=100", true), ("limit=0", false), ("limit=101", false), ("limit=x", false)]
        {
            let page = Query::parse(text).and_then(|mut query| query.page());
            assert_eq!(page.is_ok(), is_good, "{text}");
        }
    }
}
