//! A client for every endpoint of a running api. It prints what the api answers: JSON, or a table where a list is
//! easier to read as one.

mod clock;
mod definitions;
mod events;
mod gitlab;
mod groups;
mod http;
mod keys;
mod page;
mod queues;
mod sagas;
mod schedules;
mod tasks;
mod workers;

use std::convert::Infallible;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use secrecy::{ExposeSecret, SecretString};

use http::Http;

const DEFAULT_URL: &str = "http://127.0.0.1:5000";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create, read and change tasks.
    #[command(mut_args(|argument| argument.global(true)))]
    Tasks {
        #[command(flatten)]
        server: Server,
        #[command(subcommand)]
        command: tasks::Command,
    },
    /// Groups: many tasks, and one that comes after them.
    #[command(mut_args(|argument| argument.global(true)))]
    Groups {
        #[command(flatten)]
        server: Server,
        #[command(subcommand)]
        command: groups::Command,
    },
    /// Sagas: state machines that the server runs, with what undoes each step.
    #[command(mut_args(|argument| argument.global(true)))]
    Sagas {
        #[command(flatten)]
        server: Server,
        #[command(subcommand)]
        command: sagas::Command,
    },
    /// The definitions of sagas.
    #[command(mut_args(|argument| argument.global(true)))]
    Definitions {
        #[command(flatten)]
        server: Server,
        #[command(subcommand)]
        command: definitions::Command,
    },
    /// Follow changes of tasks and sagas, a line for each. Example: orchestratum events --kind saga --definition order
    #[command(mut_args(|argument| argument.global(true)))]
    Events {
        #[command(flatten)]
        server: Server,
        #[command(flatten)]
        filter: events::Filter,
    },
    /// The workers, what they serve and how busy they are.
    #[command(mut_args(|argument| argument.global(true)))]
    Workers {
        #[command(flatten)]
        server: Server,
    },
    /// The queues: how much waits in them; pause and resume them.
    #[command(mut_args(|argument| argument.global(true)))]
    Queues {
        #[command(flatten)]
        server: Server,
        #[command(subcommand)]
        command: Option<queues::Command>,
    },
    /// Tasks that come by the clock.
    #[command(mut_args(|argument| argument.global(true)))]
    Schedules {
        #[command(flatten)]
        server: Server,
        #[command(subcommand)]
        command: schedules::Command,
    },
    /// The clock of a server for tests (`dev --manual-clock`): what it shows; move it on.
    #[command(mut_args(|argument| argument.global(true)))]
    Clock {
        #[command(flatten)]
        server: Server,
        #[command(subcommand)]
        command: Option<clock::Command>,
    },
    /// Issues, geometries and merge requests of the GitLab that the server knows.
    #[command(mut_args(|argument| argument.global(true)))]
    Gitlab {
        #[command(flatten)]
        server: Server,
        #[command(subcommand)]
        command: gitlab::Command,
    },
    /// API keys.
    #[command(mut_args(|argument| argument.global(true)))]
    Keys {
        #[command(flatten)]
        server: Server,
        #[command(subcommand)]
        command: keys::Command,
    },
}

/// Where the api is, and who calls: before the name of a command, or anywhere behind it.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Client options")]
pub(crate) struct Server {
    /// Where the api is. If not given, `ORCHESTRATUM_URL` says it; else it is `http://127.0.0.1:5000`.
    #[arg(long)]
    url: Option<String>,
    /// The API key. Better given as `ORCHESTRATUM_KEY`: the list of processes shows arguments.
    #[arg(long, value_parser = |text: &str| Ok::<_, Infallible>(SecretString::from(text)))]
    key: Option<SecretString>,
    /// Print JSON instead of tables.
    #[arg(long)]
    pub(crate) json: bool,
}

impl Server {
    /// Whether something was given that only the client uses.
    pub(crate) fn is_given(&self) -> bool {
        self.url.is_some() || self.key.is_some()
    }

    /// With what was given before the name of the command.
    fn or(self, before: Self) -> Self {
        Self {
            url: self.url.or(before.url),
            key: self.key.or(before.key),
            json: self.json || before.json,
        }
    }

    fn url(&self) -> String {
        let url = self.url.clone().or_else(|| variable("ORCHESTRATUM_URL"));
        url.unwrap_or_else(|| DEFAULT_URL.to_owned())
    }

    fn key(&self) -> Option<SecretString> {
        let key = self.key.clone();
        key.or_else(|| variable("ORCHESTRATUM_KEY").map(SecretString::from))
            .filter(|key| !key.expose_secret().is_empty())
    }
}

/// An empty one says nothing.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

pub(crate) async fn run(command: Command, before: Server) -> anyhow::Result<ExitCode> {
    match command {
        Command::Tasks { server, command } => return tasks::run(&Http::new(&server.or(before))?, command).await,
        Command::Groups { server, command } => return groups::run(&Http::new(&server.or(before))?, command).await,
        Command::Sagas { server, command } => return sagas::run(&Http::new(&server.or(before))?, command).await,
        Command::Definitions { server, command } => definitions::run(&Http::new(&server.or(before))?, command).await?,
        Command::Events { server, filter } => events::run(&Http::new(&server.or(before))?, filter).await?,
        Command::Workers { server } => workers::run(&Http::new(&server.or(before))?).await?,
        Command::Queues { server, command } => queues::run(&Http::new(&server.or(before))?, command).await?,
        Command::Schedules { server, command } => schedules::run(&Http::new(&server.or(before))?, command).await?,
        Command::Clock { server, command } => clock::run(&Http::new(&server.or(before))?, command).await?,
        Command::Gitlab { server, command } => gitlab::run(&Http::new(&server.or(before))?, command).await?,
        Command::Keys { server, command } => keys::run(&Http::new(&server.or(before))?, command).await?,
    }
    Ok(ExitCode::SUCCESS)
}
