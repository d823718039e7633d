//! Simulated nodes, a database and a lossy network, from a seed: the revocation machines that ship, and nothing else.
//!
//! A history is a few seconds of true time in which keys are revoked while nodes poll, are cut off, stand still for up to
//! three leases and start anew, each on a clock of its own rate. It fails when a node would still admit a key whose
//! revocation was answered. One rule can be taken away: the checker counts only if it notices.

use crate::rng::SeededRandom;
use claviger_domain::id::{KeyId, NodeId, OrganizationId};
use claviger_domain::revocation::{
    Answered, Change, Counter, Epoch, Event, How, Member, Observer, Position, Reading, RightsEvent, Standing, Step,
};
use claviger_domain::time::Monotonic;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::time::Duration;

/// S in every history, in microseconds of true time.
const S: u64 = 1_000_000;
/// How long a history lasts.
const END: u64 = 7 * S;
const POLL: u64 = 200_000;
const LOOK: u64 = 25_000;
const PATIENCE: u64 = 500_000;

/// A rule of the protocol that a history may lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removed {
    /// None: the protocol as it ships.
    Nothing,
    /// The lease is counted from the reply instead of the sending.
    LeaseFromSending,
    /// A node joins after its snapshot, and takes its place in the feed from its registration.
    JoinBeforeSnapshot,
    /// Epochs come from a sequence: they become visible out of order.
    EpochInCommitOrder,
    /// A refused renewal is taken for a renewal.
    RefusalHonoured,
    /// Silence is as long as a lease, without a margin for clock rates.
    ClockRateMargin,
}

/// What a history did, for those who wonder whether anything happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Revocations that were answered.
    pub answered: u64,
    /// Nodes that were silenced for an answer.
    pub silenced: u64,
    /// Polls that were refused.
    pub refused: u64,
    /// Times that a node registered.
    pub joined: u64,
}

/// A node that admits a key after its revocation was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slip {
    /// The history, to be told again.
    pub seed: u64,
    /// When, in microseconds of true time.
    pub at: u64,
    /// Which revocation.
    pub epoch: i64,
}

enum Act {
    Tick(usize, u32),
    Ask(usize, u32, u32, u64, Position),
    Answer(usize, u32, u32, u64, Answered),
    Read(usize, u32, Vec<RightsEvent>),
    Applied(usize, u32, Vec<RightsEvent>),
    Register(usize, u32),
    Registered(usize, u32, i64),
    Load(usize, u32),
    Loaded(usize, u32, i64, BTreeSet<i64>),
    Restart(usize),
    Revoke,
    Commit(i64),
    Look(usize),
    Looked(usize, u64, Vec<Counter>),
}

struct Queued(u64, u64, Act);

impl PartialEq for Queued {
    fn eq(&self, other: &Self) -> bool {
        (self.0, self.1) == (other.0, other.1)
    }
}
impl Eq for Queued {}
impl PartialOrd for Queued {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Queued {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.0, self.1).cmp(&(other.0, other.1))
    }
}

struct Node {
    id: NodeId,
    life: u32,
    poll: u32,
    member: Member,
    /// Revocations in force in memory, by their epochs.
    known: BTreeSet<i64>,
    /// Parts per million of true time.
    rate: u64,
    offset: u64,
    stands_until: u64,
    cut: (u64, u64),
    cannot_read: (u64, u64),
}

#[derive(Default)]
struct Database {
    epoch: i64,
    events: BTreeMap<i64, u64>,
    revoked: BTreeSet<i64>,
    nodes: BTreeMap<NodeId, (i64, i64)>,
}

struct Waiter {
    epoch: i64,
    observer: Observer,
    rate: u64,
    offset: u64,
    is_answered: bool,
}

struct World {
    removed: Removed,
    random: SeededRandom,
    now: u64,
    number: u64,
    queue: BinaryHeap<Reverse<Queued>>,
    nodes: Vec<Node>,
    database: Database,
    database_rate: u64,
    waiters: Vec<Waiter>,
    told: Told,
    next_id: u128,
}

/// Tells one history.
///
/// # Errors
/// [`Slip`]: somebody admitted what had been revoked.
pub fn tell(seed: u64, removed: Removed) -> Result<Told, Slip> {
    let mut world = World::new(seed, removed);
    while let Some(Reverse(Queued(at, _, act))) = world.queue.pop() {
        if at > END {
            break;
        }
        world.now = at;
        world.act(act);
        world.check().map_err(|epoch| Slip { seed, at, epoch })?;
    }
    Ok(world.told)
}

