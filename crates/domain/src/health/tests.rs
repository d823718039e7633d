//! Circuits and budgets of repeats, on a clock of whole seconds. Sockets and requests are not known here.

use super::*;

const SECOND: u64 = 1_000_000_000;

fn at(seconds: u64) -> Monotonic {
    Monotonic(seconds * SECOND)
}

const OK: Event = Event::Succeeded { is_probe: false };
/// A draw of 10 adds nothing and takes nothing away.
const BAD: Event = Event::Failed { is_probe: false, draw: 10 };
const PROBE_OK: Event = Event::Succeeded { is_probe: true };
const PROBE_BAD: Event = Event::Failed { is_probe: true, draw: 10 };

fn opened() -> Circuit {
    let mut circuit = Circuit::default();
    let opened: Vec<bool> = (0..5).map(|_| circuit.step(BAD, at(0))).collect();
    assert_eq!(opened, [false, false, false, false, true]);
    circuit
}

#[test]
fn five_failures_in_a_row_open_and_a_success_between_begins_anew() {
    let mut circuit = Circuit::default();
    for event in [BAD, BAD, BAD, BAD, OK, BAD, BAD, BAD, BAD] {
        assert!(!circuit.step(event, at(0)));
    }
    assert_eq!(circuit.standing(at(0)), Standing::Ready);
    assert!(circuit.step(BAD, at(0)));
    assert_eq!(circuit.standing(at(4)), Standing::Open(at(5)));
}

#[test]
fn half_of_twenty_outcomes_within_thirty_seconds_open() {
    let mut circuit = Circuit::default();
    for _ in 0..9 {
        assert!(!circuit.step(BAD, at(0)) && !circuit.step(OK, at(0)));
    }
    assert!(!circuit.step(OK, at(1)), "nine of nineteen");
    assert!(circuit.step(BAD, at(1)), "ten of twenty");

    let mut slow = Circuit::default();
    for _ in 0..9 {
        assert!(!slow.step(BAD, at(0)) && !slow.step(OK, at(0)));
    }
    assert!(!slow.step(OK, at(40)) && !slow.step(BAD, at(40)), "what is older than the window does not count");
}

#[test]
fn an_open_circuit_lets_one_probe_through_and_three_successes_close_it() {
    let mut circuit = opened();
    assert_eq!(circuit.begin(at(4)), None);
    for round in 0..3 {
        assert_eq!(circuit.standing(at(6)), Standing::Probe, "round {round}");
        assert_eq!(circuit.begin(at(6)), Some(true));
        assert_eq!(circuit.begin(at(6)), None, "one at a time");
        circuit.step(PROBE_OK, at(6));
    }
    assert_eq!(circuit.begin(at(6)), Some(false), "closed");
}

#[test]
fn a_failed_probe_doubles_the_pause_up_to_a_minute() {
    let mut circuit = opened();
    let mut now = 5;
    for pause in [10, 20, 40, 60, 60] {
        assert_eq!(circuit.begin(at(now)), Some(true));
        assert!(circuit.step(PROBE_BAD, at(now)));
        assert_eq!(circuit.standing(at(now)), Standing::Open(at(now + pause)));
        now += pause;
    }
}

#[test]
fn a_probe_whose_client_left_makes_room_for_the_next() {
    let mut circuit = opened();
    assert_eq!(circuit.begin(at(5)), Some(true));
    circuit.step(Event::ProbeLost, at(5));
    assert_eq!(circuit.begin(at(5)), Some(true));
    // A probe that never reports does not close the door for ever.
    assert_eq!(circuit.begin(at(6)), None);
    assert_eq!(circuit.begin(later(at(5), limits::PROBE_MAX)), Some(true));
}

#[test]
fn old_news_change_nothing_about_an_open_circuit() {
    let mut circuit = opened();
    assert!(!circuit.step(BAD, at(1)) && !circuit.step(OK, at(1)));
    assert_eq!(circuit.standing(at(1)), Standing::Open(at(5)));
    assert_eq!(circuit.begin(at(5)), Some(true));
    circuit.step(OK, at(5));
    assert_eq!(circuit.begin(at(5)), None, "only the probe itself ends the probe");
}

#[test]
fn a_throttled_target_cools_for_what_it_says_within_a_minute_and_stays_healthy() {
    let throttled = |seconds| Event::Throttled { is_probe: false, retry_after: seconds };
    for (said, cools) in [(None, 1), (Some(0), 1), (Some(7), 7), (Some(600), 60)] {
        let mut circuit = Circuit::default();
        assert!(!circuit.step(throttled(said.map(Duration::from_secs)), at(0)));
        assert_eq!(circuit.standing(at(0)), Standing::Cooling(at(cools)));
        assert_eq!(circuit.begin(at(0)), None);
        assert_eq!(circuit.begin(at(cools)), Some(false));
    }
}

#[test]
fn a_misconfigured_target_is_left_alone_for_a_minute_and_told_once() {
    let mut circuit = Circuit::default();
    assert!(circuit.step(Event::Misconfigured, at(0)));
    assert!(!circuit.step(Event::Misconfigured, at(1)), "told once");
    assert_eq!(circuit.standing(at(59)), Standing::Open(at(61)));
    assert_eq!(circuit.begin(at(61)), Some(true));
}

#[test]
fn the_pause_is_spread_by_ten_percent_to_both_sides() {
    let pauses: Vec<Duration> = (0..21).map(|draw| spread(Duration::from_secs(10), draw)).collect();
    assert_eq!((pauses[0], pauses[10], pauses[20]), (secs(9), secs(10), secs(11)));
    assert_eq!(spread(secs(10), u64::MAX), spread(secs(10), u64::MAX % 21));
}

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn repeats_are_a_tenth_of_the_requests_and_ten() {
    let mut budget = RepeatBudget::default();
    assert_eq!((0..20).filter(|_| budget.try_repeat(at(1))).count(), 10);
    (0..100).for_each(|_| budget.asked(at(2)));
    assert_eq!((0..20).filter(|_| budget.try_repeat(at(2))).count(), 10);
    assert_eq!((0..20).filter(|_| budget.try_repeat(at(30))).count(), 10, "both are forgotten after ten seconds");
}
