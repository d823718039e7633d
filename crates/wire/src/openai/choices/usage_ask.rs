//! How usage on a stream is asked for by the caller, and of the upstream (W10, W11).

use crate::body::{flag, invalid};
use crate::dialect::Habits;
use crate::scan::{Kind, Value};
use crate::splice::Splice;
use claviger_domain::error::PublicError;

/// The values of `stream_options`.
#[derive(Debug, Default)]
pub(crate) struct UsageAsk {
    pub(crate) options: Option<Value>,
    pub(crate) include_usage: Option<Value>,
    pub(crate) running_usage: Option<Value>,
}

/// The member that asks for usage on a stream; `tag` names the reader's own tags for it and for its two members.
macro_rules! usage_ask_field {
    ($options:expr, $include:expr, $running:expr) => {
        $crate::scan::Field {
            name: "stream_options",
            place: $crate::scan::Place::new(
                Some($options),
                &[
                    $crate::scan::Field::leaf("include_usage", $include),
                    $crate::scan::Field::leaf("continuous_usage_stats", $running),
                ],
                None,
            ),
        }
    };
}
pub(crate) use usage_ask_field;

impl UsageAsk {
    /// Whether the caller wants usage on the stream, and whether on every chunk.
    ///
    /// # Errors
    /// `invalid_value`, with its `param`.
    pub(crate) fn read(&self) -> Result<(bool, bool), PublicError> {
        if let Some(options) = self.options
            && !matches!(options.kind, Kind::Object { .. } | Kind::Null)
        {
            return Err(invalid("stream_options", "an object"));
        }
        let usage = flag(self.include_usage, "stream_options.include_usage")?;
        let running = flag(self.running_usage, "stream_options.continuous_usage_stats")?;
        Ok((usage, running))
    }

    /// Asks the upstream, whatever the caller wants; `inside` is behind the body's opening brace.
    pub(crate) fn edit(&self, habits: &Habits, inside: usize, splice: &mut Splice) {
        let running = habits.has_running_usage;
        let (member, options) = if running {
            const MEMBER: &str = r#""stream_options":{"include_usage":true,"continuous_usage_stats":true},"#;
            (MEMBER, r#"{"include_usage":true,"continuous_usage_stats":true}"#)
        } else {
            (r#""stream_options":{"include_usage":true},"#, r#"{"include_usage":true}"#)
        };
        match self.options {
            None => splice.insert(inside, member),
            Some(value @ Value { kind: Kind::Object { is_empty: false }, .. }) => {
                let inside = value.start() + 1;
                set_true(self.include_usage, "include_usage", inside, splice);
                if running {
                    set_true(self.running_usage, "continuous_usage_stats", inside, splice);
                }
            }
            Some(value) => splice.replace(value.span(), options),
        }
    }
}

fn set_true(value: Option<Value>, name: &str, inside: usize, splice: &mut Splice) {
    match value {
        None => splice.insert(inside, format!("\"{name}\":true,")),
        Some(Value { kind: Kind::Bool(true), .. }) => {}
        Some(value) => splice.replace(value.span(), "true"),
    }
}
