//! What a saga may hold, and a step may make.

use super::*;

#[test]
fn events_that_fail_are_kept_up_to_a_number() {
    let (mut saga, _) = Saga::of_states("states: {A: {on: {start: {}, x: {set: {a: '${ context.b }'}}}}}");
    for _ in 0..PARKED_MAX {
        saga.raised("x", "{}");
    }
    assert_eq!(
        saga.refuses(Input::EventRaised(event("x", "{}"))),
        "a has no value: there is no field \"b\"; and no more events can wait for a decision"
    );
}

#[test]
fn what_waits_and_what_undoes_is_bounded_in_bytes() {
    let large = format!("\"{}\"", "a".repeat(1_000_000));
    let (mut saga, _) = Saga::of_states(
        "unhandled: defer
states:
  A: {on: {start: {}, x: {compensation: [{name: undo, input: '${ event.data }'}]}}}
  B: {on: {later: {}}}
",
    );
    for _ in 0..4 {
        saga.raised("later", &large);
        saga.raised("x", &large);
    }
    let told = saga.refuses(Input::EventRaised(event("later", &large)));
    assert!(
        told.starts_with("no more events can wait for a state that takes them"),
        "{told}"
    );
    assert_eq!(
        saga.refuses(Input::EventRaised(event("x", &large))),
        "a saga must not hold more than 8388608 bytes of context, compensations and events; and no more events can wait for a \
         decision"
    );
    assert_eq!(saga.instance.stack.len(), 4);
    // What is small still fits.
    saga.raised("x", "1");
    assert_eq!(saga.instance.stack.len(), 5);
}

#[test]
fn what_one_step_makes_is_bounded_in_bytes() {
    let (mut saga, _) = Saga::of_states(
        "states:
  A:
    on:
      start: {}
      x: {tasks: [{name: each, input: '${ event.data }', for_each: '${ [1,2,3,4,5,6,7,8,9] }', join: {raises: x}}]}
",
    );
    let large = format!("\"{}\"", "a".repeat(1_000_000));
    assert_eq!(saga.raised("x", &large), Vec::<String>::new());
    assert_eq!(
        saga.instance.parked[0].reason,
        "the tasks of one step must not be larger than 8388608 bytes together, where each counts as 1600 beside its texts, and what \
         undoes it as 200"
    );
    assert!(saga.instance.live.is_empty() && saga.instance.joins.is_empty());
    assert_eq!(saga.raised("x", "1").len(), 9);
}

#[test]
fn a_list_is_gone_through_up_to_a_number_that_a_step_can_make() {
    let (mut saga, _) = Saga::of_states(
        "states:
  A:
    on:
      start: {}
      x: {tasks: [{name: each, input: '${ item }', for_each: '${ event.data }', join: {raises: x}}]}
",
    );
    let list = |length: usize| format!("[{}0]", "0,".repeat(length - 1));
    assert_eq!(saga.raised("x", &list(4_001)), Vec::<String>::new());
    assert_eq!(
        saga.instance.parked[0].reason,
        "for_each goes through 4001 entries, and may through 4000"
    );
    assert_eq!(saga.raised("x", &list(4_000)).len(), 4_000);
}

#[test]
fn a_list_of_which_each_has_something_that_undoes_it_may_be_as_long() {
    let saga = waiting_for(4_000);
    assert!(saga.instance.live.values().all(|live| live.compensation.len() == 1));
}

