//! `csharp`: compiles code, runs it, and keeps what it returns.
//!
//! ```text
//!   code ──► cache ──► server, which compiles (a program in the sandbox, for all tasks)
//!              │
//!              ▼ assembly
//!   task ──► runner, which waited (a program in the sandbox, for this task alone) ──► result
//! ```

mod cache;
mod compiler;
mod runners;
mod server;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use orchestratum_core::JsonText;
use orchestratum_core::task::{BuiltIn, CSharpInput, Ending};
use orchestratum_store::{ClaimedTask, Evidence};
use serde::Serialize;

use self::compiler::{Compiler, Refusal};
use self::runners::{Profile, Runners};
use self::server::Assembly;
use super::limits::Kept;
use super::program::Asked;
use super::{Context, Ended, Executor, Phase, answer, limits, program};
use crate::dotnet::Tools;
use crate::shared::Programs;

const RETURNED: &str = "what the code returned";

/// Each has some 30 MiB.
const WAITING_MOST: usize = 4;

#[derive(Debug)]
pub(crate) struct CSharp {
    programs: Programs,
    compiler: Arc<Compiler>,
    runners: Arc<Runners>,
}

/// What the runner is asked to do. Not a value of it is in the environment or in the process list.
#[derive(Serialize)]
struct Request<'a> {
    /// Begins the answer, as nothing that the code could have guessed.
    mark: &'a str,
    #[serde(flatten)]
    assembly: &'a Assembly,
    input: &'a JsonText,
    args: &'a [String],
    stdin: Option<&'a str>,
    environment: &'a BTreeMap<String, String>,
    cpu_seconds: Option<u64>,
    resident_bytes: Option<u64>,
}

#[async_trait]
impl Executor for CSharp {
    async fn run(&self, task: &ClaimedTask, mut context: Context) -> Ended {
        let input = match CSharpInput::read(task.input.as_str()) {
            Ok(input) => input,
            Err(broken) => return Ended::refused(BuiltIn::CSharp, &broken),
        };
        let (args, asked) = match Asked::of(task, &self.programs, input.invocation) {
            Ok(asked) => asked,
            Err(message) => return Ended::not_granted(&message),
        };
        if let Err(message) = runners::check(&asked.limits) {
            return Ended::not_granted(&message);
        }
        let compiled = tokio::select! {
            compiled = self.compiler.compile(&input.code) => compiled,
            () = context.reached(Phase::Terminate) => {
                return Ended { interrupted: true, ..Ended::failed("it was stopped while its code was compiled", true) };
            }
        };
        let assembly = match compiled {
            Ok(assembly) => assembly,
            Err(refusal) => return refused(refusal),
        };
        let mark = answer::new_mark();
        let request = Request {
            mark: &mark,
            assembly: &assembly,
            input: &input.input,
            args: &args,
            stdin: asked.stdin.as_deref(),
            environment: &program::variables(task, asked.env),
            cpu_seconds: asked.limits.cpu_seconds,
            resident_bytes: self.runners.resident_bytes(&asked.limits),
        };
        let kept = Kept::of(&asked.limits, &self.programs);
        let profile = Profile::of(asked.network, asked.limits);
        let done = program::attended(self.runners.start(&request, profile), context).await;
        self.runners.fill();
        match done {
            Ok(done) => answer::conclude(done, &kept, &mark, &self.programs, RETURNED),
            Err(not_run) => not_run.into(),
        }
    }
}

impl CSharp {
    /// Starts what is to be there before the first task, which is ready soon after.
    pub(crate) fn new(tools: Tools, programs: Programs, concurrency: usize) -> Self {
        let tools = Arc::new(tools);
        let compiler = Compiler::new(Arc::clone(&tools), programs.clone());
        compiler.warm_up();
        let usual = Profile::of(false, limits::usual(&programs));
        let runners = Runners::new(tools, programs.clone(), usual, concurrency.min(WAITING_MOST));
        runners.fill();
        Self {
            programs,
            compiler,
            runners,
        }
    }
}

fn refused(refusal: Refusal) -> Ended {
    match refusal {
        Refusal::Trouble(message) => Ended::failed(message, true),
        Refusal::Code(message) => Ended {
            ending: Ending::CompileError {
                // A database may not store U+0000, which the code may have.
                message: message.replace('\0', "\u{fffd}"),
            },
            evidence: Evidence::default(),
            interrupted: false,
        },
    }
}
