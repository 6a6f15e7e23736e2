//! `orchestratum clock …`

use anyhow::anyhow;
use clap::Subcommand;
use serde_json::json;

use super::http::{Http, Refused};
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
    let shown = call
        .json()
        .await
        .map_err(|error| match error.downcast_ref::<Refused>() {
            Some(refused) if refused.has_no_route() => {
                anyhow!("this server has no manual clock: only `orchestratum dev --manual-clock TIME` has one")
            }
            _ => error,
        })?;
    output::json(&shown)
}
