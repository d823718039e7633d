//! Bodies of several parts (RFC 7578, W7), read as strictly as JSON is: what two parsers could cut differently is refused.
//!
//! A part begins behind `CR LF -- boundary CR LF` and nothing else; the boundary occurs nowhere but there. So no part can
//! hide in a file, in what comes before the first or behind the last, or behind a line end that only some take for one.
//! Bytes of parts are never looked into and leave as they came; a file's name is never a path.

use bytes::Bytes;
use claviger_domain::error::{Code, PublicError};
use claviger_domain::limits;
use memchr::memmem;
use std::ops::Range;

/// Bytes of the head of one part; clients send some hundred.
const HEAD_BYTES: usize = 8 * 1024;
/// Bytes of a boundary (RFC 2046 §5.1.1).
const BOUNDARY_BYTES: usize = 70;

/// One part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// Its name, as it stands between the quotes.
    pub(crate) name: String,
    /// Whether it names a file.
    pub(crate) is_file: bool,
    /// Where its bytes lie in the body.
    pub(crate) value: Range<usize>,
}

/// The boundary that a Content-Type names.
///
/// # Errors
/// 415 for another type, `invalid_multipart` without exactly one sound boundary.
pub fn boundary(content_type: Option<&str>) -> Result<String, PublicError> {
    let (kind, parameters) =
        content_type.and_then(|value| value.split_once(';')).unwrap_or((content_type.unwrap_or_default(), ""));
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return Err(Code::UnsupportedMediaType.into());
    }
    let mut found = None;
    for parameter in parameters.split(';') {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        if name.trim().eq_ignore_ascii_case("boundary") && found.replace(value.trim()).is_some() {
            return Err(broken("the Content-Type names two boundaries"));
        }
    }
    let text = found.ok_or_else(|| broken("the Content-Type names no boundary"))?;
    let text = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
    let is_sound = |byte: u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=?".contains(&byte);
    if (1..=BOUNDARY_BYTES).contains(&text.len()) && text.bytes().all(is_sound) {
        Ok(text.to_owned())
    } else {
        Err(broken("the boundary is not 1 to 70 of the characters that boundaries are made of"))
    }
}

/// A Content-Type that names a boundary, in quotes only where they are needed: not every server reads them.
pub(crate) fn content_type(boundary: &str) -> String {
    let quote = if boundary.contains(['(', ')', ',', '/', ':', '=', '?']) { "\"" } else { "" };
    format!("multipart/form-data; boundary={quote}{boundary}{quote}")
}

/// Cuts a body into its parts.
///
/// # Errors
/// `invalid_multipart`, saying what is wrong; 413 for more than [`limits::FORM_PARTS`].
pub(crate) fn parts(body: &[u8], boundary: &str) -> Result<Vec<Part>, PublicError> {
    let delimiter = [b"--", boundary.as_bytes()].concat();
    let mut found = memmem::find_iter(body, &delimiter);
    if found.next() != Some(0) {
        return Err(broken("it does not begin with its boundary"));
    }
    let mut parts = Vec::new();
    let mut at = delimiter.len();
    loop {
        let rest = body.get(at..).unwrap_or_default();
        if let Some(behind) = rest.strip_prefix(b"--") {
            return match behind {
                b"" | b"\r\n" if !parts.is_empty() => Ok(parts),
                b"" | b"\r\n" => Err(broken("it has no part")),
                _ => Err(broken("text follows its end")),
            };
        }
        let head_at = at + 2;
        let next = found.next().ok_or_else(|| broken("its last boundary is missing"))?;
        let inside = body.get(head_at..next).filter(|_| rest.starts_with(b"\r\n"));
        let inside = inside.ok_or_else(|| broken("a boundary is not followed by a line end"))?;
        let head_length = memmem::find(inside, b"\r\n\r\n").filter(|length| *length <= HEAD_BYTES);
        let head_length = head_length.ok_or_else(|| broken("the head of a part does not end, or is too long"))?;
        let value_end = inside.strip_suffix(b"\r\n").map(<[u8]>::len).filter(|end| *end >= head_length + 4);
        let value_end = value_end.ok_or_else(|| broken("a boundary does not stand at the beginning of a line"))?;
        let start = head_length + 4;
        let (name, is_file) = read_head(inside.get(..head_length).unwrap_or_default())?;
        parts.push(Part { name, is_file, value: head_at + start..head_at + value_end });
        if parts.len() > limits::FORM_PARTS {
            let message = format!("The form has more than {} parts.", limits::FORM_PARTS);
            return Err(PublicError::with_message(Code::RequestTooLarge, message));
        }
        at = next + delimiter.len();
    }
}

