//! The command line of Orchestratum.
//!
//! ```text
//!   orchestratum dev             everything in this process, on SQLite
//!   orchestratum tasks, …        a client for a running api
//!   orchestratum migrate         bring the schema to this version
//!   orchestratum doctor          look for what is wrong
//! ```

mod client;
mod demo;
mod dev;
mod doctor;
mod folder;
mod migrate;
mod output;

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};
use orchestratum_engine::error::chain;

// A step of a saga makes hundreds of small allocations: see the benchmark for what glibc's own costs.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[derive(Debug, Parser)]
#[command(
    name = "orchestratum",
    version,
    about = "A task orchestration server: one binary that runs it, and talks to it"
)]
struct Arguments {
    #[command(flatten)]
    server: client::Server,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the api and a worker in this process, on SQLite, with nothing else installed.
    Dev(dev::Arguments),
    /// Bring the database of the settings to the schema of this version.
    Migrate,
    /// Check the settings, the database, the broker, the data and this machine.
    Doctor(doctor::Arguments),
    #[command(flatten)]
    Client(client::Command),
}

impl Arguments {
    /// Options that a command would pass over in silence are refused, as it refuses them behind its name.
    fn checked(self) -> Result<Self, clap::Error> {
        let refused = match self.command {
            Command::Client(_) => false,
            Command::Doctor(_) => self.server.is_given(),
            Command::Dev(_) | Command::Migrate => self.server.is_given() || self.server.json,
        };
        if refused {
            let message = "--url, --key and --json are for the commands that ask a running api, such as `tasks`";
            Err(Self::command().error(ErrorKind::ArgumentConflict, message))
        } else {
            Ok(self)
        }
    }
}

fn main() -> ExitCode {
    // First of all: this program starts itself again as the guard of a task's process.
    orchestratum_sandbox::shim::run_if_asked();
    if let Err(error) = orchestratum_sandbox::host::prepare() {
        eprintln!("orchestratum: this process cannot be closed to its tasks: {error}");
        return ExitCode::FAILURE;
    }
    rustls::crypto::ring::default_provider()
        .install_default()
        .expect("no other provider was installed before");
    let arguments = Arguments::parse().checked().unwrap_or_else(|error| error.exit());
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("orchestratum: the runtime cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    runtime.block_on(run(arguments)).unwrap_or_else(|error| {
        eprintln!("orchestratum: {}", chain(error.as_ref()));
        ExitCode::FAILURE
    })
}

async fn run(Arguments { server, command }: Arguments) -> anyhow::Result<ExitCode> {
    match command {
        Command::Dev(arguments) => dev::run(arguments).await?,
        Command::Migrate => migrate::run().await?,
        Command::Doctor(arguments) => return doctor::run(arguments, server.json).await,
        Command::Client(command) => return client::run(command, server).await,
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &str) -> Result<Arguments, clap::Error> {
        let words = std::iter::once("orchestratum").chain(words.split_whitespace());
        Arguments::try_parse_from(words).and_then(Arguments::checked)
    }

    #[test]
    fn every_command_is_well_formed() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_client_takes_its_options_anywhere_and_others_nowhere() {
        for words in [
            "--url http://a tasks list",
            "tasks --url http://a list",
            "tasks list --url http://a",
            "--json --key k queues",
            "queues list --json",
            "doctor --json",
            "--json doctor",
        ] {
            assert!(parsed(words).is_ok(), "{words}");
        }
        for words in [
            "dev --url http://a",
            "--url http://a dev",
            "--json migrate",
            "--key k doctor",
        ] {
            assert!(parsed(words).is_err(), "{words}");
        }
    }

    #[test]
    fn a_number_below_zero_is_a_value_for_the_api_to_refuse() {
        for words in [
            "schedules create nightly --cron x --task {} --jitter -5",
            "tasks create echo --priority -1 --ttl -1.5 --delay -1 --max-retries -1 --memory-mb -1",
            "queues rate default 1/1 --burst -1",
        ] {
            assert!(parsed(words).is_ok(), "{words}");
        }
    }

    #[test]
    fn the_help_of_dev_tells_nothing_of_the_client() {
        let mut command = Arguments::command();
        command.build();
        let dev = command.find_subcommand_mut("dev").expect("it is there");
        let help = dev.render_long_help().to_string();
        assert!(help.contains("--listen") && !help.contains("--url"), "{help}");
    }
}
