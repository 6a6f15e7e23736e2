//! `orchestratum tasks …`

mod backoff;
mod conditions;
mod create;
mod events;
pub(super) mod follow;
pub(super) mod input;
mod limits;
mod list;
mod tree;
mod wait;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

pub(super) use list::COLUMNS as TASK_COLUMNS;
pub(super) use wait::{AT_ONCE, NOT_OVER, UNSUCCESSFUL};

use super::http::Http;
use crate::output;

const ATTEMPT_COLUMNS: [&str; 8] = [
    "attempt",
    "run",
    "outcome",
    "error.kind",
    "exit_code",
    "worker_id",
    "started_at",
    "ended_at",
];

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create a task. Example: orchestratum tasks create python --input '{"code": "print(1)"}' --wait 10
    #[command(after_help = wait::EXIT_STATUS)]
    Create(Box<create::Create>),
    /// Create tasks from a JSON file `{"tasks": […]}`, or `-` for standard input.
    Batch {
        file: String,
        /// Makes the command safe to repeat for 7 days: the same key and file again are the same tasks.
        #[arg(long, value_name = "KEY")]
        idempotency_key: Option<String>,
    },
    /// One task.
    #[command(after_help = wait::EXIT_STATUS)]
    Get {
        id: String,
        /// Wait up to so many seconds for its end.
        #[arg(long, value_name = "SECONDS", value_parser = input::patience)]
        wait: Option<Duration>,
    },
    /// Tasks, newest first.
    List(Box<list::List>),
    /// Stop a task.
    Cancel {
        id: String,
        #[arg(long)]
        reason: Option<String>,
    },
    /// Run a failed, expired or cancelled task again, with whatever is given here in place of what it had.
    #[command(after_help = wait::EXIT_STATUS)]
    Retry(Retry),
    /// Change a task by a JSON merge patch. Example: orchestratum tasks patch ID '{"priority": 9}'
    Patch {
        id: String,
        /// JSON, `@file`, or `-` for standard input.
        patch: String,
        /// Only if the task still has this `version`.
        #[arg(long, value_name = "VERSION")]
        if_match: Option<String>,
    },
    /// Delete a task that is over.
    Delete { id: String },
    /// The attempts of a task.
    Attempts { id: String },
    /// What a task wrote, byte for byte. On a terminal a last line that has no end is given one. With --follow, a line on
    /// standard error says where another attempt begins; --json, which goes with it alone, makes a line of JSON of each part.
    #[command(after_help = follow::EXIT_STATUS)]
    Logs {
        id: String,
        #[arg(long)]
        attempt: Option<u32>,
        /// stdout or stderr; both if not given.
        #[arg(long)]
        stream: Option<String>,
        /// Go on with what it writes until it is over.
        #[arg(long, short)]
        follow: bool,
    },
    /// Why a task is not running.
    Why { id: String },
    /// A task with all that followed it.
    Tree { id: String },
    /// How many tasks have each status.
    Stats,
}

#[derive(Debug, Args)]
pub(crate) struct Retry {
    id: String,
    /// JSON, `@file`, or `-` for standard input.
    #[arg(long)]
    input: Option<String>,
    #[arg(long)]
    target: Option<String>,
    /// Seconds the new run may live.
    #[arg(long, value_parser = input::seconds, allow_negative_numbers = true)]
    ttl: Option<f64>,
    /// Seconds one attempt may take.
    #[arg(long, value_parser = input::seconds, allow_negative_numbers = true)]
    timeout: Option<f64>,
    #[command(flatten)]
    limits: limits::Limits,
    /// Wait up to so many seconds for its end.
    #[arg(long, value_name = "SECONDS", value_parser = input::patience)]
    wait: Option<Duration>,
}

