//! What could not be done, taken again or given up.

use super::any::comes_back_as_it_was;
use super::*;

/// It needs `context.rate` for what it does on `price`, and on `late`.
const PRICED: &str = "name: test
initial: A
states:
  A: {on: {start: {target: B}}}
  B:
    on:
      price: {set: {total: '${ event.data * context.rate }'}}
      go: {target: C}
    after: [{seconds: 5, set: {late: '${ context.rate }'}, target: C}]
  C: {on: {price: {if: 'false', target: D}}}
  D: {final: true}
";

fn fields(name: &str, value: &str) -> Fields {
    Fields::from([(name.parse().expect("a name"), json(value))])
}

fn numbers(saga: &Saga) -> Vec<u32> {
    saga.instance.parked.iter().map(|parked| parked.number).collect()
}

/// One that has parked two events and a timer.
fn parked() -> Saga {
    let (mut saga, _) = Saga::started(PRICED, "{}");
    saga.raised("price", "2.0");
    saga.raised("price", "3.0");
    saga.takes(Input::TimerFired(Timer::After { entry: 2, index: 0 }));
    assert_eq!(numbers(&saga), [1, 2, 3]);
    saga.is_at("B", SagaStatus::NeedsAttention);
    saga
}

#[test]
fn all_that_is_parked_is_taken_again_oldest_first_with_the_context_that_was_missing() {
    let mut saga = parked();
    let decided = saga.takes(Input::Retried {
        context: fields("rate", "10.0"),
    });
    assert_eq!(decided, ["stop 2"]);
    assert_eq!((saga.context("total"), saga.context("late")), ("30.0", "10.0"));
    assert!(saga.instance.parked.is_empty());
    saga.is_at("C", SagaStatus::Running);
    assert_eq!(
        saga.refuses(Input::Retried { context: Fields::new() }),
        "nothing of the saga waits for a decision"
    );
}

#[test]
fn what_fails_again_keeps_its_place_its_number_and_the_newest_reason() {
    let mut saga = parked();
    saga.takes(Input::Retried {
        context: fields("rate", "\"ten\""),
    });
    // The timer has got what it needs, and with it the state was left.
    assert_eq!(numbers(&saga), [1, 2]);
    assert_eq!(saga.context("late"), "\"ten\"");
    saga.is_at("C", SagaStatus::NeedsAttention);
    let not_taken = "no guard of the state C holds for price";
    assert_eq!(saga.refuses(Input::ParkedRetried { number: 1 }), not_taken);
    saga.takes(Input::Retried { context: Fields::new() });
    assert_eq!(numbers(&saga), [1, 2]);
    assert_eq!(saga.instance.parked[0].reason, not_taken);

    let mut saga = parked();
    assert_eq!(saga.takes(Input::ParkedRetried { number: 2 }), Vec::<String>::new());
    assert_eq!(numbers(&saga), [1, 2, 3]);
    assert_eq!(
        saga.notes,
        [Note::Parked {
            number: 2,
            reason: "total has no value: there is no field \"rate\"".to_owned()
        }]
    );
}

#[test]
fn one_is_given_up_and_a_timer_of_a_state_that_was_left_means_nothing() {
    let mut saga = parked();
    assert_eq!(
        saga.refuses(Input::ParkedDiscarded { number: 4 }),
        "nothing with the number 4 waits for a decision"
    );
    saga.takes(Input::ParkedDiscarded { number: 1 });
    assert_eq!(saga.notes, [Note::ParkedDiscarded { number: 1 }]);
    saga.raised("go", "{}");
    saga.takes(Input::ParkedRetried { number: 3 });
    assert_eq!(saga.notes, [Note::ParkedResolved { number: 3 }]);
    assert_eq!(numbers(&saga), [2]);
    saga.is_at("C", SagaStatus::NeedsAttention);
}

#[test]
fn a_context_that_is_too_large_changes_nothing() {
    let mut saga = parked();
    let large = format!("\"{}\"", "a".repeat(1 << 20));
    assert_eq!(
        saga.refuses(Input::Retried {
            context: fields("rate", &large)
        }),
        "the context must not be larger than 1048576 bytes"
    );
}