#[test]
fn what_is_waited_for_at_a_time_is_bounded() {
    let (mut saga, _) = Saga::of_states(
        "states:
  A:
    on:
      start: {}
      x: {tasks: [{name: each, for_each: '${ event.data }', join: {raises: y, on_partial_failure: continue}}]}
      y: {}
      child: {tasks: [{saga: a, raises: {success: y, failure: y}}]}
",
    );
    let list = |length: usize| format!("[{}0]", "0,".repeat(length - 1));
    for length in [4_000, 4_000, 1_999] {
        assert_eq!(saga.raised("x", &list(length)).len(), length);
    }
    assert_eq!(saga.raised("child", "null").len(), 1);
    assert_eq!(saga.instance.live.len(), LIVE_MAX);
    assert_eq!(saga.raised("child", "null"), Vec::<String>::new());
    assert_eq!(
        saga.instance.parked[0].reason,
        "a saga must not have more than 10000 tasks and child sagas that are not over"
    );
    assert_eq!(saga.instance.live.len(), LIVE_MAX);
    // With each that is over there is room for another.
    let first = *saga.instance.live.keys().next().expect("one");
    saga.task_ended(first, succeeded("1"));
    assert_eq!(saga.raised("child", "null").len(), 1);
}

#[test]
fn the_outputs_of_a_list_are_bounded_in_bytes() {
    let (mut saga, _) = Saga::of_states(
        "states:
  A: {on: {start: {tasks: [{name: each, for_each: '${ [1, 2] }', join: {raises: x}, raises: {failure: y}}], target: B}}}
  B: {on: {x: {target: C}, y: {set: {why: '${ event.data.message }'}, target: D}}}
  C: {final: true}
  D: {final: failed}
",
    );
    let large = format!("\"{}\"", "a".repeat(600_000));
    saga.task_ended(2, succeeded(&large));
    assert_eq!(saga.task_ended(3, succeeded(&large)), ["finished Failed"]);
    assert_eq!(
        saga.context("why"),
        "\"the outputs of the list must not be larger than 1048576 bytes together\""
    );
}

/// It goes in a circle in which all is undone, and what undoes it fails.
const CIRCLE: &str = "on_compensation_failure: continue
states:
  A:
    on:
      start: {}
      x: {compensation: [{name: undo, input: '${ event.data }'}]}
      y: {compensate: true, target: A}
";

#[test]
fn what_was_passed_over_counts_as_what_is_held() {
    let large = format!("\"{}\"", "a".repeat(1_000_000));
    let (mut saga, _) = Saga::of_states(CIRCLE);
    for round in 1..=8 {
        saga.raised("x", &large);
        saga.raised("y", "{}");
        let number = saga.instance.stack[0].number;
        saga.undone(number, failed());
        assert_eq!((saga.instance.stack.len(), saga.instance.not_undone.len()), (0, round));
    }
    assert_eq!(
        saga.refuses(Input::EventRaised(event("x", &large))),
        "a saga must not hold more than 8388608 bytes of context, compensations and events; and no more events can wait for a \
         decision"
    );
    saga.raised("x", "1");
    assert_eq!(saga.instance.stack.len(), 1);
}

#[test]
fn what_was_passed_over_counts_as_a_compensation() {
    let (mut saga, _) = Saga::of_states(CIRCLE);
    saga.raised("x", "1");
    saga.raised("y", "{}");
    let number = saga.instance.stack[0].number;
    let long = Outcome::Unsuccessful {
        error: TaskError::new(ErrorKind::Failed, "a".repeat(5_000)),
        may_have_run: false,
    };
    saga.undone(number, long);
    let mut failed = saga.instance.not_undone[0].clone();
    let kept = failed.1.message.len();
    assert!((2_000..2_100).contains(&kept), "{kept}");
    // Of so many the messages are shorter.
    failed.1.message = "it broke".to_owned();
    saga.instance.not_undone = vec![failed; COMPENSATIONS_MAX - 1];
    saga.raised("x", "1");
    assert_eq!(saga.instance.stack.len(), 1);
    saga.raised("x", "1");
    assert_eq!(saga.instance.stack.len(), 1);
    assert_eq!(
        saga.instance.parked[0].reason,
        "a saga must not have more than 10000 compensations"
    );
}

