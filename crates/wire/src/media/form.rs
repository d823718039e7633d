//! A form with files, read like a JSON body is (W7, W48, W49): fields that are acted on stand there once and by their
//! exact names, and what says where a request goes is refused.

use crate::body::{ENGINE, FORBIDDEN, ModelName, invalid, missing};
use crate::multipart::{self, Part};
use crate::scan::{plain_integer, quote_into};
use bytes::Bytes;
use claviger_domain::error::{Code, PublicError};
use claviger_domain::limits;
use std::ops::Range;

/// A form, cut into its parts.
#[derive(Debug)]
pub(crate) struct Form {
    pub(crate) body: Bytes,
    boundary: String,
    parts: Vec<Part>,
}

impl Form {
    /// Cuts a body. Each of `once` may stand there once at most.
    ///
    /// # Errors
    /// The refusal of W7, W48 or W49, with its `param`.
    pub(crate) fn read(content_type: Option<&str>, body: Bytes, once: &[&str]) -> Result<Self, PublicError> {
        let boundary = multipart::boundary(content_type)?;
        let parts = multipart::parts(&body, &boundary)?;
        let form = Self { body, boundary, parts };
        form.check(once)?;
        Ok(form)
    }

    /// Refuses what W48 and W49 refuse of JSON bodies.
    fn check(&self, once: &[&str]) -> Result<(), PublicError> {
        for (position, part) in self.parts.iter().enumerate() {
            if let Some(name) = FORBIDDEN.iter().find(|name| **name == part.name) {
                return Err(PublicError::new(Code::ForbiddenParameter).about(*name));
            }
            for reserved in once {
                let is_same = part.name == *reserved;
                if !is_same && part.name.trim().eq_ignore_ascii_case(reserved) {
                    let message = format!("The field '{}' differs from '{reserved}' only in case.", part.name);
                    return Err(PublicError::with_message(Code::AmbiguousKey, message).about(part.name.clone()));
                }
                let mut former = self.parts.iter().take(position);
                if is_same && former.any(|other| other.name == part.name) {
                    let message = format!("Duplicate key '{reserved}'.");
                    return Err(PublicError::with_message(Code::DuplicateKey, message).about(*reserved));
                }
            }
        }
        Ok(())
    }

    /// The parts of these names.
    pub(crate) fn named<'a>(&'a self, names: &'a [&str]) -> impl Iterator<Item = &'a Part> {
        self.parts.iter().filter(move |part| names.contains(&part.name.as_str()))
    }

    /// The part of a name.
    pub(crate) fn find(&self, name: &str) -> Option<&Part> {
        self.parts.iter().find(|part| part.name == name)
    }

    /// Its value as text.
    pub(crate) fn text(&self, name: &str) -> Result<Option<&str>, PublicError> {
        let Some(part) = self.find(name) else { return Ok(None) };
        let bytes = self.body.get(part.value.clone()).unwrap_or_default();
        std::str::from_utf8(bytes).map(Some).map_err(|_| invalid(name, "text in UTF-8"))
    }

    /// A flag, false when it is not there.
    pub(crate) fn flag(&self, name: &str) -> Result<bool, PublicError> {
        match self.text(name)?.unwrap_or("false") {
            "true" | "True" | "1" => Ok(true),
            "false" | "False" | "0" => Ok(false),
            _ => Err(invalid(name, "true or false")),
        }
    }

    /// A whole number within a range.
    pub(crate) fn number(&self, name: &str, range: std::ops::RangeInclusive<u64>) -> Result<Option<u64>, PublicError> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let expected = || format!("a whole number from {} to {}", range.start(), range.end());
        let number = plain_integer(text.as_bytes()).filter(|number| range.contains(number));
        number.map(Some).ok_or_else(|| invalid(name, &expected()))
    }

    /// The model, and where its name stands.
    pub(crate) fn model(&self) -> Result<(ModelName, Range<usize>), PublicError> {
        let id = self.text("model")?.ok_or_else(|| missing("model"))?;
        let is_sound = (1..=limits::MODEL_ID_BYTES).contains(&id.len()) && !id.contains(char::is_control);
        if !is_sound {
            return Err(PublicError::new(Code::InvalidModel).about("model"));
        }
        let mut json = Vec::with_capacity(id.len() + 2);
        quote_into(&mut json, id);
        let at = self.find("model").map(|part| part.value.clone()).unwrap_or_default();
        Ok((ModelName { id: id.to_owned(), json: json.into() }, at))
    }

    /// What says where or how an engine runs the request.
    pub(crate) fn engine(&self) -> Option<&'static str> {
        ENGINE.iter().copied().find(|name| self.find(name).is_some())
    }

    /// A part more, as it stands before the first one; `None` where something else stands there.
    pub(crate) fn part_before(&self, name: &str, value: &str) -> Option<String> {
        let opening = format!("--{}\r\n", self.boundary);
        let is_first = self.body.starts_with(opening.as_bytes());
        is_first.then(|| format!("{opening}Content-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"))
    }

    /// The Content-Type that it leaves with.
    pub(crate) fn content_type(&self) -> String {
        multipart::content_type(&self.boundary)
    }
}
