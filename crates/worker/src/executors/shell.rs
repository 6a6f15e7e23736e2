//! `shell`: a command or a script, run by the configured shell.

use async_trait::async_trait;
use orchestratum_core::JsonText;
use orchestratum_core::task::{BuiltIn, Ending, ShellInput};
use orchestratum_sandbox::{self as sandbox, Argument, Command, Finished};
use orchestratum_store::ClaimedTask;
use serde::Serialize;

use super::program::{Asked, Done};
use super::{Context, Ended, Executor, program};
use crate::shared::Programs;

#[derive(Debug)]
pub(crate) struct Shell {
    pub(crate) interpreter: String,
    pub(crate) programs: Programs,
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
        let asked = Asked::of(task, &self.programs, input.env, input.stdin, input.network);
        let asked = match asked {
            Ok(asked) => asked,
            Err(message) => return Ended::failed(message, false),
        };
        // A file, not an argument: nothing interprets the text but the shell, and it is not in the process list.
        let command = program::command(task, &self.interpreter, &self.programs, asked)
            .file("script.sh", input.script)
            .argument(Argument::File("script.sh".to_owned()))
            .arguments(input.args);
        match self.execute(&command, context).await {
            Ok(done) => self.conclude(done),
            Err(error) => program::trouble(&error),
        }
    }
}

impl Shell {
    async fn execute(&self, command: &Command, context: Context) -> Result<Done, sandbox::Error> {
        program::attend(self.programs.sandbox.spawn(command).await?, context).await
    }

    fn conclude(&self, mut done: Done) -> Ended {
        let mut evidence = program::evidence(&mut done);
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
