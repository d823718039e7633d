//! What a model says: text, reasoning or a tool call, cut at the token limit.
//!
//! How it is sent, streamed or whole and in which shape, is not known here.

use super::ask::Ask;
use super::fault::Fault;
use super::knobs::Knobs;
use super::models::Kind;
use super::schema;
use super::tokens::{self, Words};
use super::usage::push_text;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

const STREAM_TOKENS: u64 = 100;
const REASONING_TOKENS: u64 = 20;

/// One choice of an answer; all choices are alike.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    /// Said first, as reasoning.
    pub(super) reasoning: Words,
    /// The content.
    pub(super) content: Words,
    /// A tool call instead of content.
    pub(super) call: Option<ToolCall>,
    /// Why it ended.
    pub(super) finish: &'static str,
}

/// A call of one function, id `call_sim_1`.
#[derive(Clone, Debug)]
pub(super) struct ToolCall {
    /// The function's name; sent in one piece.
    pub(super) name: String,
    /// Compact JSON, sent in tokens.
    pub(super) arguments: Words,
}

/// A function lies in a member of its own (chat), or is the tool itself (messages, responses).
#[derive(Deserialize)]
struct Tool {
    #[serde(default)]
    function: Option<Function>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    input_schema: Option<Value>,
    #[serde(default)]
    parameters: Option<Value>,
}

impl Tool {
    fn function(self) -> Option<Function> {
        let parameters = self.input_schema.or(self.parameters);
        self.function.or(self.name.map(|name| Function { name, parameters }))
    }
}

#[derive(Deserialize)]
struct Function {
    name: String,
    #[serde(default)]
    parameters: Option<Value>,
}

impl Answer {
    /// What this model says to this body.
    ///
    /// # Errors
    /// A tool choice or a format that cannot be read, or that names no tool.
    pub(super) fn find(kind: Kind, ask: &Ask<'_>, knobs: &Knobs) -> Result<Self, Fault> {
        let mut answer = match kind {
            Kind::Stream | Kind::ErrorMidstream | Kind::ErrorTruncate => {
                Self::saying(Words::Numbers(knobs.tokens.unwrap_or(STREAM_TOKENS)))
            }
            Kind::Tools => with_tools(ask)?,
            Kind::Json => Self::saying(Words::text(json_text(ask)?)),
            Kind::Reasoning => Self {
                reasoning: Words::Reasons(knobs.reasoning.unwrap_or(REASONING_TOKENS)),
                ..Self::saying(Words::text(ask.last_user_text()))
            },
            _ => Self::saying(Words::text(ask.last_user_text())),
        };
        if let Some(limit) = ask.output_limit() {
            answer.cut(limit);
        }
        if let Some(finish) = knobs.finish {
            answer.finish = finish;
        }
        Ok(answer)
    }

    /// Content and nothing else.
    pub(super) const fn saying(content: Words) -> Self {
        Self { reasoning: Words::none(), content, call: None, finish: "stop" }
    }

    /// Tokens of one choice: of what is sent, reasoning included.
    pub(super) fn tokens(&self) -> u64 {
        let call =
            self.call.as_ref().map_or(0, |call| tokens::count(&call.name).saturating_add(call.arguments.tokens()));
        self.reasoning.tokens().saturating_add(self.content.tokens()).saturating_add(call)
    }

    /// Drops what lies behind the first `limit` tokens. A tool's name is never torn: it goes whole or not at all.
    fn cut(&mut self, limit: u64) {
        if self.tokens() <= limit {
            return;
        }
        self.finish = "length";
        self.reasoning.cut(limit);
        let left = limit.saturating_sub(self.reasoning.tokens());
        self.content.cut(left);
        if let Some(call) = &mut self.call {
            match left.checked_sub(tokens::count(&call.name)) {
                Some(left) => call.arguments.cut(left),
                None => self.call = None,
            }
        }
    }
}

fn with_tools(ask: &Ask<'_>) -> Result<Answer, Fault> {
    if let Some(said) = ask.tool_said() {
        return Ok(Answer::saying(Words::text(format!("tool said: {said}"))));
    }
    let choice: Value = match ask.tool_choice {
        Some(choice) => serde_json::from_str(choice.get()).map_err(|error| Fault::invalid_body(&error))?,
        None => Value::Null,
    };
    let mut functions = Vec::new();
    for tool in ask.tools.iter().flatten() {
        let tool: Tool =
            serde_json::from_str(tool.get()).map_err(|error| Fault::invalid_value("tools", &error.to_string()))?;
        functions.extend(tool.function());
    }
    let chosen = choice.pointer("/function/name").or_else(|| choice.get("name"));
    let function = match chosen.and_then(Value::as_str) {
        Some(name) => {
            let found = functions.into_iter().find(|function| function.name == name);
            Some(found.ok_or_else(|| Fault::invalid_value("tool_choice", "it names none of the tools"))?)
        }
        None if choice == "none" || choice.get("type").is_some_and(|kind| kind == "none") => None,
        None => functions.into_iter().next(),
    };
    let Some(function) = function else { return Ok(Answer::saying(Words::text(ask.last_user_text()))) };
    let arguments = Words::text(schema::instance(&function.parameters.unwrap_or(Value::Null)));
    let call = Some(ToolCall { name: function.name, arguments });
    Ok(Answer { call, finish: "tool_calls", ..Answer::saying(Words::none()) })
}

fn json_text(ask: &Ask<'_>) -> Result<String, Fault> {
    if let Some(text) = ask.format.map(RawValue::get) {
        let text: Value = serde_json::from_str(text).map_err(|error| Fault::invalid_body(&error))?;
        if let Some(schema) = text.pointer("/format/schema") {
            return Ok(schema::instance(schema));
        }
    }
    let format: Value = match ask.response_format.map(RawValue::get) {
        Some(format) => serde_json::from_str(format).map_err(|error| Fault::invalid_body(&error))?,
        None => Value::Null,
    };
    if format.get("type").and_then(Value::as_str) == Some("json_schema") {
        return Ok(schema::instance(format.pointer("/json_schema/schema").unwrap_or(&Value::Null)));
    }
    let mut text = b"{\"echo\":".to_vec();
    push_text(&mut text, ask.last_user_text());
    text.push(b'}');
    Ok(String::from_utf8(text).unwrap_or_default())
}
