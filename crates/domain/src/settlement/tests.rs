//! Every row of the cut-off rule × {JSON, SSE} × {usage early, late, twice, never, absurd}.

use super::*;
use proptest::prelude::*;

fn terms(mode: Mode) -> Terms {
    Terms {
        mode,
        input_bound: 1_000,
        output_bound: 100,
        units_bound: Meters::NONE.with(Meter::SearchUnit, 3),
        estimate: Estimate::of_text(7),
        upstream_cut: UpstreamCut::Reported,
    }
}

fn usage(input: u64, output: u64) -> Usage {
    Usage {
        meters: Meters::NONE.with(Meter::InputToken, input).with(Meter::OutputToken, output),
        source: UsageSource::UpstreamFinal,
        is_anomalous: false,
    }
}

fn last(input: u64, output: u64) -> Event {
    Event::Reported { usage: usage(input, output), is_final: true }
}

fn running(input: u64, output: u64) -> Event {
    Event::Reported { usage: usage(input, output), is_final: false }
}

const CONTENT: Event = Event::Content { bytes: 40, chunks: 5 };

/// Rule, word, charged input and output tokens.
type Case = (u8, Outcome, Option<(u64, u64)>);

fn course(mode: Mode, events: &[Event]) -> Case {
    run(Settlement::new(terms(mode)), events)
}

fn run(mut settlement: Settlement, events: &[Event]) -> Case {
    for event in events {
        if let Effect::Ended(verdict) = settlement.step(*event) {
            let charged = verdict.charged.map(|usage| {
                (usage.meters.of(Meter::InputToken).unwrap_or(0), usage.meters.of(Meter::OutputToken).unwrap_or(0))
            });
            return (verdict.rule, verdict.outcome, charged);
        }
    }
    panic!("the course did not end");
}

#[test]
fn complete_answers() {
    use Event::{Dispatched, Finished, UpstreamEnded};
    for mode in [Mode::Json, Mode::Sse] {
        let end = |usage: &[Event]| course(mode, &[&[Dispatched, CONTENT], usage, &[Finished, UpstreamEnded]].concat());
        assert_eq!(end(&[last(10, 20)]), (1, Outcome::Complete, Some((10, 20))), "late");
        assert_eq!(
            course(mode, &[Dispatched, last(10, 20), CONTENT, Finished, UpstreamEnded]),
            (1, Outcome::Complete, Some((10, 20))),
            "early"
        );
        assert_eq!(end(&[last(10, 20), last(10, 21)]), (1, Outcome::Complete, Some((10, 21))), "twice: the last");
        assert_eq!(end(&[]), (2, Outcome::Complete, Some((7, 10))), "never: counted");
        assert_eq!(end(&[last(10, 0)]), (2, Outcome::Complete, Some((10, 10))), "no output reported, content came");
        assert_eq!(
            end(&[last(10, ABSURD_QUANTITY + 1)]),
            (2, Outcome::Complete, Some((7, 10))),
            "absurd: not reported"
        );
        assert_eq!(
            end(&[last(5_000, 500)]),
            (1, Outcome::Complete, Some((1_000, 100))),
            "above the bounds: the bounds"
        );
        assert_eq!(course(mode, &[Dispatched, Finished, UpstreamEnded]), (3, Outcome::Empty, None));
        assert_eq!(course(mode, &[Dispatched, last(10, 0), Finished, UpstreamEnded]), (3, Outcome::Empty, None));
        assert_eq!(
            course(mode, &[Dispatched, last(10, 3), Finished, UpstreamEnded]),
            (1, Outcome::Complete, Some((10, 3))),
            "hidden reasoning"
        );
    }
}

