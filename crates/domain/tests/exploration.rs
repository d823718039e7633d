//! The revocation machines in every order of events within small bounds (`keys.md` §6, proof b).
//!
//! One key is revoked while nodes join, poll, lose questions and answers, read, stand still and start anew; time moves in
//! leases. Every step that is possible in a state is taken, and every state is looked at once: nobody may admit what was
//! answered as revoked. A rule that is taken away must show. Clock rates are left to the random histories of `testkit`.

use claviger_domain::id::{KeyId, NodeId, OrganizationId};
use claviger_domain::revocation::{
    Answered, Change, Counter, Epoch, Event, Member, Observer, Position, Reading, RightsEvent, Standing, Step,
};
use claviger_domain::time::Monotonic;
use std::collections::{BTreeMap, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

/// S; time moves in steps of it.
const S: Duration = Duration::from_secs(1);

/// The epoch of the one revocation.
const REVOKED: Epoch = Epoch(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Removed {
    Nothing,
    /// The lease is counted from the reply.
    LeaseFromSending,
    /// A node reads before it registers, and takes its place from its registration.
    JoinBeforeSnapshot,
    /// A refused renewal is taken for one.
    RefusalHonoured,
    /// One reading of a node is enough to call it silent.
    TwoReadings,
}

#[derive(Clone, Copy, Debug)]
struct Bounds {
    nodes: usize,
    /// Moments, counted from 0.
    moments: u64,
    /// How often a node may start anew.
    restarts: u8,
    removed: Removed,
}

/// What is under way between a node and the database.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Wire {
    Quiet,
    Registering,
    Registered(Epoch),
    Loading,
    Loaded(Epoch),
    Asked { sent: u64, applied: Epoch },
    Answered { sent: u64, applied: Epoch, standing: Standing, epoch: Epoch },
    Applying(Epoch),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Node {
    start: u8,
    member: Member,
    /// Whether the revocation is in force in memory.
    knows: bool,
    wire: Wire,
    /// When a poll was last sent by the clock; one a moment, but for acknowledgements.
    polled: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Look {
    None,
    Asked(u64),
    Read(u64, Vec<Counter>),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    now: u64,
    epoch: Epoch,
    revoked_at: u64,
    rows: BTreeMap<NodeId, (Epoch, i64)>,
    nodes: Vec<Node>,
    observer: Option<Observer>,
    look: Look,
    is_answered: bool,
}

fn at(moment: u64) -> Monotonic {
    Monotonic(moment * 1_000_000_000)
}

fn event() -> RightsEvent {
    let key = KeyId::from_symbols(b"000000000000").unwrap();
    RightsEvent { epoch: REVOKED, mark: 1, organization: OrganizationId::from_u128(1), change: Change::Key(key) }
}

impl Node {
    fn new(start: u8) -> Self {
        Self { start, member: Member::new(S), knows: false, wire: Wire::Quiet, polled: None }
    }

    /// What the machine wants next, put on the wire.
    fn follow(&mut self, step: &Step, now: u64) {
        self.wire = match step {
            Step::Load => Wire::Loading,
            Step::Apply(events) => Wire::Applying(events.last().map_or(REVOKED, |event| event.epoch)),
            Step::PollAgain => Wire::Asked { sent: now, applied: self.member.applied().epoch },
            Step::Wait | Step::Join | Step::Reassert | Step::Deregister => Wire::Quiet,
        };
    }
}

impl World {
    fn new(bounds: Bounds) -> Self {
        Self {
            now: 0,
            epoch: Epoch(0),
            revoked_at: 0,
            rows: BTreeMap::new(),
            nodes: (0..bounds.nodes).map(|_| Node::new(0)).collect(),
            observer: None,
            look: Look::None,
            is_answered: false,
        }
    }

    fn id(&self, node: usize) -> NodeId {
        let start = u128::from(self.nodes[node].start);
        NodeId::from_u128(u128::try_from(node).unwrap() * 16 + start + 1)
    }

    /// R1: somebody could admit the key now, after it was answered as revoked.
    fn slips(&self) -> bool {
        self.is_answered && self.nodes.iter().any(|node| !node.knows && node.member.may_admit(at(self.now)))
    }

    /// Every state that can follow.
    fn next(&self, bounds: Bounds) -> Vec<Self> {
        let mut next = Vec::new();
        if self.now + 1 < bounds.moments {
            next.push(Self { now: self.now + 1, ..self.clone() });
        }
        if self.epoch < REVOKED {
            let observer = Some(Observer::new(REVOKED, at(self.now)));
            next.push(Self { epoch: REVOKED, revoked_at: self.now, observer, ..self.clone() });
        }
        self.look(bounds, &mut next);
        for node in 0..self.nodes.len() {
            self.step(bounds, node, &mut next);
        }
        next
    }

    fn look(&self, bounds: Bounds, next: &mut Vec<Self>) {
        let Some(observer) = self.observer.as_ref().filter(|_| !self.is_answered) else { return };
        match &self.look {
            Look::None => next.push(Self { look: Look::Asked(self.now), ..self.clone() }),
            Look::Asked(asked) => next.push(Self { look: Look::Read(*asked, self.counters(bounds)), ..self.clone() }),
            Look::Read(asked, nodes) => {
                let mut observer = observer.clone();
                let reading = Reading { asked_at: at(*asked), answered_at: at(self.now), nodes: nodes.clone() };
                observer.step(&reading);
                let is_answered = observer.confirmed().is_some();
                next.push(Self { observer: Some(observer), look: Look::None, is_answered, ..self.clone() });
            }
        }
    }

    fn counters(&self, bounds: Bounds) -> Vec<Counter> {
        let validity = if bounds.removed == Removed::TwoReadings { Duration::ZERO } else { S };
        let counter = |(id, (applied, renewals)): (&NodeId, &(Epoch, i64))| Counter {
            id: *id,
            applied: *applied,
            renewals: *renewals,
            validity,
        };
        self.rows.iter().map(counter).collect()
    }

    fn step(&self, bounds: Bounds, node: usize, next: &mut Vec<Self>) {
        let this = &self.nodes[node];
        if this.start < bounds.restarts {
            let mut world = self.clone();
            world.nodes[node] = Node::new(this.start + 1);
            next.push(world);
        }
        let mut world = self.clone();
        let moved = match this.wire.clone() {
            Wire::Quiet => world.begin(bounds, node),
            Wire::Registering => {
                let id = world.id(node);
                world.rows.entry(id).or_insert((self.epoch, 0));
                world.nodes[node].wire = Wire::Registered(self.epoch);
                true
            }
            Wire::Registered(epoch) => world.registered(bounds, node, epoch),
            Wire::Loading => {
                world.nodes[node].knows = self.epoch >= REVOKED;
                world.nodes[node].wire = Wire::Loaded(self.epoch);
                true
            }
            Wire::Loaded(epoch) => world.loaded(bounds, node, epoch),
            Wire::Asked { sent, applied } => world.answer(node, sent, applied),
            Wire::Answered { .. } => world.answered(bounds, node),
            Wire::Applying(epoch) => {
                world.nodes[node].knows = true;
                let step = world.nodes[node].member.step(Event::Applied(Position { epoch, mark: 0 }));
                world.nodes[node].follow(&step, self.now);
                true
            }
        };
        if moved {
            next.push(world);
        }
        if !matches!(this.wire, Wire::Quiet) {
            // Whatever was under way is lost.
            let mut lost = self.clone();
            lost.nodes[node].wire = Wire::Quiet;
            next.push(lost);
        }
    }

    fn begin(&mut self, bounds: Bounds, node: usize) -> bool {
        let now = self.now;
        let this = &mut self.nodes[node];
        if this.polled == Some(now) {
            return false;
        }
        this.polled = Some(now);
        this.wire = match (this.member.is_following(), bounds.removed) {
            (true, _) => Wire::Asked { sent: now, applied: this.member.applied().epoch },
            (false, Removed::JoinBeforeSnapshot) => Wire::Loading,
            (false, _) => Wire::Registering,
        };
        true
    }

    fn registered(&mut self, bounds: Bounds, node: usize, epoch: Epoch) -> bool {
        let now = self.now;
        let this = &mut self.nodes[node];
        let mut step = this.member.step(Event::Registered(epoch));
        if bounds.removed == Removed::JoinBeforeSnapshot {
            step = this.member.step(Event::Loaded(Position { epoch, mark: 0 }));
        }
        this.follow(&step, now);
        true
    }

    fn loaded(&mut self, bounds: Bounds, node: usize, epoch: Epoch) -> bool {
        let now = self.now;
        let this = &mut self.nodes[node];
        if bounds.removed == Removed::JoinBeforeSnapshot {
            this.wire = Wire::Registering;
            return true;
        }
        let step = this.member.step(Event::Loaded(Position { epoch, mark: 0 }));
        this.follow(&step, now);
        true
    }

    /// The one statement, at one instant.
    fn answer(&mut self, node: usize, sent: u64, applied: Epoch) -> bool {
        let is_late = self.epoch > applied && self.revoked_at + 1 < self.now;
        let id = self.id(node);
        let standing = match self.rows.get_mut(&id) {
            None => Standing::Unknown,
            Some(_) if is_late => Standing::Refused,
            Some((known, renewals)) => {
                *known = applied.max(*known);
                *renewals += 1;
                Standing::Renewed
            }
        };
        self.nodes[node].wire = Wire::Answered { sent, applied, standing, epoch: self.epoch };
        true
    }

    fn answered(&mut self, bounds: Bounds, node: usize) -> bool {
        let now = self.now;
        let this = &mut self.nodes[node];
        let Wire::Answered { sent, applied, standing, epoch } = this.wire.clone() else { return false };
        let events = if epoch > applied { vec![event()] } else { Vec::new() };
        let mut answer = Answered { standing, epoch, mark: None, events };
        if bounds.removed == Removed::RefusalHonoured && standing == Standing::Refused {
            answer = Answered { standing: Standing::Renewed, epoch: applied, mark: None, events: Vec::new() };
        }
        let sent_at = if bounds.removed == Removed::LeaseFromSending { at(now) } else { at(sent) };
        let step = this.member.step(Event::Answered { sent_at, answer });
        this.follow(&step, now);
        true
    }
}

/// A state as two hashes: 128 bits tell millions of them apart.
fn digest(world: &World) -> (u64, u64) {
    let hash = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        (salt, world).hash(&mut hasher);
        hasher.finish()
    };
    (hash(0), hash(1))
}

/// Looks at every state within the bounds; how many, and one in which somebody slips.
fn explore(bounds: Bounds) -> (usize, Option<World>) {
    let first = World::new(bounds);
    let mut seen = HashSet::from([digest(&first)]);
    let mut open = vec![first];
    while let Some(world) = open.pop() {
        if world.slips() {
            return (seen.len(), Some(world));
        }
        open.extend(world.next(bounds).into_iter().filter(|next| seen.insert(digest(next))));
        assert!(seen.len() < STATES, "the bounds are too wide: {bounds:?}");
    }
    (seen.len(), None)
}

/// More than this takes more than seconds.
const STATES: usize = 500_000;

const ONE: Bounds = Bounds { nodes: 1, moments: 4, restarts: 0, removed: Removed::Nothing };

#[test]
fn no_order_of_events_admits_what_was_answered_as_revoked() {
    for bounds in [ONE, Bounds { moments: 2, restarts: 1, ..ONE }, Bounds { nodes: 2, moments: 1, ..ONE }] {
        let (states, slip) = explore(bounds);
        assert_eq!(slip, None, "{bounds:?}");
        println!("{bounds:?}: {states} states, every one of them");
        assert!(states > 1_000, "the bounds leave something to look at: {states}");
    }
}

#[test]
fn each_rule_is_needed_by_some_order_of_events() {
    for removed in
        [Removed::LeaseFromSending, Removed::JoinBeforeSnapshot, Removed::RefusalHonoured, Removed::TwoReadings]
    {
        let (states, slip) = explore(Bounds { removed, moments: 3, ..ONE });
        assert!(slip.is_some(), "{removed:?} was not missed in {states} states");
    }
}
