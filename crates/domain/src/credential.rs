//! Which presented credential counts: an `X-API-Key` line decides alone, then `Authorization: Bearer` (W2).
//!
//! Whether it is good is not decided here.

use crate::error::Code;
use crate::limits;

/// The header values a request came with; `None` = the header is absent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Presented<'a> {
    /// How many `X-API-Key` lines, and the first.
    pub x_api_key: Option<&'a [u8]>,
    /// The first `Authorization` line.
    pub authorization: Option<&'a [u8]>,
    /// Whether either header came twice.
    pub is_repeated: bool,
}

/// The text that counts, cut to [`limits::CREDENTIAL_BYTES`].
///
/// # Errors
/// `MultipleCredentials` when a header came twice; `MissingApiKey` when nothing usable came: none, an empty one, or
/// another scheme. There is no fallback from an `X-API-Key` line, even an empty one.
pub fn choose<'a>(presented: &Presented<'a>) -> Result<&'a [u8], Code> {
    if presented.is_repeated {
        return Err(Code::MultipleCredentials);
    }
    let text = match presented.x_api_key {
        Some(line) => line.trim_ascii(),
        None => presented.authorization.and_then(bearer).ok_or(Code::MissingApiKey)?,
    };
    if text.is_empty() {
        return Err(Code::MissingApiKey);
    }
    Ok(text.get(..limits::CREDENTIAL_BYTES).unwrap_or(text))
}

/// Scheme in any case, one or more spaces.
fn bearer(line: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = line.trim_ascii_start().split_at_checked(6)?;
    (scheme.eq_ignore_ascii_case(b"bearer") && rest.first().is_none_or(|byte| *byte == b' ')).then(|| rest.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choice(x: Option<&'static str>, a: Option<&'static str>) -> Result<&'static str, Code> {
        let presented =
            Presented { x_api_key: x.map(str::as_bytes), authorization: a.map(str::as_bytes), is_repeated: false };
        choose(&presented).map(|text| std::str::from_utf8(text).unwrap())
    }

    #[test]
    fn an_x_api_key_line_decides_alone() {
        assert_eq!(choice(Some("a"), Some("Bearer b")), Ok("a"));
        assert_eq!(choice(Some(""), Some("Bearer b")), Err(Code::MissingApiKey));
        assert_eq!(choice(Some("  "), None), Err(Code::MissingApiKey));
    }

    #[test]
    fn bearer_is_forgiving_in_case_and_spaces_only() {
        assert_eq!(choice(None, Some("bearer k")), Ok("k"));
        assert_eq!(choice(None, Some("BEARER    k ")), Ok("k"));
        for line in ["", "Bearer", "Bearer ", "Basic abc", "Bearerk", "k", "Token k"] {
            assert_eq!(choice(None, Some(line)), Err(Code::MissingApiKey), "{line}");
        }
        assert_eq!(choice(None, None), Err(Code::MissingApiKey));
    }

    #[test]
    fn a_repeated_header_is_refused_even_beside_the_other_kind() {
        let presented = Presented { x_api_key: Some(b"a"), authorization: Some(b"Bearer b"), is_repeated: true };
        assert_eq!(choose(&presented), Err(Code::MultipleCredentials));
    }
}
