//! The sagas that random things happen to.

/// It has tasks that are undone, questions, timers of which some are due together, many tasks at once, and expressions that fail.
pub(super) const TRIP: &str = "
name: trip
context: {notes: 0, divisor: 0, share: null}
timeout: {after_seconds: 60, target: Late, compensate: true}
initial: Initial
states:
  Initial: {on: {start: {target: Booking}, begun: {target: Booking}}}
  Booking:
    on_entry:
      - name: echo
        input: book
        ttl_seconds: 30
        max_retries: 1
        max_losses: 1
        backoff: {kind: none}
        raises: {success: booked, failure: unbooked}
        compensation: [{name: echo, input: unbook}]
    on:
      booked: {compensation: [{name: echo, input: '${ event.data }', max_retries: 0}], target: Asking}
      unbooked: {compensate: true, target: Failed}
      noted: {set: {notes: '${ context.notes + 1 }'}, tasks: [{name: echo, input: '${ context.notes }', max_retries: 0}]}
      divided: {set: {share: '${ 12 / context.divisor }'}}
    after: [{seconds: 12, compensate: true, target: Failed}]
  Asking:
    await_input:
      event: answered
      prompt: Go on?
      default_after: {seconds: 10, data: {ok: false}}
      reminders: [{seconds: 4, event: reminded}, {seconds: 8, event: reminded}]
    on:
      reminded: {tasks: [{name: echo, input: '${ event.data }', raises: {failure: noted}}]}
      noted: {set: {notes: '${ context.notes + 1 }'}}
      answered:
        - {if: event.data.ok, target: Packing}
        - {compensate: true, target: Failed}
    after:
      - {seconds: 8, if: context.notes > 1, target: Packing}
      - {seconds: 8, if: context.notes > 0, set: {notes: 0}, target: Asking}
  Packing:
    on_entry:
      - name: echo
        for_each: '${ [1, 2, 3] }'
        input: '${ item }'
        max_retries: 0
        compensation: [{name: echo, input: 'unpack ${ item }'}]
        join: {raises: packed}
        raises: {failure: unpacked}
    on:
      packed: {target: Done}
      unpacked: {compensate: true, target: Failed}
      noted: {target: Packing}
  Done: {final: true}
  Failed: {final: failed}
  Late: {final: failed}
";

/// Its events wait for a state that takes them, and compensations that fail are passed over.
pub(super) const PATIENT: &str = "
name: patient
unhandled: defer
on_compensation_failure: continue
initial: Initial
states:
  Initial:
    on:
      start:
        tasks: [{name: echo, input: first, max_retries: 0, raises: {success: booked, failure: unbooked}}]
        target: Working
  Working:
    on:
      booked: {compensation: [{name: echo, input: undo, max_retries: 0}], target: Open}
      unbooked: {target: Failed}
  Open:
    on:
      noted: {compensation: [{name: echo, input: 'undo ${ event.id }', max_retries: 0}]}
      divided: {compensate: true, target: Failed}
      answered: {target: Done}
  Done: {final: true}
  Failed: {final: failed}
";

/// What is raised: some of them no state takes.
pub(super) const EVENTS: [&str; 8] = [
    "noted", "noted", "noted", "divided", "answered", "booked", "unbooked", "unknown",
];
