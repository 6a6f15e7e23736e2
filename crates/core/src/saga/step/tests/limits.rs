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
states: {A: {on: {start: {}, x: {compensation: [{name: undo, input: '${ event.data }'}]}}}}",
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
        "the tasks of one step must not be larger than 8388608 bytes together"
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
