//! `orchestratum sagas …`

mod history;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::http::{Call, Http};
use super::page::{self, Page};
use super::tasks::{AT_ONCE, NOT_OVER, UNSUCCESSFUL, entity_tag, input};
use crate::output;

const COLUMNS: [&str; 7] = [
    "id",
    "definition",
    "definition_version",
    "correlation_id",
    "status",
    "state",
    "updated_at",
];

const COMPENSATION_COLUMNS: [&str; 4] = ["number", "name", "status", "error.message"];

const START: &str = "Start a saga. Example: orchestratum sagas start order --correlation-id 4711 --input '{\"order_id\": \"4711\", \
    \"customer_id\": \"ada\", \"items\": [\"book\"], \"total\": 42}' --wait 10";

/// The exit status when the saga waits for somebody.
const WAITS: u8 = 5;

const EXIT_STATUS: &str = "Exit status when it waits: 0 if the saga is Completed; 3 if it is Failed, TimedOut or Cancelled; 5 if it \
    waits for somebody (AwaitingInput, NeedsAttention, CompensationStuck); 4 if it is none of these when the wait ends. Always: 1 for \
    any other failure, 2 for a wrong command line.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(about = START, after_help = EXIT_STATUS)]
    Start(Start),
    /// One saga, with its live tasks and child sagas.
    #[command(alias = "show", after_help = EXIT_STATUS)]
    Get {
        id: String,
        /// Wait up to so many seconds until it waits for somebody or is over.
        #[arg(long, value_name = "SECONDS", value_parser = input::patience)]
        wait: Option<Duration>,
    },
    /// Sagas, newest first.
    List(List),
    /// Raise an event in a saga. Example: orchestratum sagas event ID approved --data '{"ok": true}'
    Event {
        id: String,
        name: String,
        #[command(flatten)]
        event: EventBody,
        #[command(flatten)]
        guard: Guard,
    },
    /// Publish an event to the sagas that have a correlation id, or start those that begin on it.
    Publish {
        name: String,
        #[arg(long, value_name = "ID")]
        correlation_id: String,
        /// Only sagas of this definition are meant. `start` can start one in this way only.
        #[arg(long, value_name = "NAME")]
        definition: Option<String>,
        #[command(flatten)]
        event: EventBody,
    },
    /// Answer what a saga asks for. Example: orchestratum sagas input ID '{"ok": true}'
    Input {
        id: String,
        /// JSON, `@file`, or `-` for standard input.
        data: String,
        #[command(flatten)]
        guard: Guard,
    },
    /// Cancel a saga: what was done is undone.
    Cancel {
        id: String,
        #[arg(long)]
        reason: Option<String>,
        #[command(flatten)]
        guard: Guard,
    },
    /// Take a saga that needs attention again from where it failed.
    Retry {
        id: String,
        /// Fields of the context to be set first: JSON, `@file`, or `-` for standard input.
        #[arg(long, value_name = "JSON")]
        context: Option<String>,
        #[command(flatten)]
        guard: Guard,
    },
    /// Let a saga go on by another version of its definition. Example: orchestratum sagas migrate ID --state AwaitingPayment=Paying --dry-run
    Migrate {
        id: String,
        /// The newest, if not given.
        #[arg(long)]
        version: Option<u32>,
        /// A state that is called otherwise there, or whose place another takes; may be given for several.
        #[arg(long = "state", value_name = "OLD=NEW", value_parser = renamed)]
        states: Vec<(String, String)>,
        /// Only tell what it would come to.
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        guard: Guard,
    },
    /// What is to be undone in a saga, in the order in which that happens.
    Compensations { id: String },
    /// Run a stuck compensation again.
    RetryCompensation {
        id: String,
        number: u32,
        #[command(flatten)]
        guard: Guard,
    },
    /// Go on without a stuck compensation: somebody has seen to it.
    SkipCompensation {
        id: String,
        number: u32,
        #[command(flatten)]
        guard: Guard,
    },
    /// Take again one thing that a saga has parked.
    RetryParked {
        id: String,
        /// The `id`, or the `number`, of what is parked.
        parked: String,
        #[command(flatten)]
        guard: Guard,
    },
    /// Give up one thing that a saga has parked.
    DiscardParked {
        id: String,
        /// The `id`, or the `number`, of what is parked.
        parked: String,
        #[command(flatten)]
        guard: Guard,
    },
    /// What has happened to a saga, oldest first.
    History {
        id: String,
        #[command(flatten)]
        page: Page,
    },
    /// The picture of a saga: its definition, with its state and the way that it took marked.
    Diagram {
        id: String,
        /// mermaid or svg.
        #[arg(long, default_value = "mermaid")]
        format: String,
    },
    /// Wait until a saga waits for somebody or is over.
    #[command(after_help = EXIT_STATUS)]
    Wait {
        id: String,
        /// At most so many seconds.
        #[arg(long, alias = "for", value_name = "SECONDS", value_parser = input::patience, default_value = "60")]
        wait: Duration,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Start {
    /// The name of a definition.
    definition: String,
    /// Its newest version, if not given.
    #[arg(long)]
    version: Option<u32>,
    /// Makes the command safe to repeat: the same definition and correlation id again are the same saga.
    #[arg(long, value_name = "ID")]
    correlation_id: Option<String>,
    /// Makes the command safe to repeat without a correlation id: a key of your own for each saga.
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// JSON, `@file`, or `-` for standard input.
    #[arg(long)]
    input: Option<String>,
    /// Wait up to so many seconds until it waits for somebody or is over.
    #[arg(long, value_name = "SECONDS", value_parser = input::patience)]
    wait: Option<Duration>,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    #[arg(long)]
    definition: Option<String>,
    /// The state in which they are. One that was cancelled is in none: with `--status Cancelled` it is that in which it was.
    #[arg(long)]
    state: Option<String>,
    /// `Running`, `AwaitingInput`, `NeedsAttention`, `Compensating`, `CompensationStuck`, `Completed`, `Failed`, `TimedOut` or `Cancelled`.
    #[arg(long)]
    status: Option<String>,
    #[arg(long, value_name = "ID")]
    correlation_id: Option<String>,
    /// Those that this saga has started.
    #[arg(long, value_name = "ID")]
    parent: Option<String>,
    /// Those to which nothing has happened for so many seconds: not those that are over, and those that wait for an answer only with
    /// `--status AwaitingInput`.
    #[arg(long, value_name = "SECONDS", value_parser = input::seconds)]
    stale_for: Option<f64>,
    #[command(flatten)]
    page: Page,
}

#[derive(Debug, Args)]
pub(crate) struct EventBody {
    /// JSON, `@file`, or `-` for standard input.
    #[arg(long, value_name = "JSON")]
    data: Option<String>,
    /// Makes the command safe to repeat: an event of the same id is the same event.
    #[arg(long, value_name = "ID")]
    event_id: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Guard {
    /// Only if the saga still has this `version`.
    #[arg(long, value_name = "VERSION")]
    if_match: Option<String>,
}

pub(super) async fn run(http: &Http, command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Start(start) => return self::start(http, start).await,
        Command::Wait { id, wait } | Command::Get { id, wait: Some(wait) } => {
            let ask = async |held: [(String, String); 1]| http.get(&["sagas", &id]).query(&held).json().await;
            return until_it_rests(wait, ask).await;
        }
        Command::Get { id, wait: None } => output::json(&http.get(&["sagas", &id]).json().await?),
        Command::List(list) => self::list(http, list).await,
        Command::Event { id, name, event, guard } => {
            let body = event.body(name, None, None)?;
            show(guard.on(http.post(&["sagas", &id, "events"])).body(&body)).await
        }
        Command::Publish {
            name,
            correlation_id,
            definition,
            event,
        } => {
            let body = event.body(name, Some(correlation_id), definition)?;
            show(http.post(&["events"]).body(&body)).await
        }
        Command::Input { id, data, guard } => {
            let body = json!({"data": input::json(&data)?});
            show(guard.on(http.post(&["sagas", &id, "input"])).body(&body)).await
        }
        Command::Cancel { id, reason, guard } => {
            let body = input::given([("reason", reason.map(Value::from))]);
            show(guard.on(http.post(&["sagas", &id, "cancel"])).body(&body)).await
        }
        Command::Retry { id, context, guard } => {
            let body = input::given([("context", context.as_deref().map(input::json).transpose()?)]);
            show(guard.on(http.post(&["sagas", &id, "retry"])).body(&body)).await
        }
        Command::Migrate {
            id,
            version,
            states,
            dry_run,
            guard,
        } => {
            let states: serde_json::Map<_, _> = states.into_iter().map(|(old, new)| (old, new.into())).collect();
            let body = input::given([
                ("version", version.map(Value::from)),
                ("states", (!states.is_empty()).then_some(Value::Object(states))),
                ("dry_run", dry_run.then_some(Value::Bool(true))),
            ]);
            show(guard.on(http.post(&["sagas", &id, "migrate"])).body(&body)).await
        }
        Command::Compensations { id } => compensations(http, &id).await,
        Command::RetryCompensation { id, number, guard } => compensation(http, &id, number, "retry", &guard).await,
        Command::SkipCompensation { id, number, guard } => compensation(http, &id, number, "skip", &guard).await,
        Command::RetryParked { id, parked, guard } => {
            show(guard.on(http.post(&["sagas", &id, "events", &parked, "retry"]))).await
        }
        Command::DiscardParked { id, parked, guard } => {
            show(guard.on(http.post(&["sagas", &id, "events", &parked, "discard"]))).await
        }
        Command::Diagram { id, format } => {
            let query = [("format".to_owned(), format)];
            let drawn = http.get(&["sagas", &id, "diagram"]).query(&query).text().await?;
            output::text(&drawn)
        }
        Command::History { id, page } => history::run(http, &id, page).await,
    }
    .map(|()| ExitCode::SUCCESS)
}

fn renamed(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((old, new)) if !old.is_empty() && !new.is_empty() => Ok((old.to_owned(), new.to_owned())),
        _ => Err("must be OLD=NEW".to_owned()),
    }
}