pub(super) async fn run(http: &Http, command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Create(create) => return create::run(http, *create).await,
        Command::Get { id, wait: Some(wait) } => return wait::until_over(http, &id, wait).await,
        Command::Retry(retry) => return self::retry(http, retry).await,
        Command::Batch { file, idempotency_key } => {
            let call = http.post(&["tasks", "batch"]);
            let call = call.header("idempotency-key", idempotency_key.as_deref());
            output::json(&call.body(&input::json_of_file(&file)?).json().await?)?;
        }
        Command::Get { id, wait: None } => output::json(&http.get(&["tasks", &id]).json().await?)?,
        Command::List(list) => list::run(http, *list).await?,
        Command::Cancel { id, reason } => {
            let body = input::given([("reason", reason.map(Value::from))]);
            output::json(&http.post(&["tasks", &id, "cancel"]).body(&body).json().await?)?;
        }
        Command::Patch { id, patch, if_match } => {
            let tag = if_match.as_deref().map(entity_tag);
            let call = http.patch(&["tasks", &id]).header("if-match", tag.as_deref());
            output::json(&call.body(&input::json(&patch)?).json().await?)?;
        }
        Command::Delete { id } => {
            http.delete(&["tasks", &id]).text().await?;
        }
        Command::Attempts { id } => attempts(http, &id).await?,
        Command::Logs {
            id,
            attempt,
            stream,
            follow,
        } => {
            let attempt = attempt.map(|attempt| ("attempt".to_owned(), attempt.to_string()));
            let stream = stream.map(|stream| ("stream".to_owned(), stream));
            let query: Vec<_> = attempt.into_iter().chain(stream).collect();
            if follow {
                return follow::to_the_end(http, &id, &query).await;
            }
            if http.json {
                bail!(
                    "the logs are a text: --json goes with --follow, which prints their parts, each as a line of JSON"
                );
            }
            output::text(&http.get(&["tasks", &id, "logs"]).query(&query).text().await?)?;
        }
        Command::Why { id } => output::json(&http.get(&["tasks", &id, "why"]).json().await?)?,
        Command::Tree { id } => tree::run(http, &id).await?,
        Command::Stats => output::json(&http.get(&["tasks", "stats"]).json().await?)?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn retry(http: &Http, retry: Retry) -> anyhow::Result<ExitCode> {
    let Retry {
        id,
        input,
        target,
        ttl,
        timeout,
        limits,
        wait,
    } = retry;
    let edit = input::given([
        ("input", input.as_deref().map(input::json).transpose()?),
        ("target", target.map(Value::from)),
        ("ttl_seconds", ttl.map(Value::from)),
        ("timeout_seconds", timeout.map(Value::from)),
        ("limits", limits.given()),
    ]);
    let task = http.post(&["tasks", &id, "retry"]).body(&edit).json().await?;
    match wait {
        Some(wait) => wait::until_over(http, &id, wait).await,
        None => output::json(&task).map(|()| ExitCode::SUCCESS),
    }
}

/// All of them, whatever number of pages that takes.
async fn attempts(http: &Http, id: &str) -> anyhow::Result<()> {
    let mut items = Vec::new();
    let mut query = Vec::new();
    loop {
        let mut page = http.get(&["tasks", id, "attempts"]).query(&query).json().await?;
        if let Value::Array(more) = page["items"].take() {
            items.extend(more);
        }
        match page["next_cursor"].as_str() {
            Some(cursor) => query = vec![("cursor".to_owned(), cursor.to_owned())],
            None => break,
        }
    }
    let attempts = json!({"items": items, "next_cursor": null});
    if http.json {
        output::json(&attempts)
    } else {
        output::table(&attempts, "attempts", &ATTEMPT_COLUMNS)
    }
}

/// The number that a task has as its `version`, or the `ETag` as an answer has it.
pub(super) fn entity_tag(version: &str) -> String {
    if version.bytes().all(|byte| byte.is_ascii_digit()) {
        format!("\"{version}\"")
    } else {
        version.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_sent_as_an_entity_tag() {
        for (given, sent) in [("3", "\"3\""), ("\"3\"", "\"3\""), ("*", "*")] {
            assert_eq!(entity_tag(given), sent);
        }
    }
}