#[test]
fn what_an_entry_could_not_start_after_the_way_back_is_started_when_it_is_taken_again() {
    let (mut saga, _) = Saga::of_states(
        "states:
  A: {on: {start: {target: B}}}
  B: {on: {x: {compensate: true, target: C}}}
  C:
    on_entry: [{name: tell, input: '${ context.who }', raises: {success: done}}]
    on: {done: {target: D}}
  D: {final: failed}
",
    );
    assert_eq!(saga.raised("x", "{}"), Vec::<String>::new());
    saga.is_at("C", SagaStatus::NeedsAttention);
    let [number] = numbers(&saga)[..] else {
        panic!("{:?}", saga.instance)
    };
    saga.takes(Input::ParkedRetried { number });
    saga.is_at("C", SagaStatus::NeedsAttention);
    let decided = saga.takes(Input::Retried {
        context: fields("who", "\"all\""),
    });
    assert_eq!(decided, ["task 2 tell \"all\""]);
    saga.is_at("C", SagaStatus::Running);
}

#[test]
fn a_task_whose_failure_nobody_hears_is_issued_again_and_undone_once() {
    let states = "states:
  A: {on: {start: {tasks: [{name: a, raises: {success: x}, compensation: [{name: undo}]}], target: B}}}
  B: {on: {x: {compensate: true, target: C}}}
  C: {final: failed}
";
    for (outcome, undo) in [(failed(), 5), (ended(ErrorKind::Failed, true), 2)] {
        let (mut saga, _) = Saga::of_states(states);
        saga.task_ended(1, outcome);
        saga.is_at("B", SagaStatus::NeedsAttention);
        let decided = saga.takes(Input::Retried { context: Fields::new() });
        let [issued] = decided.as_slice() else {
            panic!("{decided:?}")
        };
        assert!(issued.starts_with("task ") && issued.ends_with(" a "), "{issued}");
        saga.is_at("B", SagaStatus::Running);
        let number = saga.instance.last_number;
        saga.task_ended(number, failed());
        assert_eq!(saga.takes(Input::ParkedRetried { number: number + 1 }).len(), 1);
        let number = saga.instance.last_number;
        let decided = saga.task_ended(number, succeeded("1"));
        // Where it was armed before, once is enough.
        assert_eq!(
            decided,
            [format!("undo {} undo ", if undo == 5 { number + 1 } else { undo })]
        );
        assert_eq!(saga.instance.stack.len(), 1);
    }
}

/// A task that was lost in `B`, and was undone on the way to `C`.
fn undone_and_parked(skips: bool) -> (Saga, u32) {
    let (mut saga, _) = Saga::of_states(
        "states:
  A: {on: {start: {tasks: [{name: a, raises: {success: x}, compensation: [{name: one}, {name: two}]}], target: B}}}
  B: {on: {x: {}, y: {compensate: true, target: C}}}
  C: {on: {x: {}, y: {compensate: true, target: D}}}
  D: {final: failed}
",
    );
    saga.task_ended(1, ended(ErrorKind::Lost, true));
    let number = numbers(&saga)[0];
    assert_eq!(saga.raised("y", "{}"), ["undo 3 two "]);
    assert_eq!(saga.undone(3, succeeded("null")), ["undo 2 one "]);
    if skips {
        saga.undone(2, failed());
        saga.takes(Input::CompensationSkipped { number: 2 });
    } else {
        saga.undone(2, succeeded("null"));
    }
    saga.is_at("C", SagaStatus::NeedsAttention);
    comes_back_as_it_was(&saga.instance, "parked");
    (saga, number)
}

#[test]
fn a_task_that_is_issued_again_after_all_was_undone_is_undone_again() {
    for (skips, outcome) in [
        (false, succeeded("1")),
        (true, succeeded("1")),
        (false, ended(ErrorKind::Lost, true)),
    ] {
        let (mut saga, number) = undone_and_parked(skips);
        assert_eq!(saga.takes(Input::ParkedRetried { number }), ["task 5 a "]);
        comes_back_as_it_was(&saga.instance, "issued again");
        saga.task_ended(5, outcome);
        assert_eq!(saga.raised("y", "{}"), ["undo 7 two "]);
        assert_eq!(saga.undone(7, succeeded("null")), ["undo 6 one "]);
        assert_eq!(saga.undone(6, succeeded("null")), ["finished Failed"]);
    }
}

#[test]
fn a_task_that_is_live_again_when_all_is_undone_is_undone_after_its_end() {
    let (mut saga, number) = undone_and_parked(false);
    saga.takes(Input::ParkedRetried { number });
    assert_eq!(saga.raised("y", "{}"), ["cancel 5"]);
    assert_eq!(saga.task_ended(5, ended(ErrorKind::Cancelled, true)), ["undo 7 two "]);
}

