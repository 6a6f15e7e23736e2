//! `orchestratum migrate`.

use anyhow::Context;
use orchestratum_engine::Settings;
use secrecy::ExposeSecret;

/// Touches the database alone: a broker need not be there.
pub(crate) async fn run() -> anyhow::Result<()> {
    let settings = Settings::load()?;
    let store = orchestratum_store::connect(settings.database.url.expose_secret(), &settings.database.options())
        .await
        .context("the database cannot be reached")?;
    store.migrate().await?;
    println!(
        "The schema is at the version of orchestratum {}.",
        env!("CARGO_PKG_VERSION")
    );
    Ok(())
}
