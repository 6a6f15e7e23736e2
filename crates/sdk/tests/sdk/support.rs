//! Each way of hosting, on a database of its own.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use orchestratum_engine::Settings;
use orchestratum_sdk::{Builder, Command, CommandId, Envelope, Orchestratum, Outcome, Status};
use orchestratum_testkit::{Schema, Servers};
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::commands::{ActCommand, Actor, GiveUpCommand, NoteCommand, World};

pub(crate) const BOUND: Duration = Duration::from_secs(30);

pub(crate) const KEY: &str = "the key of the tests of the SDK";

/// Of no server.
pub(crate) const OTHER_KEY: &str = "another key than that one";

/// Where commands are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hosting {
    EmbeddedInSqlite,
    EmbeddedInPostgres,
    Client,
}

/// Commands in a place of their own, and what their handlers did.
pub(crate) struct Lab {
    pub(crate) orchestratum: Orchestratum,
    pub(crate) world: World,
    pub(crate) place: Place,
}

/// A database, and a server over it where the hosting wants one.
#[derive(Clone)]
pub(crate) enum Place {
    Sqlite,
    Postgres(Arc<Schema>, String),
    Server(Arc<Server>),
}

/// An api in this process.
pub(crate) struct Server {
    url: String,
    stop: CancellationToken,
    serving: Option<JoinHandle<()>>,
}

impl Place {
    pub(crate) async fn of(hosting: Hosting) -> Self {
        match hosting {
            Hosting::EmbeddedInSqlite => Self::Sqlite,
            Hosting::EmbeddedInPostgres => {
                let url = Servers::from_environment().database_url;
                let schema = Schema::unique(&url).await.expect("a schema");
                Self::Postgres(Arc::new(schema), url)
            }
            Hosting::Client => Self::server(&[]).await,
        }
    }

    /// A server that is told otherwise.
    pub(crate) async fn server(settings: &[(&str, &str)]) -> Self {
        Self::Server(Arc::new(Server::start(settings).await))
    }

    /// A process on it, without handlers.
    pub(crate) fn builder(&self) -> Builder {
        let builder = match self {
            Self::Sqlite => Orchestratum::embedded("sqlite::memory:"),
            Self::Postgres(schema, url) => Orchestratum::embedded(url.clone()).schema(schema.name()),
            Self::Server(server) => Orchestratum::client(server.url.clone(), KEY),
        };
        builder.grace(Duration::from_millis(300)).drain(Duration::ZERO)
    }

    pub(crate) fn url(&self) -> &str {
        match self {
            Self::Sqlite => "sqlite::memory:",
            Self::Postgres(_, url) => url,
            Self::Server(server) => &server.url,
        }
    }

    /// One that looks so seldom by itself for what to do. What serves a client has a setting of its own for that.
    pub(crate) fn looking_every(&self, interval: Duration, builder: Builder) -> Builder {
        match self {
            Self::Sqlite | Self::Postgres(..) => builder.poll_interval(interval),
            Self::Server(_) => builder,
        }
    }

    /// What a server answers to whoever has all scopes.
    pub(crate) async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> String {
        let method = method.parse().expect("a method");
        let request = http().request(method, format!("{}{path}", self.url()));
        let request = request.header("x-api-key", KEY);
        let request = match body {
            Some(body) => request.json(&body),
            None => request,
        };
        let answer = request.send().await.expect("a server");
        answer.text().await.expect("a text")
    }

    /// One with the handlers of the tests.
    pub(crate) fn worker(&self, world: &World) -> Builder {
        self.builder()
            .provide(world.clone())
            .register::<ActCommand, Actor>()
            .register::<GiveUpCommand, Actor>()
            .register::<NoteCommand, Actor>()
    }
}

impl Server {
    async fn start(told: &[(&str, &str)]) -> Self {
        let mut settings = vec![
            ("database.url", "sqlite::memory:"),
            ("broker.url", "database"),
            ("auth.bootstrap_key", KEY),
            ("api.listen", "127.0.0.1:0"),
            ("api.tls.listen", ""),
        ];
        settings.extend(told);
        let settings = Settings::defaults_with(&settings);
        let stop = CancellationToken::new();
        let started = orchestratum_api::start(settings.expect("valid settings"), stop.clone());
        let started = started.await.expect("a server");
        let url = format!("http://{}", started.addresses().plain);
        let serving = tokio::spawn(async move {
            started.serve(std::future::ready(())).await;
        });
        Self {
            url,
            stop,
            serving: Some(serving),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
        self.serving.take();
    }
}

impl Lab {
    pub(crate) async fn new(hosting: Hosting) -> Self {
        Self::with(hosting, |builder| builder).await
    }

    pub(crate) async fn with(hosting: Hosting, configure: impl FnOnce(Builder) -> Builder) -> Self {
        Self::at(Place::of(hosting).await, configure).await
    }

    pub(crate) async fn at(place: Place, configure: impl FnOnce(Builder) -> Builder) -> Self {
        let world = World::default();
        let orchestratum = configure(place.worker(&world)).start().await.expect("it starts");
        Self {
            orchestratum,
            world,
            place,
        }
    }

    pub(crate) async fn push<C: Command>(&self, command: impl Into<Envelope<C>> + Send) -> CommandId {
        self.orchestratum.push(command).await.expect("it is stored")
    }

    /// Its end, with what there is to be known of it.
    pub(crate) async fn run<C: Command>(&self, command: impl Into<Envelope<C>> + Send) -> (Status, Outcome<C::Output>) {
        let id = self.push(command).await;
        let outcome = self.orchestratum.wait::<C>(id, BOUND).await.expect("it ends");
        (self.status(id).await, outcome)
    }

    pub(crate) async fn status(&self, id: CommandId) -> Status {
        self.orchestratum.status(id).await.expect("it is there")
    }

    /// Waits until so many notes were made, and answers them.
    pub(crate) async fn notes(&self, count: usize) -> Vec<String> {
        until(&format!("{count} notes"), || async {
            self.world.notes().len() >= count
        })
        .await;
        self.world.notes()
    }

    /// Waits until a command was begun so often.
    pub(crate) async fn until_run(&self, id: CommandId, times: usize) {
        until(&format!("{times} runs"), || async { self.world.runs(id) >= times }).await;
    }

    pub(crate) async fn stopped(self) {
        self.orchestratum.stop().await.expect("it ends well");
    }
}

/// A client that does not rely on another one to have been made before.
pub(crate) fn http() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::new()
}

/// Looks until something holds, within a bound.
pub(crate) async fn until<Holding: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> Holding) {
    let start = Instant::now();
    while !holds().await {
        assert!(start.elapsed() < BOUND, "{what}");
        sleep(Duration::from_millis(10)).await;
    }
}