fn rate(random: &mut SeededRandom) -> u64 {
    // The worst clocks are the interesting ones.
    match random.below(3) {
        0 => 980_000,
        1 => 1_020_000,
        _ => 980_000 + random.below(40_001),
    }
}

fn local(true_time: u64, rate: u64, offset: u64) -> Monotonic {
    Monotonic(offset + true_time * rate / 1_000)
}

impl World {
    fn new(seed: u64, removed: Removed) -> Self {
        let mut random = SeededRandom::new(seed);
        let count = 2 + random.below(4) as usize;
        let mut world = Self {
            removed,
            now: 0,
            number: 0,
            queue: BinaryHeap::new(),
            nodes: Vec::new(),
            database: Database::default(),
            database_rate: rate(&mut random),
            waiters: Vec::new(),
            told: Told::default(),
            next_id: 1,
            random,
        };
        for index in 0..count {
            let start = world.random.below(3 * S);
            let length = world.random.below(3 * S);
            let deaf = S + world.random.below(3 * S);
            let random = &mut world.random;
            let node = Node {
                id: NodeId::from_u128(0),
                life: 0,
                poll: 0,
                member: Member::new(Duration::from_micros(S)),
                known: BTreeSet::new(),
                rate: rate(random),
                offset: random.below(1 << 40),
                stands_until: 0,
                cut: if random.below(2) == 0 { (start, start + length) } else { (0, 0) },
                cannot_read: if random.below(4) == 0 { (deaf, deaf + 3 * S) } else { (0, 0) },
            };
            world.nodes.push(node);
            let at = if world.random.below(4) == 0 { world.random.below(4 * S) } else { 0 };
            world.at(at, Act::Restart(index));
            if world.random.below(4) == 0 {
                let at = S + world.random.below(4 * S);
                world.at(at, Act::Restart(index));
            }
        }
        for _ in 0..1 + world.random.below(4) {
            let at = S / 2 + world.random.below(3 * S);
            world.at(at, Act::Revoke);
        }
        world
    }

    fn at(&mut self, time: u64, act: Act) {
        self.number += 1;
        self.queue.push(Reverse(Queued(time, self.number, act)));
    }

    fn delay(&mut self) -> u64 {
        match self.random.below(20) {
            0 => self.random.below(800_000),
            1..=6 => 1_000 + self.random.below(30_000),
            _ => 300 + self.random.below(1_500),
        }
    }

    /// Sends over the network of a node; a tenth of everything is lost, and all of it while the node is cut off.
    fn send(&mut self, node: usize, act: Act) {
        let cut = self.nodes[node].cut;
        if (cut.0..cut.1).contains(&self.now) || self.random.below(10) == 0 {
            return;
        }
        let delay = self.delay();
        self.at(self.now + delay, act);
    }

    fn clock(&self, node: usize) -> Monotonic {
        local(self.now, self.nodes[node].rate, self.nodes[node].offset)
    }

    fn act(&mut self, act: Act) {
        if let Some((node, life)) = on_node(&act) {
            if self.nodes[node].life != life {
                return;
            }
            if self.nodes[node].stands_until > self.now {
                // SIGSTOP: everything waits.
                let later = self.nodes[node].stands_until;
                return self.at(later, act);
            }
        }
        match act {
            Act::Restart(node) => self.restart(node),
            Act::Tick(node, life) => self.tick(node, life),
            Act::Ask(node, life, poll, sent, applied) => {
                let answer = self.answer(self.nodes[node].id, applied);
                self.send(node, Act::Answer(node, life, poll, sent, answer));
            }
            Act::Answer(node, life, poll, sent, answer) => self.answered(node, life, poll, sent, answer),
            Act::Read(node, life, events) => {
                let deaf = self.nodes[node].cannot_read;
                if !(deaf.0..deaf.1).contains(&self.now) {
                    self.send(node, Act::Applied(node, life, events));
                }
            }
            Act::Applied(node, _, events) => self.applied(node, &events),
            Act::Register(node, life) => {
                let id = self.nodes[node].id;
                let epoch = self.database.epoch;
                self.database.nodes.entry(id).or_insert((epoch, 0));
                self.send(node, Act::Registered(node, life, epoch));
            }
            Act::Registered(node, life, epoch) => self.registered(node, life, epoch),
            Act::Load(node, life) => {
                let (epoch, revoked) = (self.database.epoch, self.database.revoked.clone());
                self.send(node, Act::Loaded(node, life, epoch, revoked));
            }
            Act::Loaded(node, life, epoch, revoked) => self.loaded(node, life, epoch, revoked),
            Act::Revoke => self.revoke(),
            Act::Commit(epoch) => self.commit(epoch),
            Act::Look(waiter) => {
                let asked = self.now;
                let delay = self.delay();
                let nodes = self.counters();
                // The answer describes the instant at the database.
                let reply = self.delay();
                self.at(asked + delay + reply, Act::Looked(waiter, asked, nodes));
            }
            Act::Looked(waiter, asked, nodes) => self.looked(waiter, asked, nodes),
        }
    }

