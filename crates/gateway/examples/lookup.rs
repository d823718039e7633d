//! Measurements of the key table; not run with the tests. Prints a table.
//!
//! `cargo run --release -p claviger-gateway --features measured --example lookup`: how long a presented key takes among
//! 1,000 and among 1,000,000 of them, and whether the time of a refusal tells an unknown id from a wrong secret, as
//! Welch's t over 100,000 pairs in random order, the slowest hundredth (interrupts) left out of both:
//!
//! - *new ids*: each call has an id of its own, drawn from all that are known or from all that are not;
//! - *the same ids*: 200 couples of one id each, each called 500 times in a row: t over the 200 differences, because what
//!   one id has of the machine (which lines of the cache its entry lies across) is not what its class has.
//!
//! Before each couple of new ids a part of a large block is read, so that what earlier calls left in the caches is gone.
//! Without that, a known id that is drawn a second time finds both lines of its place where they were, and an unknown one,
//! which never comes again, does not: a difference of the drawing and not of the work.
//!
//! Beside each stands a control: the same measurement of a class against itself, which shows what the measuring finds
//! where nothing is to be found. Every text lies at the same address when it is presented.
#![expect(clippy::disallowed_methods, reason = "measuring needs a clock")]

use claviger_domain::id::{EnvironmentId, KeyId, OrganizationId, SecretId};
use claviger_domain::key::{MintedKey, Name, NewKey, Prefixes, StoredSecret};
use claviger_domain::secret::Pepper;
use claviger_domain::time::{Random, Timestamp};
use claviger_gateway::measured::Table;
use std::hint::black_box;
use std::time::{Duration, Instant};

const NOW: Timestamp = Timestamp(1_800_000_000_000_000);
const PRESENTED: usize = 100_000;
const PAIRS: usize = 100_000;
/// What other traffic reads between two calls: lines of a block of this size.
const ELSEWHERE_BYTES: usize = 256 << 20;
const ELSEWHERE_LINES: usize = 512;
/// Couples of ids, each of which is called many times in a row.
const COUPLES: usize = 200;

/// SplitMix64: the same keys in every run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }
}

impl Random for Numbers {
    fn fill(&mut self, bytes: &mut [u8]) {
        for piece in bytes.chunks_mut(8) {
            piece.copy_from_slice(&self.next().to_le_bytes()[..piece.len()]);
        }
    }
}

fn mint(numbers: &mut Numbers, id: KeyId) -> Vec<u8> {
    MintedKey::mint("clv_", false, id, numbers).text.expose().clone().into_bytes()
}

/// A table of so many keys.
struct Filled {
    table: Table,
    ids: Vec<KeyId>,
    /// The texts of a thousand of them.
    texts: Vec<Vec<u8>>,
}

fn filled(count: usize, numbers: &mut Numbers) -> Filled {
    let pepper = Pepper::new(1, [7; 32]);
    let table = Table::new(Prefixes::new("clv_", &[]).expect("a good prefix"), pepper.clone());
    let (organization, environment) = (OrganizationId::from_u128(1), EnvironmentId::from_u128(2));
    let (mut ids, mut texts) = (Vec::with_capacity(count), Vec::new());
    for number in 0..count {
        let id = KeyId::generate(numbers);
        let text = mint(numbers, id);
        let secret = StoredSecret::new(SecretId::generate(NOW, numbers), pepper.digest(&text), 1, "…".to_owned(), NOW);
        let name = Name::parse(&format!("key {number}")).expect("a good name");
        table.learn(NewKey::new(id, name, secret).made(organization, environment, NOW, "operator"));
        ids.push(id);
        if number % (count / 1_000) == 0 {
            texts.push(text);
        }
    }
    Filled { table, ids, texts }
}

fn took(table: &Table, text: &[u8], expected: bool) -> Duration {
    let began = Instant::now();
    let is_good = black_box(table.verify(black_box(text), NOW));
    let took = began.elapsed();
    assert_eq!(is_good, expected);
    took
}

fn share(sorted: &[Duration], share: f64) -> f64 {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1].as_secs_f64() * 1e6
}

fn verify(filled: &Filled, numbers: &mut Numbers) -> (f64, f64) {
    let Filled { table, texts, .. } = filled;
    let mut times: Vec<Duration> =
        (0..PRESENTED).map(|_| took(table, &texts[numbers.below(texts.len())], true)).collect();
    times.sort_unstable();
    (share(&times, 0.50), share(&times, 0.99))
}

/// Whose ids are presented, with secrets that nobody has.
#[derive(Clone, Copy)]
enum Class {
    Unknown,
    Known,
}

impl Filled {
    fn id(&self, class: Class, numbers: &mut Numbers) -> KeyId {
        match class {
            Class::Unknown => KeyId::generate(numbers),
            Class::Known => self.ids[numbers.below(self.ids.len())],
        }
    }
}

