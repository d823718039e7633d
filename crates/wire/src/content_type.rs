//! Whether a body says it is JSON in UTF-8 (W48, `reliability.md` §4-D 54).

/// Whether the value of the one Content-Type header is `application/json`, in any case, with no other charset than
/// UTF-8. Other parameters say nothing about the bytes and are ignored. Two header lines are the listener's to refuse.
pub fn is_json(value: Option<&str>) -> bool {
    let Some(value) = value else { return false };
    let mut parts = value.split(';').map(str::trim);
    if !parts.next().is_some_and(|media| media.eq_ignore_ascii_case("application/json")) {
        return false;
    }
    parts.all(|parameter| match parameter.split_once('=') {
        Some((name, charset)) if name.trim().eq_ignore_ascii_case("charset") => {
            charset.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
        }
        _ => true,
    })
}

#[cfg(test)]
mod tests {
    use super::is_json;

    #[test]
    fn json_in_utf8_is_accepted_in_any_case() {
        for value in [
            "application/json",
            "Application/JSON",
            "application/json; charset=utf-8",
            "application/json;charset=\"UTF-8\"",
            " application/json ; profile=x",
            "application/json;",
        ] {
            assert!(is_json(Some(value)), "{value}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for value in [
            "",
            "text/plain",
            "application/x-www-form-urlencoded",
            "application/json; charset=utf-16",
            "application/json; charset=latin1",
            "application/jsonx",
            "application/json, application/json",
            "multipart/form-data; boundary=x",
        ] {
            assert!(!is_json(Some(value)), "{value}");
        }
        assert!(!is_json(None));
    }
}
