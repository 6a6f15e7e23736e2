//! `shell`: a command or a script, run by the configured shell.

use std::sync::Arc;

use async_trait::async_trait;
use orchestratum_core::JsonText;
use orchestratum_core::task::{BuiltIn, Ending, ShellInput};
use orchestratum_sandbox::{Command, Finished};
use orchestratum_store::ClaimedTask;
use serde::Serialize;

use super::{Context, Ended, Executor, limits, program};
use crate::shared::Programs;
use crate::workspace::{RunDirectory, Workspace};

#[derive(Debug)]
pub(crate) struct Shell {
    pub(crate) interpreter: String,
    pub(crate) programs: Programs,
    pub(crate) workspace: Arc<Workspace>,
}

#[derive(Serialize)]
struct Output<'a> {
    stdout: &'a str,
    stderr: &'a str,
    exit_code: i32,
}

#[async_trait]
impl Executor for Shell {
    async fn run(&self, task: &ClaimedTask, context: Context) -> Ended {
        let input = match ShellInput::read(task.input.as_str()) {
            Ok(input) => input,
            Err(broken) => return Ended::refused(BuiltIn::Shell, &broken),
        };
        let limits = match limits::of(task) {
            Ok(limits) => limits,
            Err(message) => return Ended::failed(message, false),
        };
        let prepare = |directory: &RunDirectory| {
            // A file, not an argument: nothing interprets the text but the shell, and it is not in the process list.
            let script = directory.write("script.sh", &input.script)?;
            let stdin = program::stdin(directory, input.stdin.as_deref())?;
            Ok(
                program::command(task, &self.interpreter, directory, &self.programs, input.env, limits)
                    .arguments([script.to_string_lossy()])
                    .arguments(input.args)
                    .stdin(stdin),
            )
        };
        let (directory, command) = match self.workspace.prepare(task, prepare) {
            Ok(prepared) => prepared,
            Err(error) => return program::trouble(&error),
        };
        let ended = self.execute(&command, context).await;
        Ended {
            directory: Some(directory),
            ..ended
        }
    }
}

impl Shell {
    async fn execute(&self, command: &Command, context: Context) -> Ended {
        let done = match program::run(command, &self.programs, context).await {
            Ok(done) => done,
            Err(error) => return program::trouble(&error),
        };
        let mut evidence = program::evidence(&done.finished);
        let ending = if done.finished.exit.is_success() {
            match self.output(&done.finished) {
                Ok(output) => {
                    evidence.output = Some(output);
                    Ending::Success
                }
                Err(message) => Ending::OutputNotStorable { message },
            }
        } else {
            program::failure(&done.finished)
        };
        Ended {
            ending,
            evidence,
            interrupted: done.interrupted,
            directory: None,
        }
    }

    fn output(&self, finished: &Finished) -> Result<JsonText, String> {
        let (stdout, stderr) = (&finished.stdout.text, &finished.stderr.text);
        let output = |stdout: &str, stderr: &str| {
            let exit_code = finished.exit.code();
            JsonText::of(&Output {
                stdout,
                stderr,
                exit_code,
            })
            .map_err(|error| format!("the output {error}"))
        };
        let whole = output(stdout, stderr)?;
        if whole.len() <= self.programs.output_max_bytes {
            return Ok(whole);
        }
        output(&program::shortened(stdout), &program::shortened(stderr))
    }
}
