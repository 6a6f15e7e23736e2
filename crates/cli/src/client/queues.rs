//! `orchestratum queues …`

use clap::Subcommand;

use super::http::Http;
use super::output;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Claim nothing more from this target.
    Pause { target: String },
    /// Claim from it again.
    Resume { target: String },
}

pub(super) async fn run(http: &Http, command: Option<Command>) -> anyhow::Result<()> {
    match command {
        None => {
            let queues = http.get("/api/queues", &[]).await?;
            if http.json {
                output::json(&queues);
            } else {
                output::table(
                    &queues,
                    &["target", "depth", "ready", "running", "paused", "oldest_due_at"],
                );
            }
        }
        Some(Command::Pause { target }) => {
            http.post(&format!("/api/queues/{target}/pause"), None).await?;
        }
        Some(Command::Resume { target }) => {
            http.post(&format!("/api/queues/{target}/resume"), None).await?;
        }
    }
    Ok(())
}
