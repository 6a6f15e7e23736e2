//! `orchestratum queues …`

use anyhow::bail;
use clap::Subcommand;
use serde_json::{Value, json};

use super::http::Http;
use crate::output;

const COLUMNS: [&str; 7] = ["target", "depth", "ready", "running", "paused", "rate", "oldest_due_at"];

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Every target that has tasks or workers, is paused or has a rate; so does `queues` alone.
    List,
    /// Claim nothing more from this target.
    Pause { target: String },
    /// Claim from it again.
    Resume { target: String },
    /// How often tasks of this target start. Example: orchestratum queues rate default 600/60 --burst 10
    Rate {
        target: String,
        /// LIMIT/SECONDS to set it, `none` to remove it; without it, what it is.
        rate: Option<String>,
        /// How many start at once after a rest; if not given, what is earned in a second.
        #[arg(long, requires = "rate", allow_negative_numbers = true)]
        burst: Option<i64>,
    },
}

pub(super) async fn run(http: &Http, command: Option<Command>) -> anyhow::Result<()> {
    match command {
        None | Some(Command::List) => {
            let queues = http.get(&["queues"]).json().await?;
            if http.json {
                output::json(&queues)
            } else {
                output::table(&with_rates_as_text(queues), "queues", &COLUMNS)
            }
        }
        Some(Command::Pause { target }) => done(http, &target, "pause").await,
        Some(Command::Resume { target }) => done(http, &target, "resume").await,
        Some(Command::Rate { target, rate, burst }) => self::rate(http, &target, rate.as_deref(), burst).await,
    }
}

/// A rate as the command `rate` takes it.
fn with_rates_as_text(mut queues: Value) -> Value {
    for queue in queues["items"].as_array_mut().into_iter().flatten() {
        let rate = &queue["rate"];
        if rate.is_object() {
            queue["rate"] = json!(format!("{}/{}", rate["limit"], rate["per_seconds"]));
        }
    }
    queues
}

async fn rate(http: &Http, target: &str, rate: Option<&str>, burst: Option<i64>) -> anyhow::Result<()> {
    let path = ["queues", target, "rate"];
    let Some(rate) = rate else {
        return output::json(&http.get(&path).json().await?);
    };
    if rate == "none" {
        http.delete(&path).text().await?;
        return Ok(());
    }
    let parsed = rate
        .split_once('/')
        .and_then(|(limit, per)| Some((limit.parse::<i64>().ok()?, per.parse::<f64>().ok()?)));
    let Some((limit, per_seconds)) = parsed else {
        bail!("the rate must be LIMIT/SECONDS, such as 600/60, or none, not {rate:?}");
    };
    let mut body = json!({"limit": limit, "per_seconds": per_seconds});
    if let Some(burst) = burst {
        body["burst"] = json!(burst);
    }
    http.put(&path).body(&body).text().await?;
    Ok(())
}

async fn done(http: &Http, target: &str, action: &str) -> anyhow::Result<()> {
    http.post(&["queues", target, action]).text().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_shown_as_it_is_given() {
        let queues = json!({"items": [{"rate": {"limit": 20, "per_seconds": 0.5, "burst": 3}}, {"rate": null}]});
        let shown = with_rates_as_text(queues);
        assert_eq!(
            (&shown["items"][0]["rate"], &shown["items"][1]["rate"]),
            (&json!("20/0.5"), &Value::Null)
        );
    }
}
