//! `orchestratum doctor`: what an operator checks first, and what the tests check last.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use orchestratum_engine::{Settings, error::chain};
use orchestratum_store::Store;
use secrecy::ExposeSecret;

/// How long the broker may take to connect.
const BROKER_PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Look at the SQLite database that `dev` keeps there, instead of the one in the settings.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The most broken rows to show.
    #[arg(long, default_value_t = 100)]
    limit: usize,
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let database = arguments.data.as_ref().map(|data| crate::dev::database_url(data));
    let overrides: Vec<(&str, &str)> = database
        .iter()
        .flat_map(|database| [("database.url", database.as_str()), ("broker.url", "database")])
        .collect();
    let settings = Settings::load_with(&overrides)?;
    println!("settings   ok");
    let url = settings.database.url.expose_secret();
    // Read-only: the file of an SQLite database belongs to the process that runs it.
    let store = orchestratum_store::connect_read_only(url, &settings.database.options())
        .await
        .context("database   cannot be reached")?;
    println!("database   ok, its clock says {}", store.database_time().await?);
    store.check_schema().await.context("schema")?;
    println!("schema     ok");
    let mut broken = check_broker(&settings, std::sync::Arc::clone(&store)).await;
    broken += check_data(store.as_ref(), arguments.limit).await?;
    if broken > 0 {
        bail!("{broken} thing(s) are wrong");
    }
    println!("Everything is as it should be.");
    Ok(())
}

async fn check_broker(settings: &Settings, store: std::sync::Arc<dyn Store>) -> usize {
    let url = settings.broker.url.expose_secret();
    if url == "database" {
        println!("broker     none: workers are woken through the database");
        return 0;
    }
    let options = orchestratum_broker::Options {
        prefix: settings.broker.prefix.clone(),
        ..Default::default()
    };
    let broker = match orchestratum_broker::connect(url, &options, store).await {
        Ok(broker) => broker,
        Err(error) => {
            println!("broker     {}", chain(&error));
            return 1;
        }
    };
    let deadline = tokio::time::Instant::now() + BROKER_PATIENCE;
    loop {
        match broker.health() {
            Ok(()) => {
                println!("broker     ok");
                return 0;
            }
            Err(reason) if tokio::time::Instant::now() >= deadline => {
                println!("broker     {reason}: new tasks are accepted, workers find them by asking the database");
                return 1;
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn check_data(store: &dyn Store, limit: usize) -> anyhow::Result<usize> {
    let now = store.database_time().await?;
    let broken = store.broken_invariants(now, limit).await?;
    for invariant in &broken {
        println!("data       {}: {}", invariant.rule, invariant.row);
    }
    if broken.is_empty() {
        println!("data       ok, every rule holds");
    }
    Ok(broken.len())
}
