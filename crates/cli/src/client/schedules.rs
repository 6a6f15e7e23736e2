//! `orchestratum schedules …`

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::http::Http;
use super::tasks::{entity_tag, input};
use crate::output;

const COLUMNS: [&str; 8] = [
    "id",
    "name",
    "cron",
    "time_zone",
    "paused",
    "next_at",
    "last_slot",
    "last_task_status",
];

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create a schedule. Example: orchestratum schedules create nightly --cron '30 3 * * *' --time-zone Europe/Berlin --task '{"name": "echo"}'
    Create(Box<Create>),
    /// Schedules, newest first.
    List {
        /// Those of exactly this name.
        #[arg(long)]
        name: Option<String>,
        /// The most schedules of a page, 1 to 200; 50 if not given.
        #[arg(long)]
        limit: Option<u32>,
        /// What the page before says behind `More:`.
        #[arg(long)]
        cursor: Option<String>,
    },
    /// One schedule.
    Get { id: String },
    /// Change a schedule by a JSON merge patch, in which `task` is the whole new task. Example: orchestratum schedules patch ID '{"cron": "0 4 * * *"}'
    Patch {
        id: String,
        /// JSON, `@file`, or `-` for standard input.
        patch: String,
        /// Only if the schedule still has this `version`.
        #[arg(long, value_name = "VERSION")]
        if_match: Option<String>,
    },
    /// No slot becomes a task any more.
    Pause { id: String },
    /// Go on with the slots that lie ahead.
    Resume { id: String },
    /// Make its task now, whatever the clock says.
    Trigger {
        id: String,
        /// Makes the command safe to repeat for 7 days: the same key again is the same task.
        #[arg(long, value_name = "KEY")]
        idempotency_key: Option<String>,
    },
    /// Delete a schedule. Its tasks stay.
    Delete { id: String },
}

#[derive(Debug, Args)]
pub(crate) struct Create {
    name: String,
    /// Minute, hour, day of month, month, day of week; with six fields, the second before them.
    #[arg(long)]
    cron: String,
    /// What to create for each slot, as JSON, `@file`, or `-` for standard input.
    #[arg(long)]
    task: String,
    /// Such as Europe/Berlin; UTC if not given.
    #[arg(long)]
    time_zone: Option<String>,
    /// While a task of it is not over: skip, queue, replace or allow; skip if not given.
    #[arg(long)]
    overlap: Option<String>,
    /// Of slots that were missed: `fire_once`, `skip` or `catch_up`; `fire_once` if not given.
    #[arg(long)]
    misfire: Option<String>,
    /// RFC 3339, such as 2026-12-01T00:00:00Z: no slot before it.
    #[arg(long, value_name = "TIME")]
    start_at: Option<String>,
    /// No slot from then on.
    #[arg(long, value_name = "TIME")]
    end_at: Option<String>,
    /// The most seconds that a task begins after its slot.
    #[arg(long, value_name = "SECONDS", value_parser = input::seconds, allow_negative_numbers = true)]
    jitter: Option<f64>,
    /// It waits to be resumed.
    #[arg(long)]
    paused: bool,
    /// Makes the command safe to repeat for 7 days: the same key and schedule again are the same schedule.
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
}

pub(super) async fn run(http: &Http, command: Command) -> anyhow::Result<()> {
    match command {
        Command::Create(create) => self::create(http, *create).await,
        Command::List { name, limit, cursor } => list(http, name, limit, cursor).await,
        Command::Get { id } => output::json(&http.get(&["schedules", &id]).json().await?),
        Command::Patch { id, patch, if_match } => {
            let tag = if_match.as_deref().map(entity_tag);
            let call = http.patch(&["schedules", &id]).header("if-match", tag.as_deref());
            output::json(&call.body(&input::json(&patch)?).json().await?)
        }
        Command::Pause { id } => set_paused(http, &id, true).await,
        Command::Resume { id } => set_paused(http, &id, false).await,
        Command::Trigger { id, idempotency_key } => {
            let call = http.post(&["schedules", &id, "trigger"]);
            let call = call.header("idempotency-key", idempotency_key.as_deref());
            output::json(&call.json().await?)
        }
        Command::Delete { id } => http.delete(&["schedules", &id]).text().await.map(|_nothing| ()),
    }
}

async fn create(http: &Http, create: Create) -> anyhow::Result<()> {
    let Create {
        name,
        cron,
        task,
        time_zone,
        overlap,
        misfire,
        start_at,
        end_at,
        jitter,
        paused,
        idempotency_key,
    } = create;
    let body = input::given([
        ("name", Some(Value::from(name))),
        ("cron", Some(Value::from(cron))),
        ("task", Some(input::json(&task)?)),
        ("time_zone", time_zone.map(Value::from)),
        ("overlap", overlap.map(Value::from)),
        ("misfire", misfire.map(Value::from)),
        ("start_at", start_at.map(Value::from)),
        ("end_at", end_at.map(Value::from)),
        ("jitter_seconds", jitter.map(Value::from)),
        ("paused", paused.then(|| Value::from(true))),
    ]);
    let call = http.post(&["schedules"]);
    let call = call.header("idempotency-key", idempotency_key.as_deref());
    output::json(&call.body(&body).json().await?)
}

async fn list(http: &Http, name: Option<String>, limit: Option<u32>, cursor: Option<String>) -> anyhow::Result<()> {
    let fields = [
        ("name", name),
        ("limit", limit.map(|limit| limit.to_string())),
        ("cursor", cursor),
    ];
    let query: Vec<_> = fields
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect();
    let page = http.get(&["schedules"]).query(&query).json().await?;
    if http.json {
        output::json(&page)
    } else {
        output::table(&page, "schedules", &COLUMNS)
    }
}

async fn set_paused(http: &Http, id: &str, paused: bool) -> anyhow::Result<()> {
    let call = http.patch(&["schedules", id]).body(&json!({"paused": paused}));
    output::json(&call.json().await?)
}
