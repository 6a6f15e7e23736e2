//! The API server.

mod health;

use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use orchestratum_engine::{Engine, Settings};
use tokio_util::sync::CancellationToken;

/// The API server of Orchestratum.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Where to listen with plain HTTP, instead of api.listen. Turns HTTPS off unless api.tls.listen is set.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Ask a running server whether it is live, and exit with 0 if it is.
    #[arg(long)]
    health: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    // First of all: with a worker inside, this program starts itself again as the guard of a task's process.
    orchestratum_sandbox::shim::run_if_asked();
    orchestratum_sandbox::host::prepare().context("this process cannot be closed to its tasks")?;
    let arguments = Arguments::parse();
    let listen = arguments.listen.map(|address| address.to_string());
    let overrides: Vec<(&str, &str)> = listen.iter().map(|address| ("api.listen", address.as_str())).collect();
    let settings = Settings::load_with(&overrides)?;
    if arguments.health {
        return Ok(match health::is_live(settings.api.listen) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                report(&error);
                ExitCode::FAILURE
            }
        });
    }
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(orchestratum_api::run(settings, work))?;
    Ok(ExitCode::SUCCESS)
}

/// The worker of this process, where it has one. An SQLite file has one owner process, so there its worker lives here.
async fn work(engine: Engine, stop: CancellationToken) -> anyhow::Result<()> {
    let settings = engine.settings();
    if settings.worker.embedded || settings.database.is_sqlite() {
        Ok(orchestratum_worker::run(engine, stop).await?)
    } else {
        stop.cancelled().await;
        Ok(())
    }
}

#[expect(clippy::print_stderr, reason = "the answer of a command")]
fn report(error: &anyhow::Error) {
    eprintln!("not live: {error:#}");
}
