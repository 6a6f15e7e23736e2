//! `python`: runs code, calls its `main(input)`, and keeps what that returns.

mod interpreter;

use std::collections::BTreeMap;

use async_trait::async_trait;
use orchestratum_core::task::{BuiltIn, Ending, PythonInput};
use orchestratum_core::{EnvironmentName, JsonText};
use orchestratum_store::{ClaimedTask, Evidence};
use serde::Serialize;

use self::interpreter::Interpreter;
use super::limits::Kept;
use super::program::Asked;
use super::{Context, Ended, Executor, answer, program};
use crate::environments::{Environment, Environments};
use crate::shared::Programs;

const RETURNED: &str = "what main returned";

#[derive(Debug)]
pub(crate) struct Python {
    /// Of tasks that ask for no environment.
    usual: Interpreter,
    /// Those of the settings; `None` where it could not be prepared.
    environments: BTreeMap<EnvironmentName, Option<Interpreter>>,
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
        let interpreter = match self.interpreter(input.environment.as_ref()) {
            Ok(interpreter) => interpreter,
            Err(message) => return unknown(message),
        };
        let programs = &interpreter.programs;
        let (args, asked) = match Asked::of(task, programs, input.invocation) {
            Ok(asked) => asked,
            Err(message) => return Ended::not_granted(&message),
        };
        let (network, kept) = (asked.network, Kept::of(&asked.limits, programs));
        let command = program::command(task, &interpreter.path, programs, asked);
        let mark = answer::new_mark();
        let request = Request {
            mark: &mark,
            code: &input.code,
            input: &input.input,
            args: &args,
        };
        match program::attended(interpreter.start(command, &request, network), context).await {
            Ok(done) => answer::conclude(done, &kept, &mark, programs, RETURNED),
            Err(not_run) => not_run.into(),
        }
    }
}

impl Python {
    /// The interpreter, if it runs behind the walls.
    ///
    /// # Errors
    /// Why it does not, in words.
    pub(crate) async fn that_works(
        path: String,
        environments: Environments,
        programs: &Programs,
    ) -> Result<Self, String> {
        let python = Self::new(path, environments, programs);
        python.usual.try_out().await?;
        Ok(python)
    }

    fn new(path: String, environments: Environments, programs: &Programs) -> Self {
        let of_environment = |environment: Environment| {
            let programs = Programs {
                sandbox: environment.sandbox,
                ..programs.clone()
            };
            Interpreter::new(environment.interpreter.path, programs)
        };
        let environments = environments.into_map().into_iter();
        let environments = environments.map(|(name, found)| (name, found.ok().map(of_environment)));
        Self {
            environments: environments.collect(),
            usual: Interpreter::new(path, programs.clone()),
        }
    }

    /// # Errors
    /// Why this worker has none of that name, and which it has.
    fn interpreter(&self, asked: Option<&EnvironmentName>) -> Result<&Interpreter, String> {
        let Some(name) = asked else {
            return Ok(&self.usual);
        };
        let lacks = match self.environments.get(name) {
            Some(Some(interpreter)) => return Ok(interpreter),
            Some(None) => format!("the environment `{name}` could not be prepared on this worker, whose log says why"),
            None => format!("this worker has no environment `{name}`"),
        };
        let ready = self.environments.iter().filter(|(_, found)| found.is_some());
        let ready: Vec<String> = ready.map(|(name, _)| format!("`{name}`")).collect();
        let has = if ready.is_empty() {
            "none".to_owned()
        } else {
            ready.join(", ")
        };
        Err(format!("{lacks}: it has {has}; see \"Environments\" in docs/tasks.md"))
    }
}

fn unknown(message: String) -> Ended {
    Ended {
        ending: Ending::UnknownEnvironment { message },
        evidence: Evidence::default(),
        interrupted: false,
    }
}
