//! Telling a server how an attempt ended: what it refuses of a report is left out, so that the end itself is told.

use std::borrow::Cow;

use orchestratum_core::task::stand_in;
use orchestratum_core::{JsonText, shortened, without_nul};
use orchestratum_engine::error::chain;
use orchestratum_worker::{Handled, HandlerError};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::client::{Failed, Refusal};
use super::told::{Beside, Told};
use super::worker::{ClaimedTask, Shared};

/// Handlers have a say in the messages of errors: a longer one loses its middle. As other workers have it.
const MESSAGE_MAX_BYTES: usize = 16 << 10;

/// How an attempt is over, as far as there is somebody to tell.
pub(super) enum End {
    Completed(Handled),
    Failed(HandlerError),
    /// The worker leaves.
    Released,
}

impl Shared {
    pub(super) async fn tell(&self, task: &ClaimedTask, end: End, told: &Told) {
        let reported = match end {
            End::Completed(handled) => self.complete(task, handled, told).await,
            End::Failed(error) => self.fail(task, &error, told).await,
            End::Released => {
                let body = json!({"reason": "the worker stopped"});
                self.report_unfinished(task, "release", &body, told).await
            }
        };
        if let Err(error) = reported {
            tracing::warn!(task.id = %task.id, attempt = task.attempt, error = %chain(&error), "a report was refused");
        }
    }

    /// The work is done: a server that refuses a part of the report gets it without.
    async fn complete(&self, task: &ClaimedTask, handled: Handled, told: &Told) -> Result<(), Failed> {
        let mut success = Success {
            handled,
            told: Some(told),
        };
        let mut parts = Part::IN_THEIR_ORDER.into_iter();
        loop {
            let refusal = match self.report(task, "complete", &success.body(), success.told).await {
                Err(Failed::Refused(refusal)) if refusal.is_of_the_body() => refusal,
                reported => return reported,
            };
            tracing::error!(task.id = %task.id, task.name = task.name, %refusal, "a part of a report is refused");
            if !parts.any(|part| success.leave_out(part, &refusal)) {
                let error = HandlerError::Permanent(format!("the output is refused: {refusal}"));
                return self.fail(task, &error, &Told::default()).await;
            }
        }
    }

    /// Whatever the handler said of it, that it failed is told.
    async fn fail(&self, task: &ClaimedTask, error: &HandlerError, told: &Told) -> Result<(), Failed> {
        let body = failure(error, &error.to_string());
        match self.report_unfinished(task, "fail", &body, told).await {
            Err(Failed::Refused(refusal)) if refusal.is_of_the_body() => {
                tracing::error!(task.id = %task.id, task.name = task.name, %refusal, "the message of a failure is refused");
                let body = failure(
                    error,
                    "the server refused the message of the failure; the worker's log says why",
                );
                self.report(task, "fail", &body, None).await
            }
            reported => reported,
        }
    }

    /// Whatever the handler told meanwhile, how it ended is told: what is refused with it may be the log.
    async fn report_unfinished(&self, task: &ClaimedTask, how: &str, body: &Value, told: &Told) -> Result<(), Failed> {
        match self.report(task, how, body, Some(told)).await {
            Err(Failed::Refused(refusal)) if refusal.is_of_the_body() && !told.is_empty() => {
                tracing::error!(task.id = %task.id, task.name = task.name, %refusal, "what a handler told may be refused");
                self.report(task, how, body, None).await
            }
            reported => reported,
        }
    }

    async fn report<E: Serialize + Sync>(
        &self,
        task: &ClaimedTask,
        how: &str,
        end: &E,
        told: Option<&Told>,
    ) -> Result<(), Failed> {
        let (id, attempt) = (task.id.to_string(), task.attempt.to_string());
        let path = ["worker", "tasks", &id, "attempts", &attempt, how];
        let beside = told.map(Told::beside).unwrap_or_default();
        // One that takes longer comes too late.
        self.repeated(&path, &Report { end, beside }, self.wishes.lease)
            .await
            .map(drop)
    }
}

/// What a server is told of an end.
#[derive(Serialize)]
struct Report<'a, E> {
    #[serde(flatten)]
    end: &'a E,
    #[serde(flatten)]
    beside: Beside,
}

/// A success as it is reported.
struct Success<'a> {
    handled: Handled,
    told: Option<&'a Told>,
}

/// Of it what is neither progress nor log. The output is its own text: as a value it would lose digits of its numbers.
#[derive(Serialize)]
struct Body<'a> {
    output: &'a JsonText,
    follow_ups: &'a [JsonText],
}

/// What may be left out of it, each once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// The follow-ups that the refusal names. They are missing, with the reason, and their siblings stay.
    FollowUpsThatAreNamed,
    /// What the handler told.
    Told,
    /// All follow-ups, which are missing together.
    AllFollowUps,
    /// What tells of them.
    WhatIsMissing,
}

impl Part {
    const IN_THEIR_ORDER: [Self; 4] = [
        Self::FollowUpsThatAreNamed,
        Self::Told,
        Self::AllFollowUps,
        Self::WhatIsMissing,
    ];
}