#[test]
fn compensations_without_an_input_are_no_nothing() {
    let (mut saga, _) = Saga::of_states(CIRCLE);
    saga.raised("x", "1");
    let small = saga.instance.stack[0].clone();
    saga.instance.stack = vec![small; COMPENSATIONS_MAX - 1];
    let large = format!("\"{}\"", "a".repeat(1_000_000));
    for _ in 0..6 {
        saga.instance.deferred.push(event("later", &large));
    }
    // Six million bytes of events, and two of what is told of tasks.
    saga.raised("x", "1");
    assert_eq!(saga.instance.stack.len(), COMPENSATIONS_MAX);
    saga.instance.stack.pop();
    let told = saga.refuses(Input::EventRaised(event("x", &large)));
    assert!(
        told.starts_with("a saga must not hold more than 8388608 bytes"),
        "{told}"
    );
}

#[test]
fn failures_that_nobody_hears_end_in_nothing_new_being_begun() {
    let (mut saga, _) = Saga::of_states(
        "states:
  A:
    on:
      start: {}
      x: {tasks: [{name: a}]}
      none: {tasks: [{name: each, for_each: '${ [] }', join: {raises: y}}]}
      y: {if: 'false'}
",
    );
    // More than events from outside are kept: a failure is told to nobody else.
    for number in 0..=PARKED_MAX {
        saga.raised("x", "1");
        let live = *saga.instance.live.keys().next().expect("one");
        saga.task_ended(live, failed());
        assert_eq!(saga.instance.parked.len(), number + 1);
    }
    let one = saga.instance.parked[0].clone();
    saga.instance.parked = vec![one; LIVE_MAX + PARKED_MAX];
    for name in ["x", "none"] {
        assert_eq!(
            saga.refuses(Input::EventRaised(event(name, "1"))),
            "a saga must not have more than 10100 tasks and child sagas that are not over, and failures that wait for a decision; and \
             no more events can wait for a decision"
        );
    }
    let number = saga.instance.parked[0].number;
    saga.takes(Input::ParkedDiscarded { number });
    assert_eq!(saga.raised("x", "1").len(), 1);
}

#[test]
fn what_fails_in_a_circle_and_means_nothing_any_more_is_not_gathered() {
    let (mut saga, _) = Saga::of_states(
        "states:
  A: {on: {start: {target: B}}}
  B:
    on: {again: {target: B}}
    after: [{seconds: 5, set: {late: '${ context.rate }'}, target: B}]
",
    );
    for _ in 0..2 * PARKED_MAX {
        let entry = saga.instance.entry;
        saga.takes(Input::TimerFired(Timer::After { entry, index: 0 }));
        assert!(saga.instance.parked.len() <= PARKED_MAX);
        saga.raised("again", "{}");
    }
    let newest = saga.instance.parked.last().expect("one");
    assert_eq!(newest.number, saga.instance.last_number);
}

#[test]
fn events_that_waited_and_fail_are_kept_up_to_the_same_number() {
    let (mut saga, _) = Saga::of_states(
        "unhandled: defer
states:
  A: {on: {start: {}, go: {target: B}}}
  B: {on: {x: {set: {a: '${ context.b }'}}, back: {target: A}}}
",
    );
    for (parked, refused) in [(60, 0), (PARKED_MAX, 20)] {
        for _ in 0..60 {
            saga.raised("x", "{}");
        }
        saga.raised("go", "{}");
        assert_eq!((saga.instance.parked.len(), saga.instance.deferred.len()), (parked, 0));
        let is_refused = |note: &&Note| matches!(note, Note::EventRejected { .. });
        assert_eq!(saga.notes.iter().filter(is_refused).count(), refused);
        saga.raised("back", "{}");
    }
}

/// What an event of the saga costs, and its instance after it.
fn cost_of(saga: &Saga, name: &str, data: &str) -> (Result<Instance, Rejection>, Cost) {
    let mut instance = saga.instance.clone();
    let (decided, cost) = step_in_place(
        &saga.definition,
        &mut instance,
        Input::EventRaised(event(name, data)),
        &SpecLimits::default(),
        Timestamp::EPOCH,
    );
    (decided.map(|_| instance), cost)
}

