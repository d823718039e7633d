//! A posted form as the simulator's endpoints read it. The boundary is what the body begins with.

use super::fault::Fault;
use crate::multipart::{self, Part};
use serde_json::value::RawValue;

/// A form, cut into its parts.
pub(super) struct SimForm<'a> {
    body: &'a [u8],
    parts: Vec<Part>,
}

impl<'a> SimForm<'a> {
    /// Cuts a body.
    ///
    /// # Errors
    /// It is no form.
    pub(super) fn read(body: &'a [u8]) -> Result<Self, Fault> {
        let line = body.strip_prefix(b"--").and_then(|rest| rest.split(|byte| *byte == b'\r').next());
        let boundary = line.and_then(|line| std::str::from_utf8(line).ok()).unwrap_or_default();
        let parts = multipart::parts(body, boundary).map_err(|error| Fault::message(error.message.into_owned()))?;
        Ok(Self { body, parts })
    }

    /// How many parts have one of these names.
    pub(super) fn count(&self, names: &[&str]) -> usize {
        self.parts.iter().filter(|part| names.contains(&part.name.as_str())).count()
    }

    /// The bytes of a part.
    pub(super) fn bytes(&self, name: &str) -> Option<&'a [u8]> {
        let part = self.parts.iter().find(|part| part.name == name)?;
        Some(self.body.get(part.value.clone()).unwrap_or_default())
    }

    /// A part as text.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.bytes(name).map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    /// A part as a number.
    ///
    /// # Errors
    /// It is none.
    pub(super) fn number(&self, name: &str) -> Result<Option<u64>, Fault> {
        let Some(text) = self.text(name) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| Fault::invalid_value(name, "it must be a whole number"))
    }

    /// The knobs, as JSON text.
    ///
    /// # Errors
    /// They are no JSON.
    pub(super) fn sim(&self) -> Result<Option<Box<RawValue>>, Fault> {
        let read = |text: String| serde_json::from_str(&text).map_err(|error| Fault::invalid_body(&error));
        self.text("sim").map(read).transpose()
    }
}
