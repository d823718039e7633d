//! The optional body member `sim`: how the caller bends an answer (`wire.md` §8, Knobs).
//!
//! A closed list; a member that is not in it, or out of its range, is refused with `invalid_value`.

use super::fault::Fault;
use super::mode::Mode;
use claviger_domain::limits::SIMULATED_TOKENS;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

const FIRST_MS_MAX: u64 = 120_000;
const GAP_MS_MAX: u64 = 10_000;
const FINISHES: &[&str] = &["stop", "length", "tool_calls", "content_filter", "function_call"];

/// The knobs that were turned.
#[derive(Debug, Default)]
pub(super) struct Knobs {
    /// Tokens of `sim-stream`.
    pub(super) tokens: Option<u64>,
    /// Wait before the first byte, in milliseconds.
    pub(super) first_ms: Option<u64>,
    /// Wait between two tokens, in milliseconds.
    pub(super) gap_ms: Option<u64>,
    /// Prompt tokens reported as cached.
    pub(super) cached: Option<u64>,
    /// Reasoning tokens of `sim-reasoning`.
    pub(super) reasoning: Option<u64>,
    /// The finish reason to report.
    pub(super) finish: Option<&'static str>,
    /// Tokens before `sim-error-midstream` and `-truncate` fail.
    pub(super) fail_after: Option<u64>,
    /// A mode of the standalone server; its parameters are further members of `sim`.
    pub(super) mode: Option<Mode>,
}

impl Knobs {
    /// Reads the member `sim`; `has_modes` is the standalone server.
    ///
    /// # Errors
    /// `invalid_value`, naming the member.
    pub(super) fn read(sim: Option<&RawValue>, has_modes: bool) -> Result<Self, Fault> {
        let Some(sim) = sim else { return Ok(Self::default()) };
        let members: Option<Map<String, Value>> =
            serde_json::from_str(sim.get()).map_err(|_| Fault::invalid_value("sim", "it must be an object"))?;
        let Some(mut members) = members else { return Ok(Self::default()) };
        let mode = if has_modes && members.contains_key("mode") { Some(take_mode(&mut members)?) } else { None };
        let mut knobs = Self { mode, ..Self::default() };
        for (name, value) in &members {
            match name.as_str() {
                "tokens" => knobs.tokens = Some(number(name, value, SIMULATED_TOKENS)?),
                "first_ms" => knobs.first_ms = Some(number(name, value, FIRST_MS_MAX)?),
                "gap_ms" => knobs.gap_ms = Some(number(name, value, GAP_MS_MAX)?),
                "cached" => knobs.cached = Some(number(name, value, u64::MAX)?),
                "reasoning" => knobs.reasoning = Some(number(name, value, SIMULATED_TOKENS)?),
                "fail_after" => knobs.fail_after = Some(number(name, value, SIMULATED_TOKENS)?),
                "finish" => knobs.finish = Some(finish(value)?),
                _ => return Err(Fault::invalid_value(&format!("sim.{name}"), "the simulator has no such knob")),
            }
        }
        Ok(knobs)
    }
}

/// Takes the mode and its parameters out of the members; the knobs of the same object stay.
fn take_mode(members: &mut Map<String, Value>) -> Result<Mode, Fault> {
    let is_slow = members.get("mode").and_then(Value::as_str) == Some("slow");
    let is_parameter = |name: &str| match name {
        "tokens" | "cached" | "reasoning" | "finish" | "fail_after" => false,
        "first_ms" | "gap_ms" => is_slow,
        _ => true,
    };
    let names: Vec<String> = members.keys().filter(|name| is_parameter(name)).cloned().collect();
    let parameters: Map<String, Value> = names.iter().filter_map(|name| members.remove_entry(name)).collect();
    serde_json::from_value(Value::Object(parameters))
        .map_err(|error| Fault::invalid_value("sim.mode", &error.to_string()))
}

fn number(name: &str, value: &Value, max: u64) -> Result<u64, Fault> {
    value.as_u64().filter(|number| *number <= max).ok_or_else(|| {
        let range =
            if max == u64::MAX { "a whole number".to_owned() } else { format!("a whole number from 0 to {max}") };
        Fault::invalid_value(&format!("sim.{name}"), &format!("it must be {range}"))
    })
}

fn finish(value: &Value) -> Result<&'static str, Fault> {
    let found = FINISHES.iter().copied().find(|reason| value.as_str() == Some(reason));
    found.ok_or_else(|| Fault::invalid_value("sim.finish", &format!("it must be one of {}", FINISHES.join(", "))))
}
