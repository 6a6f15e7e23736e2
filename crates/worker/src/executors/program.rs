//! What tasks have in common that run a program: it has a directory of its own, and leaves something.

use std::collections::BTreeMap;

use orchestratum_core::task::{Ending, Progress};
use orchestratum_sandbox::{self as sandbox, Command, Finished, Limits, PROGRESS_DESCRIPTOR, Running};
use orchestratum_store::{ClaimedTask, Evidence, LogChunk};

use super::limits;
use super::{Context, Ended, Phase};
use crate::handler::idempotency_key;
use crate::shared::Programs;

/// How much of a traceback or of standard error goes into the message of an error.
const MESSAGE_MAX_BYTES: usize = 8 * 1024;

/// What runs the program of a task, with all that the task asks for.
pub(super) fn command(task: &ClaimedTask, program: &str, programs: &Programs, asked: Asked) -> Command {
    let command = Command::new(program)
        .capture_max_bytes(programs.log_max_bytes)
        .limits(asked.limits)
        .network(asked.network)
        .stdin(asked.stdin)
        .tells_progress();
    let variables = variables(task, asked.env).into_iter();
    variables.fold(command, |command, (name, value)| command.environment(name, value))
}

/// The variables a task gets from the worker, and its own, which come later.
pub(super) fn variables(task: &ClaimedTask, own: BTreeMap<String, String>) -> BTreeMap<String, String> {
    let from_worker = [
        ("ORCHESTRATUM_TASK_ID", Some(task.id.to_string())),
        ("ORCHESTRATUM_ATTEMPT", Some(task.attempt.to_string())),
        ("ORCHESTRATUM_RUN", Some(task.run.to_string())),
        ("ORCHESTRATUM_IDEMPOTENCY_KEY", Some(idempotency_key(task.id, task.run))),
        ("ORCHESTRATUM_PROGRESS_FD", Some(PROGRESS_DESCRIPTOR.to_string())),
        // The name under which programs expect what arrives as a `traceparent` header elsewhere.
        (
            "TRACEPARENT",
            task.origin.trace_parent.as_ref().map(|trace| trace.as_str().to_owned()),
        ),
        (
            "ORCHESTRATUM_REQUEST_ID",
            task.origin
                .request_id
                .as_ref()
                .map(|request| request.as_str().to_owned()),
        ),
    ];
    let given = from_worker
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)));
    given.chain(own).collect()
}

/// What every program may be asked to have.
pub(super) struct Asked {
    pub(super) env: BTreeMap<String, String>,
    pub(super) stdin: Option<String>,
    pub(super) network: bool,
    pub(super) limits: Limits,
}

impl Asked {
    /// What the task asks for, as far as this worker grants it.
    pub(super) fn of(
        task: &ClaimedTask,
        programs: &Programs,
        env: BTreeMap<String, String>,
        stdin: Option<String>,
        network: bool,
    ) -> Result<Self, String> {
        if network && !programs.network {
            return Err(
                "the task asks for the network, which this worker does not permit (`worker.network`)".to_owned(),
            );
        }
        Ok(Self {
            env,
            stdin,
            network,
            limits: limits::of(task, programs)?,
        })
    }
}

/// A program that has ended.
pub(super) struct Done {
    pub(super) finished: Finished,
    /// What it wrote and was not stored while it ran.
    pub(super) logs: Vec<LogChunk>,
    /// How far it said it was.
    pub(super) progress: Option<Progress>,
    /// It was told to stop before it ended.
    pub(super) interrupted: bool,
}

/// Sees the program to its end, and ends it when the context says so.
pub(super) async fn attend(mut running: Running, mut context: Context) -> Result<Done, sandbox::Error> {
    context.attended.set_killer(running.killer().clone());
    let watched = context.live_logs.watch(context.key, running.written().clone());
    let mut told = Phase::Run;
    loop {
        let next = if told == Phase::Run {
            Phase::Terminate
        } else {
            Phase::Kill
        };
        tokio::select! {
            biased;
            finished = running.wait() => {
                let interrupted = told > Phase::Run;
                return finished.map(|finished| {
                    let progress = watched.progress();
                    let logs = watched.rest(&finished);
                    Done { finished, logs, progress, interrupted }
                });
            }
            () = context.reached(next), if told < Phase::Kill => {
                told = *context.phase.borrow();
                match told {
                    Phase::Run => {}
                    Phase::Terminate => running.killer().terminate(),
                    Phase::Kill => running.killer().kill(),
                }
            }
        }
    }
}

/// For a program that did not run. Trouble of the machine may be over the next time, or on another worker.
pub(super) fn trouble(error: &sandbox::Error) -> Ended {
    let is_of_the_task = matches!(error, sandbox::Error::TooLittleMemory { .. });
    Ended::failed(orchestratum_engine::error::chain(error), !is_of_the_task)
}

/// What the program leaves, whatever its outcome is.
pub(super) fn evidence(done: &mut Done) -> Evidence {
    Evidence {
        output: None,
        exit_code: Some(done.finished.exit.code()),
        peak_memory_bytes: done.finished.peak_memory_bytes,
        progress: done.progress,
        logs: std::mem::take(&mut done.logs),
    }
}

/// How the program itself ended, and the last it had to say.
pub(super) fn failure(finished: &Finished) -> Ending {
    let message = message(finished);
    if finished.out_of_memory {
        return Ending::OutOfMemory { message };
    }
    Ending::Failed {
        message,
        retryable: true,
    }
}

pub(super) fn message(finished: &Finished) -> String {
    let stderr = finished.stderr.text.trim_end();
    let message = if stderr.is_empty() {
        finished.exit.to_string()
    } else {
        format!("{}: {}", finished.exit, tail(stderr))
    };
    if finished.out_of_memory {
        return format!("its processes had more memory than they may have together: {message}");
    }
    message
}

/// The last part that fits a message.
pub(super) fn tail(text: &str) -> &str {
    let start = text.len().saturating_sub(MESSAGE_MAX_BYTES);
    &text[text.ceil_char_boundary(start)..]
}

/// The streams in an output: as captured, or short where the whole would be too large to be stored.
pub(super) fn shortened(text: &str) -> String {
    const HALF: usize = 2 * 1024;
    if text.len() <= 2 * HALF {
        return text.to_owned();
    }
    let head = &text[..text.floor_char_boundary(HALF)];
    let tail = &text[text.ceil_char_boundary(text.len() - HALF)..];
    let cut = text.len() - head.len() - tail.len();
    format!("{head}\n[... {cut} bytes cut; the logs have more ...]\n{tail}")
}
