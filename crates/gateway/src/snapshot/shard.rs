//! A part of the key table: id → entry, made so that finding an id and not finding it are the same work.
//!
//! Eight places lie in one line of the cache, and all eight are looked at, whichever of them it is. An id that is not
//! here is given the entry of another one from its own line: a hit and a miss both touch that line, one pointer and one
//! entry. Who may see the difference, and what is compared, is not known here.

use super::entry::KeyEntry;
use claviger_domain::id::{IdHasher, KeyId};
use std::hash::{BuildHasher as _, BuildHasherDefault};
use std::sync::Arc;

/// Places of one line.
const PLACES: usize = 8;

/// In each place the number of an entry, and above it 32 bits of its hash; 0 = empty.
#[derive(Clone, Default)]
#[repr(align(64))]
struct Line([u64; PLACES]);

/// What a line shows to whoever looks for some bits.
struct Seen {
    /// The entry whose bits are the nearest; 0 = the line is empty.
    number: u64,
    /// Whether they are the very bits.
    is_same: bool,
    /// Whether a place is empty, so that no entry of this line lies in another one.
    has_room: bool,
}

impl Line {
    /// Looks at every place, whatever it finds in the first ones.
    fn look(&self, bits: u64) -> Seen {
        let (mut number, mut distance, mut has_room) = (0, u64::MAX, false);
        for place in self.0 {
            let is_empty = place & NUMBER == 0;
            let from_here = if is_empty { u64::MAX } else { (place >> 32) ^ bits };
            let is_nearer = from_here < distance;
            number = if is_nearer { place & NUMBER } else { number };
            distance = if is_nearer { from_here } else { distance };
            has_room |= is_empty;
        }
        Seen { number, is_same: distance == 0, has_room }
    }
}

/// The part of a place that is a number.
const NUMBER: u64 = 0xFFFF_FFFF;

/// A part of the table.
pub(super) struct Shard {
    lines: Vec<Line>,
    /// The first is nobody's, so that there always is one.
    entries: Vec<Arc<KeyEntry>>,
}

impl Default for Shard {
    fn default() -> Self {
        Self { lines: vec![Line::default()], entries: vec![Arc::new(KeyEntry::nobodys(KeyId::ZEROS))] }
    }
}

impl Shard {
    /// The entry of an id.
    pub(super) fn find(&self, hash: u64, id: KeyId) -> Option<&Arc<KeyEntry>> {
        self.find_or_other(hash, id).filter(|(_, is_own)| *is_own).map(|(entry, _)| entry)
    }

    /// The entry of an id, or another one in its place; whether it is the id's own. An id that is not here is always
    /// given the same one, as long as nothing is put in.
    pub(super) fn find_or_other(&self, hash: u64, id: KeyId) -> Option<(&Arc<KeyEntry>, bool)> {
        let (number, is_own) = self.number_of(hash, id);
        Some((self.entry(number)?, is_own))
    }

    /// No branch here depends on whether the id is found: a wrong guess of the processor costs more the later it is seen.
    fn number_of(&self, hash: u64, id: KeyId) -> (u64, bool) {
        let mut at = self.line_of(hash);
        let mut last = 0;
        for _ in &self.lines {
            let Some(line) = self.lines.get(at) else { break };
            let Seen { number, is_same, has_room } = line.look(hash >> 32);
            let is_id = std::hint::black_box(self.entry(number).is_some_and(|entry| entry.id == id));
            if is_same & !is_id
                && let Some(number) = self.number_among_same(line, hash, id)
            {
                return (number, true);
            }
            if has_room | (is_same & is_id) {
                return (number, is_same & is_id);
            }
            last = number;
            at = self.next(at);
        }
        (last, false)
    }

    /// Several ids of one line may have the same bits, though hardly ever.
    #[cold]
    fn number_among_same(&self, line: &Line, hash: u64, id: KeyId) -> Option<u64> {
        let same = line.0.iter().filter(|place| **place >> 32 == hash >> 32).map(|place| place & NUMBER);
        same.filter(|number| *number != 0).find(|number| self.entry(*number).is_some_and(|entry| entry.id == id))
    }

