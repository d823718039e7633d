//! The JSON body of a management request, read strictly.
//!
//! Fields are taken by name and kind; what nobody took is refused as unknown or read-only. Duplicate and ambiguous keys
//! are refused by the same scanner that reads inference bodies.

use crate::respond::Refusal;
use crate::serve::Call;
use axum::body::Body;
use axum::extract::FromRequest;
use bytes::Bytes;
use claviger_domain::address::Cidr;
use claviger_domain::error::{Code, PublicError};
use claviger_wire::scan::{Place, Sink, Value as Span, scan_strict};
use http::{HeaderMap, Request, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

/// The scanner only has to refuse here; the values are read by serde behind it.
static ANY_OBJECT: Place<()> = Place::UNREAD;

struct Unread;

impl Sink<()> for Unread {
    fn found(&mut self, (): (), _span: Span) {}
}

/// The members of the body that no handler has taken yet. `null` counts as absent.
#[derive(Debug, Default)]
pub(crate) struct Fields(Map<String, Value>);

/// As [`Fields`], for operations whose body may be left out.
#[derive(Debug, Default)]
pub(crate) struct OptionalFields(pub(crate) Fields);

/// The bytes as they came: what a signature is over.
#[derive(Debug)]
pub(crate) struct RawBody(pub(crate) Bytes);

impl Fields {
    /// Takes a value of any kind.
    pub(crate) fn value(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name)
    }

    /// Parses a body.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, Refusal> {
        scan_strict(body, &ANY_OBJECT, &mut Unread).map_err(PublicError::from)?;
        match serde_json::from_slice(body) {
            Ok(Value::Object(members)) => Ok(Self(members)),
            Ok(_) => Err(Code::BodyNotObject.into()),
            Err(_) => Err(Code::InvalidJson.into()),
        }
    }

    /// Takes a text.
    pub(crate) fn text(&mut self, name: &str) -> Result<Option<String>, Refusal> {
        match self.0.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(Refusal::invalid(name, "a string")),
        }
    }

    /// Takes a text that must be there.
    pub(crate) fn required_text(&mut self, name: &str) -> Result<String, Refusal> {
        self.text(name)?.ok_or_else(|| {
            Refusal::because(Code::MissingRequiredParameter, format!("Missing required parameter: '{name}'."))
                .about(name)
        })
    }

    /// Takes an object as it is.
    pub(crate) fn object(&mut self, name: &str) -> Result<Option<Map<String, Value>>, Refusal> {
        match self.0.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Object(members)) => Ok(Some(members)),
            Some(_) => Err(Refusal::invalid(name, "an object")),
        }
    }

    /// Takes a whole number.
    pub(crate) fn integer(&mut self, name: &str) -> Result<Option<i64>, Refusal> {
        match self.0.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Number(number)) => {
                number.as_i64().map(Some).ok_or_else(|| Refusal::invalid(name, "a whole number"))
            }
            Some(_) => Err(Refusal::invalid(name, "a whole number")),
        }
    }

    /// Takes a whole number that may be lifted: absent, `null`, or a number.
    pub(crate) fn whole_or_null(&mut self, name: &str) -> Result<Option<Option<i64>>, Refusal> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::Null) => self.integer(name).map(|_| Some(None)),
            Some(_) => self.integer(name).map(Some),
        }
    }

    /// Takes a list of texts.
    pub(crate) fn texts(&mut self, name: &str) -> Result<Option<Vec<String>>, Refusal> {
        let expected = || Refusal::invalid(name, "a list of strings");
        match self.0.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Array(list)) => {
                let texts = list.into_iter().map(|value| match value {
                    Value::String(text) => Some(text),
                    _ => None,
                });
                texts.collect::<Option<Vec<_>>>().map(Some).ok_or_else(expected)
            }
            Some(_) => Err(expected()),
        }
    }

    /// Whether a member is there at all: `null` clears, absence leaves.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Takes a whole number from `least` to `most`.
    pub(crate) fn count(&mut self, name: &str, least: u32, most: u32) -> Result<Option<u32>, Refusal> {
        let Some(value) = self.integer(name)? else { return Ok(None) };
        match u32::try_from(value) {
            Ok(value) if (least..=most).contains(&value) => Ok(Some(value)),
            _ => Err(Refusal::invalid(name, format_args!("a whole number from {least} to {most}"))),
        }
    }

    /// Takes a list of texts, or one text.
    pub(crate) fn text_or_texts(&mut self, name: &str) -> Result<Option<Vec<String>>, Refusal> {
        match self.0.remove(name) {
            Some(Value::String(text)) => Ok(Some(vec![text])),
            Some(other) => {
                self.0.insert(name.to_owned(), other);
                self.texts(name)
            }
            None => Ok(None),
        }
    }

    /// Takes a list of 1 to 50 networks.
    pub(crate) fn networks(&mut self, name: &str) -> Result<Option<Vec<Cidr>>, Refusal> {
        let expected = "a list of 1 to 50 addresses or networks such as '203.0.113.7' or '10.0.0.0/8', or null";
        match self.0.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Array(items)) if (1..=50).contains(&items.len()) => {
                let read: Option<Vec<Cidr>> = items.iter().map(|item| item.as_str()?.parse().ok()).collect();
                read.map(Some).ok_or_else(|| Refusal::invalid(name, expected))
            }
            Some(_) => Err(Refusal::invalid(name, expected)),
        }
    }

    /// Takes a truth value; absent is false.
    pub(crate) fn flag(&mut self, name: &str) -> Result<bool, Refusal> {
        match self.0.remove(name) {
            None | Some(Value::Null) => Ok(false),
            Some(Value::Bool(flag)) => Ok(flag),
            Some(_) => Err(Refusal::invalid(name, "true or false")),
        }
    }

    /// Takes a member that is `null`; whether it was.
    pub(crate) fn take_null(&mut self, name: &str) -> bool {
        let is_null = self.0.get(name).is_some_and(Value::is_null);
        if is_null {
            self.0.remove(name);
        }
        is_null
    }

    /// Takes an object, as fields of its own.
    pub(crate) fn fields(&mut self, name: &str) -> Result<Option<Fields>, Refusal> {
        match self.0.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Object(members)) => Ok(Some(Self(members))),
            Some(_) => Err(Refusal::invalid(name, "an object")),
        }
    }

    /// Takes a text, or an object.
    pub(crate) fn object_or_text(&mut self, name: &str) -> Result<Result<String, Fields>, Refusal> {
        match self.0.remove(name) {
            Some(Value::Object(members)) => Ok(Err(Self(members))),
            Some(Value::String(text)) => Ok(Ok(text)),
            _ => Err(Refusal::invalid(name, "a string or an object")),
        }
    }

    /// SHA-256 of what the body says, as hex: members in order of their names, so that spaces do not count.
    pub(crate) fn hash(&self) -> String {
        let text = serde_json::to_string(&self.0).unwrap_or_default();
        Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Refuses what nobody took; names in `read_only` are known, but not the caller's to set.
    pub(crate) fn finish(self, read_only: &[&str]) -> Result<(), Refusal> {
        let Some((name, _)) = self.0.into_iter().next() else { return Ok(()) };
        if read_only.contains(&name.as_str()) {
            return Err(Refusal::because(Code::ReadOnlyField, format!("'{name}' cannot be set.")).about(name));
        }
        Err(Refusal::because(Code::UnknownField, format!("Unknown field: '{name}'.")).about(name))
    }
}

