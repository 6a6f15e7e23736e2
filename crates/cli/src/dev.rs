//! `orchestratum dev`: the api and a worker in this process, on an SQLite file, with nothing else installed.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, IsTerminal, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use orchestratum_api::{Addresses, ServerError, Started};
use orchestratum_core::{ParseTimestampError, Timestamp};
use orchestratum_engine::clock::LATEST;
use orchestratum_engine::telemetry::{self, Role};
use orchestratum_engine::{Engine, Settings, error::chain, identity};
use orchestratum_worker::Worker;
use secrecy::{ExposeSecret, SecretString};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::demo;
use crate::folder::Folder;

const KEY_LENGTH: usize = 32;

const DATABASE: &str = "orchestratum.db";
const KEY: &str = "key";
/// Held by the process that uses the database.
const LOCK: &str = "orchestratum.db.lock";

/// What a start makes in its folder before it serves, beside the lock.
const MADE: [&str; 4] = [KEY, DATABASE, "orchestratum.db-wal", "orchestratum.db-shm"];

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Where to listen with plain HTTP. Turns HTTPS off unless api.tls.listen is set.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Where the database and the key are kept.
    #[arg(long, value_name = "DIR", default_value = "data")]
    data: PathBuf,
    /// Submit samples and show how they end. Until then a terminal shows no log lines but warnings, unless
    /// `ORCHESTRATUM__LOGS__LEVEL` is set; `logs.dir` has all.
    #[arg(long)]
    demo: bool,
    /// Begin at this time (RFC 3339) and stand still: only `POST /api/dev/clock/advance` lets time pass. For tests; give them a
    /// folder of their own. Ids that callers choose hold the time of their machines, not this one.
    #[arg(long, value_name = "TIME", conflicts_with = "demo", value_parser = beginning)]
    manual_clock: Option<Timestamp>,
}

/// A time at which a test may begin.
fn beginning(text: &str) -> Result<Timestamp, String> {
    let time: Timestamp = text.parse().map_err(|error: ParseTimestampError| error.to_string())?;
    if (Timestamp::EPOCH..LATEST).contains(&time) {
        Ok(time)
    } else {
        Err(format!("must lie between {} and {}", Timestamp::EPOCH, LATEST))
    }
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let mut settings = settings(&arguments)?;
    let logs = telemetry::init(Role::Dev, &settings.logs)?;
    let (stop, kill) = (CancellationToken::new(), CancellationToken::new());
    obey_signals(stop.clone(), kill.clone())?;
    let data = &arguments.data;
    let folder = Folder::open(data).with_context(|| format!("{} cannot be made", data.display()))?;
    let (started, worker) = match start(&mut settings, arguments.manual_clock, folder.path(), &stop).await {
        Ok(ready) => ready,
        Err(error) => {
            folder.take_back(LOCK, &MADE);
            // What it has to say comes first.
            drop(logs);
            return Err(error);
        }
    };
    welcome(
        started.addresses(),
        &settings.auth.bootstrap_key,
        data,
        arguments.manual_clock,
    );
    let samples = arguments.demo.then(|| {
        let (engine, stop) = (started.engine().clone(), stop.clone());
        let offered = worker.names().cloned().collect();
        // The address, the key and the samples are what is to be seen, between lines that nobody asked for.
        let quiet = (is_on_a_terminal() && !asks_for_logs(&settings)).then(|| logs.quieten_console());
        tokio::spawn(async move {
            let _quiet = quiet;
            if let Err(error) = demo::run(engine, offered, stop).await {
                eprintln!("the samples: {error:#}");
            }
        })
    });
    let mut worked = Ok(());
    started
        .serve(async {
            worked = worker.run(stop.clone(), kill).await;
            if worked.is_err() {
                // Without its worker this process would look alive and run nothing.
                stop.cancel();
            }
            if let Some(samples) = samples {
                // Before the database is closed.
                let _ = samples.await;
            }
        })
        .await;
    worked.context("the worker failed")
}

fn is_on_a_terminal() -> bool {
    std::io::stdout().is_terminal() && std::io::stderr().is_terminal()
}

/// Whether somebody has chosen which log lines there are.
fn asks_for_logs(settings: &Settings) -> bool {
    const USUAL_LEVEL: &str = "info";
    settings.logs.level != USUAL_LEVEL || std::env::var_os("ORCHESTRATUM__LOGS__LEVEL").is_some()
}

/// Everything that can keep `dev` from serving.
async fn start(
    settings: &mut Settings,
    manual_clock: Option<Timestamp>,
    data: &Path,
    stop: &CancellationToken,
) -> anyhow::Result<(Started, Worker)> {
    if settings.auth.bootstrap_key.expose_secret().is_empty() {
        settings.auth.bootstrap_key = kept_key(&data.join(KEY))?;
    }
    let started = match manual_clock {
        None => orchestratum_api::start(settings.clone(), stop.clone()).await,
        Some(start) => start_by_hand(settings.clone(), start, stop).await,
    };
    let started = started.map_err(advised)?;
    match Worker::builder(started.engine().clone()).build().await {
        Ok(worker) => Ok((started, worker)),
        Err(error) => {
            started.engine().close().await;
            Err(error.into())
        }
    }
}

