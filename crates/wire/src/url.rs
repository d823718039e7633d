//! Queries: their encoding, and credentials that must not be in a URL (W2), for URLs end up in logs.

use claviger_domain::key::{Diagnosis, KeyText, Prefixes};
use std::borrow::Cow;

/// Parameter names under which clients send keys.
const NAMES: [&str; 6] = ["key", "api_key", "apikey", "api-key", "access_token", "token"];

/// Whether a query (without `?`) carries a credential: a parameter of one of those names, in any case and
/// percent-encoded or not, or any text shaped like a key of this server.
pub fn credential_in_query(query: &[u8], prefixes: &Prefixes) -> bool {
    query.split(|byte| matches!(byte, b'&' | b';')).any(|pair| {
        let mut halves = pair.splitn(2, |byte| *byte == b'=');
        let name = decoded(halves.next().unwrap_or_default());
        let value = decoded(halves.next().unwrap_or_default());
        NAMES.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
            || is_key(&name, prefixes)
            || is_key(&value, prefixes)
    })
}

fn is_key(text: &[u8], prefixes: &Prefixes) -> bool {
    let text = text.strip_prefix(b"Bearer ").unwrap_or(text);
    // A mistyped key is still one: whoever finds it in a log needs to try only a few.
    matches!(KeyText::parse(text, prefixes), Ok(_) | Err(Diagnosis::Checksum))
}

/// `+` and percent-encoding resolved once; what is no encoding stays as it is.
pub(crate) fn decoded(text: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr2(b'%', b'+', text).is_none() {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, behind @ ..] = rest {
        let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        rest = match (first, behind) {
            (b'%', [high, low, after @ ..]) if digit(high).is_some() && digit(low).is_some() => {
                out.push(digit(high).unwrap_or_default() << 4 | digit(low).unwrap_or_default());
                after
            }
            (b'+', _) => {
                out.push(b' ');
                behind
            }
            _ => {
                out.push(*first);
                behind
            }
        };
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "clv_0000000000AZ_003aUlTJC7tjlCTQj2uNU3MFagCXG9LRKRcwGkBIDlf2xmin8";

    fn found(query: &str) -> bool {
        credential_in_query(query.as_bytes(), &Prefixes::new("clv_", &[]).unwrap())
    }

    #[test]
    fn a_parameter_that_names_a_credential_is_found() {
        for query in
            ["key=x", "api_key=", "a=1&apikey=2", "API-KEY=x", "access_token", "token=t", "%6Bey=1", "a=1;key=2"]
        {
            assert!(found(query), "{query}");
        }
    }

    #[test]
    fn a_value_shaped_like_a_key_is_found_under_any_name() {
        assert!(found(&format!("q={KEY}")));
        assert!(found(&format!("q={}", KEY.replace('_', "%5F"))));
        assert!(found(&format!("q=Bearer+{KEY}")));
        assert!(found(KEY));
        assert!(found(&format!("q={}9", &KEY[..KEY.len() - 1])), "mistyped");
    }

    #[test]
    fn other_queries_pass() {
        for query in ["", "limit=10", "monkey=1", "keys=1", "beta=true", "api-version=2024", "q=clv_x", "%", "a=%zz"] {
            assert!(!found(query), "{query}");
        }
    }
}
