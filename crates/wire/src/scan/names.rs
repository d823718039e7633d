//! The keys of the objects that are open, to find one that repeats.
//!
//! Small objects compare each key with those before it; a larger one is checked once, sorted, when it closes. So a
//! body of a million keys costs a sort, not a square. Nothing is hashed, so there is no hash to attack.

use super::text::Text;
use std::borrow::Cow;

/// Keys of one object that are compared pairwise; almost every real object is smaller.
const PAIRWISE: usize = 16;

/// Names of all open objects, outermost first, escapes resolved.
#[derive(Default)]
pub(super) struct Names<'d>(Vec<Cow<'d, [u8]>>);

impl<'d> Names<'d> {
    /// Where the names of an object that opens now will begin.
    pub(super) fn mark(&self) -> usize {
        self.0.len()
    }

    /// Takes a name in; whether it is known to repeat one of the same object. A large object tells only at its close.
    pub(super) fn is_repeated(&mut self, name: Text<'d>, mark: usize) -> bool {
        let name = name.resolved();
        let before = self.0.get(mark..).unwrap_or_default();
        let is_repeated = before.len() < PAIRWISE && before.contains(&name);
        self.0.push(name);
        is_repeated
    }

    /// Forgets the names of an object that closes; the name that repeats, if a large one had any.
    pub(super) fn close(&mut self, mark: usize) -> Option<String> {
        let own = self.0.get_mut(mark..).unwrap_or_default();
        let mut repeated = None;
        if own.len() > PAIRWISE {
            own.sort_unstable();
            repeated = own.windows(2).find_map(|pair| match pair {
                [a, b] if a == b => Some(String::from_utf8_lossy(a).into_owned()),
                _ => None,
            });
        }
        self.0.truncate(mark);
        repeated
    }
}