#[test]
fn input_that_is_told_before_any_output_does_not_run() {
    use Event::{ClientGone, Dispatched, DrainOver, UpstreamFailed};
    let begun = Event::Reported {
        usage: Usage { meters: Meters::NONE.with(Meter::InputToken, 42), ..usage(0, 0) },
        is_final: false,
    };
    let sse = |events: &[Event]| course(Mode::Sse, &[&[Dispatched, begun, CONTENT], events].concat());
    assert_eq!(sse(&[ClientGone, DrainOver]), (7, Outcome::ClientClosed, Some((42, 10))), "what came is counted");
    assert_eq!(sse(&[UpstreamFailed]), (12, Outcome::UpstreamCut, Some((42, 0))), "what was told is charged");
    let mut blind = Settlement::new(terms(Mode::Sse));
    blind.step(begun);
    assert_eq!(blind.step(Event::Content { bytes: 900, chunks: 101 }), Effect::CutAtHold);
}

#[test]
fn streams_end_at_their_hold() {
    let mut settlement = Settlement::new(terms(Mode::Sse));
    assert_eq!(settlement.step(running(10, 100)), Effect::Continue);
    assert_eq!(settlement.step(running(10, 101)), Effect::CutAtHold);
    assert_eq!(run(settlement, &[Event::CutAtHold]), (4, Outcome::CutAtHold, Some((10, 100))));
    let mut blind = Settlement::new(terms(Mode::Sse));
    assert_eq!(blind.step(Event::Content { bytes: 800, chunks: 100 }), Effect::Continue);
    assert_eq!(blind.step(Event::Content { bytes: 8, chunks: 1 }), Effect::CutAtHold);
    assert_eq!(run(blind, &[Event::CutAtHold]), (4, Outcome::CutAtHold, Some((7, 100))));
    let mut json = Settlement::new(terms(Mode::Json));
    assert_eq!(json.step(Event::Content { bytes: 9_999, chunks: 999 }), Effect::Continue);
}

#[test]
fn clients_that_leave() {
    use Event::{ClientGone, Dispatched, DrainOver, Finished, UpstreamEnded, UpstreamFailed};
    for mode in [Mode::Json, Mode::Sse] {
        assert_eq!(course(mode, &[ClientGone]), (5, Outcome::ClientClosed, None));
        assert_eq!(
            course(mode, &[Dispatched, CONTENT, running(10, 3), ClientGone]),
            (6, Outcome::ClientClosed, Some((10, 3)))
        );
        assert_eq!(
            course(mode, &[Dispatched, ClientGone, CONTENT, last(10, 20), Finished, UpstreamEnded]),
            (7, Outcome::ClientClosed, Some((10, 20)))
        );
        assert_eq!(
            course(mode, &[Dispatched, ClientGone, CONTENT, Finished, UpstreamEnded]),
            (7, Outcome::ClientClosed, Some((7, 10)))
        );
    }
    assert_eq!(
        course(Mode::Sse, &[Dispatched, CONTENT, ClientGone, DrainOver]),
        (7, Outcome::ClientClosed, Some((7, 10)))
    );
    assert_eq!(
        course(Mode::Sse, &[Dispatched, CONTENT, ClientGone, UpstreamFailed]),
        (7, Outcome::ClientClosed, Some((7, 10)))
    );
    assert_eq!(course(Mode::Json, &[Dispatched, ClientGone, DrainOver]), (7, Outcome::ClientClosed, Some((7, 0))));
}

