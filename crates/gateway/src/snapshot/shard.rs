//! A part of the key table: id → entry, made so that finding an id and not finding it are the same work.
//!
//! Eight places lie in one line of the cache. Every id has two lines it may lie in, and all sixteen places of them are
//! looked at, wherever it lies and whether it lies there at all. An id that is not here is given some entry instead,
//! always the same one and each as likely as the others: a hit and a miss both touch two lines, one pointer and one entry
//! of somebody. Who may see the difference, and what is compared, is not known here.

use super::entry::KeyEntry;
use claviger_domain::id::{IdHasher, KeyId};
use std::hash::{BuildHasher as _, BuildHasherDefault};
use std::hint::black_box;
use std::sync::Arc;

/// Places of one line.
const PLACES: usize = 8;

/// The part of a place that is a number.
const NUMBER: u64 = 0xFFFF_FFFF;

/// In each place the number of an entry, and above it the upper 32 bits of its mixed hash; 0 = empty.
#[derive(Clone, Default)]
#[repr(align(64))]
struct Line([u64; PLACES]);

impl Line {
    /// How many places have these bits, and the numbers in them, laid over each other.
    fn look(&self, bits: u64) -> (u64, u64) {
        let (mut count, mut number) = (0_u64, 0);
        for place in self.0 {
            let is_same = (place >> 32 == bits) & (place & NUMBER != 0);
            let same = u64::from(is_same);
            count = count.wrapping_add(same);
            number |= place & same.wrapping_neg();
        }
        (count, number & NUMBER)
    }

    fn room(&self) -> usize {
        self.0.iter().filter(|place| **place == 0).count()
    }
}

