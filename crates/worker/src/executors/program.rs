//! What tasks have in common that run a program: it has a directory of its own, and leaves something.

use std::collections::BTreeMap;

use orchestratum_core::task::{Ending, Invocation, Progress};
use orchestratum_core::{JsonText, shortened};
use orchestratum_engine::error::chain;
use orchestratum_sandbox::{self as sandbox, Command, Finished, Limits, PROGRESS_DESCRIPTOR, Running};
use orchestratum_store::{ClaimedTask, Evidence, LogChunk};

use super::limits::{self, Kept};
use super::{Context, Ended, Phase};
use crate::handler::idempotency_key;
use crate::shared::Programs;

/// How much of a traceback or of standard error goes into the message of an error.
const MESSAGE_MAX_BYTES: usize = 8 * 1024;

/// As much of each stream goes into an output that would be too large with all of them.
const SHORT_BYTES: usize = 4 * 1024;

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
    /// The arguments, which each executor hands over in its own way, and the rest, if this worker grants it.
    ///
    /// # Errors
    /// What it does not grant, in words: see [`Ended::not_granted`].
    pub(super) fn of(
        task: &ClaimedTask,
        programs: &Programs,
        invocation: Invocation,
    ) -> Result<(Vec<String>, Self), String> {
        if invocation.network && !programs.network {
            let message =
                "the task asks for the network, which this worker does not permit: `worker.network` is `false`";
            return Err(message.to_owned());
        }
        let asked = Self {
            env: invocation.env,
            stdin: invocation.stdin,
            network: invocation.network,
            limits: limits::of(task, programs)?,
        };
        Ok((invocation.args, asked))
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

/// Why there is nothing of a program to tell.
#[derive(Debug)]
pub(super) enum NotRun {
    Stopped,
    Trouble(sandbox::Error),
}

impl From<NotRun> for Ended {
    fn from(why: NotRun) -> Self {
        match why {
            NotRun::Stopped => Self::stopped("it was stopped before its program had started"),
            NotRun::Trouble(error @ sandbox::Error::TooLittleMemory { .. }) => Self::not_granted(&chain(&error)),
            // Trouble of the machine may be over the next time, or on another worker.
            NotRun::Trouble(error) => Self::failed(chain(&error), true),
        }
    }
}

/// Starts the program and sees it to its end. The context is obeyed from the beginning: a start may take long where the
/// interpreter is not there yet, and what is dropped half-way leaves nothing.
pub(super) async fn attended(
    starting: impl Future<Output = Result<Running, sandbox::Error>>,
    mut context: Context,
) -> Result<Done, NotRun> {
    let running = tokio::select! {
        biased;
        started = starting => started.map_err(NotRun::Trouble)?,
        () = context.reached(Phase::Terminate) => return Err(NotRun::Stopped),
    };
    attend(running, context).await.map_err(NotRun::Trouble)
}

/// Sees the program to its end, and ends it when the context says so.
async fn attend(mut running: Running, mut context: Context) -> Result<Done, sandbox::Error> {
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

/// What the program leaves, whatever its outcome is.
pub(super) fn evidence(done: &mut Done) -> Evidence {
    Evidence {
        output: None,
        exit_code: Some(done.finished.exit.code()),
        peak_memory_bytes: done.finished.peak_memory_bytes,
        progress: done.progress,
        logs: std::mem::take(&mut done.logs),
        follow_ups: Vec::new(),
    }
}

/// How the program itself ended, and the last it had to say.
pub(super) fn failure(finished: &Finished, kept: &Kept) -> Ending {
    let message = kept.told(finished.exit, finished.out_of_memory, message(finished));
    if finished.out_of_memory {
        return Ending::OutOfMemory { message };
    }
    Ending::Failed {
        message,
        retryable: true,
        code: None,
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

/// The output with the streams in it: as captured, or short where the whole would have more than `most` bytes.
///
/// # Errors
/// Why there is none, in words.
pub(super) fn with_streams(
    finished: &Finished,
    most: usize,
    output: impl Fn(&str, &str) -> Result<JsonText, String>,
) -> Result<JsonText, String> {
    let (stdout, stderr) = (&finished.stdout.text, &finished.stderr.text);
    let whole = output(stdout, stderr)?;
    if whole.len() <= most {
        return Ok(whole);
    }
    let short = |text| shortened(text, SHORT_BYTES, "; the logs have more");
    output(&short(stdout), &short(stderr))
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::sync::Arc;

    use orchestratum_core::Timestamp;
    use orchestratum_engine::clock::Clock;
    use orchestratum_engine::identity;
    use tokio::sync::watch;
    use tokio::time::Instant;

    use super::*;
    use crate::held::Attended;
    use crate::shared::Life;

    #[tokio::test]
    async fn orders_are_heard_while_a_program_is_being_started() {
        for order in [Phase::Terminate, Phase::Kill] {
            let phase = watch::Sender::new(Phase::Run);
            let life = Life::until(Instant::now(), Clock::manual(Timestamp::EPOCH).new_worker_id());
            let context = Context {
                phase: phase.subscribe(),
                attended: Arc::new(Attended::new(Timestamp::MAX, life)),
                key: (identity::chosen_task_id(), 1),
                live_logs: Arc::default(),
            };
            let (ended, _) = tokio::join!(attended(pending(), context), async { phase.send_replace(order) });
            assert!(matches!(ended, Err(NotRun::Stopped)));
        }
    }

    #[test]
    fn a_limit_that_leaves_a_program_nothing_is_not_granted_and_trouble_is_tried_again() {
        let (most_bytes, held_bytes) = (1 << 20, 2 << 20);
        let ended = Ended::from(NotRun::Trouble(sandbox::Error::TooLittleMemory {
            most_bytes,
            held_bytes,
        }));
        assert!(matches!(ended.ending, Ending::NotGranted { .. }));
        let ended = Ended::from(NotRun::Trouble(sandbox::Error::ShimVanished));
        assert!(matches!(ended.ending, Ending::Failed { retryable: true, .. }));
        let ended = Ended::from(NotRun::Stopped);
        assert!(ended.interrupted, "whoever stopped it says why");
    }
}
