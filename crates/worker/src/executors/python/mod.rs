//! `python`: runs code, calls its `main(input)`, and keeps what that returns.

use std::path::PathBuf;

use async_trait::async_trait;
use orchestratum_core::JsonText;
use orchestratum_core::task::{BuiltIn, Ending, PythonInput};
use orchestratum_engine::identity;
use orchestratum_sandbox::{self as sandbox, Argument, Command, Finished, Running, Warm};
use orchestratum_store::ClaimedTask;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::program::{Asked, Done};
use super::{Context, Ended, Executor, program};
use crate::shared::Programs;

const RUNNER: &str = include_str!("runner.py");

/// Isolated from the user's own packages and from variables; nothing is compiled onto the disk.
const OPTIONS: [&str; 4] = ["-I", "-B", "-X", "utf8"];

const MARK_LENGTH: usize = 32;

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

/// What the runner says about the code.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Result(Option<Box<RawValue>>),
    Failed { traceback: String, out_of_memory: bool },
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
        let asked = Asked::of(task, &self.programs, input.env, input.stdin, input.network);
        let asked = match asked {
            Ok(asked) => asked,
            Err(message) => return Ended::failed(message, false),
        };
        let network = asked.network;
        let command = program::command(task, &self.interpreter, &self.programs, asked);
        let mark = identity::random_text(MARK_LENGTH);
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
            Ok(done) => self.ended(done, &mark),
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

    fn ended(&self, mut done: Done, mark: &str) -> Ended {
        let mut evidence = program::evidence(&mut done);
        let ending = match self.conclude(&done, mark) {
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

    fn conclude(&self, done: &Done, mark: &str) -> Result<JsonText, Ending> {
        let finished = &done.finished;
        let not_storable = |message: String| Ending::OutputNotStorable { message };
        let answer = answer(&finished.result, mark, self.programs.output_max_bytes).map_err(not_storable)?;
        let answer = if answer.is_empty() {
            if done.interrupted {
                // An exit in good order, not the end of its work.
                return Err(program::failure(finished));
            }
            // It ended before `main` returned, by `sys.exit` or by a signal.
            Answer::Result(None)
        } else {
            serde_json::from_str(answer).map_err(|error| not_storable(format!("the result is not JSON: {error}")))?
        };
        match answer {
            Answer::Failed {
                traceback,
                out_of_memory,
            } => {
                // A database may not store U+0000.
                let message = program::tail(traceback.trim_end()).replace('\0', "\u{fffd}");
                Err(if out_of_memory || finished.out_of_memory {
                    Ending::OutOfMemory { message }
                } else {
                    Ending::Failed {
                        message,
                        retryable: true,
                    }
                })
            }
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

/// The interpreter that waits for tasks and forks for each.
fn runner(interpreter: &str) -> sandbox::Runner {
    let arguments = OPTIONS.into_iter().chain(["-c", RUNNER, "serve"]);
    sandbox::Runner {
        program: PathBuf::from(interpreter),
        arguments: arguments.map(str::to_owned).collect(),
        environment: vec![("LANG".to_owned(), "C.UTF-8".to_owned())],
    }
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
