//! Writes JSON member by member into one text, for rows that every request writes.
//!
//! A serializer walks the same members through its generality and costs thrice as much. Names are our own and hold
//! nothing that needs an escape; texts are looked at. Whoever reads such a text uses serde.

/// An object in the making.
pub(crate) struct Object(String);

impl Object {
    /// An object that will take about so many bytes.
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        let mut text = String::with_capacity(bytes);
        text.push('{');
        Self(text)
    }

    /// A text.
    pub(crate) fn text(&mut self, name: &'static str, value: &str) {
        self.name(name);
        let is_plain = value.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\');
        if is_plain {
            for part in ["\"", value, "\""] {
                self.0.push_str(part);
            }
        } else {
            // A text always serialises.
            self.0.push_str(&serde_json::to_string(value).unwrap_or_default());
        }
    }

    /// A text, or no member.
    pub(crate) fn text_or_none(&mut self, name: &'static str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(name, value);
        }
    }

    /// A whole number.
    pub(crate) fn number(&mut self, name: &'static str, value: impl itoa::Integer) {
        self.name(name);
        self.0.push_str(itoa::Buffer::new().format(value));
    }

    /// `true` or `false`.
    pub(crate) fn flag(&mut self, name: &'static str, value: bool) {
        self.name(name);
        self.0.push_str(if value { "true" } else { "false" });
    }

    /// An object.
    pub(crate) fn object(&mut self, name: &'static str, object: Self) {
        self.name(name);
        self.0.push_str(&object.end());
    }

    /// A list of objects.
    pub(crate) fn list(&mut self, name: &'static str, objects: impl Iterator<Item = Self>) {
        self.name(name);
        self.0.push('[');
        for (index, object) in objects.enumerate() {
            if index > 0 {
                self.0.push(',');
            }
            self.0.push_str(&object.end());
        }
        self.0.push(']');
    }

    /// The whole text.
    pub(crate) fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }

    fn name(&mut self, name: &'static str) {
        self.0.push_str(if self.0.len() > 1 { ",\"" } else { "\"" });
        self.0.push_str(name);
        self.0.push_str("\":");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn what_is_written_is_what_serde_reads() {
        let mut object = Object::with_capacity(0);
        for (name, value) in [("a", "plain"), ("b", "\"\\\n\u{1}"), ("c", "ü\u{2028}"), ("d", "")] {
            object.text(name, value);
        }
        object.text_or_none("none", None);
        object.number("least", i64::MIN);
        object.number("most", u64::MAX);
        object.flag("yes", true);
        object.object("inner", Object::with_capacity(0));
        object.list("empty", std::iter::empty());
        let one = |number: u8| {
            let mut object = Object::with_capacity(8);
            object.number("n", number);
            object
        };
        object.list("list", [one(1), one(2), Object::with_capacity(0)].into_iter());
        let read: Value = serde_json::from_str(&object.end()).unwrap();
        let expected = json!({
            "a": "plain", "b": "\"\\\n\u{1}", "c": "ü\u{2028}", "d": "", "least": i64::MIN, "most": u64::MAX, "yes": true,
            "inner": {}, "empty": [], "list": [{ "n": 1 }, { "n": 2 }, {}],
        });
        assert_eq!(read, expected);
        assert_eq!(Object::with_capacity(0).end(), "{}");
    }
}
