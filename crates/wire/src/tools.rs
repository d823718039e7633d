//! Tools that the upstream would run (W49). No price row can bound their calls yet, so they are taken out of `tools`
//! and named in `x-claviger-removed`: Codex sends `web_search` by default, and refusing would break it.
//!
//! Where an endpoint keeps its tools and its choice among them is that endpoint's to know.

use crate::scan::{Kind, Value};
use crate::splice::Splice;
use claviger_domain::error::{Code, PublicError};

/// Kinds of tools that the caller runs.
const CLIENT_RUN: [&str; 5] = ["function", "custom", "local_shell", "shell", "apply_patch"];
/// Beginnings of such kinds; what follows is a date.
const CLIENT_RUN_PREFIXES: [&str; 4] = ["computer", "bash_", "text_editor_", "memory_"];
/// A tool's kind is the caller's text; longer ones do not become a header.
const NAME_BYTES: usize = 64;

/// A value that says something about tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ToolTag {
    /// The list.
    Tools,
    /// An element of it.
    Tool,
    /// The kind of an element.
    Kind,
    /// Its name, where tools are chosen by it.
    Name,
    /// The choice among them, a word or an object.
    Choice,
    /// A kind that the choice names.
    ChoiceKind,
    /// A name that the choice names.
    ChoiceName,
    /// Whether several may be called at once.
    Parallel,
}

/// A tool as it was asked for.
#[derive(Clone, Copy, Debug)]
struct Tool {
    value: Value,
    kind: Option<Value>,
    name: Option<Value>,
}

/// What a scan has seen of tools.
#[derive(Debug, Default)]
pub(crate) struct ToolFields {
    /// The list itself.
    pub(crate) tools: Option<Value>,
    list: Vec<Tool>,
    kind: Option<Value>,
    name: Option<Value>,
    choice: Option<Value>,
    choice_kinds: Vec<Value>,
    choice_names: Vec<Value>,
    parallel: Option<Value>,
}

/// What is taken out of a request.
#[derive(Debug, Default)]
pub(crate) struct Removal {
    /// The kinds, fit for a header.
    pub(crate) names: Vec<String>,
    spans: Vec<Value>,
}

impl Removal {
    /// Takes it out of the upstream's copy.
    pub(crate) fn edit(&self, splice: &mut Splice) {
        for value in &self.spans {
            splice.remove_member(value.member());
        }
    }
}

impl ToolFields {
    pub(crate) fn take(&mut self, tag: ToolTag, value: Value) {
        match tag {
            ToolTag::Tools => self.tools = Some(value),
            ToolTag::Tool => self.list.push(Tool { value, kind: self.kind.take(), name: self.name.take() }),
            ToolTag::Kind => self.kind = Some(value),
            ToolTag::Name => self.name = Some(value),
            ToolTag::Choice => self.choice = Some(value),
            ToolTag::ChoiceKind => self.choice_kinds.push(value),
            ToolTag::ChoiceName => self.choice_names.push(value),
            ToolTag::Parallel => self.parallel = Some(value),
        }
    }

    /// Finds what to take out; rarely anything.
    ///
    /// # Errors
    /// `unpriced_parameter` when `tool_choice` insists on such a tool.
    pub(crate) fn removal(&self, body: &[u8]) -> Result<Option<Box<Removal>>, PublicError> {
        let mut removal = Removal::default();
        let (mut kinds, mut called) = (Vec::new(), Vec::new());
        for (number, tool) in self.list.iter().enumerate() {
            let Some(kind) = upstream_run(tool, body) else { continue };
            removal.names.push(header_name(&kind).unwrap_or_else(|| format!("tools[{number}]")));
            removal.spans.push(tool.value);
            kinds.push(kind);
            called.extend(tool.name.and_then(|name| name.text(body)).map(|name| name.to_text()));
        }
        if removal.spans.is_empty() {
            return Ok(None);
        }
        let is_all = removal.spans.len() == self.list.len();
        if self.insists(body, is_all)
            || names(&self.choice_kinds, &kinds, body)
            || names(&self.choice_names, &called, body)
        {
            return Err(PublicError::with_message(
                Code::UnpricedParameter,
                "The tool that 'tool_choice' asks for is run by the model server and has no price for this model.",
            )
            .about("tool_choice"));
        }
        if is_all {
            // An empty `tools`, or a `tool_choice` without tools, is refused by OpenAI, Anthropic and vLLM.
            let members = [self.tools, self.choice, self.parallel];
            removal.spans = members.into_iter().flatten().filter(|value| value.kind != Kind::Null).collect();
        }
        Ok(Some(Box::new(removal)))
    }

    /// Whether some tool must be called, and none is left: `required` is OpenAI's word, `any` Anthropic's.
    fn insists(&self, body: &[u8], is_all: bool) -> bool {
        let is_said = |value: &Value, word: &str| value.text(body).is_some_and(|text| text.equals(word));
        is_all
            && (self.choice.is_some_and(|choice| is_said(&choice, "required"))
                || self.choice_kinds.iter().any(|kind| is_said(kind, "any")))
    }
}

fn names(chosen: &[Value], removed: &[String], body: &[u8]) -> bool {
    chosen.iter().filter_map(|value| value.text(body)).any(|text| removed.iter().any(|name| text.equals(name)))
}

/// The kind of a tool that the upstream runs. A tool without a kind is a function at every server.
fn upstream_run(tool: &Tool, body: &[u8]) -> Option<String> {
    let kind = tool.kind?.text(body)?.to_text();
    let is_client_run =
        CLIENT_RUN.contains(&kind.as_str()) || CLIENT_RUN_PREFIXES.iter().any(|prefix| kind.starts_with(prefix));
    (!is_client_run).then_some(kind)
}

fn header_name(kind: &str) -> Option<String> {
    let is_fit = (1..=NAME_BYTES).contains(&kind.len())
        && kind.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'));
    is_fit.then(|| kind.to_owned())
}
