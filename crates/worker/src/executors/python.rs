//! `python`: runs code, calls its `main(input)`, and keeps what that returns.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use orchestratum_core::JsonText;
use orchestratum_core::task::{BuiltIn, Ending, PythonInput};
use orchestratum_sandbox::{Command, Finished};
use orchestratum_store::ClaimedTask;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::program::Done;
use super::{Context, Ended, Executor, limits, program};
use crate::shared::Programs;
use crate::workspace::{RunDirectory, Workspace, read_bounded};

const RUNNER: &str = include_str!("runner.py");

#[derive(Debug)]
pub(crate) struct Python {
    pub(crate) interpreter: String,
    pub(crate) programs: Programs,
    pub(crate) workspace: Arc<Workspace>,
}

/// What the runner says about the code.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Result(Option<Box<RawValue>>),
    Traceback(String),
    NotJson(String),
}

#[derive(Serialize)]
struct Output<'a> {
    result: Option<&'a RawValue>,
    stdout: &'a str,
    stderr: &'a str,
    exit_code: i32,
}

#[async_trait]
impl Executor for Python {
    async fn run(&self, task: &ClaimedTask, context: Context) -> Ended {
        let input = match PythonInput::read(task.input.as_str()) {
            Ok(input) => input,
            Err(broken) => return Ended::refused(BuiltIn::Python, &broken),
        };
        let limits = match limits::of(task) {
            Ok(limits) => limits,
            Err(message) => return Ended::failed(message, false),
        };
        let prepare = |directory: &RunDirectory| {
            let files = [
                directory.write("runner.py", RUNNER)?,
                directory.write("main.py", &input.code)?,
                directory.write("input.json", input.input.as_str())?,
                result_path(directory),
            ];
            let stdin = program::stdin(directory, input.stdin.as_deref())?;
            // Isolated from the user's own packages and from variables; nothing is compiled onto the disk.
            Ok(
                program::command(task, &self.interpreter, directory, &self.programs, input.env, limits)
                    .arguments(["-I", "-B", "-X", "utf8"])
                    .arguments(files.iter().map(|file| file.to_string_lossy()))
                    .arguments(input.args)
                    .stdin(stdin),
            )
        };
        let (directory, command) = match self.workspace.prepare(task, prepare) {
            Ok(prepared) => prepared,
            Err(error) => return program::trouble(&error),
        };
        let ended = self.execute(&command, &result_path(&directory), context).await;
        Ended {
            directory: Some(directory),
            ..ended
        }
    }
}

impl Python {
    async fn execute(&self, command: &Command, result: &Path, context: Context) -> Ended {
        let done = match program::run(command, &self.programs, context).await {
            Ok(done) => done,
            Err(error) => return program::trouble(&error),
        };
        let mut evidence = program::evidence(&done.finished);
        let ending = match self.conclude(&done, result) {
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
            directory: None,
        }
    }

    fn conclude(&self, done: &Done, result: &Path) -> Result<JsonText, Ending> {
        let finished = &done.finished;
        let not_storable = |message: String| Ending::OutputNotStorable { message };
        let most = self.programs.output_max_bytes;
        let answer = read_bounded(result, most).map_err(|error| not_storable(format!("the result {error}")))?;
        let answer = if answer.is_empty() {
            if done.interrupted {
                // An exit in good order, not the end of its work.
                return Err(program::failure(finished));
            }
            // It ended before `main` returned, by `sys.exit` or by a signal.
            Answer::Result(None)
        } else {
            serde_json::from_str(&answer).map_err(|error| not_storable(format!("the result is not JSON: {error}")))?
        };
        match answer {
            Answer::Traceback(traceback) => Err(Ending::Failed {
                // A database may not store U+0000.
                message: program::tail(traceback.trim_end()).replace('\0', "\u{fffd}"),
                retryable: true,
            }),
            Answer::Result(_) | Answer::NotJson(_) if !finished.exit.is_success() => Err(program::failure(finished)),
            Answer::NotJson(message) => Err(not_storable(format!(
                "what main returned cannot be written as JSON: {message}"
            ))),
            Answer::Result(result) => self.output(result.as_deref(), finished).map_err(not_storable),
        }
    }

    fn output(&self, result: Option<&RawValue>, finished: &Finished) -> Result<JsonText, String> {
        let (stdout, stderr) = (&finished.stdout.text, &finished.stderr.text);
        let output = |stdout: &str, stderr: &str| {
            let exit_code = finished.exit.code();
            let output = Output {
                result,
                stdout,
                stderr,
                exit_code,
            };
            JsonText::of(&output).map_err(|error| format!("what main returned {error}"))
        };
        let whole = output(stdout, stderr)?;
        if whole.len() <= self.programs.output_max_bytes {
            return Ok(whole);
        }
        output(&program::shortened(stdout), &program::shortened(stderr))
    }
}

fn result_path(directory: &RunDirectory) -> PathBuf {
    directory.path().join("result.json")
}
