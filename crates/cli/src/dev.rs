//! `orchestratum dev`: the api and a worker in this process, on an SQLite file, with nothing else installed.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;
use orchestratum_api::Addresses;
use orchestratum_engine::telemetry::{self, Role};
use orchestratum_engine::{Settings, identity};
use orchestratum_worker::Worker;
use secrecy::{ExposeSecret, SecretString};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::demo;

const KEY_LENGTH: usize = 32;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Where to listen with plain HTTP. Turns HTTPS off unless api.tls.listen is set.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Where the database and the key are kept.
    #[arg(long, value_name = "DIR", default_value = "data")]
    data: PathBuf,
    /// Submit samples and show how they end.
    #[arg(long)]
    demo: bool,
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    // The key and every task are in it. A folder that is there is left as it is.
    let made = DirBuilder::new().recursive(true).mode(0o700).create(&arguments.data);
    made.with_context(|| format!("{} cannot be made", arguments.data.display()))?;
    let settings = settings(&arguments)?;
    let key = settings.auth.bootstrap_key.clone();
    let _logs = telemetry::init(Role::Dev, &settings.logs)?;
    let (stop, kill) = (CancellationToken::new(), CancellationToken::new());
    obey_signals(stop.clone(), kill.clone())?;

    let started = orchestratum_api::start(settings, stop.clone()).await?;
    let engine = started.engine().clone();
    let worker = Worker::builder(engine.clone()).build().await?;
    welcome(started.addresses(), &key, &arguments.data);
    if arguments.demo {
        let engine = engine.clone();
        tokio::spawn(async move {
            if let Err(error) = demo::run(engine).await {
                eprintln!("the samples: {error:#}");
            }
        });
    }
    let mut worked = Ok(());
    started
        .serve(async {
            worked = worker.run(stop.clone(), kill).await;
            if worked.is_err() {
                // Without its worker this process would look alive and run nothing.
                stop.cancel();
            }
        })
        .await;
    worked.context("the worker failed")
}

/// Where `dev` keeps its tasks in a data folder.
pub(crate) fn database_url(data: &Path) -> String {
    format!("sqlite://{}", data.join("orchestratum.db").display())
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
    let mut settings = Settings::load_with(&overrides)?;
    if settings.auth.bootstrap_key.expose_secret().is_empty() {
        settings.auth.bootstrap_key = kept_key(&arguments.data.join("key"))?;
    }
    Ok(settings)
}

/// The key of this folder, made at the first start: it stays the same, so that yesterday's `curl` lines still run.
fn kept_key(file: &Path) -> anyhow::Result<SecretString> {
    match fs::read_to_string(file) {
        Ok(key) => return Ok(SecretString::from(key.trim().to_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
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

fn welcome(addresses: Addresses, key: &SecretString, data: &Path) {
    let (url, key) = (format!("http://{}", addresses.plain), key.expose_secret());
    println!(
        "\n  Orchestratum {} is running on SQLite in {}\n",
        env!("CARGO_PKG_VERSION"),
        data.display()
    );
    println!("  API         {url}");
    if let Some(tls) = addresses.tls {
        println!("              https://{tls} (self-signed)");
    }
    println!("  Swagger UI  {url}/swagger");
    println!("  API key     {key}\n");
    println!("  Try it:\n");
    println!("    curl -s {url}/api/tasks -H 'Authorization: ApiKey {key}' \\");
    println!("      -H 'Content-Type: application/json' -H 'Prefer: wait=10' \\");
    println!("      -d '{{\"name\": \"python\", \"input\": {{\"code\": \"print(6 * 7)\"}}}}'\n");
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
