//! `Idempotency-Key` (W31): what the header may be, and by what two requests are the same.
//!
//! Two forms are the same whatever boundary stands between their parts: SDKs draw another one for every try. What is kept
//! under a key, and for how long, is not known here.

use claviger_domain::endpoint::Operation;
use claviger_domain::error::Code;
use http::HeaderMap;
use memchr::memmem;
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;

/// Characters of a key (W31).
const KEY_BYTES: usize = 255;

/// The key that a caller has named its request by.
///
/// # Errors
/// `invalid_idempotency_key`: empty, too long, not printable ASCII, or twice.
pub fn key(headers: &HeaderMap) -> Result<Option<String>, Code> {
    let mut values = headers.get_all("idempotency-key").iter();
    let value = match (values.next(), values.next()) {
        (None, _) => return Ok(None),
        (Some(value), None) => value.as_bytes(),
        (Some(_), Some(_)) => return Err(Code::InvalidIdempotencyKey),
    };
    let is_good = (1..=KEY_BYTES).contains(&value.len()) && value.iter().all(|byte| (b' '..=b'~').contains(byte));
    let text = std::str::from_utf8(value).ok().filter(|_| is_good);
    text.map(|text| Some(text.to_owned())).ok_or(Code::InvalidIdempotencyKey)
}

/// The same for equal requests of one endpoint only: a hash of what was asked, as hex.
pub fn fingerprint(operation: Operation, query: Option<&str>, boundary: Option<&str>, body: &[u8]) -> String {
    let mut hash = Sha256::new();
    for text in [operation.name(), query.unwrap_or_default()] {
        hash.update(text.len().to_be_bytes());
        hash.update(text);
    }
    let mut rest = 0;
    if let Some(boundary) = boundary.filter(|boundary| !boundary.is_empty()) {
        for at in memmem::find_iter(body, boundary) {
            let piece = body.get(rest..at).unwrap_or_default();
            hash.update(piece.len().to_be_bytes());
            hash.update(piece);
            rest = at + boundary.len();
        }
    }
    hash.update(body.get(rest..).unwrap_or_default());
    hash.finalize().iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn headers(values: &[&[u8]]) -> HeaderMap {
        let values = values.iter().map(|value| HeaderValue::from_bytes(value).unwrap());
        values.map(|value| (http::HeaderName::from_static("idempotency-key"), value)).collect()
    }

    #[test]
    fn a_key_is_1_to_255_printable_characters_and_comes_once() {
        assert_eq!(key(&headers(&[])), Ok(None));
        assert_eq!(key(&headers(&[b"order 7/~"])), Ok(Some("order 7/~".to_owned())));
        assert_eq!(key(&headers(&[&[b'x'; 255]])), Ok(Some("x".repeat(255))));
        for bad in [&headers(&[b""]), &headers(&[&[b'x'; 256]]), &headers(&[b"a\tb"]), &headers(&[b"\xc3\xa9"])] {
            assert_eq!(key(bad), Err(Code::InvalidIdempotencyKey), "{bad:?}");
        }
        let twice: HeaderMap = {
            let mut twice = headers(&[b"a"]);
            twice.append("idempotency-key", HeaderValue::from_static("a"));
            twice
        };
        assert_eq!(key(&twice), Err(Code::InvalidIdempotencyKey));
    }

    #[test]
    fn equal_requests_have_one_fingerprint_and_others_have_others() {
        let json = |operation, query, body: &[u8]| fingerprint(operation, query, None, body);
        let first = json(Operation::ChatCompletions, None, b"{}");
        assert_eq!(first, json(Operation::ChatCompletions, None, b"{}"));
        for other in [
            json(Operation::ChatCompletions, None, b"{ }"),
            json(Operation::Completions, None, b"{}"),
            json(Operation::ChatCompletions, Some("beta=true"), b"{}"),
        ] {
            assert_ne!(first, other);
        }
    }

    #[test]
    fn a_form_is_the_same_behind_another_boundary() {
        let form = |boundary: &str, value: &str| {
            let body =
                format!("--{boundary}\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n{value}\r\n--{boundary}--");
            fingerprint(Operation::Transcribe, None, Some(boundary), body.as_bytes())
        };
        assert_eq!(form("one", "x"), form("another", "x"));
        assert_ne!(form("one", "x"), form("one", "y"));
    }
}
