//! A process of the API, from its settings to its end.

use std::net::SocketAddr;
use std::time::Duration;

use orchestratum_engine::keys::KeyText;
use orchestratum_engine::sagas::FolderError;
use orchestratum_engine::telemetry;
use orchestratum_engine::{Engine, Settings, error::chain};
use orchestratum_sandbox::host;
use secrecy::ExposeSecret;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::server::{self, Addresses, Server};
use crate::{files, router};

/// How long a start waits for a database that is not there yet. Then whoever supervises the process should know.
const DATABASE_PATIENCE: Duration = Duration::from_secs(60);
const DATABASE_PAUSE_FIRST: Duration = Duration::from_millis(500);
const DATABASE_PAUSE_LONGEST: Duration = Duration::from_secs(5);

/// The shortest bootstrap key: shorter ones can be guessed.
const BOOTSTRAP_KEY_MIN_LENGTH: usize = 16;

/// The recorder forgets old samples of its histograms this often.
const METRICS_UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// Background work that does not end by then is left behind; its database work is guarded anyway.
const BACKGROUND_PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("auth.bootstrap_key must have {BOOTSTRAP_KEY_MIN_LENGTH} characters or more")]
    BootstrapKeyTooShort,
    #[error(
        "{0} is not a loopback address and there is no API key: set auth.bootstrap_key, or auth.create_first_key = true"
    )]
    PublicWithoutKey(SocketAddr),
    #[error("the engine could not start")]
    Engine(#[from] orchestratum_engine::Error),
    #[error(transparent)]
    Definitions(#[from] FolderError),
    #[error(transparent)]
    Server(#[from] server::Error),
    #[error("the process was told to stop before it had started")]
    Stopped,
}

/// A process that serves, or is about to.
#[must_use = "nothing is served until `serve` is awaited"]
pub struct Started {
    engine: Engine,
    server: Server,
    first_key: Option<KeyText>,
    stop: CancellationToken,
}

impl std::fmt::Debug for Started {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Started")
            .field("addresses", &self.addresses())
            .finish_non_exhaustive()
    }
}

/// Connects, brings the schema up to date, makes the first key where that is asked for, and binds the listeners.
///
/// # Errors
/// [`Error`]; a database that is away is waited for, for a minute.
pub async fn start(settings: Settings, stop: CancellationToken) -> Result<Started, Error> {
    check_bootstrap_key(&settings)?;
    let engine = unless_stopped(&stop, "connect", || Engine::connect(settings.clone())).await?;
    let started = start_with(engine.clone(), stop).await;
    if started.is_err() {
        // Nobody else will: what was connected ends in good order, and an SQLite file has no owner any more.
        engine.close().await;
    }
    started
}

/// The same over an engine that is connected.
///
/// # Errors
/// [`Error`].
pub async fn start_with(engine: Engine, stop: CancellationToken) -> Result<Started, Error> {
    check_bootstrap_key(engine.settings())?;
    unless_stopped(&stop, "migrate", || engine.migrate()).await?;
    let mut definitions = engine.define_folder().await?;
    definitions.extend(engine.define_shipped().await?);
    if !definitions.is_empty() {
        tracing::info!(definitions = definitions.len(), "saga definitions are there");
    }
    // Before a first key is made: one that is stored and never shown would be the last.
    let server = Server::bind(&engine.settings().api).await?;
    let first_key = keys_for(&engine).await?;
    if let Some(shortage) = host::open_files().and_then(|limit| files::shortage(engine.settings(), limit)) {
        tracing::warn!("{shortage}");
    }
    Ok(Started {
        engine,
        server,
        first_key,
        stop,
    })
}

impl Started {
    pub fn addresses(&self) -> Addresses {
        self.server.addresses()
    }

    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The key that was just made, to be shown once.
    pub fn first_key(&self) -> Option<&KeyText> {
        self.first_key.as_ref()
    }

    /// Serves until the token is cancelled, then ends in good order: requests, `embedded`, loops, connections.
    ///
    /// `embedded` is what else runs in this process on the same engine, such as a worker; it must end when the token
    /// is cancelled.
    pub async fn serve(self, embedded: impl Future<Output = ()>) {
        let Self {
            engine,
            server,
            first_key: _,
            stop,
        } = self;
        let background = TaskTracker::new();
        // The loops go on until requests and workers are through: waiters and hand-backs need them.
        let stop_background = CancellationToken::new();
        engine.start_background(engine.settings().api.loops, &background, &stop_background);
        background.spawn(keep_metrics(stop_background.clone()));
        background.close();
        let addresses = server.addresses();
        tracing::info!(
            plain = %addresses.plain, tls = addresses.tls.map(tracing::field::display),
            version = env!("CARGO_PKG_VERSION"), "serving"
        );
        let answer_waiters = async {
            stop.cancelled().await;
            engine.stop_waiting();
        };
        tokio::join!(
            server.run(router(engine.clone()), stop.clone()),
            embedded,
            answer_waiters
        );
        stop_background.cancel();
        if tokio::time::timeout(BACKGROUND_PATIENCE, background.wait())
            .await
            .is_err()
        {
            tracing::warn!("the background loops did not end in time");
        }
        engine.close().await;
        tracing::info!("stopped");
    }
}

/// Whether the bootstrap key of the settings, if there is one, is as long as it must be.
///
/// # Errors
/// [`Error::BootstrapKeyTooShort`].
pub fn check_bootstrap_key(settings: &Settings) -> Result<(), Error> {
    let length = settings.auth.bootstrap_key.expose_secret().chars().count();
    if (1..BOOTSTRAP_KEY_MIN_LENGTH).contains(&length) {
        Err(Error::BootstrapKeyTooShort)
    } else {
        Ok(())
    }
}

/// Nobody but this machine may reach an API that has no key.
async fn keys_for(engine: &Engine) -> Result<Option<KeyText>, Error> {
    let settings = engine.settings();
    if settings.auth.create_first_key {
        return Ok(engine.create_first_key().await?.map(|created| created.text));
    }
    let listeners = [Some(settings.api.listen), settings.api.tls.listen];
    let public = listeners
        .into_iter()
        .flatten()
        .find(|address| !address.ip().is_loopback());
    let bootstrap = !settings.auth.bootstrap_key.expose_secret().is_empty();
    if bootstrap || !engine.list_keys().await?.is_empty() {
        return Ok(None);
    }
    if let Some(address) = public {
        return Err(Error::PublicWithoutKey(address));
    }
    tracing::warn!("there is no API key, so nobody can call: set auth.bootstrap_key, or auth.create_first_key = true");
    Ok(None)
}

/// Repeats a call while the database is away.
async fn unless_stopped<T, F>(stop: &CancellationToken, what: &str, call: impl Fn() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, orchestratum_engine::Error>>,
{
    let deadline = Instant::now() + DATABASE_PATIENCE;
    let mut pause = DATABASE_PAUSE_FIRST;
    loop {
        let error = tokio::select! {
            () = stop.cancelled() => return Err(Error::Stopped),
            result = call() => match result {
                Ok(value) => return Ok(value),
                Err(error) => error,
            },
        };
        if !error.is_transient() || Instant::now() + pause > deadline {
            return Err(error.into());
        }
        tracing::warn!(error = %chain(&error), step = what, retry_in_seconds = pause.as_secs_f64(), "not yet");
        tokio::select! {
            () = stop.cancelled() => return Err(Error::Stopped),
            () = tokio::time::sleep(pause) => {}
        }
        pause = (pause * 2).min(DATABASE_PAUSE_LONGEST);
    }
}

async fn keep_metrics(stop: CancellationToken) {
    let mut ticks = tokio::time::interval(METRICS_UPKEEP_EVERY);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => telemetry::metrics().run_upkeep(),
        }
    }
}
