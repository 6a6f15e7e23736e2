//! The program `orchestratum-api`, but for its command line.

use anyhow::Context;
use orchestratum_engine::telemetry::{self, Role};
use orchestratum_engine::{Engine, Settings};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::start;

/// Serves until SIGTERM or SIGINT.
///
/// `embedded` is what else runs in this process on the same engine until the token is cancelled: a worker, where the
/// settings ask for one. This crate knows no worker, so whoever builds the program says what it is.
///
/// # Errors
/// Whatever keeps the process from serving.
pub async fn run<F>(settings: Settings, embedded: impl FnOnce(Engine, CancellationToken) -> F) -> anyhow::Result<()>
where
    F: Future<Output = anyhow::Result<()>>,
{
    // Libraries that speak TLS share one provider; whoever was first is right as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let _logs = telemetry::init(Role::Api, &settings.logs)?;
    let stop = CancellationToken::new();
    stop_on_signals(stop.clone())?;
    let started = start(settings, stop.clone()).await.context("the API did not start")?;
    if let Some(key) = started.first_key() {
        print_first_key(&key.reveal());
    }
    let embedded = embedded(started.engine().clone(), stop.clone());
    let mut failure = None;
    started
        .serve(async {
            if let Err(error) = embedded.await {
                failure = Some(error);
                // Without its other half this process would look alive and do half of its work.
                stop.cancel();
            }
        })
        .await;
    match failure {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

#[expect(
    clippy::print_stdout,
    reason = "a person reads it here, once; the logs must not have it"
)]
fn print_first_key(key: &str) {
    println!("The first API key, shown only now: {key}");
}

/// The first signal ends the process in good order.
fn stop_on_signals(stop: CancellationToken) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM cannot be handled")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT cannot be handled")?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => tracing::info!("SIGTERM: stopping"),
            _ = interrupt.recv() => tracing::info!("SIGINT: stopping"),
        }
        stop.cancel();
    });
    Ok(())
}