impl EventBody {
    fn body(self, name: String, correlation_id: Option<String>, definition: Option<String>) -> anyhow::Result<Value> {
        Ok(input::given([
            ("name", Some(Value::from(name))),
            ("correlation_id", correlation_id.map(Value::from)),
            ("definition", definition.map(Value::from)),
            ("data", self.data.as_deref().map(input::json).transpose()?),
            ("id", self.event_id.map(Value::from)),
        ]))
    }
}

impl Guard {
    fn on<'a>(&self, call: Call<'a>) -> Call<'a> {
        call.header("if-match", self.if_match.as_deref().map(entity_tag).as_deref())
    }
}

async fn show(call: Call<'_>) -> anyhow::Result<()> {
    output::json(&call.json().await?)
}

async fn start(http: &Http, start: Start) -> anyhow::Result<ExitCode> {
    let Start {
        definition,
        version,
        correlation_id,
        idempotency_key,
        input,
        wait,
    } = start;
    let mut body = input::given([
        ("definition", Some(Value::from(definition))),
        ("definition_version", version.map(Value::from)),
        ("correlation_id", correlation_id.map(Value::from)),
        ("input", input.as_deref().map(input::json).transpose()?),
    ]);
    let call = || {
        http.post(&["sagas"])
            .header("idempotency-key", idempotency_key.as_deref())
    };
    let Some(patience) = wait else {
        let saga = call().body(&body).json().await?;
        return output::json(&saga).map(|()| ExitCode::SUCCESS);
    };
    // It is asked again by starting it again, which starts nothing: the key may do that, and need not be one that may read sagas.
    until_it_rests(patience, async |wait| {
        let saga = call().query(&wait).body(&body).json().await?;
        if idempotency_key.is_none() {
            body["correlation_id"] = saga["correlation_id"].clone();
        }
        Ok(saga)
    })
    .await
}

