//! The keys of one open object, to find one that repeats.
//!
//! Small objects compare each key with those before it that have the same bit; a larger one is checked once, sorted,
//! when it closes. So a body of a million keys costs a sort, not a square. No hash decides, so there is none to attack,
//! and the keys of a small object lie on the stack.

use super::text::Text;

/// Keys of one object that are compared pairwise; almost every real object is smaller.
const PAIRWISE: usize = 16;

/// Names of one open object, as the document has them.
pub(super) struct Names<'d> {
    first: [&'d [u8]; PAIRWISE],
    count: usize,
    /// The bits of the names in `first`.
    bits: u128,
    /// Whether a name has an escape: then equal names can be written differently.
    has_escape: bool,
    /// What came behind the first ones.
    rest: Vec<&'d [u8]>,
}

impl<'d> Names<'d> {
    /// No names.
    pub(super) const fn new() -> Self {
        Self { first: [&[]; PAIRWISE], count: 0, bits: 0, has_escape: false, rest: Vec::new() }
    }

    /// Takes a name with its bit in; whether it is known to repeat one before. A large object tells only at its close.
    pub(super) fn is_repeated(&mut self, name: Text<'d>, bit: u128) -> bool {
        self.has_escape |= name.is_escaped;
        let Some(slot) = self.first.get_mut(self.count) else {
            self.rest.push(name.inner);
            return false;
        };
        *slot = name.inner;
        let before = self.first.get(..self.count).unwrap_or_default();
        self.count += 1;
        if self.has_escape {
            let name = name.resolved();
            return before.iter().any(|other| Text::written(other).resolved() == name);
        }
        let is_alike = self.bits & bit != 0;
        self.bits |= bit;
        is_alike && before.contains(&name.inner)
    }

    /// The name that repeats, if the object was a large one and has any.
    pub(super) fn repeated(&self) -> Option<String> {
        if self.rest.is_empty() {
            return None;
        }
        let mut all: Vec<_> = self.first.iter().chain(&self.rest).map(|name| Text::written(name).resolved()).collect();
        all.sort_unstable();
        all.windows(2).find_map(|pair| match pair {
            [a, b] if a == b => Some(String::from_utf8_lossy(a).into_owned()),
            _ => None,
        })
    }
}