/// Where an id may lie.
#[derive(Clone, Copy)]
struct Spot {
    bits: u64,
    lines: [usize; 2],
    mixed: u64,
}

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
        let number = self.number_of(self.spot(hash), id);
        let entry = self.entry(number)?;
        Some((entry, black_box(entry.id == id)))
    }

    /// No branch here depends on whether the id is found: a wrong guess of the processor costs more than all the rest.
    fn number_of(&self, spot: Spot, id: KeyId) -> u64 {
        let [(one, here), (two, there)] =
            spot.lines.map(|line| self.lines.get(line).map_or((0, 0), |line| line.look(spot.bits)));
        let is_in_one_line = spot.lines[0] == spot.lines[1];
        let count = one.wrapping_add(two);
        if count > 1 && !(is_in_one_line && count == 2) {
            return self.number_among_same(spot, id);
        }
        let is_missing = black_box(u64::from(count == 0).wrapping_neg());
        here | there | (self.other(spot.mixed) & is_missing)
    }

    /// The number of an entry that is somebody's, if anybody's is here: each for as many hashes as the others.
    fn other(&self, mixed: u64) -> u64 {
        let count = u64::try_from(self.count()).unwrap_or(0);
        count.min(1).wrapping_add((mixed & NUMBER).wrapping_mul(count) >> 32)
    }

    /// Several ids of the same lines may have the same bits, though hardly ever.
    #[cold]
    fn number_among_same(&self, spot: Spot, id: KeyId) -> u64 {
        let lines = spot.lines.into_iter().filter_map(|line| self.lines.get(line));
        let places = lines.flat_map(|line| line.0).filter(|place| place >> 32 == spot.bits);
        let mut numbers = places.map(|place| place & NUMBER).filter(|number| *number != 0);
        numbers.find(|number| self.entry(*number).is_some_and(|entry| entry.id == id)).unwrap_or(0)
    }

    /// Puts an entry in, or in the place of the one of the same id.
    pub(super) fn put(&mut self, hash: u64, entry: Arc<KeyEntry>, hasher: &BuildHasherDefault<IdHasher>) {
        let number = self.number_of(self.spot(hash), entry.id);
        let place = usize::try_from(number).ok().and_then(|number| self.entries.get_mut(number));
        if let Some(known) = place.filter(|known| number != 0 && known.id == entry.id) {
            *known = entry;
            return;
        }
        self.entries.push(entry);
        // Half full at most: then hardly ever both lines of an id are.
        let is_full = self.entries.len() > self.lines.len().saturating_mul(PLACES / 2);
        if is_full || !self.note(hash, self.entries.len().saturating_sub(1)) {
            self.spread(hasher);
        }
    }

    /// Twice as many lines, until all entries have a place. Ids that only mean to collide find an end: who then has no
    /// place is unknown.
    fn spread(&mut self, hasher: &BuildHasherDefault<IdHasher>) {
        let mut has_all = false;
        while !has_all && self.lines.len() < self.entries.len().saturating_mul(PLACES) {
            self.lines = vec![Line::default(); self.lines.len().saturating_mul(2)];
            has_all = (1..self.entries.len()).all(|number| {
                let hash = self.entries.get(number).map_or(0, |entry| hasher.hash_one(entry.id));
                self.note(hash, number)
            });
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

    /// Notes an entry in the emptier one of its lines; whether there was room.
    fn note(&mut self, hash: u64, number: usize) -> bool {
        let number = u64::try_from(number).unwrap_or(NUMBER) & NUMBER;
        let spot = self.spot(hash);
        let emptier = spot.lines.into_iter().max_by_key(|line| self.lines.get(*line).map_or(0, Line::room));
        let line = emptier.and_then(|line| self.lines.get_mut(line));
        let Some(place) = line.and_then(|line| line.0.iter_mut().find(|place| **place == 0)) else { return false };
        *place = (spot.bits << 32) | number;
        true
    }

    fn entry(&self, number: u64) -> Option<&Arc<KeyEntry>> {
        self.entries.get(usize::try_from(number).ok()?)
    }

    /// The hash of an id is the product of a multiplication, whose lower bits say little; there are a power of two of
    /// lines.
    fn spot(&self, hash: u64) -> Spot {
        let mut mixed = (hash ^ (hash >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
        mixed = (mixed ^ (mixed >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
        mixed ^= mixed >> 32;
        let line = |half: u64| usize::try_from(half & NUMBER).unwrap_or(0) & self.lines.len().saturating_sub(1);
        let bits = mixed >> 32;
        Spot { bits, lines: [line(mixed), line(bits.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32)], mixed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use claviger_domain::time::Random;

    fn entry(id: KeyId) -> Arc<KeyEntry> {
        Arc::new(KeyEntry::nobodys(id))
    }

    #[test]
    fn the_same_bits_in_one_line_are_told_apart_by_their_ids() {
        let (mut shard, hasher) = (Shard::default(), BuildHasherDefault::default());
        let ids = [b"aaaaaaaaaaaa", b"bbbbbbbbbbbb", b"cccccccccccc"].map(|id| KeyId::from_symbols(id).unwrap());
        for id in ids {
            shard.put(7 << 32, entry(id), &hasher);
            assert_eq!(shard.find(7 << 32, id).map(|entry| entry.id), Some(id));
        }
        for id in ids {
            assert_eq!(shard.find(7 << 32, id).map(|entry| entry.id), Some(id));
        }
        assert!(shard.find(7 << 32, KeyId::from_symbols(b"dddddddddddd").unwrap()).is_none());
        assert_eq!((shard.count(), shard.all().count()), (3, 3));
    }

    #[test]
    fn more_ids_than_their_lines_have_places_make_more_lines() {
        struct Numbers(u64);
        impl Random for Numbers {
            fn fill(&mut self, bytes: &mut [u8]) {
                for byte in bytes {
                    self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    *byte = (self.0 >> 33) as u8;
                }
            }
        }
        let (mut shard, hasher, mut numbers) = (Shard::default(), BuildHasherDefault::default(), Numbers(1));
        let ids: Vec<KeyId> = (0..3_000).map(|_| KeyId::generate(&mut numbers)).collect();
        for id in &ids {
            shard.put(hasher.hash_one(id), entry(*id), &hasher);
        }
        for id in &ids {
            assert_eq!(shard.find(hasher.hash_one(id), *id).map(|entry| entry.id), Some(*id));
            shard.put(hasher.hash_one(id), entry(*id), &hasher);
        }
        assert_eq!(shard.count(), 3_000, "what is put in again takes its own place");
        assert!(shard.lines.len() <= 1_024, "{} lines for 3,000 entries", shard.lines.len());
        let longest = shard.lines.iter().map(|line| PLACES - line.room()).max();
        assert!(longest < Some(PLACES), "no line is full: {longest:?}");
    }
}
