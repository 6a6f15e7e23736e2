//! What a runner of code says about it in the open file for results, and the output that this makes.

use orchestratum_core::JsonText;
use orchestratum_core::task::Ending;
use orchestratum_engine::identity;
use orchestratum_sandbox::Finished;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::Ended;
use super::limits::Kept;
use super::program::{self, Done};
use crate::shared::Programs;

const MARK_LENGTH: usize = 32;

/// Begins an answer, as nothing that the code could have guessed.
pub(super) fn new_mark() -> String {
    identity::random_text(MARK_LENGTH)
}

/// What the runner says about the code.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Result(Option<Box<RawValue>>),
    Failed {
        traceback: String,
        out_of_memory: bool,
    },
    /// The code is none of its language: where, and why.
    NotCompiled(String),
    NotJson(String),
}

#[derive(Serialize)]
struct Output<'a> {
    result: Option<&'a RawValue>,
    stdout: &'a str,
    stderr: &'a str,
    exit_code: i32,
}

/// How the code ended. `returned` is what the value of the code is called.
pub(super) fn conclude(mut done: Done, kept: &Kept, mark: &str, programs: &Programs, returned: &str) -> Ended {
    let mut evidence = program::evidence(&mut done);
    let ending = match output_of(&done, kept, mark, programs, returned) {
        Ok(output) => {
            evidence.output = Some(output);
            Ending::Success
        }
        Err(ending) => ending,
    };
    Ended {
        ending,
        evidence,
        interrupted: done.interrupted,
    }
}

fn output_of(done: &Done, kept: &Kept, mark: &str, programs: &Programs, returned: &str) -> Result<JsonText, Ending> {
    let finished = &done.finished;
    let not_storable = |message: String| Ending::OutputNotStorable { message };
    let answer = answer(&finished.result, mark, programs.output_max_bytes).map_err(not_storable)?;
    let answer = if answer.is_empty() {
        if done.interrupted {
            // An exit in good order, not the end of its work.
            return Err(program::failure(finished, kept));
        }
        // It ended before it returned, by an exit or by a signal.
        Answer::Result(None)
    } else {
        serde_json::from_str(answer).map_err(|error| not_storable(format!("the result is not JSON: {error}")))?
    };
    match answer {
        Answer::Failed {
            traceback,
            out_of_memory,
        } => {
            let out_of_memory = out_of_memory || finished.out_of_memory;
            let message = kept.told(finished.exit, out_of_memory, storable(&traceback));
            Err(if out_of_memory {
                Ending::OutOfMemory { message }
            } else {
                Ending::Failed {
                    message,
                    retryable: true,
                    code: None,
                }
            })
        }
        Answer::NotCompiled(why) => Err(Ending::CompileError {
            message: storable(&why),
        }),
        Answer::Result(_) | Answer::NotJson(_) if !finished.exit.is_success() => Err(program::failure(finished, kept)),
        Answer::NotJson(message) => Err(not_storable(format!("{returned} cannot be written as JSON: {message}"))),
        Answer::Result(result) => output(result.as_deref(), finished, programs.output_max_bytes)
            .map_err(|error| not_storable(format!("{returned} {error}"))),
    }
}

/// As much of it as a message may have.
fn storable(text: &str) -> String {
    // A database may not store U+0000.
    program::tail(text.trim_end()).replace('\0', "\u{fffd}")
}

fn output(result: Option<&RawValue>, finished: &Finished, most: usize) -> Result<JsonText, String> {
    let exit_code = finished.exit.code();
    program::with_streams(finished, most, |stdout, stderr| {
        let output = Output {
            result,
            stdout,
            stderr,
            exit_code,
        };
        JsonText::of(&output).map_err(|error| error.to_string())
    })
}

/// What the runner wrote; empty if it is not from the runner.
fn answer<'a>(result: &'a [u8], mark: &str, most: usize) -> Result<&'a str, String> {
    let Some(answer) = result.strip_prefix(mark.as_bytes()) else {
        return Ok("");
    };
    if answer.len() > most {
        return Err(format!("the result has more than {most} bytes"));
    }
    std::str::from_utf8(answer).map_err(|_| "the result is not UTF-8".to_owned())
}