async fn start_by_hand(
    settings: Settings,
    start: Timestamp,
    stop: &CancellationToken,
) -> Result<Started, orchestratum_api::Error> {
    let engine = Engine::connect_with_manual_clock(settings, start).await?;
    let started = orchestratum_api::start_with(engine.clone(), stop.clone()).await;
    if started.is_err() {
        engine.close().await;
    }
    started
}

/// The error, and what to do about it where that can be said.
fn advised(error: orchestratum_api::Error) -> anyhow::Error {
    let advice = match &error {
        orchestratum_api::Error::Server(ServerError::Bind { cause, .. }) if cause.kind() == ErrorKind::AddrInUse => {
            "Another process listens there: end it, or give another address; --listen 127.0.0.1:0 takes any free port."
        }
        orchestratum_api::Error::Engine(orchestratum_engine::Error::Store(cause)) => match **cause {
            orchestratum_store::Error::Owned { .. } => "End that process, or give another folder with --data.",
            orchestratum_store::Error::ClockWouldGoBack { .. } => {
                "Give that time or a later one, or another folder with --data."
            }
            _ => return error.into(),
        },
        _ => return error.into(),
    };
    anyhow!("{}\n  {advice}", chain(&error))
}

/// Where `dev` keeps its tasks in a data folder.
pub(crate) fn database_url(data: &Path) -> String {
    format!("sqlite://{}", data.join(DATABASE).display())
}

/// Those of every other process, but for what makes this one need nothing else.
fn settings(arguments: &Arguments) -> anyhow::Result<Settings> {
    let database = database_url(&arguments.data);
    let listen = arguments.listen.map(|address| address.to_string());
    let mut overrides = vec![
        ("database.url", database.as_str()),
        ("broker.url", "database"),
        ("worker.listen", ""),
    ];
    overrides.extend(listen.iter().map(|listen| ("api.listen", listen.as_str())));
    Ok(Settings::load_with(&overrides)?)
}

/// The key of a folder in which it has run.
pub(crate) fn key_of(data: &Path) -> Option<SecretString> {
    let key = fs::read_to_string(data.join(KEY)).ok()?;
    Some(SecretString::from(key.trim().to_owned()))
}

/// The key of this folder, made at the first start: it stays the same, so that yesterday's `curl` lines still run.
fn kept_key(file: &Path) -> anyhow::Result<SecretString> {
    match fs::read_to_string(file) {
        Ok(key) => return Ok(SecretString::from(key.trim().to_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("{} cannot be read", file.display())),
    }
    let key = identity::random_text(KEY_LENGTH);
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)
        .and_then(|mut file| file.write_all(key.as_bytes()))
        .with_context(|| format!("{} cannot be written", file.display()))?;
    Ok(SecretString::from(key))
}

fn welcome(addresses: Addresses, key: &SecretString, data: &Path, stands_at: Option<Timestamp>) {
    let (url, key) = (format!("http://{}", callable(addresses.plain)), key.expose_secret());
    println!(
        "\n  Orchestratum {} is running on SQLite in {}\n",
        env!("CARGO_PKG_VERSION"),
        data.display()
    );
    println!("  API         {url}");
    if let Some(tls) = addresses.tls {
        println!("              https://{} (self-signed)", callable(tls));
    }
    println!("  Swagger UI  {url}/swagger");
    if let Some(time) = stands_at {
        println!("  Clock       {time}, until POST /api/dev/clock/advance moves it");
    }
    println!("  API key     {key}\n");
    println!("  Try it:\n");
    println!("    curl -s {url}/api/tasks -H 'Authorization: ApiKey {key}' \\");
    println!("      -H 'Content-Type: application/json' -H 'Prefer: wait=10' \\");
    println!("      -d '{{\"name\": \"python\", \"input\": {{\"code\": \"print(6 * 7)\"}}}}'\n");
}

/// Where this machine reaches what listens there: all of its addresses together are none that can be called.
fn callable(mut listens: SocketAddr) -> SocketAddr {
    match listens.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => listens.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => listens.set_ip(Ipv6Addr::LOCALHOST.into()),
        IpAddr::V4(_) | IpAddr::V6(_) => {}
    }
    listens
}

/// The first signal drains, the second one ends the waiting.
fn obey_signals(stop: CancellationToken, kill: CancellationToken) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM cannot be handled")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT cannot be handled")?;
    tokio::spawn(async move {
        for token in [stop, kill] {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            token.cancel();
        }
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_that_is_shown_can_be_called() {
        for (listens, expected) in [
            ("0.0.0.0:5000", "127.0.0.1:5000"),
            ("[::]:5000", "[::1]:5000"),
            ("10.0.0.1:80", "10.0.0.1:80"),
        ] {
            let listens = listens.parse().expect("an address");
            assert_eq!(callable(listens).to_string(), expected);
        }
    }
}
