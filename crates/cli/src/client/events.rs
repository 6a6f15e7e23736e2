//! `orchestratum events`

use std::io::{self, Write as _};

use anyhow::Context;
use clap::Args;
use serde_json::Value;

use super::http::Http;
use super::tasks::follow::{connect, connect_again};
use crate::output;

#[derive(Debug, Args)]
pub(crate) struct Filter {
    /// task or saga; both if not given.
    #[arg(long)]
    kind: Option<String>,
    /// Of the task or the saga.
    #[arg(long)]
    status: Option<String>,
    /// Of tasks.
    #[arg(long)]
    name: Option<String>,
    /// Of tasks.
    #[arg(long)]
    target: Option<String>,
    /// Tasks that this saga issued.
    #[arg(long, value_name = "ID")]
    saga_id: Option<String>,
    /// Of sagas.
    #[arg(long)]
    definition: Option<String>,
    /// Of sagas.
    #[arg(long)]
    state: Option<String>,
    /// Of sagas.
    #[arg(long, value_name = "ID")]
    correlation_id: Option<String>,
}

impl Filter {
    fn query(self) -> Vec<(String, String)> {
        let fields = [
            ("kind", self.kind),
            ("status", self.status),
            ("name", self.name),
            ("target", self.target),
            ("saga_id", self.saga_id),
            ("definition", self.definition),
            ("state", self.state),
            ("correlation_id", self.correlation_id),
        ];
        fields
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?)))
            .collect()
    }
}

/// Until nobody reads any more.
pub(super) async fn run(http: &Http, filter: Filter) -> anyhow::Result<()> {
    let query = filter.query();
    let mut last_id = None;
    // Nobody was there yet: what is wrong then is wrong with the command.
    let mut events = connect(http, &["events"], &query, None).await?;
    loop {
        match events.next().await {
            Ok(Some(event)) => {
                last_id = event.id.or(last_id);
                let data: Value =
                    serde_json::from_str(&event.data).context("the api sent an event that is not JSON")?;
                if !show(http, &event.name, &data)? {
                    return Ok(());
                }
            }
            // The api ends every stream one day, and when it stops; or the connection broke.
            Ok(None) | Err(_) => events = connect_again(http, &["events"], &query, last_id.as_deref()).await?,
        }
    }
}

/// Shows a change; `false` if nobody reads any more.
fn show(http: &Http, name: &str, data: &Value) -> anyhow::Result<bool> {
    match name {
        "task" | "saga" if http.json => {
            let mut line = data.clone();
            line["kind"] = Value::from(name);
            output::part(&format!("{line}\n"))
        }
        "task" => line(&["task"], data, &["id", "name", "target", "status"]),
        "saga" => line(
            &["saga"],
            data,
            &["id", "definition", "correlation_id", "status", "state"],
        ),
        "reset" => {
            // Not among the changes: it would be one to whoever reads them.
            let _ = writeln!(io::stderr(), "--- changes were missed ---");
            Ok(true)
        }
        // `ready`, and those of a newer api.
        _ => Ok(true),
    }
}

fn line(words: &[&str], data: &Value, fields: &[&str]) -> anyhow::Result<bool> {
    let fields = fields.iter().map(|field| data[*field].as_str().unwrap_or_default());
    let words: Vec<&str> = words.iter().copied().chain(fields).collect();
    output::part(&format!("{}\n", output::one_line(&words.join(" "))))
}
