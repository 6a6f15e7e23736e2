//! Timers that never fire, since something else has always come first. That none is nothing or for ever is what a
//! [`Delay`] is.

use super::ways::active;
use crate::saga::definition::{ActiveState, Definition, Delay};
use crate::saga::fault::{Fault, Faults};

pub(super) fn check(definition: &Definition, errors: &mut Faults) {
    for (name, state) in active(definition) {
        let leaves = leaves(state);
        let timer = |errors: &mut Faults, pointer: String, delay: Delay, is_the_first: bool| {
            if let Some(timeout) = &definition.timeout
                && delay >= timeout.after
            {
                errors.add(Fault::new(pointer, "never fires: the timeout of the saga comes first"));
            } else if let Some(leaves) = leaves
                && (delay > leaves || delay == leaves && !is_the_first)
            {
                let message = format!(
                    "never fires: after {} seconds the state is left",
                    leaves.duration().as_secs_f64()
                );
                errors.add(Fault::new(pointer, message));
            }
        };
        let first = leaves.and_then(|leaves| state.after.iter().position(|delayed| delayed.delay == leaves));
        for (index, delayed) in state.after.iter().enumerate() {
            let is_the_first = first.is_none_or(|first| index <= first);
            timer(
                errors,
                format!("/states/{name}/after/{index}"),
                delayed.delay,
                is_the_first,
            );
        }
        let default_after = state
            .await_input
            .as_ref()
            .and_then(|input| input.default_after.as_ref());
        if let Some(default) = default_after {
            // It begins with the state, as the others do, and comes before those of the same moment.
            let pointer = format!("/states/{name}/await_input/default_after");
            timer(errors, pointer, default.delay, true);
        }
        let reminders = state.await_input.iter().flat_map(|input| &input.reminders);
        for (index, reminder) in reminders.enumerate() {
            let pointer = format!("/states/{name}/await_input/reminders/{index}");
            match default_after {
                Some(default) if reminder.delay >= default.delay => {
                    errors.add(Fault::new(pointer, "never fires: default_after comes first"));
                }
                Some(_) | None => timer(errors, pointer, reminder.delay, true),
            }
        }
    }
}

/// When the state is left at the latest.
fn leaves(state: &ActiveState) -> Option<Delay> {
    let certain = state.after.iter().filter(|delayed| {
        let candidate = &delayed.candidate;
        candidate.guard.is_none() && candidate.course.target().is_some()
    });
    certain.map(|delayed| delayed.delay).min()
}

#[cfg(test)]
mod tests {
    use crate::saga::source::read;
    use crate::saga::validate::testing::errors;

    #[test]
    fn timers_behind_others_that_leave_the_state_are_told() {
        assert_eq!(
            errors(
                "timeout: {after_seconds: 600, target: B}
states:
  A:
    after:
      - {seconds: 30, if: 'input.x', target: B}
      - {seconds: 60, target: B}
      - {seconds: 60, target: B}
      - {seconds: 90, if: 'input.x', target: B}
      - {seconds: 600, target: B}
    await_input: {event: x, prompt: Go on?, default_after: {seconds: 61, data: null}}
    on: {x: {target: B}}
  B: {final: failed}
"
            ),
            [
                "/states/A/after/2 never fires: after 60 seconds the state is left",
                "/states/A/after/3 never fires: after 60 seconds the state is left",
                "/states/A/after/4 never fires: the timeout of the saga comes first",
                "/states/A/await_input/default_after never fires: after 60 seconds the state is left",
            ]
        );
    }

    #[test]
    fn a_reminder_behind_the_default_answer_is_told() {
        assert_eq!(
            errors(
                "timeout: {after_seconds: 600, target: B}
states:
  A:
    await_input:
      event: x
      prompt: Go on?
      reminders: [{seconds: 29, event: y}, {seconds: 30, event: y}]
      default_after: {seconds: 30, data: null}
    on: {x: {target: C}, y: {}}
  C:
    await_input: {event: x, prompt: Go on?, reminders: [{seconds: 61, event: y}, {seconds: 600, event: y}]}
    after: [{seconds: 60, target: B}]
    on: {x: {target: B}, y: {}}
  B: {final: failed}
"
            ),
            [
                "/states/A/await_input/reminders/1 never fires: default_after comes first",
                "/states/C/await_input/reminders/0 never fires: after 60 seconds the state is left",
                "/states/C/await_input/reminders/1 never fires: the timeout of the saga comes first",
            ]
        );
    }

    #[test]
    fn a_timer_of_zero_or_of_a_century_is_refused_when_it_is_read() {
        let faults = read(
            "name: a
initial: A
timeout: {after_seconds: 1e10, target: B}
states:
  A: {after: [{seconds: 0, target: B}, {seconds: soon, target: B}]}
  B: {final: true}
",
        )
        .expect_err("refused");
        let told: Vec<String> = faults.0.iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "line 3, column 26: /timeout/after_seconds must lie between 0.001 and 315619200 seconds, not 10000000000",
                "line 5, column 25: /states/A/after/0/seconds must lie between 0.001 and 315619200 seconds, not 0",
                "line 5, column 50: /states/A/after/1/seconds must be a number of seconds, not a text",
            ]
        );
    }
}
