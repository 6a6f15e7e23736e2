//! `python`: runs code, calls its `main(input)`, and keeps what that returns.

use std::path::PathBuf;

use async_trait::async_trait;
use orchestratum_core::JsonText;
use orchestratum_core::task::{BuiltIn, PythonInput};
use orchestratum_sandbox::{self as sandbox, Argument, Command, Running, Warm};
use orchestratum_store::ClaimedTask;
use serde::Serialize;

use super::program::Asked;
use super::{Context, Ended, Executor, answer, program};
use crate::shared::Programs;

const RUNNER: &str = include_str!("runner.py");

/// Isolated from the user's own packages and from variables; nothing is compiled onto the disk.
const OPTIONS: [&str; 4] = ["-I", "-B", "-X", "utf8"];

const RETURNED: &str = "what main returned";

#[derive(Debug)]
pub(crate) struct Python {
    interpreter: String,
    programs: Programs,
    /// Interpreters that run and fork for each task: without the network, and with it.
    warm: Option<[Warm; 2]>,
}

/// What the runner is asked to do.
#[derive(Serialize)]
struct Request<'a> {
    /// Begins the answer, as nothing that the code could have guessed.
    mark: &'a str,
    code: &'a str,
    input: &'a JsonText,
    args: &'a [String],
}

#[async_trait]
impl Executor for Python {
    async fn run(&self, task: &ClaimedTask, context: Context) -> Ended {
        let input = match PythonInput::read(task.input.as_str()) {
            Ok(input) => input,
            Err(broken) => return Ended::refused(BuiltIn::Python, &broken),
        };
        let asked = Asked::of(task, &self.programs, input.env, input.stdin, input.network);
        let asked = match asked {
            Ok(asked) => asked,
            Err(message) => return Ended::failed(message, false),
        };
        let network = asked.network;
        let command = program::command(task, &self.interpreter, &self.programs, asked);
        let mark = answer::new_mark();
        let request = Request {
            mark: &mark,
            code: &input.code,
            input: &input.input,
            args: &input.args,
        };
        let done = match self.start(command, &request, network).await {
            Ok(running) => program::attend(running, context).await,
            Err(error) => Err(error),
        };
        match done {
            Ok(done) => answer::conclude(done, &mark, &self.programs, RETURNED),
            Err(error) => program::trouble(&error),
        }
    }
}

impl Python {
    pub(crate) fn new(interpreter: String, programs: Programs) -> Self {
        let warm = |network| programs.sandbox.warm(runner(&interpreter), network);
        let warm = warm(false).zip(warm(true)).map(|(without, with)| [without, with]);
        Self {
            interpreter,
            programs,
            warm,
        }
    }

    async fn start(&self, command: Command, request: &Request<'_>, network: bool) -> Result<Running, sandbox::Error> {
        if let Some(warm) = &self.warm {
            return warm[usize::from(network)].spawn(request, &command).await;
        }
        let request = serde_json::to_string(request).map_err(|_| sandbox::Error::NotUtf8)?;
        let command = command
            .arguments(OPTIONS)
            .file("runner.py", RUNNER)
            .argument(Argument::File("runner.py".to_owned()))
            .file("request.json", request)
            .argument(Argument::File("request.json".to_owned()))
            .argument(Argument::Result);
        self.programs.sandbox.spawn(&command).await
    }
}

/// The interpreter that waits for tasks and forks for each.
fn runner(interpreter: &str) -> sandbox::Runner {
    let arguments = OPTIONS.into_iter().chain(["-c", RUNNER, "serve"]);
    sandbox::Runner {
        program: PathBuf::from(interpreter),
        arguments: arguments.map(str::to_owned).collect(),
        environment: vec![("LANG".to_owned(), "C.UTF-8".to_owned())],
    }
}