/// Shows a saga when it waits for somebody or is over, or when there is no patience left. The api holds an answer for as long as its
/// own setting says, so it is asked again.
async fn until_it_rests(
    patience: Duration,
    mut ask: impl AsyncFnMut([(String, String); 1]) -> anyhow::Result<Value>,
) -> anyhow::Result<ExitCode> {
    let started = Instant::now();
    let saga = loop {
        let left = patience.saturating_sub(started.elapsed());
        let wait = left.min(AT_ONCE).as_secs_f64().to_string();
        let saga = ask([("wait_seconds".to_owned(), wait)]).await?;
        let works = matches!(saga["status"].as_str(), Some("Running" | "Compensating"));
        if !works || left.is_zero() {
            break saga;
        }
    };
    output::json(&saga)?;
    Ok(ExitCode::from(match saga["status"].as_str() {
        Some("Completed") => 0,
        Some("Running" | "Compensating") => NOT_OVER,
        Some("AwaitingInput" | "NeedsAttention" | "CompensationStuck") => WAITS,
        _ => UNSUCCESSFUL,
    }))
}

async fn list(http: &Http, list: List) -> anyhow::Result<()> {
    let List {
        definition,
        state,
        status,
        correlation_id,
        parent,
        stale_for,
        page,
    } = list;
    let conditions = [
        ("definition", definition),
        ("state", state),
        ("status", status),
        ("correlation_id", correlation_id),
        ("parent_id", parent),
        ("stale_for_seconds", stale_for.map(|seconds| seconds.to_string())),
    ];
    page::list(http, &["sagas"], "sagas", &COLUMNS, conditions, page).await
}

async fn compensations(http: &Http, id: &str) -> anyhow::Result<()> {
    let mut saga = http.get(&["sagas", id]).json().await?;
    let compensations = json!({"items": saga["compensations"].take()});
    if http.json {
        output::json(&compensations)
    } else {
        output::table(&compensations, "compensations", &COMPENSATION_COLUMNS)
    }
}

async fn compensation(http: &Http, id: &str, number: u32, what: &str, guard: &Guard) -> anyhow::Result<()> {
    let number = number.to_string();
    show(guard.on(http.post(&["sagas", id, "compensations", &number, what]))).await
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(subcommand)]
        command: Command,
    }

    #[test]
    fn a_wait_is_called_as_that_for_a_task_and_as_it_was() {
        for line in [
            "get ID --wait 5",
            "show ID --wait 5",
            "wait ID --wait 5",
            "wait ID --for 5",
        ] {
            let parsed = Line::try_parse_from(["sagas"].into_iter().chain(line.split(' ')));
            let command = parsed.unwrap_or_else(|error| panic!("{line}: {error}")).command;
            let (Command::Wait { wait, .. } | Command::Get { wait: Some(wait), .. }) = command else {
                panic!("{line}: {command:?}");
            };
            assert_eq!(wait, Duration::from_secs(5), "{line}");
        }
    }
}