/// The body without the parts of these names; itself, where none has one.
pub(crate) fn without(body: &Bytes, parts: &[Part], names: &[&str]) -> Bytes {
    let is_named = |part: &Part| names.contains(&part.name.as_str());
    if !parts.iter().any(is_named) {
        return body.clone();
    }
    let mut rest = Vec::with_capacity(body.len());
    let mut from = 0;
    for part in parts {
        // Behind its bytes and the line end comes the next delimiter.
        let end = part.value.end + 2;
        if !is_named(part) {
            rest.extend_from_slice(body.get(from..end).unwrap_or_default());
        }
        from = end;
    }
    rest.extend_from_slice(body.get(from..).unwrap_or_default());
    rest.into()
}

/// The name of a part, and whether it is a file.
fn read_head(head: &[u8]) -> Result<(String, bool), PublicError> {
    let text = std::str::from_utf8(head).map_err(|_| broken("the head of a part is not UTF-8"))?;
    let mut disposition = None;
    for line in text.split("\r\n") {
        if line.contains(['\r', '\n', '\0']) || line.starts_with([' ', '\t']) {
            return Err(broken("the head of a part has a line that is not one"));
        }
        let (name, value) =
            line.split_once(':').ok_or_else(|| broken("the head of a part has a line without a colon"))?;
        if name.eq_ignore_ascii_case("content-disposition") && disposition.replace(value.trim()).is_some() {
            return Err(broken("a part has two Content-Dispositions"));
        }
        let is_coded = name.eq_ignore_ascii_case("content-transfer-encoding")
            && !["binary", "8bit", "7bit"].iter().any(|plain| value.trim().eq_ignore_ascii_case(plain));
        if is_coded {
            return Err(broken("a part is encoded; send its bytes as they are"));
        }
        if name.is_empty() || name.bytes().any(|byte| !byte.is_ascii_graphic()) {
            return Err(broken("the head of a part has a line without a name"));
        }
    }
    let disposition = disposition.ok_or_else(|| broken("a part has no Content-Disposition"))?;
    read_disposition(disposition)
}

fn read_disposition(text: &str) -> Result<(String, bool), PublicError> {
    let odd = || broken("the Content-Disposition of a part is none of a form");
    let (kind, mut rest) = text.split_once(';').ok_or_else(odd)?;
    if !kind.trim().eq_ignore_ascii_case("form-data") {
        return Err(odd());
    }
    let (mut name, mut is_file) = (None, false);
    loop {
        rest = rest.trim_start();
        let (key, behind) = rest.split_once('=').ok_or_else(odd)?;
        let (value, behind) = match behind.strip_prefix('"') {
            Some(quoted) => {
                let end = quoted_end(quoted).ok_or_else(odd)?;
                (quoted.get(..end).unwrap_or_default(), quoted.get(end + 1..).unwrap_or_default())
            }
            None => behind.split_at(behind.find(';').unwrap_or(behind.len())),
        };
        match key.trim().to_ascii_lowercase().as_str() {
            "name" if name.is_none() => name = Some(value.trim().to_owned()),
            "filename" if !is_file => is_file = true,
            // Read by some and not by others; beside a plain name it only says the same in another alphabet.
            "filename*" if is_file => {}
            _ => return Err(odd()),
        }
        let behind = behind.trim();
        if behind.is_empty() {
            break;
        }
        rest = behind.strip_prefix(';').ok_or_else(odd)?;
    }
    name.filter(|name| !name.is_empty()).map(|name| (name, is_file)).ok_or_else(odd)
}

/// Where a quoted text ends; a backslash hides the quote behind it.
fn quoted_end(text: &str) -> Option<usize> {
    let mut is_hidden = false;
    text.bytes().position(|byte| {
        let is_end = byte == b'"' && !is_hidden;
        is_hidden = byte == b'\\' && !is_hidden;
        is_end
    })
}

