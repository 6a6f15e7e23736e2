//! `orchestratum groups …`

use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::Value;
use tokio::time::Instant;

use super::http::Http;
use super::page::{self, Page};
use super::tasks::{AT_ONCE, NOT_OVER, TASK_COLUMNS, UNSUCCESSFUL, input};
use crate::output;

const COLUMNS: [&str; 8] = [
    "id",
    "name",
    "policy",
    "status",
    "size",
    "remaining",
    "failed",
    "created_at",
];

const EXIT_STATUS: &str = "Exit status with --wait: 0 if the group is Completed; 3 if it is Failed or Cancelled, or if what \
    comes after it could not be made; 4 if it is not over when the wait ends. Always: 1 for any other failure, 2 for a wrong command line.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create a group from a JSON file `{"tasks": […], "on_complete": {…}}`, or `-` for standard input; or of one task for each
    /// of many inputs. Example: orchestratum groups create --template '{"name": "echo"}' --inputs '[1, 2, 3]'
    #[command(after_help = EXIT_STATUS)]
    Create(Box<Create>),
    /// One group.
    #[command(after_help = EXIT_STATUS)]
    Get {
        id: String,
        /// Wait up to so many seconds for its end.
        #[arg(long, value_name = "SECONDS", value_parser = input::patience)]
        wait: Option<Duration>,
    },
    /// Groups, newest first.
    List {
        /// `Running`, `Failing`, `Cancelling`, `Completed`, `Failed` or `Cancelled`.
        #[arg(long)]
        status: Option<String>,
        #[command(flatten)]
        page: Page,
    },
    /// The members of a group, in their order.
    Tasks {
        id: String,
        /// `Pending`, `InProgress`, `Completed`, `Expired`, `Failed` or `Cancelled`.
        #[arg(long)]
        status: Option<String>,
        #[command(flatten)]
        page: Page,
    },
    /// Cancel the members of a group that are left.
    Cancel {
        id: String,
        #[arg(long)]
        reason: Option<String>,
    },
    /// Forget a group that is over. Its members stay.
    Delete { id: String },
}

#[derive(Debug, Args)]
pub(crate) struct Create {
    #[arg(required_unless_present = "template", conflicts_with_all = ["template", "inputs"])]
    file: Option<String>,
    /// What runs with each of the inputs: JSON, `@file`, or `-` for standard input.
    #[arg(long, value_name = "JSON", requires = "inputs")]
    template: Option<String>,
    /// A list of inputs: JSON, `@file`, or `-` for standard input.
    #[arg(long, value_name = "JSON", requires = "template")]
    inputs: Option<String>,
    #[arg(long, requires = "template")]
    name: Option<String>,
    /// `fail` or `continue`.
    #[arg(long, requires = "template")]
    policy: Option<String>,
    /// What runs when all are over: JSON, `@file`, or `-` for standard input.
    #[arg(long, value_name = "JSON", requires = "template")]
    on_complete: Option<String>,
    /// What runs in its place where one did not succeed.
    #[arg(long, value_name = "JSON", requires = "template")]
    on_failure: Option<String>,
    /// Makes the command safe to repeat for 7 days: the same key and group again are the same group.
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// Wait up to so many seconds for its end.
    #[arg(long, value_name = "SECONDS", value_parser = input::patience)]
    wait: Option<Duration>,
}

pub(super) async fn run(http: &Http, command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Get { id, wait: Some(wait) } => return until_over(http, &id, wait).await,
        Command::Create(create) => return self::create(http, *create).await,
        Command::Get { id, wait: None } => output::json(&http.get(&["groups", &id]).json().await?),
        Command::List { status, page } => {
            page::list(http, &["groups"], "groups", &COLUMNS, [("status", status)], page).await
        }
        Command::Tasks { id, status, page } => {
            let path = ["groups", &id, "tasks"];
            page::list(http, &path, "tasks", &TASK_COLUMNS, [("status", status)], page).await
        }
        Command::Cancel { id, reason } => {
            let body = input::given([("reason", reason.map(Value::from))]);
            output::json(&http.post(&["groups", &id, "cancel"]).body(&body).json().await?)
        }
        Command::Delete { id } => http.delete(&["groups", &id]).text().await.map(|_empty| ()),
    }
    .map(|()| ExitCode::SUCCESS)
}

async fn create(http: &Http, create: Create) -> anyhow::Result<ExitCode> {
    let Create {
        file,
        template,
        inputs,
        name,
        policy,
        on_complete,
        on_failure,
        idempotency_key,
        wait,
    } = create;
    let body = if let Some(file) = file {
        input::json_of_file(&file)?
    } else {
        let json = |text: Option<String>| text.as_deref().map(input::json).transpose();
        input::given([
            ("name", name.map(Value::from)),
            ("policy", policy.map(Value::from)),
            ("template", json(template)?),
            ("inputs", json(inputs)?),
            ("on_complete", json(on_complete)?),
            ("on_failure", json(on_failure)?),
        ])
    };
    let call = http.post(&["groups"]);
    let call = call.header("idempotency-key", idempotency_key.as_deref());
    let created = call.body(&body).json().await?;
    match (wait, created["id"].as_str()) {
        (Some(patience), Some(id)) => until_over(http, id, patience).await,
        _ => output::json(&created).map(|()| ExitCode::SUCCESS),
    }
}

/// Shows a group when it is over, or when there is no patience left. The api holds an answer for as long as its own setting says,
/// so it is asked again.
async fn until_over(http: &Http, id: &str, patience: Duration) -> anyhow::Result<ExitCode> {
    let started = Instant::now();
    let group = loop {
        let left = patience.saturating_sub(started.elapsed());
        let wait = left.min(AT_ONCE).as_secs_f64().to_string();
        let call = http.get(&["groups", id]).query(&[("wait_seconds".to_owned(), wait)]);
        let group = call.json().await?;
        if !group["finished_at"].is_null() || left.is_zero() {
            break group;
        }
    };
    output::json(&group)?;
    Ok(ExitCode::from(match group["status"].as_str() {
        Some("Completed") if group["missing_follow_up"].is_null() => 0,
        Some("Running" | "Failing" | "Cancelling") => NOT_OVER,
        _ => UNSUCCESSFUL,
    }))
}