/// A chain of states, each left at once by this guard and with this change of the context.
fn chain(length: usize, guard: &str, change: &str) -> String {
    let state = |index: usize| {
        let next = index + 1;
        format!("  S{index}: {{always: [{{if: '{guard}', set: {{{change}}}, target: S{next}}}], on: {{x: {{}}}}}}\n")
    };
    let states: Vec<String> = (0..length).map(state).collect();
    format!(
        "states:\n  A: {{on: {{start: {{}}, go: {{target: S0}}}}}}\n{}  S{length}: {{on: {{x: {{}}}}}}\n",
        states.concat()
    )
}

/// So many entries of two bytes, and `x`, which is 1.
fn large(entries: usize) -> String {
    format!("{{\"x\":1,\"l\":[1{}]}}", ",1".repeat(entries - 1))
}

#[test]
fn what_expressions_see_is_read_once_a_step_and_costs_by_its_size() {
    let states = chain(40, "event.data.x == 1 && input.x == 1", "n: \"${ 1 + 1 }\"");
    let (saga, _) = Saga::started(&format!("name: test\ninitial: A\n{states}"), &large(50_000));
    let (small, small_cost) = cost_of(&saga, "go", "{\"x\":1}");
    let (instance, cost) = cost_of(&saga, "go", &large(50_000));
    for instance in [small, instance] {
        let instance = instance.expect("it is taken");
        assert_eq!((instance.state.as_str(), instance.parked.len()), ("S40", 0));
    }
    // A step for each entry and each 16 bytes, of the input and of the event.
    assert!((56_000..70_000).contains(&small_cost.steps), "{small_cost:?}");
    let event_read = cost.steps - small_cost.steps;
    assert!((56_000..57_000).contains(&event_read), "{event_read}");
}

#[test]
fn a_step_ends_however_often_the_context_is_read_anew() {
    let (context, bound) = (
        "context: {big: '${ input }'}",
        "the expressions take more than 1000000 steps together",
    );
    for (guard, change) in [
        ("context.big.x == 1", "n: 1"),
        ("true", "n: \"${ event.data }\""),
        ("true", "n: \"${ [event.data] }\""),
    ] {
        let states = chain(60, guard, change);
        let (saga, _) = Saga::started(&format!("name: test\n{context}\ninitial: A\n{states}"), &large(50_000));
        let (instance, cost) = cost_of(&saga, "go", &large(50_000));
        let instance = instance.expect("it is taken");
        assert_eq!(
            (instance.state.as_str(), instance.parked.len()),
            ("A", 1),
            "{guard} {change}"
        );
        assert!(
            instance.parked[0].reason.contains(bound),
            "{}",
            instance.parked[0].reason
        );
        assert_eq!(cost.steps, 1_000_000);
    }
}

#[test]
fn a_refusal_and_a_failure_cost_what_they_have_used() {
    let (saga, _) = Saga::of_states(
        "states:
  A:
    on:
      start: {}
      refused: {if: 'event.data.x == 2'}
      failed: {set: {a: '${ event.data.l.size() }', b: '${ event.data.nothing }'}}
      made: {tasks: [{name: one, input: '${ event.data }'}]}
",
    );
    let (refused, cost) = cost_of(&saga, "refused", &large(50_000));
    assert!(matches!(refused, Err(Rejection::NoGuardHolds { .. })));
    assert!((56_000..57_000).contains(&cost.steps) && cost.bytes == 0, "{cost:?}");
    let (failed, cost) = cost_of(&saga, "failed", &large(50_000));
    assert_eq!(failed.expect("it is kept").parked.len(), 1);
    assert!((56_000..120_000).contains(&cost.steps) && cost.bytes == 0, "{cost:?}");
    let (_, cost) = cost_of(&saga, "made", &large(50_000));
    assert!((100_000..110_000).contains(&cost.bytes), "{cost:?}");
}