    /// Puts an entry in, or in the place of the one of the same id.
    pub(super) fn put(&mut self, hash: u64, entry: Arc<KeyEntry>, hasher: &BuildHasherDefault<IdHasher>) {
        let (number, is_known) = self.number_of(hash, entry.id);
        if is_known {
            let place = usize::try_from(number).ok().and_then(|number| self.entries.get_mut(number));
            if let Some(known) = place {
                *known = entry;
            }
            return;
        }
        self.entries.push(entry);
        // Half full at most: whoever finds a line full looks on in the next one, and those who miss do so more often.
        if self.entries.len() > self.lines.len().saturating_mul(PLACES / 2) {
            self.lines = vec![Line::default(); self.lines.len().saturating_mul(2)];
            for number in 1..self.entries.len() {
                let hash = self.entries.get(number).map_or(0, |entry| hasher.hash_one(entry.id));
                self.note(hash, number);
            }
        } else {
            self.note(hash, self.entries.len().saturating_sub(1));
        }
    }

    /// The entries that are somebody's.
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<KeyEntry>> {
        self.entries.iter().skip(1)
    }

    /// How many entries are somebody's.
    pub(super) fn count(&self) -> usize {
        self.entries.len().saturating_sub(1)
    }

    fn note(&mut self, hash: u64, number: usize) {
        let number = u64::try_from(number).unwrap_or(NUMBER) & NUMBER;
        let mut at = self.line_of(hash);
        for _ in 0..self.lines.len() {
            let line = self.lines.get_mut(at).and_then(|line| line.0.iter_mut().find(|place| **place == 0));
            if let Some(place) = line {
                *place = (hash & !NUMBER) | number;
                return;
            }
            at = self.next(at);
        }
    }

    fn entry(&self, number: u64) -> Option<&Arc<KeyEntry>> {
        self.entries.get(usize::try_from(number).ok()?)
    }

    /// There are a power of two of them.
    fn line_of(&self, hash: u64) -> usize {
        usize::try_from(hash & NUMBER).unwrap_or(0) & self.lines.len().saturating_sub(1)
    }

    fn next(&self, line: usize) -> usize {
        line.saturating_add(1) & self.lines.len().saturating_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_bits_in_one_line_are_told_apart_by_their_ids() {
        let (mut shard, hasher) = (Shard::default(), BuildHasherDefault::default());
        let entry = |symbols: &[u8; 12]| Arc::new(KeyEntry::nobodys(KeyId::from_symbols(symbols).unwrap()));
        let ids = [b"aaaaaaaaaaaa", b"bbbbbbbbbbbb", b"cccccccccccc"];
        for symbols in ids {
            shard.put(7 << 32, entry(symbols), &hasher);
        }
        for symbols in ids {
            let id = KeyId::from_symbols(symbols).unwrap();
            assert_eq!(shard.find(7 << 32, id).map(|entry| entry.id), Some(id));
        }
        assert!(shard.find(7 << 32, KeyId::from_symbols(b"dddddddddddd").unwrap()).is_none());
        assert_eq!((shard.count(), shard.all().count()), (3, 3));
    }

    #[test]
    fn a_full_line_leads_on_to_the_next() {
        let (mut shard, hasher) =
            (Shard { lines: vec![Line::default(); 4], ..Shard::default() }, BuildHasherDefault::default());
        let id = |n: u8| KeyId::from_symbols(&[b'a' + n; 12]).unwrap();
        for n in 0..12 {
            // All of them want the last line, behind which the first one follows.
            shard.put(u64::from(n) << 32 | 3, Arc::new(KeyEntry::nobodys(id(n))), &hasher);
        }
        for n in 0..12 {
            assert_eq!(shard.find(u64::from(n) << 32 | 3, id(n)).map(|entry| entry.id), Some(id(n)));
        }
        assert!(shard.find(3, id(20)).is_none());
    }
}
