//! `orchestratum queues …`

use clap::Subcommand;

use super::http::Http;
use crate::output;

const COLUMNS: [&str; 6] = ["target", "depth", "ready", "running", "paused", "oldest_due_at"];

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Every target that has tasks or workers, or is paused; so does `queues` alone.
    List,
    /// Claim nothing more from this target.
    Pause { target: String },
    /// Claim from it again.
    Resume { target: String },
}

pub(super) async fn run(http: &Http, command: Option<Command>) -> anyhow::Result<()> {
    match command {
        None | Some(Command::List) => {
            let queues = http.get(&["queues"]).json().await?;
            if http.json {
                output::json(&queues)
            } else {
                output::table(&queues, "queues", &COLUMNS)
            }
        }
        Some(Command::Pause { target }) => done(http, &target, "pause").await,
        Some(Command::Resume { target }) => done(http, &target, "resume").await,
    }
}

async fn done(http: &Http, target: &str, action: &str) -> anyhow::Result<()> {
    http.post(&["queues", target, action]).text().await?;
    Ok(())
}