    fn restart(&mut self, node: usize) {
        self.next_id += 1;
        let id = NodeId::from_u128(self.next_id);
        let this = &mut self.nodes[node];
        this.id = id;
        this.life += 1;
        this.member = Member::new(Duration::from_micros(S));
        this.known.clear();
        this.stands_until = 0;
        let life = this.life;
        self.at(self.now, Act::Tick(node, life));
    }

    /// The driver's loop: whoever is outside joins, whoever follows polls. A poll without an answer is sent again.
    fn tick(&mut self, node: usize, life: u32) {
        if self.random.below(40) == 0 {
            // Up to three leases without a step.
            self.nodes[node].stands_until = self.now + self.random.below(3 * S);
        }
        if self.nodes[node].member.is_following() {
            self.poll(node, life);
            self.at(self.now + POLL, Act::Tick(node, life));
        } else {
            self.join(node, life);
            self.at(self.now + PATIENCE, Act::Tick(node, life));
        }
    }

    fn join(&mut self, node: usize, life: u32) {
        self.told.joined += 1;
        let first = match self.removed {
            Removed::JoinBeforeSnapshot => Act::Load(node, life),
            _ => Act::Register(node, life),
        };
        self.send(node, first);
    }

    fn poll(&mut self, node: usize, life: u32) {
        let this = &mut self.nodes[node];
        this.poll += 1;
        let (poll, applied) = (this.poll, this.member.applied());
        let sent = self.clock(node).0;
        self.send(node, Act::Ask(node, life, poll, sent, applied));
    }

    /// The one statement, at one instant.
    fn answer(&mut self, id: NodeId, applied: Position) -> Answered {
        let database = &mut self.database;
        let now = self.now * self.database_rate / 1_000_000;
        let behind = applied.epoch.0;
        let is_late = database.events.range(behind + 1..).any(|(_, at)| *at + S < now);
        let standing = match database.nodes.get_mut(&id) {
            None => Standing::Unknown,
            Some(_) if is_late => Standing::Refused,
            Some((known, renewals)) => {
                *known = behind.max(*known);
                *renewals += 1;
                Standing::Renewed
            }
        };
        self.told.refused += u64::from(standing == Standing::Refused);
        let events = database.events.range(behind + 1..).map(|(epoch, _)| event(*epoch)).collect();
        let answer = Answered { standing, epoch: Epoch(database.epoch), mark: None, events };
        // What every registered node has is pruned at once.
        let least = database.nodes.values().map(|(applied, _)| *applied).min().unwrap_or(0);
        database.events.retain(|epoch, _| *epoch > least);
        answer
    }

    fn answered(&mut self, node: usize, life: u32, poll: u32, sent: u64, mut answer: Answered) {
        if self.nodes[node].poll != poll {
            return;
        }
        let now = self.clock(node);
        if self.removed == Removed::RefusalHonoured && answer.standing == Standing::Refused {
            let applied = self.nodes[node].member.applied().epoch;
            answer = Answered { standing: Standing::Renewed, epoch: applied, mark: None, events: Vec::new() };
        }
        let sent_at = if self.removed == Removed::LeaseFromSending { now } else { Monotonic(sent) };
        match self.nodes[node].member.step(Event::Answered { sent_at, answer }) {
            Step::Apply(events) => self.send(node, Act::Read(node, life, events)),
            Step::Join | Step::Reassert => self.join(node, life),
            _ => {}
        }
    }

    fn applied(&mut self, node: usize, events: &[RightsEvent]) {
        let this = &mut self.nodes[node];
        this.known.extend(events.iter().map(|event| event.epoch.0));
        let Some(last) = events.last() else { return };
        let position = Position { epoch: last.epoch, mark: 0 };
        if this.member.is_following() && this.member.step(Event::Applied(position)) == Step::PollAgain {
            let life = this.life;
            self.poll(node, life);
        }
    }

