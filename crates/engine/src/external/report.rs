//! Reports of external workers.

use orchestratum_core::task::{AttemptOutcome, Ending, ErrorCode, ErrorKind, Progress, TaskStatus, Violations};
use orchestratum_core::{JsonText, TaskId};
use orchestratum_store::{Evidence, LogChunk, LogStream, log_pieces};

use crate::tasks::FinishOutcome;
use crate::{Engine, Error};

/// How long what a worker says of its failure may be, as for other workers.
const MESSAGE_MAX_BYTES: usize = 64 << 10;

/// How much of what an attempt wrote one report may bring.
pub const LOG_MAX_BYTES: usize = 256 << 10;

/// How an attempt ended, as its worker says.
#[derive(Debug, Clone)]
pub enum AttemptEnd {
    Completed {
        output: Option<JsonText>,
        /// As entries of `on_success`.
        follow_ups: Vec<JsonText>,
    },
    Failed {
        kind: ErrorKind,
        message: String,
        /// A short word for a program.
        code: Option<String>,
        /// `None` says nothing: then it is, where the kind allows it.
        retryable: Option<bool>,
    },
    /// Handed back unfinished: it runs again, and no retry is used.
    Released { message: String },
}

/// A report.
#[derive(Debug, Clone)]
pub struct Told {
    pub task: TaskId,
    pub attempt: u32,
    pub end: AttemptEnd,
    pub beside: Beside,
}

/// What may come with any end.
#[derive(Debug, Clone, Default)]
pub struct Beside {
    /// How far it came; without it, what the last heartbeat said stays.
    pub progress: Option<f64>,
    /// What it wrote.
    pub log: Option<String>,
}

impl Engine {
    /// Records how an attempt ended. The same report again is answered alike.
    ///
    /// # Errors
    /// [`Error::Invalid`] with pointers into the report, [`Error::AttemptOver`] if it ended in another way before, and those
    /// of an attempt that this key did not claim.
    pub async fn report(&self, told: Told, key_id: &str) -> Result<AttemptOutcome, Error> {
        let Told {
            task,
            attempt,
            end,
            beside,
        } = told;
        let (ending, mut evidence) = end.check().map_err(Error::Invalid)?;
        beside.add_to(&mut evidence).map_err(Error::Invalid)?;
        self.check_holder(task, attempt, key_id).await?;
        let (ending, evidence) = self.storable(ending, evidence);
        let outcome = ending.outcome();
        let output = evidence.output.clone();
        let finished = self.finish(task, attempt, ending, evidence).await;
        let finished = finished.map_err(in_the_report)?;
        // Another process may delete the task and make one with its id: whoever reports again, the database is asked.
        self.parts.holders.forget(task);
        if matches!(finished, FinishOutcome::AlreadyRecorded)
            && outcome == AttemptOutcome::Success
            && self.has_other_output(task, attempt, output.as_ref()).await?
        {
            return Err(Error::AttemptOver { task, attempt });
        }
        match finished {
            FinishOutcome::Recorded { .. } | FinishOutcome::AlreadyRecorded => Ok(outcome),
            FinishOutcome::Refused { .. } => Err(Error::AttemptOver { task, attempt }),
            FinishOutcome::NotFound => Err(Error::TaskNotFound(task)),
        }
    }

    /// Whether the success that is recorded brought something else. Only of the newest attempt it is known.
    async fn has_other_output(&self, task: TaskId, attempt: u32, output: Option<&JsonText>) -> Result<bool, Error> {
        let Some(found) = self.parts.store.task(task).await? else {
            return Ok(false);
        };
        let is_known = found.life.status() == TaskStatus::Completed && found.life.attempt == attempt;
        Ok(is_known && !is_same(found.output.as_ref(), output))
    }
}

/// A client may write the same output otherwise when it repeats it. Without one it is `null`.
fn is_same(stored: Option<&JsonText>, told: Option<&JsonText>) -> bool {
    let null = JsonText::null();
    let [stored, told] = [stored, told].map(|output| output.unwrap_or(&null));
    let value = |output: &JsonText| output.parse::<serde_json::Value>().ok();
    stored == told || value(stored) == value(told)
}