impl Success<'_> {
    fn body(&self) -> Body<'_> {
        Body {
            output: &self.handled.output,
            follow_ups: &self.handled.follow_ups,
        }
    }

    /// Whether there was something to leave out.
    fn leave_out(&mut self, part: Part, refusal: &Refusal) -> bool {
        let follow_ups = &mut self.handled.follow_ups;
        match part {
            Part::Told => self.told.take().is_some(),
            _ if follow_ups.is_empty() => false,
            Part::FollowUpsThatAreNamed => {
                let mut is_one_named = false;
                for (index, entry) in follow_ups.iter_mut().enumerate() {
                    if let Some(reason) = reason(refusal, index) {
                        *entry = stand_in(name_of(entry), &reason);
                        is_one_named = true;
                    }
                }
                is_one_named
            }
            Part::AllFollowUps => {
                *follow_ups = vec![stand_in("", &refusal.to_string())];
                true
            }
            Part::WhatIsMissing => {
                follow_ups.clear();
                true
            }
        }
    }
}

/// What the refusal says of a follow-up.
fn reason(refusal: &Refusal, index: usize) -> Option<String> {
    let place = format!("/follow_ups/{index}");
    refusal.rules.iter().find_map(|broken| {
        let rest = broken.pointer.strip_prefix(&place)?;
        let is_of_it = rest.is_empty() || rest.starts_with('/');
        is_of_it.then(|| format!("{rest} {}", broken.message).trim_start().to_owned())
    })
}

fn name_of(entry: &JsonText) -> &str {
    #[derive(Deserialize)]
    struct Named<'a> {
        name: &'a str,
    }
    entry.parse::<Named<'_>>().map_or("", |named| named.name)
}

fn failure(error: &HandlerError, message: &str) -> Value {
    let (kind, retryable) = match error {
        HandlerError::Retryable(_) => ("Failed", Some(true)),
        HandlerError::Permanent(_) => ("Failed", Some(false)),
        HandlerError::Coded { retryable, .. } => ("Failed", Some(*retryable)),
        // What these mean is not for the worker to decide.
        HandlerError::TimedOut(_) => ("TimedOut", None),
        HandlerError::NotFound(_) => ("NotFound", None),
        HandlerError::Cancelled(_) => ("Cancelled", None),
    };
    let plain = without_nul(message);
    let message: Cow<'_, str> = shortened(&plain, MESSAGE_MAX_BYTES, "");
    let mut body = json!({"error": {"kind": kind, "message": message}, "retryable": retryable});
    // One of an older version knows no such field.
    if let HandlerError::Coded { code, .. } = error {
        body["error"]["code"] = json!(code.as_str());
    }
    body
}

#[cfg(test)]
mod tests {
    use reqwest::StatusCode;

    use super::super::client::Broken;
    use super::*;

    fn entry(name: &str) -> JsonText {
        JsonText::trusted(json!({"name": name}).to_string())
    }

    fn refused(pointers: &[&str]) -> Refusal {
        let broken = |pointer: &&str| Broken {
            pointer: (*pointer).to_owned(),
            message: "must be better".to_owned(),
            suggestion: None,
        };
        Refusal {
            status: StatusCode::UNPROCESSABLE_ENTITY,
            detail: "the body is invalid".to_owned(),
            rules: pointers.iter().map(broken).collect(),
            code: "invalid_body".to_owned(),
            takes: Vec::new(),
        }
    }

    fn success(follow_ups: Vec<JsonText>) -> Success<'static> {
        Success {
            handled: Handled {
                output: JsonText::null(),
                follow_ups,
            },
            told: None,
        }
    }

    #[test]
    fn those_that_are_refused_are_missing_and_their_siblings_stay() {
        let all: Vec<JsonText> = (0..11).map(|number| entry(&format!("n{number}"))).collect();
        let mut report = success(all.clone());
        let refusal = refused(&[
            "/follow_ups/1/input",
            "/follow_ups/10",
            "/follow_ups/1/target",
            "/follow_ups/11",
        ]);
        assert!(report.leave_out(Part::FollowUpsThatAreNamed, &refusal));
        let mut expected = all;
        expected[1] = stand_in("n1", "/input must be better");
        expected[10] = stand_in("n10", "must be better");
        assert_eq!(report.handled.follow_ups, expected);
        assert!(!report.leave_out(Part::FollowUpsThatAreNamed, &refused(&["/output", "/follow_ups/12"])));
    }

    #[test]
    fn what_was_handled_is_reported_byte_for_byte_beside_what_was_told() {
        use crate::handler::Tell;

        let mut report = success(vec![JsonText::trusted(r#"{"name": "a", "input": 1.50}"#)]);
        report.handled.output = JsonText::trusted("18446744073709551617");
        let told = Told::default();
        let written = |told: &Told| {
            serde_json::to_string(&Report {
                end: &report.body(),
                beside: told.beside(),
            })
        };
        let handled = r#""output":18446744073709551617,"follow_ups":[{"name": "a", "input": 1.50}]"#;
        assert_eq!(written(&told).expect("JSON"), format!("{{{handled}}}"));
        told.log("a line");
        let expected = format!(r#"{{{handled},"log":"a line\n"}}"#);
        assert_eq!(written(&told).expect("JSON"), expected);
    }

    #[test]
    fn in_the_end_there_is_nothing_to_refuse() {
        for pointers in [&[][..], &["/follow_ups"], &["/follow_ups/7/name"], &["/follow_ups/0"]] {
            let told = Told::default();
            let mut report = Success {
                told: Some(&told),
                ..success(vec![entry("a"), entry("b")])
            };
            let left_out = Part::IN_THEIR_ORDER.map(|part| report.leave_out(part, &refused(pointers)));
            let is_one_named = pointers.contains(&"/follow_ups/0");
            assert_eq!(left_out, [is_one_named, true, true, true]);
            assert!(report.handled.follow_ups.is_empty() && report.told.is_none());
        }
    }
}
