//! Tasks (`wire.md` §2.12): any inference, asked for now and answered later. What a task's own fields say, which endpoint
//! its body means, and how a task is shown.
//!
//! A body is that of another endpoint with a few members more. Those are taken out before the endpoint reads it, so what an
//! upstream is sent is what it would be sent without a task.

mod own;
mod show;

#[cfg(test)]
mod tests;

pub use own::{OwnFields, TaskAsk, parse, parse_form};
pub use show::{Links, ShownResult, state_of, task, task_list};
