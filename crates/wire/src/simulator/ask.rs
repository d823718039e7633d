//! What the simulator reads of a chat body.
//!
//! Not the gateway's scan: this is what an upstream behind it would read. Everything else in the body is accepted and
//! changes nothing (`stop`, `seed`, sampling).

use super::fault::Fault;
use super::tokens;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// A chat body, as far as it is read.
#[derive(Debug, Deserialize)]
pub(super) struct Ask<'a> {
    #[serde(borrow, default)]
    pub(super) model: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) messages: Option<Vec<Message<'a>>>,
    /// Of messages: a text or a list of blocks.
    #[serde(borrow, default)]
    system: Option<&'a RawValue>,
    /// Of responses: a text or a list of items.
    #[serde(borrow, default)]
    pub(super) input: Option<&'a RawValue>,
    /// Of responses: the answer that it goes on from.
    #[serde(default)]
    pub(super) previous_response_id: Option<String>,
    /// Of responses: whether the answer is kept.
    #[serde(default)]
    pub(super) store: Option<bool>,
    #[serde(borrow, default)]
    instructions: Option<Text<'a>>,
    #[serde(default)]
    max_output_tokens: Option<u64>,
    #[serde(borrow, default)]
    text: Option<&'a RawValue>,
    /// Of completions.
    #[serde(default)]
    pub(super) prompt: Option<Prompt>,
    #[serde(default)]
    pub(super) stream: Option<bool>,
    #[serde(default)]
    pub(super) stream_options: Option<StreamOptions>,
    #[serde(default)]
    pub(super) n: Option<u64>,
    #[serde(default)]
    pub(super) max_tokens: Option<u64>,
    #[serde(default)]
    pub(super) max_completion_tokens: Option<u64>,
    #[serde(borrow, default)]
    pub(super) tools: Option<Vec<&'a RawValue>>,
    #[serde(borrow, default)]
    pub(super) tool_choice: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) response_format: Option<&'a RawValue>,
    /// The format as responses has it.
    #[serde(skip)]
    pub(super) format: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) sim: Option<&'a RawValue>,
}

/// What is asked of `responses`.
#[derive(Deserialize)]
#[serde(untagged)]
enum Input<'a> {
    Text(String),
    Items(#[serde(borrow)] Vec<Item<'a>>),
}

/// One item of it: a message, or what a tool said.
#[derive(Deserialize)]
struct Item<'a> {
    #[serde(default)]
    role: Option<String>,
    #[serde(borrow, default)]
    content: Option<Content<'a>>,
    #[serde(borrow, default)]
    output: Option<Content<'a>>,
}

impl<'a> Item<'a> {
    /// As a message; calls and reasoning of earlier answers are none.
    fn message(self) -> Option<Message<'a>> {
        let (role, content) = match (self.role, self.content, self.output) {
            (Some(role), Some(content), _) => (role, content),
            (_, _, Some(output)) => ("tool".to_owned(), output),
            _ => return None,
        };
        Some(Message { role: Text(Cow::Owned(role)), content })
    }
}

/// What is to be continued; token ids are their decimal text, joined by commas.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Prompt {
    Text(String),
    Texts(Vec<String>),
    Ids(Vec<u64>),
    Lists(Vec<Vec<u64>>),
}

impl Prompt {
    /// Each prompt as text.
    pub(super) fn texts(self) -> Vec<String> {
        let joined = |ids: &[u64]| ids.iter().map(u64::to_string).collect::<Vec<_>>().join(",");
        match self {
            Self::Text(text) => vec![text],
            Self::Texts(texts) => texts,
            Self::Ids(ids) => vec![joined(&ids)],
            Self::Lists(lists) => lists.iter().map(|ids| joined(ids)).collect(),
        }
    }
}

/// When usage is reported on a stream.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(super) struct StreamOptions {
    #[serde(default)]
    pub(super) include_usage: Option<bool>,
    #[serde(default)]
    pub(super) continuous_usage_stats: Option<bool>,
}

/// One message of the prompt.
#[derive(Debug, Deserialize)]
pub(super) struct Message<'a> {
    #[serde(borrow)]
    pub(super) role: Text<'a>,
    #[serde(borrow, default)]
    pub(super) content: Content<'a>,
}

/// A message's content: its text, joined from the text parts, and how many parts are not text.
#[derive(Debug, Default)]
pub(super) struct Content<'a> {
    pub(super) text: Cow<'a, str>,
    pub(super) other_parts: u64,
    /// Whether a tool said it.
    is_tool_result: bool,
}

/// A string that is borrowed from the body where it has no escapes.
#[derive(Debug, Default)]
pub(super) struct Text<'a>(pub(super) Cow<'a, str>);

impl<'a> Ask<'a> {
    /// Reads a body.
    ///
    /// # Errors
    /// What is wrong with it, as the answer to send.
    pub(super) fn read(body: &'a [u8]) -> Result<Self, Fault> {
        serde_json::from_slice(body).map_err(|error| Fault::invalid_body(&error))
    }

