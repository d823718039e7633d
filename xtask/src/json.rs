//! Just enough JSON to read `cargo metadata`. Numbers are kept as text; nothing is written.

/// One value.
#[derive(Debug, PartialEq)]
pub(crate) enum Json {
    /// `null`, `true`, `false` or a number, as written.
    Bare(String),
    /// A text with its escapes resolved.
    Text(String),
    /// A list.
    List(Vec<Json>),
    /// Members in their order.
    Object(Vec<(String, Json)>),
}

impl Json {
    /// Reads one value; `None` when the text is not JSON.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut reader = Reader { rest: text };
        let value = reader.value()?;
        reader.space();
        reader.rest.is_empty().then_some(value)
    }

    /// A member of an object.
    pub(crate) fn member(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Object(members) => members.iter().find(|(key, _)| key == name).map(|(_, value)| value),
            _ => None,
        }
    }

    /// The text of a member that holds one.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        match self.member(name)? {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The items of a member that is a list; none otherwise.
    pub(crate) fn list(&self, name: &str) -> &[Self] {
        match self.member(name) {
            Some(Self::List(items)) => items,
            _ => &[],
        }
    }
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn take(&mut self, expected: char) -> Option<()> {
        self.space();
        self.rest = self.rest.strip_prefix(expected)?;
        Some(())
    }

    fn value(&mut self) -> Option<Json> {
        self.space();
        match self.rest.chars().next()? {
            '"' => self.string().map(Json::Text),
            '[' => self.items('[', ']', Self::value).map(Json::List),
            '{' => self.items('{', '}', Self::pair).map(Json::Object),
            _ => {
                let end = self.rest.find([',', ']', '}', ' ', '\n', '\t', '\r']).unwrap_or(self.rest.len());
                let (bare, rest) = self.rest.split_at(end);
                self.rest = rest;
                (!bare.is_empty()).then(|| Json::Bare(bare.to_owned()))
            }
        }
    }

    fn items<T>(&mut self, open: char, close: char, read: fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        self.take(open)?;
        let mut items = Vec::new();
        if self.take(close).is_some() {
            return Some(items);
        }
        loop {
            items.push(read(self)?);
            if self.take(close).is_some() {
                return Some(items);
            }
            self.take(',')?;
        }
    }

    fn pair(&mut self) -> Option<(String, Json)> {
        self.space();
        let key = self.string()?;
        self.take(':')?;
        Some((key, self.value()?))
    }

    fn string(&mut self) -> Option<String> {
        self.take('"')?;
        let mut text = String::new();
        let mut characters = self.rest.char_indices();
        while let Some((at, character)) = characters.next() {
            match character {
                '"' => {
                    self.rest = self.rest.get(at + 1..)?;
                    return Some(text);
                }
                '\\' => match characters.next()?.1 {
                    'n' => text.push('\n'),
                    't' => text.push('\t'),
                    'r' => text.push('\r'),
                    'b' => text.push('\u{8}'),
                    'f' => text.push('\u{c}'),
                    'u' => {
                        let digits: String = characters.by_ref().take(4).map(|(_, digit)| digit).collect();
                        let code = u32::from_str_radix(&digits, 16).ok()?;
                        text.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
                    }
                    other => text.push(other),
                },
                other => text.push(other),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cargo_prints_can_be_read() {
        let value =
            Json::parse(r#" {"packages":[{"name":"a\n\u0041","deps":[],"n":-1.5e3,"x":null}], "y" : {} } "#).unwrap();
        assert_eq!(value.list("packages").first().and_then(|package| package.text("name")), Some("a\nA"));
        assert_eq!(value.member("y"), Some(&Json::Object(Vec::new())));
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for text in ["", "{", r#"{"a"}"#, r#"{"a":1,}"#, "[1 2]", r#""open"#, "{} {}"] {
            assert_eq!(Json::parse(text), None, "{text}");
        }
    }
}
