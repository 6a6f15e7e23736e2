//! Telling how an attempt ended, until it is recorded or refused.

use std::borrow::Cow;
use std::time::Duration;

use orchestratum_core::task::{Ending, Violations, stand_in};
use orchestratum_core::{JsonText, shortened, without_nul};
use orchestratum_engine::tasks::{FinishOutcome, GoesOn};
use orchestratum_engine::{Error, error, identity};
use orchestratum_store::{ClaimedTask, Evidence};

use crate::held::Key;
use crate::shared::{Life, Shared};

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// How many bytes of what an attempt left take a place more among the reports: with the database away, what waits to be
/// reported is bounded by its size too.
const BYTES_A_PLACE: usize = 16 * 1024;

/// Programs and handlers have a say in the messages of errors: a longer one loses its middle.
const MESSAGE_MAX_BYTES: usize = 16 * 1024;

fn bounded(mut ending: Ending) -> Ending {
    let Some(message) = ending.message_mut() else {
        return ending;
    };
    if let Cow::Owned(plain) = without_nul(message) {
        *message = plain;
    }
    if let Cow::Owned(short) = shortened(message, MESSAGE_MAX_BYTES, "") {
        *message = short;
    }
    ending
}

/// What comes next in the place of what is refused: that it is missing, and why; and if that is refused, nothing. The work is
/// done, and whatever it wanted to come after it must not undo that.
fn instead((task, attempt): Key, follow_ups: &[JsonText], broken: &Violations) -> Vec<JsonText> {
    tracing::error!(task.id = %task, attempt, ?broken, "what comes after an attempt is refused");
    let rules: Vec<String> = broken.0.iter().take(3).map(ToString::to_string).collect();
    let told = stand_in("", &rules.join("; "));
    if follow_ups == [told.clone()] {
        Vec::new()
    } else {
        vec![told]
    }
}

/// How many places a report takes.
pub(crate) fn places(evidence: &Evidence) -> usize {
    1 + evidence.bytes() / BYTES_A_PLACE
}

/// Repeats while the database is away. A report of a life that is over is dropped: the attempt is, or will be, `Lost`.
///
/// What the database refuses for good ends the attempt for good: the same would be refused after the next attempt.
///
/// Returns what this worker goes on with: held already, and to be started.
pub(crate) async fn report(
    shared: &Shared,
    life: &Life,
    key: Key,
    ending: Ending,
    mut evidence: Evidence,
    mut goes_on: Option<GoesOn>,
) -> Option<ClaimedTask> {
    let (task, attempt) = key;
    let mut ending = bounded(ending);
    let mut reduced = false;
    let mut panicked = false;
    let mut pause = FIRST_PAUSE;
    let mut next = None;
    loop {
        // Once: a second report may be answered for one that was recorded, and what it brought is handed back then.
        let goes_on = goes_on.take();
        let claim = goes_on.is_some().then(|| shared.held.begin_claim());
        let finished = shared
            .engine
            .finish_and_go_on(task, attempt, ending.clone(), evidence.clone(), goes_on)
            .await;
        let outcome = finished.map(|finished| {
            next = taken_over(shared, finished.claimed, finished.is_claim_unknown);
            finished.outcome
        });
        drop(claim);
        match outcome {
            Ok(FinishOutcome::Recorded { .. } | FinishOutcome::AlreadyRecorded) => break,
            Ok(FinishOutcome::Refused { refusal }) => {
                tracing::warn!(task.id = %task, attempt, %refusal, "a report was refused");
                break;
            }
            Ok(FinishOutcome::NotFound) => {
                tracing::warn!(task.id = %task, attempt, "the task of a report was deleted");
                break;
            }
            Err(error) if error.is_transient() => {
                tracing::debug!(task.id = %task, attempt, error = %error::chain(&error), "a report is repeated");
            }
            // Ours, and maybe of the moment: the work of the attempt is not thrown away for it.
            Err(error @ Error::Panicked) if !panicked => {
                tracing::error!(task.id = %task, attempt, error = %error::chain(&error), "a report is repeated");
                panicked = true;
            }
            Err(Error::Invalid(broken)) if !evidence.follow_ups.is_empty() => {
                evidence.follow_ups = instead(key, &evidence.follow_ups, &broken);
                continue;
            }
            Err(error) if reduced => {
                // Not even this. The attempt stays held, or it would be handed back and run again for ever: it ends as
                // `Expired`, or as `Lost` with this worker.
                tracing::error!(task.id = %task, attempt, error = %error::chain(&error), "an attempt cannot be ended");
                shared.held.put(key, None);
                return None;
            }
            Err(error) => {
                tracing::error!(task.id = %task, attempt, error = %error::chain(&error), "a report cannot be stored");
                reduced = true;
                ending = Ending::OutputNotStorable {
                    message: "the database refused what the attempt left; the worker's log says why".to_owned(),
                };
                evidence = Evidence::default();
                continue;
            }
        }
        tokio::select! {
            () = life.over.cancelled() => {
                tracing::warn!(task.id = %task, attempt, "a report was dropped: the lease is over");
                break;
            }
            () = tokio::time::sleep(pause.mul_f64(0.5 + identity::chance() / 2.0)) => {}
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    shared.held.remove(key);
    next
}

/// Holds what came with the answer; what may have come is asked for.
fn taken_over(shared: &Shared, next: Option<ClaimedTask>, is_unknown: bool) -> Option<ClaimedTask> {
    if is_unknown {
        shared.renew_now.notify_one();
    }
    if let Some(next) = &next {
        shared.held.put((next.id, next.attempt), None);
    }
    next
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::Notify;

    use super::*;
    use crate::slots::Slots;

    #[test]
    fn a_message_has_a_bound_and_keeps_its_beginning_and_its_end() {
        let of = |message: String| bounded(Ending::CompileError { message }).message_mut().cloned();
        let message = of(format!("begin {} end", "é".repeat(500_000))).expect("a message");
        assert!(message.len() < MESSAGE_MAX_BYTES + 100);
        assert!(message.starts_with("begin é") && message.ends_with("é end") && message.contains("bytes cut"));
        assert_eq!(of("short".to_owned()).as_deref(), Some("short"));
        assert_eq!(of("a\0b".to_owned()).as_deref(), Some("a\u{fffd}b"));
        assert_eq!(bounded(Ending::Success), Ending::Success);
    }

    #[test]
    fn a_few_large_reports_leave_no_more_room_than_many_small_ones() {
        let small = Evidence::default();
        let large = Evidence {
            output: Some(JsonText::trusted(format!("\"{}\"", "x".repeat(1 << 20)))),
            ..Evidence::default()
        };
        let reports = Slots::new(100, Arc::new(Notify::new()));
        let first = reports.take_many(places(&small));
        assert_eq!(reports.free(), 99);
        let rest = [reports.take_many(places(&large)), reports.take_many(places(&large))];
        assert_eq!(reports.free(), 0, "two of a megabyte are as much as a hundred");
        drop(rest);
        assert_eq!(reports.free(), 99);
        drop(first);
        assert_eq!(reports.free(), 100);
    }
}
