//! A small language for the shapes of JSON, as constants: written once, rendered as JSON Schema, compared with replies.

use serde_json::{Map, Value, json};

/// What a value looks like.
pub(crate) enum Shape {
    /// Any text.
    Text,
    /// A decimal amount of the instance's currency, as text.
    Amount,
    /// Seconds since 1970.
    Time,
    /// A whole number.
    Whole,
    /// A number with a fraction, as other vendors' endpoints have them.
    Number,
    /// True or false.
    Flag,
    /// One of these words.
    Word(&'static [&'static str]),
    /// This word.
    Is(&'static str),
    /// A list.
    Many(&'static Shape),
    /// Names of any kind to values of one.
    Map(&'static Shape),
    /// A named object.
    Of(&'static Object),
    /// The shape, or `null`.
    OrNull(&'static Shape),
    /// Whatever the caller or a vendor puts there.
    Any,
}

/// A named object.
pub(crate) struct Object {
    /// Its name in the document.
    pub(crate) name: &'static str,
    /// Its members.
    pub(crate) fields: &'static [Field],
    /// Whether it may have members besides.
    pub(crate) is_open: bool,
}

/// A member.
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) shape: Shape,
    pub(crate) is_required: bool,
}

/// A member that is always there.
pub(crate) const fn must(name: &'static str, shape: Shape) -> Field {
    Field { name, shape, is_required: true }
}

/// A member that may be absent.
pub(crate) const fn may(name: &'static str, shape: Shape) -> Field {
    Field { name, shape, is_required: false }
}

/// An object with exactly these members.
pub(crate) const fn object(name: &'static str, fields: &'static [Field]) -> Object {
    Object { name, fields, is_open: false }
}

/// Adds an object, and what it mentions, to the document's schemas.
pub(crate) fn define(object: &'static Object, schemas: &mut Map<String, Value>) {
    if schemas.contains_key(object.name) {
        return;
    }
    // First a mark, so that an object that mentions itself ends.
    schemas.insert(object.name.to_owned(), Value::Null);
    let mut properties = Map::new();
    for field in object.fields {
        properties.insert(field.name.to_owned(), field.shape.schema(schemas));
    }
    let required: Vec<&str> = object.fields.iter().filter(|field| field.is_required).map(|field| field.name).collect();
    let schema = json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": object.is_open,
    });
    schemas.insert(object.name.to_owned(), schema);
}

/// What every list takes: how much of it, and from where.
pub(crate) const PAGE: &[Field] = &[
    may("limit", Shape::Whole),
    may("after", Shape::Text),
    may("before", Shape::Text),
    may("order", Shape::Word(&["asc", "desc"])),
];

impl Object {
    /// A reference to it.
    pub(crate) fn reference(&self) -> Value {
        json!({ "$ref": format!("#/components/schemas/{}", self.name) })
    }

    /// A value of it, with what it must have and nothing else.
    #[cfg(test)]
    pub(crate) fn sample(&self) -> Value {
        let fields = self.fields.iter().filter(|field| field.is_required);
        let value = |field: &Field| match (field.name, &field.shape) {
            ("role", Shape::Text) => json!("viewer"),
            ("email", Shape::Text) => json!("sample@example.org"),
            (_, shape) => shape.sample(),
        };
        Value::Object(fields.map(|field| (field.name.to_owned(), value(field))).collect())
    }

    /// Compares a value: `Err` names the first member that differs.
    #[cfg(test)]
    pub(crate) fn compare(&self, value: &Value) -> Result<(), String> {
        let Some(members) = value.as_object() else { return Err(format!("{}: {value} is no object", self.name)) };
        for field in self.fields {
            match members.get(field.name) {
                None if field.is_required => return Err(format!("{}: `{}` is missing", self.name, field.name)),
                None => {}
                Some(member) => {
                    field.shape.compare(member).map_err(|cause| format!("{}.{}: {cause}", self.name, field.name))?;
                }
            }
        }
        let unnamed = members.keys().find(|name| self.fields.iter().all(|field| field.name != name.as_str()));
        match unnamed {
            Some(name) if !self.is_open => Err(format!("{}: nobody described `{name}`", self.name)),
            _ => Ok(()),
        }
    }
}

impl Shape {
    /// The JSON Schema of it.
    pub(crate) fn schema(&self, schemas: &mut Map<String, Value>) -> Value {
        match self {
            Self::Text => json!({ "type": "string" }),
            Self::Amount => json!({ "type": "string", "pattern": "^-?[0-9]+(\\.[0-9]+)?$" }),
            Self::Time => json!({ "type": "integer", "description": "seconds since 1970" }),
            Self::Whole => json!({ "type": "integer" }),
            Self::Number => json!({ "type": "number" }),
            Self::Flag => json!({ "type": "boolean" }),
            Self::Word(words) => json!({ "type": "string", "enum": words }),
            Self::Is(word) => json!({ "const": word }),
            Self::Many(shape) => json!({ "type": "array", "items": shape.schema(schemas) }),
            Self::Map(shape) => json!({ "type": "object", "additionalProperties": shape.schema(schemas) }),
            Self::Of(object) => {
                define(object, schemas);
                object.reference()
            }
            Self::OrNull(shape) => json!({ "anyOf": [shape.schema(schemas), { "type": "null" }] }),
            Self::Any => json!({}),
        }
    }

    #[cfg(test)]
    fn sample(&self) -> Value {
        match self {
            Self::Text | Self::Any => json!("sample"),
            Self::Amount => json!("1.00"),
            Self::Time => json!(2_000_000_000),
            Self::Whole | Self::Number => json!(1),
            Self::Flag => json!(true),
            Self::Word(words) => json!(words.first()),
            Self::Is(word) => json!(word),
            Self::Many(shape) => json!([shape.sample()]),
            Self::Map(shape) => json!({ "sample": shape.sample() }),
            Self::Of(object) => object.sample(),
            Self::OrNull(_) => Value::Null,
        }
    }

    #[cfg(test)]
    fn compare(&self, value: &Value) -> Result<(), String> {
        let is_good = match self {
            Self::Text => value.is_string(),
            Self::Amount => value.as_str().is_some_and(|text| {
                !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-'))
            }),
            Self::Time | Self::Whole => value.is_i64() || value.is_u64(),
            Self::Number => value.is_number(),
            Self::Flag => value.is_boolean(),
            Self::Word(words) => value.as_str().is_some_and(|text| words.contains(&text)),
            Self::Is(word) => value.as_str() == Some(word),
            Self::Many(shape) => {
                let Some(items) = value.as_array() else { return Err(format!("{value} is no list")) };
                return items.iter().try_for_each(|item| shape.compare(item));
            }
            Self::Map(shape) => {
                let Some(members) = value.as_object() else { return Err(format!("{value} is no map")) };
                return members.values().try_for_each(|member| shape.compare(member));
            }
            Self::Of(object) => return object.compare(value),
            Self::OrNull(_) if value.is_null() => true,
            Self::OrNull(shape) => return shape.compare(value),
            Self::Any => true,
        };
        if is_good { Ok(()) } else { Err(format!("{value} has another shape")) }
    }
}
