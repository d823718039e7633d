//! A disk on which writes that were not synced vanish, and random histories of the whole journal on it.
//!
//! The appender, the log, the inbox and the backlog are those that ship; the disk, the database and the crashes are
//! played. A failure prints its seed. The same histories run on a disk whose sync does nothing, and must go red there.

use super::appender::Appender;
use super::disk::Disk;
use super::inbox::Batch;
use super::item::{self, Item};
use super::log::{Log, Shape, Unflushed};
use super::{Journal, Position};
use crate::charges::shared::Shared;
use crate::charges::{Charges, Durable, Lost};
use claviger_domain::endpoint::EndpointName;
use claviger_domain::id::{EnvironmentId, KeyId, OrganizationId, RequestId, SecretId};
use claviger_domain::meter::{Meters, UsageSource};
use claviger_domain::money::Nano;
use claviger_domain::request::{Delivery, Outcome, RequestRecord};
use claviger_domain::time::Timestamp;
use futures_util::FutureExt as _;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

pub(crate) const SHAPE: Shape = Shape { segments: 4, bytes: 8 * 1024 };
const SECTOR: usize = 512;

/// SplitMix64.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (bits ^ (bits >> 31)) % sides
    }
}

/// What is on the platter, and what is only in memory.
#[derive(Clone, Default)]
pub(crate) struct Platter {
    pub(crate) segments: Vec<Vec<u8>>,
    unsynced: Vec<(usize, usize, Vec<u8>)>,
    /// Operations until everything fails; `None` = it holds.
    fails_in: Option<u64>,
    pub(crate) syncs: u64,
    /// The seeded bug: a sync that does nothing.
    is_lying: bool,
}

/// A shared disk, so that it outlives the process on it.
#[derive(Clone, Default)]
pub(crate) struct SimulatedDisk(pub(crate) Rc<RefCell<Platter>>);

impl SimulatedDisk {
    pub(crate) fn new() -> Self {
        let platter = Platter { segments: vec![Vec::new(); SHAPE.segments], ..Platter::default() };
        Self(Rc::new(RefCell::new(platter)))
    }

    /// Nothing succeeds from now on.
    pub(crate) fn fail(&self) {
        self.0.borrow_mut().fails_in = Some(0);
    }

