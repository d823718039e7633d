//! Tools that the upstream would run (W49). No price row can bound their calls yet, so they are taken out of `tools`
//! and named in `x-claviger-removed`: Codex sends `web_search` by default, and refusing would break it.

use super::fields::{Fields, Tool};
use crate::scan::{Kind, Value};
use crate::splice::Splice;
use claviger_domain::error::{Code, PublicError};

/// Kinds of tools that the caller runs.
const CLIENT_RUN: [&str; 5] = ["function", "custom", "local_shell", "shell", "apply_patch"];
/// Beginnings of such kinds; what follows is a date.
const CLIENT_RUN_PREFIXES: [&str; 4] = ["computer", "bash_", "text_editor_", "memory_"];
/// A tool's kind is the caller's text; longer ones do not become a header.
const NAME_BYTES: usize = 64;

/// What is taken out of a request.
#[derive(Debug, Default)]
pub(super) struct Removal {
    /// The kinds, fit for a header.
    pub(super) names: Vec<String>,
    spans: Vec<Value>,
}

impl Removal {
    /// Takes it out of the upstream's copy.
    pub(super) fn edit(&self, splice: &mut Splice) {
        for value in &self.spans {
            splice.remove_member(value.member());
        }
    }
}

/// Finds what to take out; rarely anything.
///
/// # Errors
/// `unpriced_parameter` when `tool_choice` insists on such a tool.
pub(super) fn removal(fields: &Fields, body: &[u8]) -> Result<Option<Box<Removal>>, PublicError> {
    let mut removal = Removal::default();
    let mut kinds = Vec::new();
    for (number, tool) in fields.tool_list.iter().enumerate() {
        let Some(kind) = upstream_run(tool, body) else { continue };
        removal.names.push(header_name(&kind).unwrap_or_else(|| format!("tools[{number}]")));
        removal.spans.push(tool.value);
        kinds.push(kind);
    }
    if removal.spans.is_empty() {
        return Ok(None);
    }
    let chosen = fields.tool_choice_kinds.iter().filter_map(|kind| kind.text(body));
    let is_all = removal.spans.len() == fields.tool_list.len();
    let insists =
        is_all && fields.tool_choice.and_then(|choice| choice.text(body)).is_some_and(|text| text.equals("required"));
    if insists || chosen.into_iter().any(|choice| kinds.iter().any(|kind| choice.equals(kind))) {
        return Err(PublicError::with_message(
            Code::UnpricedParameter,
            "The tool that 'tool_choice' asks for is run by the model server and has no price for this model.",
        )
        .about("tool_choice"));
    }
    if is_all {
        // An empty `tools`, or a `tool_choice` without tools, is refused by OpenAI and vLLM.
        let members = [fields.tools, fields.tool_choice, fields.parallel_tool_calls];
        removal.spans = members.into_iter().flatten().filter(|value| value.kind != Kind::Null).collect();
    }
    Ok(Some(Box::new(removal)))
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
