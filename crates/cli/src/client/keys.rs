//! `orchestratum keys …`

use clap::Subcommand;
use serde_json::json;

use super::http::Http;
use crate::output;

const COLUMNS: [&str; 6] = ["id", "name", "scopes", "created_at", "expires_at", "revoked_at"];

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a key; it is shown once.
    Create {
        name: String,
        /// tasks:read, tasks:write, sagas:read, sagas:write, worker, gitlab or admin; may be repeated.
        #[arg(long = "scope", required = true)]
        scopes: Vec<String>,
        /// RFC 3339; never if not given.
        #[arg(long)]
        expires_at: Option<String>,
    },
    /// Every key, never its secret.
    List,
    /// Revoke a key by its public id.
    Revoke { id: String },
}

pub(super) async fn run(http: &Http, command: Command) -> anyhow::Result<()> {
    match command {
        Command::Create {
            name,
            scopes,
            expires_at,
        } => {
            let body = json!({ "name": name, "scopes": scopes, "expires_at": expires_at });
            output::json(&http.post(&["keys"]).body(&body).json().await?)
        }
        Command::List => {
            let keys = http.get(&["keys"]).json().await?;
            if http.json {
                output::json(&keys)
            } else {
                output::table(&keys, "keys", &COLUMNS)
            }
        }
        Command::Revoke { id } => {
            http.delete(&["keys", &id]).text().await?;
            Ok(())
        }
    }
}
