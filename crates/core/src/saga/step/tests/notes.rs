//! What a saga did, as its history tells it.

use super::*;

fn told(notes: &[Note]) -> Vec<String> {
    let notes = notes.iter().map(|note| match note {
        Note::Created => "created".to_owned(),
        Note::TimedOut { timer } => format!("timed out {timer:?}"),
        Note::Transition { from, to, event } => format!("{from} to {to} on {event}"),
        Note::EventProcessed { id, name } => format!("processed {name} ({id})"),
        Note::EventRejected { id, name, reason } => format!("rejected {name} ({id}): {reason}"),
        Note::EventDeferred { id, name } => format!("deferred {name} ({id})"),
        Note::EventIgnored { id, name } => format!("ignored {name} ({id})"),
        Note::Parked { number, reason } => format!("parked {number}: {reason}"),
        Note::ParkedResolved { number } => format!("resolved {number}"),
        Note::ParkedDiscarded { number } => format!("discarded {number}"),
        Note::Compensation { number, change } => format!("compensation {number} {}", change.as_str()),
    });
    notes.collect()
}

#[test]
fn the_story_of_an_order_that_cannot_be_shipped() {
    let (order, _) = Saga::started(ORDER, ORDER_INPUT);
    assert_eq!(
        told(&order.notes),
        [
            "created",
            "Initial to AwaitingPayment on start",
            "processed start (id of start)"
        ]
    );
    let mut order = reserved();
    order.task_ended(5, failed());
    assert_eq!(
        told(&order.notes),
        ["compensation 4 started", "processed shipment_failed (task/5)"]
    );
    order.undone(4, failed());
    assert_eq!(told(&order.notes), ["compensation 4 failed"]);
    order.takes(Input::CompensationRetried { number: 4 });
    assert_eq!(told(&order.notes), ["compensation 4 retried", "compensation 4 started"]);
    order.undone(4, failed());
    order.takes(Input::CompensationSkipped { number: 4 });
    assert_eq!(told(&order.notes), ["compensation 4 skipped", "compensation 2 started"]);
    order.undone(2, succeeded("null"));
    assert_eq!(
        told(&order.notes),
        [
            "compensation 2 succeeded",
            "AwaitingShipment to Failed on shipment_failed"
        ]
    );
}

#[test]
fn a_timeout_and_an_end_that_nobody_takes_are_told() {
    let states = |unhandled: &str| {
        format!(
            "name: test
initial: A
unhandled: {unhandled}
timeout: {{after_seconds: 9, target: C}}
states:
  A: {{on: {{start: {{tasks: [{{name: a, raises: {{success: x, failure: x}}}}], target: B}}, x: {{target: C}}}}}}
  B: {{on: {{again: {{}}, go: {{target: A}}}}, after: [{{seconds: 5, target: D}}]}}
  C: {{final: failed}}
  D: {{on: {{x: {{target: C}}}}}}
"
        )
    };
    for (unhandled, expected) in [
        (
            "reject",
            "rejected x (task/1): the state B does not take x; it takes again, go",
        ),
        ("ignore", "ignored x (task/1)"),
        ("defer", "deferred x (task/1)"),
    ] {
        let (mut saga, _) = Saga::started(&states(unhandled), "{}");
        saga.raised("again", "{}");
        assert_eq!(told(&saga.notes), ["B to B on again", "processed again (id of again)"]);
        saga.task_ended(1, succeeded("null"));
        assert_eq!(told(&saga.notes), [expected]);
        saga.takes(Input::TimerFired(Timer::After { entry: 2, index: 0 }));
        let mut after = vec!["timed out After { entry: 2, index: 0 }", "B to D on after"];
        if unhandled == "defer" {
            after.extend(["D to C on x", "processed x (task/1)"]);
            assert_eq!(told(&saga.notes), after);
            continue;
        }
        assert_eq!(told(&saga.notes), after);
        saga.takes(Input::TimerFired(Timer::Saga));
        assert_eq!(told(&saga.notes), ["timed out Saga", "D to C on timeout"]);
    }
}
