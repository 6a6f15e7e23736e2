//! `orchestratum tasks …`

use std::collections::BTreeMap;
use std::io::Read;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Subcommand;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::http::Http;
use super::output;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create a task. Example: orchestratum tasks create python --input '{"code": "print(1)"}' --wait 10
    Create(Box<Create>),
    /// Create tasks from a JSON file `{"tasks": […]}`, or `-` for standard input.
    Batch { file: String },
    /// One task.
    Get {
        id: String,
        /// Wait up to so many seconds for its end.
        #[arg(long)]
        wait: Option<f64>,
    },
    /// Tasks, newest first.
    List(List),
    /// Stop a task.
    Cancel {
        id: String,
        #[arg(long)]
        reason: Option<String>,
    },
    /// Run a failed, expired or cancelled task again.
    Retry {
        id: String,
        #[arg(long)]
        input: Option<String>,
        #[arg(long)]
        ttl: Option<f64>,
    },
    /// Change a task by a JSON merge patch. Example: orchestratum tasks patch ID '{"priority": 9}'
    Patch { id: String, patch: String },
    /// Delete a task that is over.
    Delete { id: String },
    /// The attempts of a task.
    Attempts { id: String },
    /// What a task wrote.
    Logs {
        id: String,
        #[arg(long)]
        attempt: Option<u32>,
        /// stdout or stderr; both if not given.
        #[arg(long)]
        stream: Option<String>,
    },
    /// Why a task is not running.
    Why { id: String },
    /// How many tasks have each status.
    Stats,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Create {
    /// The handler or executor, such as python, shell or echo.
    name: String,
    /// JSON, `@file`, or `-` for standard input.
    #[arg(long)]
    input: Option<String>,
    #[arg(long)]
    target: Option<String>,
    #[arg(long)]
    description: Option<String>,
    #[arg(long)]
    priority: Option<i64>,
    /// Seconds the task may live.
    #[arg(long)]
    ttl: Option<f64>,
    /// Seconds one attempt may take.
    #[arg(long)]
    timeout: Option<f64>,
    #[arg(long)]
    max_retries: Option<i64>,
    /// Seconds to wait before the first attempt.
    #[arg(long)]
    delay: Option<f64>,
    /// key=value; may be repeated.
    #[arg(long = "label")]
    labels: Vec<String>,
    /// Wait up to so many seconds for its end.
    #[arg(long)]
    wait: Option<f64>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct List {
    #[arg(long)]
    status: Option<String>,
    #[arg(long)]
    name: Option<String>,
    #[arg(long)]
    target: Option<String>,
    /// key=value; may be repeated.
    #[arg(long = "label")]
    labels: Vec<String>,
    #[arg(long)]
    limit: Option<u32>,
    #[arg(long)]
    cursor: Option<String>,
}

pub(super) async fn run(http: &Http, command: Command) -> anyhow::Result<()> {
    let task = |id: &str| format!("/api/tasks/{id}");
    let answer = match command {
        Command::Create(create) => self::create(http, *create).await?,
        Command::Batch { file } => {
            http.post("/api/tasks/batch", Some(&read_json(&format!("@{file}"))?))
                .await?
        }
        Command::Get { id, wait } => get(http, &id, wait).await?,
        Command::List(list) => return self::list(http, list).await,
        Command::Cancel { id, reason } => {
            http.post(
                &format!("{}/cancel", task(&id)),
                Some(&given([("reason", reason.map(Value::from))])),
            )
            .await?
        }
        Command::Retry { id, input, ttl } => {
            let input = input.as_deref().map(read_json).transpose()?;
            let edit = given([("input", input), ("ttl_seconds", ttl.map(Value::from))]);
            http.post(&format!("{}/retry", task(&id)), Some(&edit)).await?
        }
        Command::Patch { id, patch } => http.patch(&task(&id), &read_json(&patch)?).await?,
        Command::Delete { id } => http.delete(&task(&id)).await?,
        Command::Attempts { id } => {
            let attempts = self::attempts(http, &task(&id)).await?;
            if !http.json {
                output::table(
                    &attempts,
                    &["attempt", "run", "outcome", "worker_id", "started_at", "ended_at"],
                );
                return Ok(());
            }
            attempts
        }
        Command::Logs { id, attempt, stream } => {
            let mut query = Vec::new();
            query.extend(attempt.map(|attempt| ("attempt", attempt.to_string())));
            query.extend(stream.map(|stream| ("stream", stream)));
            print!("{}", http.text(&format!("{}/logs", task(&id)), &query).await?);
            return Ok(());
        }
        Command::Why { id } => http.get(&format!("{}/why", task(&id)), &[]).await?,
        Command::Stats => http.get("/api/tasks/stats", &[]).await?,
    };
    if !answer.is_null() {
        output::json(&answer);
    }
    Ok(())
}

/// All of them, whatever number of pages that takes.
async fn attempts(http: &Http, task: &str) -> anyhow::Result<Value> {
    let path = format!("{task}/attempts");
    let mut items = Vec::new();
    let mut query = Vec::new();
    loop {
        let mut page = http.get(&path, &query).await?;
        if let Value::Array(more) = page["items"].take() {
            items.extend(more);
        }
        match page["next_cursor"].as_str() {
            Some(cursor) => query = vec![("cursor", cursor.to_owned())],
            None => return Ok(json!({"items": items, "next_cursor": null})),
        }
    }
}

async fn create(http: &Http, create: Create) -> anyhow::Result<Value> {
    let labels = labels(&create.labels)?;
    let body = given([
        ("name", Some(Value::from(create.name))),
        ("input", create.input.as_deref().map(read_json).transpose()?),
        ("target", create.target.map(Value::from)),
        ("description", create.description.map(Value::from)),
        ("priority", create.priority.map(Value::from)),
        ("ttl_seconds", create.ttl.map(Value::from)),
        ("timeout_seconds", create.timeout.map(Value::from)),
        ("max_retries", create.max_retries.map(Value::from)),
        ("delay_seconds", create.delay.map(Value::from)),
        (
            "labels",
            (!labels.is_empty()).then(|| json!(labels.into_iter().collect::<BTreeMap<_, _>>())),
        ),
    ]);
    let created = http.post("/api/tasks", Some(&body)).await?;
    match (create.wait, created["id"].as_str()) {
        (Some(wait), Some(id)) => get(http, id, Some(wait)).await,
        _ => Ok(created),
    }
}

async fn get(http: &Http, id: &str, wait: Option<f64>) -> anyhow::Result<Value> {
    let path = format!("/api/tasks/{id}");
    let Some(wait) = wait else {
        return http.get(&path, &[]).await;
    };
    let wait = Duration::try_from_secs_f64(wait).context("--wait takes a number of seconds from 0 on")?;
    let started = Instant::now();
    loop {
        // The api waits as long as it is set to at most, which may be shorter.
        let left = wait.saturating_sub(started.elapsed());
        let query = [("wait_seconds", left.as_secs_f64().to_string())];
        let task = http.get(&path, &query).await?;
        let is_over = !matches!(task["status"].as_str(), Some("Pending" | "InProgress"));
        if is_over || started.elapsed() >= wait {
            return Ok(task);
        }
    }
}

async fn list(http: &Http, list: List) -> anyhow::Result<()> {
    let labels: Vec<(String, String)> = labels(&list.labels)?
        .into_iter()
        .map(|(key, value)| (format!("label.{key}"), value))
        .collect();
    let mut query: Vec<(&str, String)> = Vec::new();
    query.extend(list.status.map(|status| ("status", status)));
    query.extend(list.name.map(|name| ("name", name)));
    query.extend(list.target.map(|target| ("target", target)));
    query.extend(list.limit.map(|limit| ("limit", limit.to_string())));
    query.extend(list.cursor.map(|cursor| ("cursor", cursor)));
    query.extend(labels.iter().map(|(key, value)| (key.as_str(), value.clone())));
    let page = http.get("/api/tasks", &query).await?;
    if http.json {
        output::json(&page);
    } else {
        output::table(
            &page,
            &["id", "name", "target", "status", "run", "attempt", "created_at"],
        );
    }
    Ok(())
}

fn labels(pairs: &[String]) -> anyhow::Result<Vec<(String, String)>> {
    let split = |pair: &String| match pair.split_once('=') {
        Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
        None => bail!("a label is written key=value, not {pair:?}"),
    };
    pairs.iter().map(split).collect()
}

/// An object of the fields that were given.
fn given<const N: usize>(fields: [(&str, Option<Value>); N]) -> Value {
    let fields = fields
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(fields.collect::<Map<_, _>>())
}

/// JSON itself, `@file`, or `-` for standard input.
fn read_json(source: &str) -> anyhow::Result<Value> {
    let text = match source.strip_prefix('@').unwrap_or(source) {
        "-" => {
            let mut text = String::new();
            std::io::stdin()
                .read_to_string(&mut text)
                .context("standard input cannot be read")?;
            text
        }
        file if source.starts_with('@') => {
            std::fs::read_to_string(file).with_context(|| format!("{file} cannot be read"))?
        }
        text => text.to_owned(),
    };
    serde_json::from_str(&text).with_context(|| format!("{source:?} is not JSON"))
}
