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
mod migrate;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(
    name = "orchestratum",
    version,
    about = "A task orchestration server: one binary that runs it, and talks to it"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the api and a worker in this process, on SQLite, with nothing else installed.
    Dev(dev::Arguments),
    /// Bring the database of the settings to the schema of this version.
    Migrate,
    /// Check the settings, the database, the broker and the data.
    Doctor(doctor::Arguments),
    #[command(flatten)]
    Client(client::Command),
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
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("orchestratum: the runtime cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(async {
        match arguments.command {
            Command::Dev(arguments) => dev::run(arguments).await,
            Command::Migrate => migrate::run().await,
            Command::Doctor(arguments) => doctor::run(arguments).await,
            Command::Client(command) => client::run(command).await,
        }
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("orchestratum: {error:#}");
            ExitCode::FAILURE
        }
    }
}