#[test]
fn upstreams_that_fail() {
    use Event::{Dispatched, Finished, UpstreamEnded, UpstreamFailed, UpstreamRejected};
    for mode in [Mode::Json, Mode::Sse] {
        assert_eq!(course(mode, &[Dispatched, UpstreamRejected]), (10, Outcome::UpstreamRejected, None));
        assert_eq!(course(mode, &[UpstreamFailed]), (11, Outcome::UpstreamFailed, None));
        assert_eq!(
            course(mode, &[Dispatched, running(10, 0), UpstreamFailed]),
            (11, Outcome::UpstreamFailed, None),
            "even if input was reported"
        );
    }
    assert_eq!(course(Mode::Json, &[Dispatched, CONTENT, UpstreamFailed]), (11, Outcome::UpstreamFailed, None));
    assert_eq!(course(Mode::Sse, &[Dispatched, CONTENT, UpstreamFailed]), (12, Outcome::UpstreamCut, None));
    assert_eq!(
        course(Mode::Sse, &[Dispatched, CONTENT, UpstreamEnded]),
        (12, Outcome::UpstreamCut, None),
        "end without finish"
    );
    assert_eq!(
        course(Mode::Sse, &[Dispatched, CONTENT, running(10, 3), UpstreamFailed]),
        (12, Outcome::UpstreamCut, Some((10, 3)))
    );
    assert_eq!(
        course(Mode::Sse, &[Dispatched, CONTENT, Finished, UpstreamEnded]),
        (2, Outcome::Complete, Some((7, 10))),
        "finished, no [DONE]"
    );
    let counted = Settlement::new(Terms { upstream_cut: UpstreamCut::Counted, ..terms(Mode::Sse) });
    assert_eq!(run(counted, &[Dispatched, CONTENT, UpstreamFailed]), (12, Outcome::UpstreamCut, Some((7, 10))));
    let zero = Settlement::new(Terms { upstream_cut: UpstreamCut::Zero, ..terms(Mode::Sse) });
    assert_eq!(run(zero, &[Dispatched, CONTENT, running(10, 3), UpstreamFailed]), (12, Outcome::UpstreamCut, None));
}

#[test]
fn without_a_report_chunks_count_only_up_to_half_the_bytes() {
    let counted = |pieces: &[u64]| {
        let mut course = Settlement::new(terms(Mode::Sse));
        for bytes in pieces {
            course.step(Event::Content { bytes: *bytes, chunks: 1 });
        }
        course.usage().meters.of(Meter::OutputToken)
    };
    assert_eq!(counted(&[8, 1]), Some(3));
    assert_eq!(counted(&[1; 10]), Some(5), "some servers stream single characters");
    assert_eq!(counted(&[4; 10]), Some(10));
    assert_eq!(counted(&[]), Some(0));
}

#[test]
fn an_answer_without_output_tokens_costs_what_went_in() {
    let computed =
        Estimate { input: Meters::NONE.with(Meter::Character, 12), source: UsageSource::Computed, has_output: false };
    let mut course = Settlement::new(Terms { estimate: computed, ..terms(Mode::Json) });
    course.step(Event::Dispatched);
    course.step(Event::Content { bytes: 4_000, chunks: 1 });
    course.step(Event::Finished);
    let Effect::Ended(verdict) = course.step(Event::UpstreamEnded) else { panic!("an ending") };
    let charged = verdict.charged.expect("a charge");
    assert_eq!((verdict.outcome, charged.meters, charged.source), (Outcome::Complete, computed.input, computed.source));
    assert!(!charged.is_anomalous);
}

#[test]
fn sound_that_broke_off_costs_nothing_and_sound_nobody_waited_for_costs_its_text() {
    use Event::{ClientGone, Dispatched, DrainOver, UpstreamFailed};
    let input = Meters::NONE.with(Meter::Character, 12);
    let counted = Estimate { input, source: UsageSource::Computed, has_output: false };
    let piece = Event::Content { bytes: 0, chunks: 1 };
    let course = |events: &[Event]| {
        let mut course = Settlement::new(Terms { estimate: counted, ..terms(Mode::Binary) });
        let effects = events.iter().map(|event| course.step(*event)).collect::<Vec<_>>();
        let Some(Effect::Ended(verdict)) = effects.last() else { panic!("an ending") };
        (verdict.rule, verdict.outcome, verdict.charged.map(|usage| usage.meters))
    };
    assert_eq!(course(&[Dispatched, UpstreamFailed]), (11, Outcome::UpstreamFailed, None));
    assert_eq!(course(&[Dispatched, piece, UpstreamFailed]), (12, Outcome::UpstreamCut, None));
    assert_eq!(course(&[Dispatched, piece, ClientGone, DrainOver]), (7, Outcome::ClientClosed, Some(input)));
}