    /// Takes `system` for the first message.
    ///
    /// # Errors
    /// It is neither a text nor a list of blocks.
    pub(super) fn take_system(&mut self) -> Result<(), Fault> {
        let (Some(system), Some(messages)) = (self.system.take(), &mut self.messages) else { return Ok(()) };
        let content = serde_json::from_str(system.get()).map_err(|error| Fault::invalid_body(&error))?;
        messages.insert(0, Message { role: Text(Cow::Borrowed("system")), content });
        Ok(())
    }

    /// Takes instructions and input for messages, and the limit and the format for chat's.
    ///
    /// # Errors
    /// There is no input, or it is neither a text nor a list of items.
    pub(super) fn take_input(&mut self) -> Result<(), Fault> {
        let message = |role: &'static str, content| Message { role: Text(Cow::Borrowed(role)), content };
        let input = match (self.input, &self.previous_response_id) {
            (Some(input), _) => input.get(),
            (None, Some(_)) => "[]",
            (None, None) => return Err(Fault::missing("input")),
        };
        let input: Input<'a> = serde_json::from_str(input).map_err(|error| Fault::invalid_body(&error))?;
        let instructions =
            self.instructions.take().map(|text| message("system", Content { text: text.0, ..Content::default() }));
        let said: Vec<Message<'a>> = match input {
            Input::Text(text) => vec![message("user", Content { text: Cow::Owned(text), ..Content::default() })],
            Input::Items(items) => items.into_iter().filter_map(Item::message).collect(),
        };
        self.messages = Some(instructions.into_iter().chain(said).collect());
        self.max_tokens = self.max_tokens.or(self.max_output_tokens);
        self.format = self.text.take();
        Ok(())
    }

    /// Takes each prompt for a message of the user.
    ///
    /// # Errors
    /// There is none.
    pub(super) fn take_prompts(&mut self) -> Result<u64, Fault> {
        let prompts = self.prompt.take().ok_or_else(|| Fault::missing("prompt"))?.texts();
        let message = |text| Message {
            role: Text(Cow::Borrowed("user")),
            content: Content { text: Cow::Owned(text), ..Content::default() },
        };
        let count = u64::try_from(prompts.len()).unwrap_or(u64::MAX);
        self.messages = Some(prompts.into_iter().map(message).collect());
        Ok(count)
    }

    /// Σ over messages (tokens(text) + 1) + 10 per part that is not text + 8 per tool.
    pub(super) fn prompt_tokens(&self) -> u64 {
        let messages = self.messages.iter().flatten().map(|message| {
            let parts = message.content.other_parts.saturating_mul(10);
            tokens::count(&message.content.text).saturating_add(1).saturating_add(parts)
        });
        let tools = u64::try_from(self.tools.as_ref().map_or(0, Vec::len)).unwrap_or(u64::MAX);
        messages.fold(tools.saturating_mul(8), u64::saturating_add)
    }

    /// The token limit of one choice; the newer name wins.
    pub(super) fn output_limit(&self) -> Option<u64> {
        self.max_completion_tokens.or(self.max_tokens)
    }

    /// The text of the last user message; empty without one.
    pub(super) fn last_user_text(&self) -> &str {
        self.messages
            .iter()
            .flatten()
            .rev()
            .find(|message| message.role.0 == "user")
            .map_or("", |message| message.content.text.as_ref())
    }

    /// The text of the last message, if a tool said it.
    pub(super) fn tool_said(&self) -> Option<&str> {
        let last = self.messages.as_ref()?.last()?;
        (last.role.0 == "tool" || last.content.is_tool_result).then_some(last.content.text.as_ref())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Borrow;
        impl<'de> Visitor<'de> for Borrow {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Borrow)
    }
}

#[derive(Deserialize)]
struct Part<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow, default)]
    text: Option<Text<'a>>,
    /// Of a tool's result.
    #[serde(borrow, default)]
    content: Option<Content<'a>>,
}

impl Content<'_> {
    fn take_tool_result(&mut self, said: Content<'_>) {
        self.is_tool_result = true;
        self.text.to_mut().push_str(&said.text);
        self.other_parts = self.other_parts.saturating_add(said.other_parts);
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Content<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Join;
        impl<'de> Visitor<'de> for Join {
            type Value = Content<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string, a list of parts or null")
            }
            fn visit_unit<E>(self) -> Result<Content<'de>, E> {
                Ok(Content::default())
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Content<'de>, E> {
                Ok(Content { text: Cow::Borrowed(text), ..Content::default() })
            }
            fn visit_str<E>(self, text: &str) -> Result<Content<'de>, E> {
                Ok(Content { text: Cow::Owned(text.to_owned()), ..Content::default() })
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Content<'de>, A::Error> {
                let mut content = Content::default();
                while let Some(part) = parts.next_element::<Part<'de>>()? {
                    match part.text {
                        Some(text) if matches!(part.kind.0.as_ref(), "text" | "input_text" | "output_text") => {
                            content.text.to_mut().push_str(&text.0);
                        }
                        _ if part.kind.0 == "tool_result" => content.take_tool_result(part.content.unwrap_or_default()),
                        _ => content.other_parts = content.other_parts.saturating_add(1),
                    }
                }
                Ok(content)
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Content<'de>, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Err(serde::de::Error::custom("content must be a string, a list of parts or null"))
            }
        }
        deserializer.deserialize_any(Join)
    }
}
