//! `orchestratum clock …`

use clap::Subcommand;
use serde_json::json;

use super::http::Http;
use crate::output;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Move it on; all that is due by then happens now. Example: orchestratum clock advance 900
    Advance {
        /// It never goes back.
        #[arg(allow_negative_numbers = true)]
        seconds: f64,
    },
}

pub(super) async fn run(http: &Http, command: Option<Command>) -> anyhow::Result<()> {
    let call = match command {
        None => http.get(&["dev", "clock"]),
        Some(Command::Advance { seconds }) => http
            .post(&["dev", "clock", "advance"])
            .body(&json!({"seconds": seconds})),
    };
    output::json(&call.json().await?)
}