fn broken(what: &str) -> PublicError {
    PublicError::with_message(Code::InvalidMultipart, format!("The form cannot be read: {what}."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<Vec<(String, String)>, Code> {
        let parts = parts(body.as_bytes(), "b").map_err(|error| error.code)?;
        Ok(parts.into_iter().map(|part| (part.name, body[part.value].to_owned())).collect())
    }

    fn part(name: &str, value: &str) -> String {
        format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    }

    #[test]
    fn parts_keep_their_order_and_their_bytes() {
        let body = part("file", "a\r\nb\n--c") + &part("model", "m") + &part("empty", "") + "--b--\r\n";
        let expected = [("file", "a\r\nb\n--c"), ("model", "m"), ("empty", "")];
        assert_eq!(read(&body).unwrap(), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let file = "--b\r\nContent-Disposition: form-data; filename=\"..\\\"/x;.mp3\"; name=file\r\nContent-Type: a/b\r\n\r\nx\r\n--b--";
        let parts = parts(file.as_bytes(), "b").unwrap();
        assert_eq!((parts[0].name.as_str(), parts[0].is_file, &file[parts[0].value.clone()]), ("file", true, "x"));
    }

    #[test]
    fn what_two_parsers_could_cut_differently_is_refused() {
        let good = part("model", "m");
        let smuggled = "Content-Disposition: form-data; name=\"model\"\r\n\r\nother\r\n";
        for body in [
            String::new(),
            "--b--\r\n".to_owned(),
            good.clone(),
            format!("preamble\r\n{good}--b--"),
            format!("\r\n{good}--b--"),
            format!("{good}--b--\r\n{good}--b--"),
            format!("{good}--b-- "),
            format!("{good}--b--\r\nepilogue"),
            // A boundary behind a bare line feed, in the middle of a line, with space or text behind it.
            part("file", &format!("x\n--b\r\n{smuggled}")) + "--b--",
            part("file", &format!("x--b\r\n{smuggled}")) + "--b--",
            part("file", "x--b--") + "--b--",
            format!("--b \r\n{smuggled}--b--"),
            format!("--b\n{smuggled}--b--"),
            format!("--bb\r\n{smuggled}--b--"),
            // Heads that are not read alike.
            "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n name=\"model\"\r\n\r\nm\r\n--b--".to_owned(),
            "--b\r\nContent-Disposition: form-data; name=\"a\"\nX: y\r\n\r\nm\r\n--b--".to_owned(),
            "--b\r\nContent-Disposition: form-data; name=\"a\"; name=\"model\"\r\n\r\nm\r\n--b--".to_owned(),
            "--b\r\nContent-Disposition: form-data; name=\"a\"; name*=utf-8''model\r\n\r\nm\r\n--b--".to_owned(),
            "--b\r\nContent-Disposition: form-data; filename*=utf-8''x; name=\"a\"\r\n\r\nm\r\n--b--".to_owned(),
            "--b\r\nContent-Disposition: form-data; name=\"a\r\n\r\nm\r\n--b--".to_owned(),
            "--b\r\nContent-Disposition: form-data; name=\"\"\r\n\r\nm\r\n--b--".to_owned(),
            "--b\r\nContent-Disposition: attachment; name=\"a\"\r\n\r\nm\r\n--b--".to_owned(),
            "--b\r\nContent-Disposition : form-data; name=\"a\"\r\n\r\nm\r\n--b--".to_owned(),
            "--b\r\nContent-Type: text/plain\r\n\r\nm\r\n--b--".to_owned(),
            "--b\r\nContent-Disposition: form-data; name=a\r\nContent-Transfer-Encoding: base64\r\n\r\nbQ==\r\n--b--".to_owned(),
            "--b\r\nContent-Disposition: form-data; name=a\r\nContent-Disposition: form-data; name=model\r\n\r\nm\r\n--b--".to_owned(),
            "--b\r\nContent-Disposition: form-data; name=a\r\n\r\n--b--".to_owned(),
            "--b\r\n\r\nm\r\n--b--".to_owned(),
        ] {
            assert_eq!(read(&body), Err(Code::InvalidMultipart), "{body:?}");
        }
        let many = part("a", "").repeat(limits::FORM_PARTS + 1) + "--b--";
        assert_eq!(read(&many), Err(Code::RequestTooLarge));
        assert!(read(&(part("a", "").repeat(limits::FORM_PARTS) + "--b--")).is_ok());
    }

    #[test]
    fn a_boundary_is_named_once_and_soundly() {
        for (value, expected) in [
            ("multipart/form-data; boundary=x", Ok("x")),
            ("Multipart/Form-Data;charset=utf-8; Boundary=\"a-b_1\"", Ok("a-b_1")),
            ("multipart/form-data", Err(Code::InvalidMultipart)),
            ("multipart/form-data; boundary=", Err(Code::InvalidMultipart)),
            ("multipart/form-data; boundary=x; boundary=y", Err(Code::InvalidMultipart)),
            ("multipart/form-data; boundary=\"a b\"", Err(Code::InvalidMultipart)),
            ("multipart/mixed; boundary=x", Err(Code::UnsupportedMediaType)),
            ("application/json", Err(Code::UnsupportedMediaType)),
        ] {
            assert_eq!(boundary(Some(value)).map_err(|error| error.code), expected.map(str::to_owned), "{value}");
        }
        assert_eq!(boundary(None).unwrap_err().code, Code::UnsupportedMediaType);
        let long = format!("multipart/form-data; boundary={}", "x".repeat(71));
        assert_eq!(boundary(Some(&long)).unwrap_err().code, Code::InvalidMultipart);
    }
}