impl AttemptEnd {
    fn check(self) -> Result<(Ending, Evidence), Violations> {
        let plain = |ending| Ok((ending, Evidence::default()));
        match self {
            Self::Completed { output, follow_ups } => {
                let evidence = Evidence {
                    output,
                    follow_ups,
                    ..Evidence::default()
                };
                Ok((Ending::Success, evidence))
            }
            Self::Released { message } => plain(Ending::Released {
                message: checked("/reason", message)?,
            }),
            Self::Failed {
                kind,
                message,
                code,
                retryable,
            } => {
                let message = checked("/error/message", message)?;
                let code = code.map(|code| checked_code(kind, code)).transpose()?;
                if kind != ErrorKind::Failed && retryable == Some(false) {
                    let rule = format!("only an error of the kind Failed can be for good, not one of the kind {kind}");
                    return Err(violation("/retryable", rule));
                }
                plain(match kind {
                    ErrorKind::Failed => Ending::Failed {
                        message,
                        retryable: retryable.unwrap_or(true),
                        code,
                    },
                    ErrorKind::Cancelled => Ending::Cancelled { message },
                    ErrorKind::TimedOut => Ending::TimedOut { message },
                    ErrorKind::NotFound => Ending::NotFound { message },
                    ErrorKind::OutOfMemory => Ending::OutOfMemory { message },
                    ErrorKind::Expired
                    | ErrorKind::Lost
                    | ErrorKind::OutputNotStorable
                    | ErrorKind::CompileError
                    | ErrorKind::UnknownEnvironment
                    | ErrorKind::NotGranted => {
                        let rule = "must be Failed, Cancelled, TimedOut, NotFound or OutOfMemory";
                        return Err(violation("/error/kind", format!("{rule}, not {kind}")));
                    }
                })
            }
        }
    }
}

impl Beside {
    pub fn new(progress: Option<f64>, log: Option<String>) -> Self {
        Self { progress, log }
    }

    fn add_to(self, evidence: &mut Evidence) -> Result<(), Violations> {
        let mut violations = Violations::default();
        evidence.progress = self
            .progress
            .and_then(|share| violations.take("/progress", Progress::new(share)));
        let log = self.log.unwrap_or_default();
        if log.len() > LOG_MAX_BYTES || log.contains('\0') {
            let rule = format!("must have at most {LOG_MAX_BYTES} bytes, none of them U+0000");
            violations.add("/log", rule);
        }
        violations.into_result()?;
        let numbered = log_pieces(&log).zip(0..);
        evidence.logs = numbered
            .map(|(piece, sequence)| LogChunk {
                stream: LogStream::Stdout,
                sequence,
                text: piece.to_owned(),
            })
            .collect();
        Ok(())
    }
}

fn violation(pointer: &str, rule: impl Into<String>) -> Violations {
    let mut violations = Violations::default();
    violations.add(pointer, rule);
    violations
}

fn checked(pointer: &str, message: String) -> Result<String, Violations> {
    if message.len() > MESSAGE_MAX_BYTES || message.contains('\0') {
        let rule = format!("must have at most {MESSAGE_MAX_BYTES} bytes, none of them U+0000");
        return Err(violation(pointer, rule));
    }
    Ok(message)
}

fn checked_code(kind: ErrorKind, code: String) -> Result<ErrorCode, Violations> {
    const POINTER: &str = "/error/code";
    if kind != ErrorKind::Failed {
        let rule = format!("only an error of the kind Failed has a code, not one of the kind {kind}");
        return Err(violation(POINTER, rule));
    }
    ErrorCode::new(code).map_err(|rule| violation(POINTER, rule.to_string()))
}

/// What a report brings is checked as an `on_success` of its task.
fn in_the_report(error: Error) -> Error {
    let Error::Invalid(mut violations) = error else {
        return error;
    };
    for violation in &mut violations.0 {
        if let Some(rest) = violation.pointer.strip_prefix("/on_success") {
            violation.pointer = format!("/follow_ups{rest}");
        }
    }
    Error::Invalid(violations)
}
