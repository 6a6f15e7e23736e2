//! `orchestratum tasks create`

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::super::http::Http;
use super::conditions::Conditions;
use super::limits::Limits;
use super::{backoff, input, wait};
use crate::output;

#[derive(Debug, Args)]
pub(crate) struct Create {
    /// The handler or executor, such as python, shell, http or echo.
    name: String,
    /// JSON, `@file`, or `-` for standard input.
    #[arg(long)]
    input: Option<String>,
    /// Who is to run it: workers serve targets.
    #[arg(long)]
    target: Option<String>,
    #[arg(long)]
    description: Option<String>,
    /// 0 to 9; higher goes first.
    #[arg(long, allow_negative_numbers = true)]
    priority: Option<i64>,
    /// Seconds the task may live, over all attempts.
    #[arg(long, value_parser = input::seconds, allow_negative_numbers = true)]
    ttl: Option<f64>,
    /// Seconds one attempt may take.
    #[arg(long, value_parser = input::seconds, allow_negative_numbers = true)]
    timeout: Option<f64>,
    /// How often it is tried again after a failure.
    #[arg(long, allow_negative_numbers = true)]
    max_retries: Option<i64>,
    /// How often a lost worker is forgiven; 0 is "at most once".
    #[arg(long, allow_negative_numbers = true)]
    max_losses: Option<i64>,
    /// The wait between attempts: none, fixed:SECONDS, exponential[:FIRST[:LONGEST]][:no-jitter] (such as
    /// exponential:0.5:60), or the JSON of the api.
    #[arg(long, value_parser = backoff::parse)]
    backoff: Option<Value>,
    /// Nothing starts before; RFC 3339, such as 2026-12-01T00:00:00Z.
    #[arg(long, conflicts_with = "delay")]
    scheduled_at: Option<String>,
    /// Seconds to wait before the first attempt.
    #[arg(long, value_parser = input::seconds, allow_negative_numbers = true)]
    delay: Option<f64>,
    /// key=value; may be repeated.
    #[arg(long = "label", value_name = "KEY=VALUE")]
    labels: Vec<String>,
    #[command(flatten)]
    limits: Limits,
    #[command(flatten)]
    conditions: Conditions,
    /// What comes after it if it is completed: a task as the api takes it, or a list of them. JSON, `@file`, or `-` for
    /// standard input. Example: --on-success '{"name": "echo", "input": "${ output.result }"}'
    #[arg(long, value_name = "TASKS")]
    on_success: Option<String>,
    /// If it failed for good.
    #[arg(long, value_name = "TASKS")]
    on_failure: Option<String>,
    /// If it was cancelled.
    #[arg(long, value_name = "TASKS")]
    on_cancel: Option<String>,
    /// If its time-to-live ended.
    #[arg(long, value_name = "TASKS")]
    on_expire: Option<String>,
    /// A UUIDv7 of your own, made in the last or next 24 hours: the same id and task again is the same task.
    #[arg(long)]
    id: Option<String>,
    /// Makes the command safe to repeat for 7 days: the same key and task again is the same task.
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// Wait up to so many seconds for its end.
    #[arg(long, value_name = "SECONDS", value_parser = input::patience)]
    wait: Option<Duration>,
}

pub(super) async fn run(http: &Http, create: Create) -> anyhow::Result<ExitCode> {
    let call = http
        .post(&["tasks"])
        .header("idempotency-key", create.idempotency_key.as_deref());
    let patience = create.wait;
    let created = call.body(&body(create)?).json().await?;
    match (patience, created["id"].as_str()) {
        (Some(patience), Some(id)) => wait::until_over(http, id, patience).await,
        _ => output::json(&created).map(|()| ExitCode::SUCCESS),
    }
}

fn body(create: Create) -> anyhow::Result<Value> {
    let Create {
        name,
        input,
        target,
        description,
        priority,
        ttl,
        timeout,
        max_retries,
        max_losses,
        backoff,
        scheduled_at,
        delay,
        labels,
        limits,
        conditions,
        on_success,
        on_failure,
        on_cancel,
        on_expire,
        id,
        idempotency_key: _,
        wait: _,
    } = create;
    let labels = input::labels(&labels)?;
    Ok(input::given([
        ("id", id.map(Value::from)),
        ("name", Some(Value::from(name))),
        ("input", input.as_deref().map(input::json).transpose()?),
        ("target", target.map(Value::from)),
        ("description", description.map(Value::from)),
        ("priority", priority.map(Value::from)),
        ("ttl_seconds", ttl.map(Value::from)),
        ("timeout_seconds", timeout.map(Value::from)),
        ("max_retries", max_retries.map(Value::from)),
        ("max_losses", max_losses.map(Value::from)),
        ("backoff", backoff),
        ("scheduled_at", scheduled_at.map(Value::from)),
        ("delay_seconds", delay.map(Value::from)),
        ("labels", (!labels.is_empty()).then(|| json!(labels))),
        ("limits", limits.given()),
        ("concurrency", conditions.concurrency),
        ("rate", conditions.rate),
        ("unique", conditions.unique),
        ("on_success", follow_ups(on_success.as_deref())?),
        ("on_failure", follow_ups(on_failure.as_deref())?),
        ("on_cancel", follow_ups(on_cancel.as_deref())?),
        ("on_expire", follow_ups(on_expire.as_deref())?),
    ]))
}

/// A list; a single task is one of one.
fn follow_ups(source: Option<&str>) -> anyhow::Result<Option<Value>> {
    let given = source.map(input::json).transpose()?;
    Ok(given.map(|given| if given.is_object() { json!([given]) } else { given }))
}