impl<A: Send + Sync> FromRequest<Call<A>> for Fields {
    type Rejection = Refusal;

    async fn from_request(request: Request<Body>, call: &Call<A>) -> Result<Self, Refusal> {
        let (parts, body) = request.into_parts();
        let body = read(body, call.body_bytes_max()).await?;
        check_type(&parts.headers)?;
        Self::parse(&body)
    }
}

impl<A: Send + Sync> FromRequest<Call<A>> for RawBody {
    type Rejection = Refusal;

    async fn from_request(request: Request<Body>, call: &Call<A>) -> Result<Self, Refusal> {
        read(request.into_body(), call.body_bytes_max()).await.map(Self)
    }
}

impl<A: Send + Sync> FromRequest<Call<A>> for OptionalFields {
    type Rejection = Refusal;

    async fn from_request(request: Request<Body>, call: &Call<A>) -> Result<Self, Refusal> {
        let (parts, body) = request.into_parts();
        let body = read(body, call.body_bytes_max()).await?;
        if body.is_empty() {
            return Ok(Self::default());
        }
        check_type(&parts.headers)?;
        Fields::parse(&body).map(Self)
    }
}

async fn read(body: Body, bytes_max: u64) -> Result<Bytes, Refusal> {
    let limit = usize::try_from(bytes_max).unwrap_or(usize::MAX);
    match Limited::new(body, limit).collect().await {
        Ok(whole) => Ok(whole.to_bytes()),
        Err(cause) => Err(code_of(cause.as_ref()).into()),
    }
}

/// A body can be too long, too slow or cut short.
fn code_of(cause: &(dyn std::error::Error + 'static)) -> Code {
    let mut next = Some(cause);
    while let Some(error) = next {
        if error.is::<LengthLimitError>() {
            return Code::RequestTooLarge;
        }
        match error.downcast_ref::<std::io::Error>().map(std::io::Error::kind) {
            Some(std::io::ErrorKind::TimedOut) => return Code::RequestTimeout,
            Some(std::io::ErrorKind::FileTooLarge) => return Code::RequestTooLarge,
            _ => {}
        }
        next = error.source();
    }
    Code::IncompleteBody
}

/// `application/json`, in UTF-8, uncompressed, said once.
fn check_type(headers: &HeaderMap) -> Result<(), Refusal> {
    let is_coded = headers
        .get_all(header::CONTENT_ENCODING)
        .iter()
        .any(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity"));
    if is_coded {
        return Err(Code::UnsupportedContentEncoding.into());
    }
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(only), None) = (types.next(), types.next()) else { return Err(Code::UnsupportedMediaType.into()) };
    let text = only.to_str().unwrap_or_default();
    let (kind, parameters) = text.split_once(';').unwrap_or((text, ""));
    let charset = parameters
        .split(';')
        .filter_map(|part| part.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("charset"));
    let is_utf8 = charset.is_none_or(|(_, value)| value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8"));
    if kind.trim().eq_ignore_ascii_case("application/json") && is_utf8 {
        Ok(())
    } else {
        Err(Code::UnsupportedMediaType.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(result: Result<(), Refusal>) -> Option<Code> {
        result.err().map(|refusal| refusal.public().code)
    }

    #[test]
    fn a_body_says_what_it_is() {
        for (text, is_good) in [
            ("application/json", true),
            ("Application/JSON; charset=UTF-8", true),
            ("application/json; charset=utf-16", false),
            ("text/plain", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, http::HeaderValue::from_static(text));
            assert_eq!(check_type(&headers).is_ok(), is_good, "{text}");
        }
        assert_eq!(code(check_type(&HeaderMap::new())), Some(Code::UnsupportedMediaType));
    }

    #[test]
    fn unknown_and_read_only_fields_are_told_apart() {
        let fields = || Fields::parse(br#"{"id":"key_0"}"#).unwrap_or_default();
        assert_eq!(code(fields().finish(&["id"])), Some(Code::ReadOnlyField));
        assert_eq!(code(fields().finish(&[])), Some(Code::UnknownField));
    }
}