/// A text that no cache line's end runs through, whatever the text.
#[repr(align(128))]
struct Place([u8; 128]);

/// A block larger than any cache.
struct Elsewhere(Vec<u64>);

impl Elsewhere {
    fn new() -> Self {
        // Written, because memory that was never written is one page of zeros.
        Self((0..ELSEWHERE_BYTES as u64 / 8).collect())
    }

    /// Reads so many lines from all over the block.
    fn read(&self, numbers: &mut Numbers) {
        let lines = self.0.len() / 8;
        let sum = (0..ELSEWHERE_LINES).fold(0, |sum: u64, _| sum.wrapping_add(self.0[numbers.below(lines) * 8]));
        black_box(sum);
    }
}

/// Calls both ids once, in random order, from the same place; how long each took, in nanoseconds.
fn pair(filled: &Filled, ids: [KeyId; 2], place: &mut Place, numbers: &mut Numbers) -> [f64; 2] {
    let first = numbers.below(2);
    let mut times = [0.0; 2];
    for which in [first, 1 - first] {
        let text = mint(numbers, ids[which]);
        place.0[..text.len()].copy_from_slice(&text);
        times[which] = took(&filled.table, &place.0[..text.len()], false).as_secs_f64() * 1e9;
    }
    times
}

fn moments(sample: &[f64]) -> (f64, f64) {
    let mean = sample.iter().sum::<f64>() / sample.len() as f64;
    let spread = sample.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (sample.len() - 1) as f64;
    (mean, spread / sample.len() as f64)
}

/// Both samples without what was slower than all but a hundredth of them together.
fn trimmed(samples: [Vec<f64>; 2]) -> [Vec<f64>; 2] {
    let mut all = samples.concat();
    all.sort_unstable_by(f64::total_cmp);
    let slowest = all[all.len() * 99 / 100];
    samples.map(|sample| sample.into_iter().filter(|time| *time <= slowest).collect())
}

/// Each call with an id of its own: t, and the means.
fn new_ids(filled: &Filled, elsewhere: &Elsewhere, classes: [Class; 2], numbers: &mut Numbers) -> String {
    let mut place = Place([0; 128]);
    let mut times = [Vec::with_capacity(PAIRS), Vec::with_capacity(PAIRS)];
    for _ in 0..PAIRS {
        let ids = classes.map(|class| filled.id(class, numbers));
        elsewhere.read(numbers);
        let pair = pair(filled, ids, &mut place, numbers);
        times.iter_mut().zip(pair).for_each(|(times, time)| times.push(time));
    }
    let [(one, spread_of_one), (two, spread_of_two)] = trimmed(times).map(|sample| moments(&sample));
    format!("{:+.2} ({one:.1} and {two:.1} ns)", (one - two) / (spread_of_one + spread_of_two).sqrt())
}

/// Couples of one id each, called over and over: t over the couples, and their mean difference.
fn same_ids(filled: &Filled, classes: [Class; 2], numbers: &mut Numbers) -> String {
    let mut place = Place([0; 128]);
    let differences: Vec<f64> = (0..COUPLES)
        .map(|_| {
            let ids = classes.map(|class| filled.id(class, numbers));
            let mut times = [Vec::new(), Vec::new()];
            for _ in 0..PAIRS / COUPLES {
                let pair = pair(filled, ids, &mut place, numbers);
                times.iter_mut().zip(pair).for_each(|(times, time)| times.push(time));
            }
            let [one, two] = trimmed(times).map(|sample| moments(&sample).0);
            one - two
        })
        .collect();
    let (mean, spread) = moments(&differences);
    format!("{:+.2} ({mean:+.2} ns)", mean / spread.sqrt())
}

fn main() {
    use Class::{Known, Unknown};
    let seed = std::env::args().nth(1).and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let mut numbers = Numbers(seed);
    println!("Seed {seed}. t of an unknown id and a wrong secret; bar: |t| < 4.5\n");
    println!(
        "| keys | verify p50, µs | verify p99, µs | t, new ids | unknown with itself | known with itself | t, the same ids | unknown with itself | known with itself |"
    );
    println!("|--|--|--|--|--|--|--|--|--|");
    let elsewhere = Elsewhere::new();
    for count in [1_000, 1_000_000] {
        let filled = filled(count, &mut numbers);
        verify(&filled, &mut numbers);
        let (p50, p99) = verify(&filled, &mut numbers);
        let classes = [[Unknown, Known], [Unknown, Unknown], [Known, Known]];
        let new = classes.map(|classes| new_ids(&filled, &elsewhere, classes, &mut numbers)).join(" | ");
        let same = classes.map(|classes| same_ids(&filled, classes, &mut numbers)).join(" | ");
        println!("| {count} | {p50:.2} | {p99:.2} | {new} | {same} |");
    }
}