#[test]
fn quantities_other_than_tokens_are_charged_up_to_their_bound() {
    for (told, charged, is_anomalous) in [(2, 2, false), (3, 3, false), (4, 3, true)] {
        let meters = Meters::NONE.with(Meter::SearchUnit, told);
        let usage = Usage { meters, source: UsageSource::UpstreamFinal, is_anomalous: false };
        let counted = Estimate { input: meters, source: UsageSource::Computed, has_output: false };
        let mut course = Settlement::new(Terms { estimate: counted, ..terms(Mode::Json) });
        course.step(Event::Reported { usage, is_final: true });
        course.step(Event::Content { bytes: 0, chunks: 1 });
        course.step(Event::Finished);
        let Effect::Ended(verdict) = course.step(Event::UpstreamEnded) else { panic!("an ending") };
        let paid = verdict.charged.expect("a charge");
        assert_eq!((paid.meters.of(Meter::SearchUnit), paid.is_anomalous), (Some(charged), is_anomalous), "{told}");
        assert_eq!(verdict.known.unwrap().meters.of(Meter::SearchUnit), Some(told));
    }
}

#[test]
fn endings_of_our_own_making() {
    use Event::{Dispatched, Revoked, Stopped};
    assert_eq!(course(Mode::Sse, &[Dispatched, CONTENT, running(10, 3), Stopped]), (15, Outcome::NodeStopped, None));
    assert_eq!(
        course(Mode::Sse, &[Dispatched, CONTENT, running(10, 3), Revoked]),
        (14, Outcome::Revoked, Some((10, 3)))
    );
    assert_eq!(course(Mode::Sse, &[Dispatched, CONTENT, Revoked]), (14, Outcome::Revoked, Some((7, 10))));
    assert_eq!(course(Mode::Sse, &[Revoked]), (14, Outcome::Revoked, None));
}

#[test]
fn input_that_was_not_reported_is_counted() {
    use Event::{Dispatched, Finished, UpstreamEnded};
    let output_only = Usage {
        meters: Meters::NONE.with(Meter::OutputToken, 20),
        source: UsageSource::UpstreamFinal,
        is_anomalous: false,
    };
    let reported = Event::Reported { usage: output_only, is_final: true };
    for mode in [Mode::Json, Mode::Sse] {
        let (_, outcome, charged) = course(mode, &[Dispatched, CONTENT, reported, Finished, UpstreamEnded]);
        assert_eq!((outcome, charged), (Outcome::Complete, Some((7, 20))));
    }
}

#[test]
fn known_usage_that_is_not_charged_is_told() {
    let mut settlement = Settlement::new(terms(Mode::Sse));
    settlement.step(Event::Dispatched);
    settlement.step(running(10, 3));
    let Effect::Ended(verdict) = settlement.step(Event::Stopped) else { panic!("not over") };
    assert_eq!(verdict.known.and_then(|usage| usage.meters.of(Meter::OutputToken)), Some(3));
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        Just(Event::Dispatched),
        Just(Event::Finished),
        (0_u64..200, 0_u64..50).prop_map(|(bytes, chunks)| Event::Content { bytes, chunks }),
        (0_u64..5_000, 0_u64..500, any::<bool>())
            .prop_map(|(input, output, is_final)| Event::Reported { usage: usage(input, output), is_final }),
        Just(Event::UpstreamEnded),
        Just(Event::UpstreamRejected),
        Just(Event::UpstreamFailed),
        Just(Event::ClientGone),
        Just(Event::DrainOver),
        Just(Event::CutAtHold),
        Just(Event::Revoked),
        Just(Event::Stopped),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]
    #[test]
    fn no_course_charges_beyond_its_bounds(events in prop::collection::vec(event(), 1..30), is_json: bool) {
        let mut settlement = Settlement::new(terms(if is_json { Mode::Json } else { Mode::Sse }));
        for event in events {
            if let Effect::Ended(verdict) = settlement.step(event) {
                prop_assert!((1..=20).contains(&verdict.rule));
                if let Some(charged) = verdict.charged {
                    prop_assert!(charged.meters.of(Meter::InputToken).unwrap_or(0) <= 1_000);
                    prop_assert!(charged.meters.of(Meter::OutputToken).unwrap_or(0) <= 100);
                }
                break;
            }
        }
    }
}
