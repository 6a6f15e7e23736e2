//! One interpreter with its packages, which starts the code of tasks.

use std::path::PathBuf;

use orchestratum_core::JsonText;
use orchestratum_sandbox::{self as sandbox, Argument, Command, Running, Warm};

use super::Request;
use crate::executors::{answer, limits, try_out};
use crate::shared::Programs;

const RUNNER: &str = include_str!("runner.py");

/// Isolated from the user's own packages and from variables; nothing is compiled onto the disk.
const OPTIONS: [&str; 4] = ["-I", "-B", "-X", "utf8"];

#[derive(Debug)]
pub(super) struct Interpreter {
    pub(super) path: String,
    /// In a sandbox that shows it.
    pub(super) programs: Programs,
    /// Processes of it that run and fork for each task: without the network, and with it. The first task starts one.
    warm: Option<[Warm; 2]>,
}

impl Interpreter {
    pub(super) fn new(path: String, programs: Programs) -> Self {
        let warm = |network| programs.sandbox.warm(runner(&path), network);
        let warm = warm(false).zip(warm(true)).map(|(without, with)| [without, with]);
        Self { path, programs, warm }
    }

    /// Runs no code, as a task would that asks for nothing.
    ///
    /// # Errors
    /// Why it cannot, in words.
    pub(super) async fn try_out(&self) -> Result<(), String> {
        let mark = answer::new_mark();
        let request = Request {
            mark: &mark,
            code: "",
            input: &JsonText::null(),
            args: &[],
        };
        let command = Command::new(&self.path).limits(limits::usual(&self.programs));
        let finished = try_out::ended(self.start(command, &request, false).await).await?;
        if finished.result.starts_with(mark.as_bytes()) {
            Ok(())
        } else {
            Err("it does not answer".to_owned())
        }
    }

    /// The command is that of this interpreter, with nothing to run yet.
    pub(super) async fn start(
        &self,
        command: Command,
        request: &Request<'_>,
        network: bool,
    ) -> Result<Running, sandbox::Error> {
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
fn runner(path: &str) -> sandbox::Runner {
    // Its source is read, as lists of processes would be full of it. Buffered, so that the reading goes on until all is there.
    let run = format!("exec(open(0, 'rb', closefd=False).read({}))", RUNNER.len());
    let arguments = OPTIONS.into_iter().chain(["-c", run.as_str(), "serve"]);
    sandbox::Runner {
        program: PathBuf::from(path),
        arguments: arguments.map(str::to_owned).collect(),
        environment: vec![("LANG".to_owned(), "C.UTF-8".to_owned())],
        reads_first: RUNNER.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interpreter_that_waits_is_one_short_line_in_a_list_of_processes() {
        let command_line = runner("/usr/bin/python3").arguments.join(" ");
        assert!(
            command_line.len() < 100 && !command_line.contains('\n'),
            "{command_line}"
        );
    }
}
