//! Measurements of the key table; not run with the tests. Prints a table.
//!
//! `cargo run --release -p claviger-gateway --features measured --example lookup`: how long a presented key takes among
//! 1,000 and among 1,000,000 of them, and whether the time of a refusal tells an unknown id from a wrong secret: Welch's
//! t over pairs in random order, the slowest hundredth (interrupts) left out of both.
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

/// A table of so many keys, and the ids and texts of a thousand of them.
fn filled(count: usize, numbers: &mut Numbers) -> (Table, Vec<(KeyId, Vec<u8>)>) {
    let pepper = Pepper::new(1, [7; 32]);
    let table = Table::new(Prefixes::new("clv_", &[]).expect("a good prefix"), pepper.clone());
    let (organization, environment) = (OrganizationId::from_u128(1), EnvironmentId::from_u128(2));
    let mut some = Vec::new();
    for number in 0..count {
        let id = KeyId::generate(numbers);
        let text = mint(numbers, id);
        let secret = StoredSecret::new(SecretId::generate(NOW, numbers), pepper.digest(&text), 1, "…".to_owned(), NOW);
        let name = Name::parse(&format!("key {number}")).expect("a good name");
        table.learn(NewKey::new(id, name, secret).made(organization, environment, NOW, "operator"));
        if number % (count / 1_000) == 0 {
            some.push((id, text));
        }
    }
    (table, some)
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

fn verify(table: &Table, some: &[(KeyId, Vec<u8>)], numbers: &mut Numbers) -> (f64, f64) {
    let mut times: Vec<Duration> =
        (0..PRESENTED).map(|_| took(table, &some[numbers.below(some.len())].1, true)).collect();
    times.sort_unstable();
    (share(&times, 0.50), share(&times, 0.99))
}

/// Welch's t of two samples.
fn welch(first: &[f64], second: &[f64]) -> f64 {
    let moments = |sample: &[f64]| {
        let mean = sample.iter().sum::<f64>() / sample.len() as f64;
        let spread = sample.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (sample.len() - 1) as f64;
        (mean, spread / sample.len() as f64)
    };
    let ((first, one), (second, two)) = (moments(first), moments(second));
    (first - second) / (one + two).sqrt()
}

/// How unknown ids and wrong secrets differ: the medians in nanoseconds, and t.
fn timing(table: &Table, known: &[KeyId], unknown: &[KeyId], numbers: &mut Numbers) -> String {
    let mut times: [Vec<Duration>; 2] = [Vec::new(), Vec::new()];
    for _ in 0..PAIRS {
        let texts = [unknown, known].map(|ids| {
            let id = ids[numbers.below(ids.len())];
            mint(numbers, id)
        });
        let first = numbers.below(2);
        for which in [first, 1 - first] {
            times[which].push(took(table, &texts[which], false));
        }
    }
    let mut all: Vec<Duration> = times.concat();
    all.sort_unstable();
    let slowest = all[all.len() * 99 / 100];
    let [unknown, wrong] = times.map(|sample| {
        let mut kept: Vec<f64> =
            sample.into_iter().filter(|time| *time < slowest).map(|time| time.as_secs_f64() * 1e9).collect();
        kept.sort_unstable_by(f64::total_cmp);
        kept
    });
    let middle = |sorted: &[f64]| sorted[sorted.len() / 2];
    format!("{:.2} ({:.0} and {:.0} ns)", welch(&unknown, &wrong), middle(&unknown), middle(&wrong))
}

fn main() {
    let mut numbers = Numbers(1);
    println!("| keys | verify p50, µs | verify p99, µs | t, one id each | t, a thousand ids each |\n|--|--|--|--|--|");
    for count in [1_000, 1_000_000] {
        let (table, some) = filled(count, &mut numbers);
        let known: Vec<KeyId> = some.iter().map(|(id, _)| *id).collect();
        let unknown: Vec<KeyId> = known.iter().map(|_| KeyId::generate(&mut numbers)).collect();
        verify(&table, &some, &mut numbers);
        let (p50, p99) = verify(&table, &some, &mut numbers);
        let one = timing(&table, &known[..1], &unknown[..1], &mut numbers);
        let many = timing(&table, &known, &unknown, &mut numbers);
        println!("| {count} | {p50:.2} | {p99:.2} | {one} | {many} |");
    }
}