    fn operate(&self) -> io::Result<()> {
        let mut platter = self.0.borrow_mut();
        match &mut platter.fails_in {
            Some(0) => Err(io::Error::other("the disk failed")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// The process is killed: memory survives.
    pub(crate) fn kill(&self) {
        let mut platter = self.0.borrow_mut();
        platter.fails_in = None;
        for (segment, at, bytes) in std::mem::take(&mut platter.unsynced) {
            put(&mut platter.segments[segment], at, &bytes);
        }
    }

    /// The power is cut: of what was not synced, any sector may have arrived.
    pub(crate) fn cut_power(&self, dice: &mut Dice) {
        let mut platter = self.0.borrow_mut();
        platter.fails_in = None;
        let chance = dice.roll(5);
        for (segment, at, bytes) in std::mem::take(&mut platter.unsynced) {
            let mut from = 0;
            while from < bytes.len() {
                let to = ((at + from) / SECTOR + 1) * SECTOR - at;
                let to = to.min(bytes.len());
                if dice.roll(4) < chance {
                    put(&mut platter.segments[segment], at + from, &bytes[from..to]);
                }
                from = to;
            }
        }
    }
}

fn put(segment: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    if segment.len() < at + bytes.len() {
        segment.resize(at + bytes.len(), 0);
    }
    segment[at..at + bytes.len()].copy_from_slice(bytes);
}

impl Disk for SimulatedDisk {
    fn read(&mut self, segment: usize) -> io::Result<Vec<u8>> {
        let platter = self.0.borrow();
        let mut seen = platter.segments[segment].clone();
        for (_, at, bytes) in platter.unsynced.iter().filter(|(written, _, _)| *written == segment) {
            put(&mut seen, *at, bytes);
        }
        Ok(seen)
    }

    fn write(&mut self, segment: usize, at: u64, bytes: &[u8]) -> io::Result<()> {
        let done = self.operate();
        // Even a write that fails may have reached the disk in part.
        self.0.borrow_mut().unsynced.push((segment, usize::try_from(at).unwrap(), bytes.to_vec()));
        done
    }

    fn sync(&mut self, segment: usize) -> io::Result<()> {
        self.0.borrow_mut().syncs += 1;
        self.operate()?;
        let mut platter = self.0.borrow_mut();
        if platter.is_lying {
            return Ok(());
        }
        let (mine, others) = std::mem::take(&mut platter.unsynced).into_iter().partition(|(at, _, _)| *at == segment);
        platter.unsynced = others;
        let mine: Vec<(usize, usize, Vec<u8>)> = mine;
        for (segment, at, bytes) in mine {
            put(&mut platter.segments[segment], at, &bytes);
        }
        Ok(())
    }

    fn name(&self, segment: usize) -> String {
        format!("segment {segment}")
    }
}

/// A charge of one nano, or of `charge`.
pub(crate) fn record(number: u64, charge: i64) -> RequestRecord {
    RequestRecord {
        id: RequestId::from_u128(u128::from(number) << 64 | u128::from(number.wrapping_mul(0x9E37_79B9_7F4A_7C15))),
        organization: ORGANIZATION,
        environment: EnvironmentId::from_u128(1),
        key: KeyId::from_symbols(b"abcdefghijkl").unwrap(),
        key_name: "k".repeat(usize::try_from(number % 40).unwrap()),
        secret: SecretId::from_u128(2),
        source_tag: None,
        endpoint: EndpointName::ChatCompletions,
        model: "acme/chat".to_owned(),
        alias: None,
        upstream_model: None,
        upstream_request_id: None,
        client_request_id: None,
        is_stream: false,
        is_test: false,
        admitted_at: Timestamp(0),
        first_byte_at: None,
        completed_at: Timestamp(0),
        status: 200,
        outcome: Outcome::Complete,
        error_code: None,
        refused_by: None,
        would_refuse: None,
        rule: 1,
        usage_source: UsageSource::UpstreamFinal,
        is_anomalous: false,
        meters: Meters::NONE,
        price_version: None,
        hold: Nano(charge),
        charge: Nano(charge),
        absorbed: Nano::ZERO,
        attempts: Vec::new(),
        delivery: Delivery::Delivered,
        conditions: None,
        kept: None,
    }
}

pub(crate) const ORGANIZATION: OrganizationId = OrganizationId::from_u128(7);
const CREDIT: i64 = 1_000_000;

/// The database: what it has, and how far it has come, always together.
#[derive(Default)]
struct Database {
    charged: BTreeMap<RequestId, Nano>,
    position: Position,
}

impl Database {
    /// One transaction.
    fn commit<'a>(&mut self, payloads: impl IntoIterator<Item = &'a [u8]>, position: Option<Position>) {
        for payload in payloads {
            for item in item::read_all(payload).expect("a payload that was written reads") {
                if let Item::Charge(body) = item {
                    let former = self.charged.insert(body.columns.id, body.columns.charge);
                    assert_eq!(former, None, "{} twice", body.columns.id);
                }
            }
        }
        self.position = position.unwrap_or(self.position);
    }
}

/// A node's life on one disk, through its crashes.
struct Life {
    dice: Dice,
    disk: SimulatedDisk,
    database: Database,
    next: u64,
    /// Charges whose last byte may have left.
    acknowledged: BTreeMap<RequestId, Nano>,
    /// Charges that were ever asked for.
    asked: BTreeMap<RequestId, Nano>,
}

/// What of a node is in memory only.
struct Process {
    journal: Arc<Journal>,
    charges: Charges,
    appender: Appender<SimulatedDisk>,
}

impl Life {
    fn start(&mut self) -> Process {
        let opened = Log::open(self.disk.clone(), SHAPE, self.database.position);
        let (log, unflushed) = opened.unwrap_or_else(|error| panic!("a crash is no damage: {error}"));
        for Unflushed { position, payload } in unflushed {
            // A crash in the middle of a replay: the next one goes on where it stopped.
            self.database.commit([payload.as_slice()], Some(position));
            if self.dice.roll(20) == 0 {
                self.disk.cut_power(&mut self.dice);
                return self.start();
            }
        }
        for (request, charge) in &self.acknowledged {
            assert_eq!(self.database.charged.get(request), Some(charge), "{request} was acknowledged and is gone");
        }
        for request in self.database.charged.keys() {
            assert!(self.asked.contains_key(request), "{request} was never asked for");
        }
        let journal = Arc::new(Journal::new(Arc::new(Shared::with_journal())));
        journal.backlog.begin_at(self.database.position);
        let spent: i64 = self.database.charged.values().map(|charge| charge.0).sum();
        journal.book.lock().load([(ORGANIZATION, Nano(CREDIT - spent))]);
        let appender = Appender::new(log, Arc::clone(&journal));
        Process { charges: Charges::before(&journal, None), journal, appender }
    }

    /// Lets a process live until a crash.
    fn live(&mut self, mut process: Process) {
        let lifetime = self.dice.roll(60);
        if self.dice.roll(3) == 0 {
            self.disk.0.borrow_mut().fails_in = Some(self.dice.roll(40));
        }
        for _ in 0..lifetime {
            let is_alive = match self.dice.roll(5) {
                0..=2 => self.charge(&mut process),
                3 => self.flush(&process),
                _ => self.append_marks(&mut process),
            };
            if !is_alive {
                break;
            }
        }
        // Half of all crashes take the memory with them.
        if self.dice.roll(2) == 0 { self.disk.kill() } else { self.disk.cut_power(&mut self.dice) }
    }

    fn charge(&mut self, process: &mut Process) -> bool {
        let mut waiting: Vec<(RequestId, Nano, Durable)> = Vec::new();
        for _ in 0..=self.dice.roll(6) {
            let Ok(slot) = process.charges.try_reserve() else { continue };
            self.next += 1;
            let record = record(self.next, 1 + i64::try_from(self.dice.roll(9)).unwrap());
            self.asked.insert(record.id, record.charge);
            waiting.push((record.id, record.charge, slot.append(record)));
        }
        if waiting.is_empty() {
            return self.flush(process);
        }
        let mut batch = Batch::default();
        process.journal.inbox.take(&mut batch);
        let appended = process.appender.append(&mut batch);
        drop(batch);
        for (request, charge, durable) in waiting {
            match durable.wait().now_or_never().expect("answered") {
                Ok(delivered) => {
                    self.acknowledged.insert(request, charge);
                    // Some answers leave, some clients are gone.
                    if self.dice.roll(3) > 0 { delivered.mark() } else { drop(delivered) }
                }
                Err(why) => assert_eq!((why, appended.is_err()), (Lost::Unavailable, true)),
            }
        }
        appended.is_ok()
    }

    fn flush(&mut self, process: &Process) -> bool {
        let taken = process.journal.backlog.take(1 + usize::try_from(self.dice.roll(20)).unwrap());
        match self.dice.roll(8) {
            0 => process.journal.backlog.give_back(taken),
            fate => {
                let payloads = taken.frames.iter().map(|frame| frame.payload.as_slice());
                self.database.commit(payloads, taken.position);
                // Committed, and killed before anyone heard of it.
                if fate == 1 {
                    return false;
                }
                process.journal.backlog.committed(&taken);
            }
        }
        true
    }

    fn append_marks(&mut self, process: &mut Process) -> bool {
        process.appender.append(&mut Batch::default()).is_ok()
    }
}

fn history(seed: u64, is_lying: bool) -> usize {
    let disk = SimulatedDisk::new();
    disk.0.borrow_mut().is_lying = is_lying;
    let mut life = Life {
        dice: Dice(seed),
        disk,
        database: Database::default(),
        next: 0,
        acknowledged: BTreeMap::new(),
        asked: BTreeMap::new(),
    };
    for _ in 0..=life.dice.roll(12) {
        let process = life.start();
        life.live(process);
    }
    drop(life.start());
    life.acknowledged.len()
}

#[test]
fn no_crash_loses_or_doubles_a_charge_in_two_thousand_histories() {
    let begin = fresh_seed();
    let mut acknowledged = 0;
    for seed in begin..begin.wrapping_add(2_000) {
        let lived = std::panic::catch_unwind(|| history(seed, false));
        acknowledged += lived.unwrap_or_else(|_| panic!("seed={seed}"));
    }
    assert!(acknowledged > 50_000, "{acknowledged}");
}

/// The proof of the proof: no sync before the last byte.
#[test]
fn a_sync_that_does_nothing_is_seen() {
    let begin = fresh_seed();
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let caught = (begin..begin + 50).filter(|seed| std::panic::catch_unwind(|| history(*seed, true)).is_err()).count();
    std::panic::set_hook(hook);
    assert!(caught > 10, "{caught} of 50");
}

fn fresh_seed() -> u64 {
    use std::hash::{BuildHasher as _, Hasher as _};
    let seed = std::collections::hash_map::RandomState::new().build_hasher().finish() >> 1;
    println!("seeds from {seed}");
    seed
}

/// Runs `count` charges through an appender on this disk.
fn appended(process: &mut Process, from: u64, count: u64) -> Vec<Result<crate::charges::Delivered, Lost>> {
    let waiting: Vec<Durable> = (from..from + count)
        .map(|number| process.charges.try_reserve().expect("room").append(record(number, 1)))
        .collect();
    let mut batch = Batch::default();
    process.journal.inbox.take(&mut batch);
    let appended = process.appender.append(&mut batch);
    if appended.is_err() {
        process.journal.inbox.close();
    }
    drop(batch);
    waiting.into_iter().map(|durable| durable.wait().now_or_never().expect("answered")).collect()
}

fn fresh() -> (Life, Process) {
    let mut life = Life {
        dice: Dice(1),
        disk: SimulatedDisk::new(),
        database: Database::default(),
        next: 0,
        acknowledged: BTreeMap::new(),
        asked: BTreeMap::new(),
    };
    let process = life.start();
    (life, process)
}

#[test]
fn a_sync_that_fails_ends_admission_and_is_not_tried_again() {
    let (life, mut process) = fresh();
    assert!(appended(&mut process, 1, 3).iter().all(Result::is_ok));
    let syncs = life.disk.0.borrow().syncs;
    // The write passes, the sync does not.
    life.disk.0.borrow_mut().fails_in = Some(1);
    for answer in appended(&mut process, 10, 3) {
        assert_eq!(answer.err(), Some(Lost::Unavailable));
    }
    assert_eq!(life.disk.0.borrow().syncs, syncs + 1);
    assert!(process.charges.try_reserve().is_err());
    assert_eq!(process.journal.backlog.take(100).frames.len(), 1, "only what is durable goes to the database");
}

#[test]
fn a_journal_that_is_half_full_refuses_and_still_takes_what_runs() {
    let (mut life, mut process) = fresh();
    let running: Vec<_> = (0..5).map(|_| process.charges.try_reserve().expect("room")).collect();
    let mut number = 0;
    while let Ok(slot) = process.charges.try_reserve() {
        drop(slot);
        number += 1;
        assert!(appended(&mut process, number, 1).iter().all(Result::is_ok));
        assert!(number < 200, "it never refused");
    }
    assert!(number > 10, "{number}");
    for slot in running {
        number += 1;
        let durable = slot.append(record(number, 1));
        let mut batch = Batch::default();
        process.journal.inbox.take(&mut batch);
        process.appender.append(&mut batch).expect("room for what runs");
        assert!(durable.wait().now_or_never().expect("answered").is_ok());
    }
    for request in 1..=number {
        life.asked.insert(record(request, 1).id, Nano(1));
    }
    let taken = process.journal.backlog.take(usize::MAX);
    life.database.commit(taken.frames.iter().map(|frame| frame.payload.as_slice()), taken.position);
    process.journal.backlog.committed(&taken);
    assert!(process.charges.try_reserve().is_ok(), "the database has it all");
    assert_eq!(u64::try_from(life.database.charged.len()).unwrap(), number);
}

#[test]
fn a_wallet_is_not_overdrawn_and_a_request_is_charged_once() {
    let (_life, mut process) = fresh();
    process.journal.book.lock().load([(ORGANIZATION, Nano(3))]);
    let answers: Vec<_> = appended(&mut process, 1, 5).into_iter().map(|answer| answer.err()).collect();
    assert_eq!(answers, [None, None, None, Some(Lost::Overdrawn), Some(Lost::Overdrawn)]);
    process.journal.book.lock().give(ORGANIZATION, Nano(10));
    assert_eq!(appended(&mut process, 1, 1).pop().unwrap().err(), None, "a repetition is durable already");
    let other = process.charges.try_reserve().expect("room").append(record(1, 2));
    let mut batch = Batch::default();
    process.journal.inbox.take(&mut batch);
    process.appender.append(&mut batch).expect("appended");
    assert_eq!(other.wait().now_or_never().expect("answered").err(), Some(Lost::Conflict));
    let taken = process.journal.backlog.take(100);
    assert_eq!(taken.frames.iter().map(|frame| frame.charges).sum::<usize>(), 3);
}
