//! Damage and its place: torn tails at every byte, flipped bits, journals of other databases.

use super::*;
use crate::journal::simulated::{Dice, SHAPE, SimulatedDisk};

fn opened(disk: &SimulatedDisk, known: Position) -> Result<(Log<SimulatedDisk>, Vec<Unflushed>), Unreadable> {
    Log::open(disk.clone(), SHAPE, known)
}

fn payload(number: u64) -> Vec<u8> {
    vec![u8::try_from(number % 251 + 1).unwrap(); 100 + usize::try_from(number % 7).unwrap()]
}

/// A journal of so many synced frames, and where each begins in its segment.
fn written(count: u64) -> (SimulatedDisk, Log<SimulatedDisk>, Vec<(usize, usize)>) {
    let disk = SimulatedDisk::new();
    let (mut log, _) = opened(&disk, Position::default()).unwrap();
    let mut begins = Vec::new();
    for number in 1..=count {
        log.append(&payload(number), u64::MAX).unwrap();
        log.sync().unwrap();
        let length = frame::length(payload(number).len());
        begins.push((log.place(log.generation), log.offset - length));
    }
    (disk, log, begins)
}

fn numbers(unflushed: &[Unflushed]) -> Vec<u64> {
    unflushed.iter().map(|frame| frame.position.number).collect()
}

#[test]
fn a_torn_tail_is_cut_at_every_byte_and_the_journal_goes_on() {
    let (disk, mut log, _) = written(3);
    let begin = log.offset;
    log.append(&payload(4), 0).unwrap();
    let length = frame::length(payload(4).len());
    disk.kill();
    let whole = disk.0.borrow().segments[0].clone();
    for garbage in [0_u8, 0xA5] {
        for kept in 0..length {
            let mut torn = whole.clone();
            torn[begin + kept..].fill(garbage);
            let is_whole = torn == whole;
            disk.0.borrow_mut().segments[0] = torn;
            let (mut log, unflushed) = opened(&disk, Position::default()).unwrap();
            assert_eq!(unflushed.len(), if is_whole { 4 } else { 3 }, "{kept}");
            let last = log.append(b"next", 0).unwrap();
            log.sync().unwrap();
            let (_, unflushed) = opened(&disk, Position::default()).unwrap();
            assert_eq!(unflushed.last().map(|frame| frame.position), Some(last));
            disk.0.borrow_mut().segments[0] = whole.clone();
        }
    }
}

#[test]
fn a_flipped_bit_in_the_middle_is_found_with_its_frame() {
    // Long enough to lie in two segments.
    let (disk, _, begins) = written(60);
    assert!(begins.iter().any(|(segment, _)| *segment == 1));
    let mut dice = Dice(3);
    for (index, (segment, begin)) in begins.iter().enumerate().take(begins.len() - 1) {
        let length = frame::length(payload(u64::try_from(index + 1).unwrap()).len());
        for _ in 0..25 {
            let at = begin + usize::try_from(dice.roll(u64::try_from(length).unwrap())).unwrap();
            let bit = 1 << dice.roll(8);
            disk.0.borrow_mut().segments[*segment][at] ^= bit;
            match opened(&disk, Position::default()) {
                Err(Unreadable::Damaged { file, offset, .. }) => {
                    assert_eq!((file, offset), (format!("segment {segment}"), *begin), "byte {at}");
                }
                other => panic!("byte {at} of frame {index}: {:?}", other.err()),
            }
            disk.0.borrow_mut().segments[*segment][at] ^= bit;
        }
    }
    // A head of a segment: what lies in it proves that it was there.
    disk.0.borrow_mut().segments[1][20] ^= 1;
    assert!(matches!(opened(&disk, Position::default()), Err(Unreadable::Damaged { .. })));
}

#[test]
fn a_frame_that_the_database_has_must_still_be_there() {
    let (disk, log, begins) = written(5);
    let known = Position { number: 5, chain: log.chain };
    assert_eq!(opened(&disk, known).unwrap().1, []);
    let (segment, begin) = begins[4];
    disk.0.borrow_mut().segments[segment][begin + 60] ^= 4;
    assert!(matches!(opened(&disk, known), Err(Unreadable::Damaged { offset, .. }) if offset == begin));
}

#[test]
fn reading_begins_behind_what_the_database_has() {
    let (disk, mut log, _) = written(0);
    let mut positions = vec![Position::default()];
    for number in 1..=30 {
        positions.push(log.append(&payload(number), 0).unwrap());
        log.sync().unwrap();
    }
    for known in &positions {
        let (_, unflushed) = opened(&disk, *known).unwrap();
        assert_eq!(numbers(&unflushed), (known.number + 1..=30).collect::<Vec<_>>());
        let whole = unflushed.iter().all(|frame| frame.payload == payload(frame.position.number));
        assert!(whole);
    }
}

#[test]
fn the_journal_of_another_database_is_refused() {
    let (disk, log, _) = written(5);
    let mut strange = Position { number: 4, chain: log.chain };
    assert!(matches!(opened(&disk, strange), Err(Unreadable::Damaged { .. })));
    strange.number = 9;
    assert!(matches!(opened(&disk, strange), Err(Unreadable::Damaged { .. })), "it ends before the database");
}

#[test]
fn a_database_older_than_the_journal_is_refused_with_what_is_missing() {
    let (disk, _, _) = written(400);
    match opened(&disk, Position::default()) {
        Err(Unreadable::Gap { from: 1, to }) => assert!(to > 1),
        other => panic!("{:?}", other.err()),
    }
}

#[test]
fn a_ring_that_the_database_does_not_empty_is_full_and_goes_on_when_it_does() {
    let disk = SimulatedDisk::new();
    let (mut log, _) = opened(&disk, Position::default()).unwrap();
    let mut count = 0;
    loop {
        match log.append(&payload(7), 0) {
            Ok(position) => count = position.number,
            Err(NotAppended::Full) => break,
            Err(other) => panic!("{other}"),
        }
    }
    log.sync().unwrap();
    assert!(count > 100, "{count}");
    assert!(log.tight_above() > 0);
    let (mut log, unflushed) = opened(&disk, Position::default()).unwrap();
    assert_eq!(unflushed.len(), usize::try_from(count).unwrap());
    assert!(matches!(log.append(&payload(7), 0), Err(NotAppended::Full)));
    let quarter = unflushed[unflushed.len() / 3].position;
    assert_eq!(log.append(&payload(7), quarter.number).unwrap().number, count + 1);
    log.sync().unwrap();
    let (_, unflushed) = opened(&disk, quarter).unwrap();
    assert_eq!(numbers(&unflushed), (quarter.number + 1..=count + 1).collect::<Vec<_>>());
}

#[test]
fn a_missing_journal_begins_behind_the_database() {
    let disk = SimulatedDisk::new();
    let known = Position { number: 41, chain: [9; 32] };
    let (mut log, unflushed) = opened(&disk, known).unwrap();
    assert_eq!(unflushed, []);
    assert_eq!(log.append(b"x", 41).unwrap().number, 42);
    log.sync().unwrap();
    assert_eq!(numbers(&opened(&disk, known).unwrap().1), [42]);
}
