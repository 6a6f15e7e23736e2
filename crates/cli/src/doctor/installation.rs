//! What every process of an installation shares: the database with its data, and the broker.

use std::sync::Arc;
use std::time::Duration;

use orchestratum_broker::{Broker, RabbitBroker};
use orchestratum_engine::{Settings, error::chain};
use orchestratum_store::Store;
use reqwest::Url;
use secrecy::ExposeSecret;
use tokio::time::{Instant, sleep};

use super::report::Report;

/// How long the broker may take to connect.
const BROKER_PATIENCE: Duration = Duration::from_secs(5);

pub(super) async fn check(settings: &Settings, limit: usize, report: &mut Report) -> anyhow::Result<()> {
    if let Some(store) = database(settings, report).await? {
        data(store.as_ref(), settings, limit, report).await?;
        store.close().await;
    } else {
        report.not_looked_at(&["schema", "data"], "the database")?;
        if has_no_bootstrap_key(settings) {
            report.not_looked_at(&["auth"], "the database")?;
        }
    }
    broker(settings, report).await
}

async fn database(settings: &Settings, report: &mut Report) -> anyhow::Result<Option<Arc<dyn Store>>> {
    let url = settings.database.url.expose_secret();
    // Read-only: the file of an SQLite database belongs to the process that runs it.
    let connected = orchestratum_store::connect_read_only(url, &settings.database.options()).await;
    let asked = match connected {
        Ok(store) => store.database_time().await.map(|time| (store, time)),
        Err(error) => Err(error),
    };
    match asked {
        Ok((store, time)) => {
            report.ok("database", with_place(url, &format!("its clock says {time}")))?;
            Ok(Some(store))
        }
        Err(error) => {
            report.wrong("database", with_place(url, &chain(&error)))?;
            Ok(None)
        }
    }
}

/// The schema, and every rule of the data where the schema has it.
async fn data(store: &dyn Store, settings: &Settings, limit: usize, report: &mut Report) -> anyhow::Result<()> {
    let asks_for_keys = has_no_bootstrap_key(settings);
    if let Err(error) = store.check_schema().await {
        report.wrong("schema", chain(&error))?;
        report.not_looked_at(&["data"], "the schema")?;
        return if asks_for_keys {
            report.not_looked_at(&["auth"], "the schema")
        } else {
            Ok(())
        };
    }
    report.ok("schema", "")?;
    if asks_for_keys {
        keys(store, settings, report).await?;
    }
    let broken = match store.database_time().await {
        Ok(now) => store.broken_invariants(now, limit).await,
        Err(error) => Err(error),
    };
    match broken {
        Ok(broken) if broken.is_empty() => report.ok("data", "every rule holds"),
        Ok(broken) => broken
            .into_iter()
            .try_for_each(|broken| report.wrong("data", format!("{}: {}", broken.rule, broken.row))),
        Err(error) => report.wrong("data", chain(&error)),
    }
}

fn has_no_bootstrap_key(settings: &Settings) -> bool {
    settings.auth.bootstrap_key.expose_secret().is_empty()
}

/// What the api warns of when it starts.
async fn keys(store: &dyn Store, settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
    const PART: &str = "auth";
    match store.keys().await {
        Err(error) => report.wrong(PART, chain(&error)),
        Ok(keys) if !keys.is_empty() => report.ok(PART, "no bootstrap key, and keys in the database"),
        Ok(_) if settings.auth.create_first_key => report.ok(PART, "no key yet: the api makes one when it starts"),
        Ok(_) => report.warning(
            PART,
            "there is no API key, so nobody can call: set auth.bootstrap_key, or auth.create_first_key = true",
        ),
    }
}

async fn broker(settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
    const PART: &str = "broker";
    let url = settings.broker.url.expose_secret();
    if url == "database" {
        return report.ok(PART, "none: workers are woken through the database");
    }
    let options = orchestratum_broker::Options {
        prefix: settings.broker.prefix.clone(),
        ..Default::default()
    };
    let broker = match RabbitBroker::start(url, &options) {
        Ok(broker) => broker,
        Err(error) => return report.wrong(PART, chain(&error)),
    };
    let deadline = Instant::now() + BROKER_PATIENCE;
    let reason = loop {
        match broker.health() {
            Ok(()) => break None,
            Err(reason) if Instant::now() >= deadline => break Some(reason),
            Err(_) => sleep(Duration::from_millis(50)).await,
        }
    };
    match reason {
        None => report.ok(PART, with_place(url, "")),
        Some(reason) => {
            let says = format!("{reason}: new tasks are accepted, workers find them by asking the database");
            report.wrong(PART, with_place(url, &says))
        }
    }
}

/// The words behind the server, the user and the name in the URL, which are all of it that is no secret: parameters may have a
/// password, too.
fn with_place(text: &str, words: &str) -> String {
    let Ok(mut url) = Url::parse(text) else {
        return words.to_owned();
    };
    // A password that is not escaped may end the place where one stands: the rest of it is then taken for a path.
    if text.contains('@') && url.username().is_empty() && url.password().is_none() {
        return words.to_owned();
    }
    // An SQLite file in memory cannot have one.
    let _ = url.set_password(None);
    url.set_query(None);
    url.set_fragment(None);
    if words.is_empty() {
        url.to_string()
    } else {
        format!("{url}: {words}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_named_with_its_user_and_its_database_and_without_a_secret() {
        for (url, expected) in [
            (
                "postgres://app:hidden@db.internal:5432/tasks?password=hidden",
                "postgres://app@db.internal:5432/tasks: it is down",
            ),
            (
                "amqp://guest:hidden@[::1]:5672/%2f",
                "amqp://guest@[::1]:5672/%2f: it is down",
            ),
            (
                "sqlite://data/orchestratum.db?mode=rw",
                "sqlite://data/orchestratum.db: it is down",
            ),
            ("sqlite::memory:", "sqlite::memory:: it is down"),
            ("hidden", "it is down"),
            // With a slash in the password.
            ("postgres://app:7/hidden@db/tasks", "it is down"),
            ("postgres://app:/hidden@db/tasks", "it is down"),
        ] {
            assert_eq!(with_place(url, "it is down"), expected);
        }
        assert_eq!(with_place("amqp://a:hidden@b/", ""), "amqp://a@b/");
    }
}
