//! `shell`: a command or a script, run by the configured shell.

use std::path::Path;

use async_trait::async_trait;
use orchestratum_core::JsonText;
use orchestratum_core::task::{BuiltIn, Ending, ShellInput};
use orchestratum_sandbox::{Argument, Command, Finished};
use orchestratum_store::ClaimedTask;
use serde::Serialize;

use super::limits::Kept;
use super::program::{Asked, Done};
use super::{Context, Ended, Executor, limits, program, try_out};
use crate::shared::Programs;

#[derive(Debug)]
pub(crate) struct Shell {
    interpreter: String,
    programs: Programs,
}

#[derive(Serialize)]
struct Output<'a> {
    stdout: &'a str,
    stderr: &'a str,
    exit_code: i32,
}

/// A file, not an argument: nothing interprets the text but the shell, and it is not in the process list.
fn script(command: Command, text: String) -> Command {
    command
        .file("script.sh", text)
        .argument(Argument::File("script.sh".to_owned()))
}

#[async_trait]
impl Executor for Shell {
    async fn run(&self, task: &ClaimedTask, context: Context) -> Ended {
        let input = match ShellInput::read(task.input.as_str()) {
            Ok(input) => input,
            Err(broken) => return Ended::refused(BuiltIn::Shell, &broken),
        };
        let (args, asked) = match Asked::of(task, &self.programs, input.invocation) {
            Ok(asked) => asked,
            Err(message) => return Ended::not_granted(&message),
        };
        let kept = Kept::of(&asked.limits, &self.programs);
        let command = program::command(task, &self.interpreter, &self.programs, asked);
        let command = script(command, input.script).arguments(args);
        match program::attended(self.programs.sandbox.spawn(&command), context).await {
            Ok(done) => self.conclude(done, &kept),
            Err(not_run) => not_run.into(),
        }
    }
}

impl Shell {
    /// The shell, if it runs behind the walls.
    ///
    /// # Errors
    /// Why it does not, in words.
    pub(crate) async fn that_works(path: &Path, programs: Programs) -> Result<Self, String> {
        let shell = Self {
            interpreter: path.display().to_string(),
            programs,
        };
        shell.try_out().await?;
        Ok(shell)
    }

    /// Runs no command, as a task would that asks for nothing.
    async fn try_out(&self) -> Result<(), String> {
        let limits = limits::usual(&self.programs);
        let command = script(Command::new(&self.interpreter).limits(limits), String::new());
        try_out::ended(self.programs.sandbox.spawn(&command).await)
            .await
            .map(drop)
    }

    fn conclude(&self, mut done: Done, kept: &Kept) -> Ended {
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
            program::failure(&done.finished, kept)
        };
        Ended {
            ending,
            evidence,
            interrupted: done.interrupted,
        }
    }

    fn output(&self, finished: &Finished) -> Result<JsonText, String> {
        let exit_code = finished.exit.code();
        program::with_streams(finished, self.programs.output_max_bytes, |stdout, stderr| {
            JsonText::of(&Output {
                stdout,
                stderr,
                exit_code,
            })
            .map_err(|error| format!("the output {error}"))
        })
    }
}