    fn registered(&mut self, node: usize, life: u32, epoch: i64) {
        if self.nodes[node].member.is_following() {
            return;
        }
        self.nodes[node].member.step(Event::Registered(Epoch(epoch)));
        if self.removed == Removed::JoinBeforeSnapshot {
            let position = Position { epoch: Epoch(epoch), mark: 0 };
            self.nodes[node].member.step(Event::Loaded(position));
            return self.poll(node, life);
        }
        self.send(node, Act::Load(node, life));
    }

    fn loaded(&mut self, node: usize, life: u32, epoch: i64, revoked: BTreeSet<i64>) {
        if self.nodes[node].member.is_following() {
            return;
        }
        self.nodes[node].known = revoked;
        if self.removed == Removed::JoinBeforeSnapshot {
            return self.send(node, Act::Register(node, life));
        }
        let position = Position { epoch: Epoch(epoch), mark: 0 };
        if self.nodes[node].member.step(Event::Loaded(position)) == Step::PollAgain {
            self.poll(node, life);
        }
    }

    fn revoke(&mut self) {
        if self.removed == Removed::EpochInCommitOrder {
            // The number is drawn now, and seen when its transaction commits.
            self.number += 1;
            self.database.epoch += 1;
            let epoch = self.database.epoch;
            let late = self.random.below(300_000);
            return self.at(self.now + late, Act::Commit(epoch));
        }
        self.database.epoch += 1;
        self.commit(self.database.epoch);
    }

    fn commit(&mut self, epoch: i64) {
        self.database.events.insert(epoch, self.now * self.database_rate / 1_000_000);
        self.database.revoked.insert(epoch);
        let (rate, offset) = (rate(&mut self.random), self.random.below(1 << 40));
        let observer = Observer::new(Epoch(epoch), local(self.now, rate, offset));
        self.waiters.push(Waiter { epoch, observer, rate, offset, is_answered: false });
        self.at(self.now, Act::Look(self.waiters.len() - 1));
    }

    fn counters(&self) -> Vec<Counter> {
        let validity = match self.removed {
            Removed::ClockRateMargin => Duration::from_nanos(S * 1_000 * 20 / 21),
            _ => Duration::from_micros(S),
        };
        let counter = |(id, (applied, renewals)): (&NodeId, &(i64, i64))| Counter {
            id: *id,
            applied: Epoch(*applied),
            renewals: *renewals,
            validity,
        };
        self.database.nodes.iter().map(counter).collect()
    }

    fn looked(&mut self, index: usize, asked: u64, nodes: Vec<Counter>) {
        let now = self.now;
        let waiter = &mut self.waiters[index];
        let at = |time| local(time, waiter.rate, waiter.offset);
        waiter.observer.step(&Reading { asked_at: at(asked), answered_at: at(now), nodes });
        let Some(confirmed) = waiter.observer.confirmed() else {
            return self.at(now + LOOK, Act::Look(index));
        };
        waiter.is_answered = true;
        self.told.answered += 1;
        for node in confirmed.iter().filter(|node| node.how == How::Silenced) {
            self.told.silenced += 1;
            // Sometimes a silent row goes: its node must register anew.
            if self.random.below(3) == 0 {
                self.database.nodes.remove(&node.id);
            }
        }
    }

    /// R1: nobody who steps now admits what was answered for.
    fn check(&self) -> Result<(), i64> {
        for (index, node) in self.nodes.iter().enumerate() {
            if node.stands_until > self.now || !node.member.may_admit(self.clock(index)) {
                continue;
            }
            let slip = self.waiters.iter().find(|waiter| waiter.is_answered && !node.known.contains(&waiter.epoch));
            if let Some(waiter) = slip {
                return Err(waiter.epoch);
            }
        }
        Ok(())
    }
}

/// What happens inside a node, and so waits while it stands still.
fn on_node(act: &Act) -> Option<(usize, u32)> {
    match act {
        Act::Tick(node, life)
        | Act::Answer(node, life, ..)
        | Act::Applied(node, life, _)
        | Act::Registered(node, life, _)
        | Act::Loaded(node, life, ..) => Some((*node, *life)),
        _ => None,
    }
}

fn event(epoch: i64) -> RightsEvent {
    let change = KeyId::from_symbols(b"000000000000").map_or(Change::Organization, Change::Key);
    RightsEvent { epoch: Epoch(epoch), mark: epoch, organization: OrganizationId::from_u128(1), change }
}
