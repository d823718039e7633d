//! Every order of events, and what each may do to a hold.

use super::*;

fn task() -> Task {
    Task {
        id: TaskId::from_u128(1),
        organization: OrganizationId::from_u128(2),
        environment: EnvironmentId::from_u128(3),
        key: KeyId::from_symbols(b"000000000000").unwrap(),
        kind: EndpointName::Video,
        model: "m".to_owned(),
        terms: Some(VideoTerms { prompt: "a cat".to_owned(), seconds: 5, count: 2, size: None }),
        metadata: "{}".to_owned(),
        callback: None,
        state: TaskState::Created,
        progress: 0,
        made_seconds: None,
        place: None,
        error: None,
        hold: Nano(10),
        created_at: Timestamp(0),
        started_at: None,
        completed_at: None,
        expires_at: Timestamp(1_000_000_000),
        due_at: Timestamp(0),
        late: None,
    }
}

fn place() -> TaskPlace {
    TaskPlace { provider: "p".to_owned(), row: None, upstream_model: "u".to_owned(), upstream_id: "v".to_owned() }
}

/// How many kinds of events there are.
const EVENTS: usize = 15;

fn events() -> [TaskEvent; EVENTS] {
    let error = || TaskError { code: "upstream_error".to_owned(), message: "no".to_owned() };
    [
        TaskEvent::Submitted(place()),
        TaskEvent::NotTaken(error()),
        TaskEvent::Said(Said::Queued),
        TaskEvent::Said(Said::Running(40)),
        TaskEvent::Said(Said::Completed(Some(4))),
        TaskEvent::Said(Said::Completed(None)),
        TaskEvent::Said(Said::Failed("no".to_owned())),
        TaskEvent::Said(Said::Cancelled),
        TaskEvent::Said(Said::Gone),
        TaskEvent::Unheard,
        TaskEvent::Cancel,
        TaskEvent::Started,
        TaskEvent::Answered,
        TaskEvent::BrokenOff,
        TaskEvent::TooLate,
    ]
}

/// Whether an effect takes the hold.
fn is_end(effect: &TaskEffect) -> bool {
    matches!(effect, TaskEffect::Capture(_) | TaskEffect::Settle | TaskEffect::Release)
}

#[test]
fn every_order_of_events_takes_the_hold_once_and_corrects_it_once_at_most() {
    let mut orders = 0_u32;
    let mut walk = |picks: [usize; 4]| {
        let (mut task, mut ends, mut corrections) = (task(), 0, 0);
        for (index, pick) in picks.into_iter().enumerate() {
            // The last look comes behind the deadline.
            let now = if index == 3 { 2_000_000_000 } else { 1_000 };
            let (was_open, was_paid) = (task.state.is_open(), task.state == TaskState::Completed);
            let effect = task.step(events()[pick].clone(), Timestamp(now));
            assert!(was_open || !is_end(&effect), "{picks:?}");
            ends += usize::from(is_end(&effect));
            match effect {
                TaskEffect::Capture(seconds) => assert!(seconds <= 10 && task.state == TaskState::Completed),
                TaskEffect::Refund => assert!(!was_open && was_paid, "{picks:?}"),
                TaskEffect::Absorb(seconds) => assert!(!was_open && !was_paid && seconds <= 10, "{picks:?}"),
                _ => {}
            }
            corrections += usize::from(matches!(effect, TaskEffect::Refund | TaskEffect::Absorb(_)));
        }
        assert!(ends <= 1 && corrections <= ends, "{picks:?}");
        assert_eq!(ends == 1, !task.state.is_open(), "{picks:?}");
        orders += 1;
    };
    for number in 0..EVENTS.pow(4) {
        walk([number % EVENTS, number / EVENTS % EVENTS, number / EVENTS.pow(2) % EVENTS, number / EVENTS.pow(3)]);
    }
    assert_eq!(orders, 50_625);
}

#[test]
fn an_upstream_that_changes_its_verdict_is_heard_once() {
    let done = || TaskEvent::Said(Said::Completed(Some(4)));
    let failed = || TaskEvent::Said(Said::Failed("no".to_owned()));
    let submitted = |state: TaskEvent| {
        let mut task = task();
        task.step(TaskEvent::Submitted(place()), Timestamp(1));
        task.step(state, Timestamp(2));
        task
    };
    let mut paid = submitted(done());
    assert_eq!(paid.step(done(), Timestamp(3)), TaskEffect::Wait);
    assert_eq!(paid.step(TaskEvent::Said(Said::Gone), Timestamp(4)), TaskEffect::Wait, "it is only forgotten there");
    assert_eq!(paid.due_at, Timestamp::NEVER);
    assert_eq!(paid.step(failed(), Timestamp(4)), TaskEffect::Refund);
    assert_eq!((paid.state, paid.late), (TaskState::Failed, Some(Late::Refunded)));
    assert_eq!(paid.step(failed(), Timestamp(5)), TaskEffect::Nothing);
    assert_eq!(paid.step(done(), Timestamp(5)), TaskEffect::Nothing);
    for end in [failed(), TaskEvent::Cancel, TaskEvent::TooLate] {
        let mut free = submitted(end);
        assert_eq!(free.step(done(), Timestamp(3)), TaskEffect::Absorb(8));
        assert_eq!(free.step(done(), Timestamp(3)), TaskEffect::Nothing);
        assert_ne!(free.state, TaskState::Completed, "what was given back is not delivered");
    }
}

#[test]
fn ended_tasks_are_looked_at_ever_more_seldom_and_not_for_ever() {
    let mut task = task();
    task.step(TaskEvent::Submitted(place()), Timestamp(0));
    task.step(TaskEvent::Said(Said::Completed(None)), Timestamp(0));
    let mut looks = 0;
    while task.due_at != Timestamp::NEVER {
        let now = task.due_at;
        assert_eq!(task.step(TaskEvent::Unheard, now), TaskEffect::Wait);
        looks += 1;
    }
    assert_eq!(looks, 11);
}

#[test]
fn seconds_are_those_that_were_made_and_never_more_than_were_asked_for() {
    for (made, paid) in [(Some(4), 8), (Some(5), 10), (Some(60), 10), (Some(0), 0), (None, 10)] {
        let mut task = task();
        assert_eq!(task.step(TaskEvent::Said(Said::Completed(made)), Timestamp(7)), TaskEffect::Capture(paid));
        assert_eq!((task.state, task.progress), (TaskState::Completed, 100));
    }
}

#[test]
fn what_is_late_is_given_up_and_progress_never_falls() {
    let mut task = task();
    task.step(events()[0].clone(), Timestamp(0));
    task.step(TaskEvent::Said(Said::Running(60)), Timestamp(1));
    task.step(TaskEvent::Said(Said::Running(20)), Timestamp(2));
    assert_eq!((task.state, task.progress), (TaskState::Running, 60));
    assert!(task.due_at > Timestamp(2));
    assert_eq!(task.step(TaskEvent::Unheard, Timestamp(1_000_000_000)), TaskEffect::Release);
    assert_eq!(task.state, TaskState::Expired);
}
