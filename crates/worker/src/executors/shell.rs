//! `shell`: a command or a script, run by the configured shell.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use orchestratum_core::JsonText;
use orchestratum_core::task::Ending;
use orchestratum_sandbox::{Command, Finished, Limits};
use orchestratum_store::ClaimedTask;
use serde::Serialize;

use super::input::{self, ShellInput};
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
        let (text, args, env, stdin, limits) = match parse(task) {
            Ok(parts) => parts,
            Err(message) => return Ended::failed(message, false),
        };
        let prepare = |directory: &RunDirectory| {
            // A file, not an argument: nothing interprets the text but the shell, and it is not in the process list.
            let script = directory.write("script.sh", &text)?;
            let stdin = program::stdin(directory, stdin.as_deref())?;
            Ok(
                program::command(task, &self.interpreter, directory, &self.programs, env, limits)
                    .arguments([script.to_string_lossy()])
                    .arguments(args)
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

type Parts = (String, Vec<String>, BTreeMap<String, String>, Option<String>, Limits);

fn parse(task: &ClaimedTask) -> Result<Parts, String> {
    let input: ShellInput = task
        .input
        .parse()
        .map_err(|error| format!("the input of a `shell` task: {error}"))?;
    let text = input.text()?.to_owned();
    input::check_network(input.network)?;
    let (args, env) = input::check(input.args, input.env)?;
    Ok((text, args, env, input.stdin, limits::of(task)?))
}