/// One that waits for so many, with what undoes each, and takes `x` and stays as it is.
fn waiting_for(count: usize) -> Saga {
    let (mut saga, _) = Saga::of_states(
        "states:
  A:
    on:
      start: {}
      begin: {tasks: [{name: each, for_each: '${ event.data }', join: {raises: y}, compensation: [{name: undo}]}]}
      x: {}
      y: {}
",
    );
    saga.raised("begin", &format!("[{}0]", "0,".repeat(count - 1)));
    assert_eq!(saga.instance.live.len(), count);
    saga
}

#[test]
fn of_very_much_that_is_parked_some_is_taken_again_at_a_time_and_all_in_its_turn() {
    let mut saga = waiting_for(4_000);
    let parked = |number: u32, name: &str| Parked {
        number: 100_000 + number,
        cause: Cause::Event(event(name, "1")),
        reason: "parked".to_owned(),
    };
    // Each keeps 12,000 things that were before it, and those that are refused do not.
    saga.instance.parked = (0..100).map(|number| parked(number, "x")).collect();
    let mut before = 100;
    for _ in 0..3 {
        saga.takes(Input::Retried { context: Fields::new() });
        let left = saga.instance.parked.len();
        assert!((40..45).contains(&(before - left)) || left == 0, "{before} {left}");
        before = left;
    }
    assert_eq!(before, 0);

    // What fails again does not hold up what is behind it.
    let begin = |number| Parked {
        cause: Cause::Event(event("begin", "\"no list\"")),
        ..parked(number, "begin")
    };
    saga.instance.parked = (0..50).map(begin).chain([parked(50, "x")]).collect();
    saga.takes(Input::Retried { context: Fields::new() });
    assert_eq!(saga.instance.parked.len(), 51);
    saga.takes(Input::Retried { context: Fields::new() });
    assert_eq!(saga.instance.parked.len(), 50, "the last has had its turn");
}

#[test]
fn tasks_that_are_issued_again_are_as_many_as_may_be_waited_for() {
    let (mut saga, _) = Saga::of_states(
        "states:
  A: {on: {start: {}, x: {tasks: [{name: a}]}}}
",
    );
    saga.raised("x", "1");
    let live = saga.instance.live.values().next().expect("one").clone();
    saga.task_ended(1, failed());
    saga.instance.live = (10..).zip(std::iter::repeat_n(live, LIVE_MAX)).collect();
    saga.takes(Input::Retried { context: Fields::new() });
    assert_eq!(saga.instance.live.len(), LIVE_MAX);
    assert_eq!(
        saga.instance.parked[0].reason,
        "a saga must not have more than 10000 tasks and child sagas that are not over"
    );
}

#[test]
fn what_is_copied_costs_and_what_is_not_does_not() {
    let mut saga = waiting_for(1_900);
    // A transition keeps what was before it: the tasks, what undoes each, and the outcomes that are awaited.
    let (_, cost) = cost_of(&saga, "x", "1");
    assert_eq!((cost.parts, cost.steps), (3 * 1_900, 0));
    let (_, cost) = cost_of(&saga, "other", "1");
    assert_eq!(cost.parts, 0, "it is refused");
    let mut cost_of = |input| {
        step_in_place(
            &saga.definition,
            &mut saga.instance,
            input,
            &SpecLimits::default(),
            Timestamp::EPOCH,
        )
        .1
    };
    let end = |number| Input::TaskEnded {
        number,
        outcome: succeeded("1"),
    };
    // It looks for the others of its list.
    assert_eq!(cost_of(end(2)).parts, 19);
    assert_eq!(cost_of(Input::CancelRequested).parts, 0);
    assert_eq!(cost_of(end(3)).parts, 0, "nothing is joined on the way back");
}