#[test]
fn what_was_parked_before_it_kept_what_undoes_it_is_read_and_taken_again() {
    let (mut saga, number) = undone_and_parked(false);
    let stored = saga.instance.to_stored();
    let kept = r#""compensation":[{"name":"one"},{"name":"two"}],"armed":2,"#;
    assert!(stored.as_str().contains(kept), "{stored}");
    let before = stored.as_str().replace(kept, "");
    let Instance {
        id,
        correlation_id,
        input,
        ..
    } = saga.instance.clone();
    saga.instance = Instance::from_stored(id, correlation_id, input, &before).expect("an instance");
    assert_eq!(saga.takes(Input::ParkedRetried { number }), ["task 5 a "]);
    saga.task_ended(5, succeeded("1"));
    saga.is_at("C", SagaStatus::Running);
}

#[test]
fn what_cannot_be_issued_again_is_given_up() {
    let (mut saga, _) = Saga::of_states(
        "states:
  A:
    on:
      start:
        tasks: [{saga: other}, {name: each, for_each: '${ [1] }', join: {raises: x}}]
        target: B
  B: {on: {x: {target: C}}}
  C: {final: true}
",
    );
    saga.task_ended(1, failed());
    saga.task_ended(3, failed());
    let told = |saga: &Saga| {
        saga.instance
            .parked
            .iter()
            .map(|parked| parked.reason.clone())
            .collect::<Vec<_>>()
    };
    let before = told(&saga);
    assert!(
        before[1].ends_with("1 of its 1 tasks did not succeed, the first: it broke"),
        "{before:?}"
    );
    let all = || Input::Retried { context: Fields::new() };
    assert_eq!(
        saga.refuses(all()),
        "task 1 is over: it can be given up, or an event raised that leads on"
    );
    // Beside something that can be taken again they keep their reasons.
    saga.instance.parked.push(Parked {
        number: 6,
        cause: Cause::Timer(Timer::After { entry: 1_000, index: 0 }),
        reason: "late".to_owned(),
    });
    saga.takes(all());
    assert_eq!(told(&saga), before);
    for (number, told) in [(4, 1), (5, 2)] {
        assert_eq!(
            saga.refuses(Input::ParkedRetried { number }),
            format!("task {told} is over: it can be given up, or an event raised that leads on")
        );
        saga.takes(Input::ParkedDiscarded { number });
    }
    saga.is_at("B", SagaStatus::Running);
}

/// Of tasks that begin with the saga.
fn with_tasks(unhandled: &str) -> Saga {
    let (saga, _) = Saga::started(
        &format!(
            "name: test
unhandled: {unhandled}
initial: A
context: {{limit: 10}}
states:
  A:
    on: {{start: {{target: B}}}}
  B:
    on_entry:
      - {{name: one, raises: {{success: done, failure: lost}}}}
      - {{name: two, raises: {{success: done, failure: lost}}}}
    on:
      done: {{if: 'event.data > context.limit', target: C}}
      on: {{target: C}}
  C: {{on: {{on: {{target: D}}, lost: {{if: 'context.limit > 10', target: D}}}}}}
  D: {{final: true}}
"
        ),
        "{}",
    );
    saga
}

#[test]
fn the_end_of_a_task_that_leads_nowhere_is_parked() {
    let mut saga = with_tasks("reject");
    saga.task_ended(1, succeeded("3"));
    saga.is_at("B", SagaStatus::NeedsAttention);
    saga.task_ended(2, failed());
    assert_eq!(saga.instance.parked.len(), 2);
    let reasons: Vec<&str> = saga
        .instance
        .parked
        .iter()
        .map(|parked| parked.reason.as_str())
        .collect();
    assert_eq!(
        reasons,
        [
            "no guard of the state B holds for done",
            "the state B does not take lost; it takes done, on"
        ]
    );
    saga.takes(Input::Retried {
        context: fields("limit", "1"),
    });
    saga.is_at("C", SagaStatus::NeedsAttention);
    assert_eq!(saga.instance.parked[0].reason, "no guard of the state C holds for lost");
}

#[test]
fn a_success_that_comes_too_late_is_dropped_and_a_failure_is_not() {
    let mut saga = with_tasks("reject");
    saga.raised("on", "{}");
    saga.task_ended(1, succeeded("30"));
    saga.is_at("C", SagaStatus::Running);
    saga.task_ended(2, failed());
    saga.is_at("C", SagaStatus::NeedsAttention);
}

#[test]
fn ends_that_lead_nowhere_are_passed_over_where_that_is_asked_for() {
    let mut saga = with_tasks("ignore");
    saga.task_ended(1, succeeded("3"));
    saga.task_ended(2, failed());
    saga.is_at("B", SagaStatus::Running);
}
