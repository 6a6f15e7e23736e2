//! A client for every endpoint of a running api. It prints what the api answers: JSON, or a table where a list is
//! easier to read as one.

mod http;
mod keys;
mod output;
mod queues;
mod tasks;
mod workers;

use clap::{Args, Subcommand};

use http::Http;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create, read and change tasks.
    Tasks {
        #[command(flatten)]
        server: Server,
        #[command(subcommand)]
        command: tasks::Command,
    },
    /// The workers, what they serve and how busy they are.
    Workers {
        #[command(flatten)]
        server: Server,
    },
    /// The queues: how much waits in them; pause and resume them.
    Queues {
        #[command(flatten)]
        server: Server,
        #[command(subcommand)]
        command: Option<queues::Command>,
    },
    /// API keys.
    Keys {
        #[command(flatten)]
        server: Server,
        #[command(subcommand)]
        command: keys::Command,
    },
}

/// Where the api is, and who calls.
#[derive(Debug, Args)]
pub(crate) struct Server {
    #[arg(
        long,
        global = true,
        env = "ORCHESTRATUM_URL",
        default_value = "http://127.0.0.1:5000"
    )]
    url: String,
    /// The API key. Better given by the environment: the list of processes shows arguments.
    #[arg(long, global = true, env = "ORCHESTRATUM_KEY", hide_env_values = true)]
    key: Option<String>,
    /// Print JSON instead of tables.
    #[arg(long, global = true)]
    json: bool,
}

pub(crate) async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Tasks { server, command } => tasks::run(&Http::new(&server)?, command).await,
        Command::Workers { server } => workers::run(&Http::new(&server)?).await,
        Command::Queues { server, command } => queues::run(&Http::new(&server)?, command).await,
        Command::Keys { server, command } => keys::run(&Http::new(&server)?, command).await,
    }
}
