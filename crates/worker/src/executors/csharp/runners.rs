//! Processes that wait for the code of a task, each for one: the start of a runtime is then over when a task comes. They are
//! in the sandbox from their start on, as if they had been started with the task.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use orchestratum_engine::error::chain;
use orchestratum_sandbox::{self as sandbox, Argument, Command, Limits, Running};
use parking_lot::Mutex;
use serde::Serialize;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::dotnet::{self, Tools};
use crate::shared::Programs;

/// How long a process that was just started may take to read what it is asked.
const PATIENCE: Duration = Duration::from_secs(30);

/// Below it the runtime does not start.
const LEAST_HEAP_BYTES: u64 = 32 << 20;

/// What the runtime has beside the heap of the code.
const RUNTIME_BYTES: u64 = 48 << 20;

/// What a process has to have that runs the code of a task.
///
/// # Errors
/// The words for a task that may have less.
pub(super) fn check(limits: &Limits) -> Result<(), String> {
    let least = LEAST_HEAP_BYTES + RUNTIME_BYTES;
    match limits.memory_bytes {
        Some(most) if most < least => Err(format!(
            "the limit `memory_mb` of {} is less than the {} that the runtime of C# has without the code of a task",
            most >> 20,
            least >> 20
        )),
        _ => Ok(()),
    }
}

#[derive(Debug)]
pub(super) struct Runners {
    tools: Arc<Tools>,
    programs: Programs,
    /// What those that wait were started with: what a task has that asks for nothing.
    usual: Profile,
    /// How many are to wait.
    wanted: usize,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    runners: VecDeque<Runner>,
    /// Those that are being started.
    coming: usize,
}

#[derive(Debug)]
struct Runner {
    running: Running,
    conversation: UnixStream,
}

/// What a process cannot be given after its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Profile {
    network: bool,
    limits: Limits,
}

impl Profile {
    pub(super) fn of(network: bool, limits: Limits) -> Self {
        // The runner takes it upon itself, and its own start does not count.
        let limits = Limits {
            cpu_seconds: None,
            ..limits
        };
        Self { network, limits }
    }
}

impl Runners {
    pub(super) fn new(tools: Arc<Tools>, programs: Programs, usual: Profile, wanted: usize) -> Arc<Self> {
        Arc::new(Self {
            tools,
            programs,
            usual,
            wanted,
            waiting: Mutex::default(),
        })
    }

    /// Memory that a runner has to watch by itself: where the kernel counts it, nobody has to.
    pub(super) fn resident_bytes(&self, limits: &Limits) -> Option<u64> {
        let counted = self.programs.sandbox.counts_memory_together().is_ok();
        limits.memory_bytes.filter(|_| !counted)
    }

    /// Gives the request to a process that waits, or to a new one.
    pub(super) async fn start<T: Serialize + Sync>(
        self: &Arc<Self>,
        request: &T,
        profile: Profile,
    ) -> Result<Running, sandbox::Error> {
        let message = framed(request).map_err(|_| sandbox::Error::NotUtf8)?;
        if profile == self.usual {
            let (waiting, is_last) = {
                let mut waiting = self.waiting.lock();
                let next = waiting.runners.pop_front();
                (next, waiting.runners.is_empty())
            };
            // Otherwise after the task, with which a start would compete for the processors.
            if is_last {
                self.fill();
            }
            // One that died while it waited is passed over.
            if let Some(runner) = waiting
                && let Ok(running) = runner.give(&message).await
            {
                return Ok(running);
            }
        }
        let not_started = |error: io::Error| sandbox::Error::NotStarted(error.to_string());
        self.new_runner(profile)
            .await?
            .give(&message)
            .await
            .map_err(not_started)
    }

    /// Has as many processes wait as there should be, now or soon.
    pub(super) fn fill(self: &Arc<Self>) {
        let mut waiting = self.waiting.lock();
        while waiting.runners.len() + waiting.coming < self.wanted {
            waiting.coming += 1;
            let this = Arc::clone(self);
            tokio::spawn(async move {
                let runner = this.new_runner(this.usual).await;
                let mut waiting = this.waiting.lock();
                waiting.coming -= 1;
                match runner {
                    Ok(runner) => waiting.runners.push_back(runner),
                    // The next task starts one for itself, and has the error.
                    Err(error) => tracing::warn!(error = chain(&error), "no process could be started to wait for code"),
                }
            });
        }
    }

    async fn new_runner(&self, profile: Profile) -> Result<Runner, sandbox::Error> {
        let path = self.tools.runner();
        let path = path.to_str().ok_or(sandbox::Error::NotUtf8)?;
        let counted = self.programs.sandbox.counts_memory_together().is_ok();
        let mut command = Command::new(self.tools.program())
            .argument(Argument::Text(path.to_owned()))
            .argument(Argument::Result)
            .capture_max_bytes(self.programs.log_max_bytes)
            .tells_progress()
            .network(profile.network)
            .limits(Limits {
                // Never one of address space, of which the runtime reserves far more than it uses.
                memory_bytes: profile.limits.memory_bytes.filter(|_| counted),
                ..profile.limits
            });
        if let Some(memory) = profile.limits.memory_bytes {
            let heap = memory.saturating_sub(RUNTIME_BYTES).max(LEAST_HEAP_BYTES);
            command = command.environment("DOTNET_GCHeapHardLimit", format!("{heap:#x}"));
        }
        for (name, value) in dotnet::ENVIRONMENT {
            command = command.environment(name, value);
        }
        let (running, conversation) = self.programs.sandbox.converse(&command).await?;
        Ok(Runner { running, conversation })
    }
}

impl Runner {
    async fn give(mut self, message: &[u8]) -> io::Result<Running> {
        timeout(PATIENCE, self.conversation.write_all(message)).await??;
        Ok(self.running)
    }
}

/// With its length before it.
fn framed<T: Serialize>(request: &T) -> serde_json::Result<Vec<u8>> {
    let mut message = vec![0; 4];
    serde_json::to_writer(&mut message, request)?;
    let length = u32::try_from(message.len() - 4).unwrap_or(u32::MAX);
    message[..4].copy_from_slice(&length.to_be_bytes());
    Ok(message)
}
