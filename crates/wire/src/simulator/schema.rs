//! One value that fits a JSON schema: the arguments of a simulated tool call, the object of a structured answer.
//!
//! Required members in order, a string is `"sim"` or the first enum value, a number 1, a boolean true, a list empty, an
//! object recursive; compact. Local references are followed. Bounded in depth and in values, because a schema may
//! refer to itself.

use super::usage::push_text;
use serde_json::Value;

const DEPTH_MAX: u32 = 16;
const VALUES_MAX: u32 = 1_000;

/// The compact JSON text of the value.
pub(super) fn instance(schema: &Value) -> String {
    let mut writer = Writer { root: schema, values_left: VALUES_MAX, out: Vec::new() };
    writer.object(schema, DEPTH_MAX);
    String::from_utf8(writer.out).unwrap_or_default()
}

struct Writer<'a> {
    root: &'a Value,
    values_left: u32,
    out: Vec<u8>,
}

impl<'a> Writer<'a> {
    fn value(&mut self, schema: &'a Value, depth: u32) {
        self.values_left = self.values_left.saturating_sub(1);
        if depth == 0 || self.values_left == 0 {
            self.out.extend_from_slice(b"null");
            return;
        }
        if let Some(fixed) = schema.get("const").or_else(|| schema.get("enum")?.as_array()?.first()) {
            self.out.extend_from_slice(fixed.to_string().as_bytes());
            return;
        }
        if let Some(other) = self.elsewhere(schema) {
            return self.value(other, depth.saturating_sub(1));
        }
        match kind(schema) {
            "string" => self.out.extend_from_slice(b"\"sim\""),
            "number" | "integer" => self.out.push(b'1'),
            "boolean" => self.out.extend_from_slice(b"true"),
            "array" => self.out.extend_from_slice(b"[]"),
            "object" => self.object(schema, depth),
            _ => self.out.extend_from_slice(b"null"),
        }
    }

    fn object(&mut self, schema: &'a Value, depth: u32) {
        if let Some(other) = self.elsewhere(schema).filter(|_| depth > 0) {
            return self.object(other, depth.saturating_sub(1));
        }
        self.out.push(b'{');
        let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
        for (position, name) in required.filter_map(Value::as_str).enumerate() {
            if position > 0 {
                self.out.push(b',');
            }
            push_text(&mut self.out, name);
            self.out.push(b':');
            let member = schema.get("properties").and_then(|properties| properties.get(name)).unwrap_or(&Value::Null);
            self.value(member, depth.saturating_sub(1));
        }
        self.out.push(b'}');
    }

    /// Where the schema really stands: behind a local `$ref`, or in the first of its alternatives.
    fn elsewhere(&self, schema: &'a Value) -> Option<&'a Value> {
        if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
            return self.root.pointer(reference.strip_prefix('#')?);
        }
        ["anyOf", "oneOf", "allOf"].iter().find_map(|word| schema.get(word)?.as_array()?.first())
    }
}

/// The first type that is not null.
fn kind(schema: &Value) -> &str {
    match schema.get("type") {
        Some(Value::String(one)) => one,
        Some(Value::Array(several)) => {
            several.iter().filter_map(Value::as_str).find(|one| *one != "null").unwrap_or("null")
        }
        _ if schema.get("properties").is_some() => "object",
        _ => "null",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_object_has_its_required_members_in_order() {
        let schema = json!({"type": "object", "required": ["z", "unit", "n", "b", "l", "o", "u"], "properties": {
            "a": {"type": "string"}, "z": {"type": "string"}, "unit": {"type": "string", "enum": ["c", "f"]},
            "n": {"type": ["null", "integer"]}, "b": {"type": "boolean"}, "l": {"type": "array"},
            "o": {"type": "object", "required": ["x"], "properties": {"x": {"type": "number"}}}}});
        assert_eq!(instance(&schema), r#"{"z":"sim","unit":"c","n":1,"b":true,"l":[],"o":{"x":1},"u":null}"#);
        assert_eq!(instance(&json!({})), "{}");
    }

    #[test]
    fn references_are_followed_and_a_schema_inside_itself_ends() {
        let schema = json!({"$ref": "#/$defs/p", "$defs": {"p": {"type": "object", "required": ["n", "l", "r"], "properties": {
            "n": {"anyOf": [{"type": "string"}, {"type": "null"}]}, "l": {"$ref": "#/$defs/p"}, "r": {"$ref": "#/$defs/p"}}}}});
        let text = instance(&schema);
        assert!(text.starts_with(r#"{"n":"sim","l":{"n":"sim""#), "{text}");
        assert!(text.len() < 100_000 && serde_json::from_str::<Value>(&text).is_ok());
    }
}
