//! An Orchestratum that has not started yet.

use std::time::Duration;

use crate::host::{embedded, remote};
use crate::registry::{Registration, Registry, discovered};
use crate::services::{FromServices, Services};
use crate::{Command, Error, Handler, Harness, Orchestratum};

/// How commands are stored and where this process runs them.
///
/// A whole worker:
///
/// ```no_run
/// use orchestratum_sdk::prelude::*;
///
/// #[tokio::main]
/// async fn main() -> Result<(), orchestratum_sdk::Error> {
///     let orchestratum = Orchestratum::embedded("postgres://postgres:postgres@127.0.0.1/shop")
///         .targets(["email-worker"])
///         .discover()
///         .start()
///         .await?;
///     orchestratum.run().await
/// }
/// ```
#[derive(Debug)]
pub struct Builder {
    hosting: Hosting,
    pub(crate) options: Options,
    services: Services,
    registrations: Vec<Registration>,
    first_error: Option<Error>,
}

#[derive(Debug)]
enum Hosting {
    Embedded { url: String },
    Client { url: String, key: String },
}

/// What a host is told. What is `None` has the default of `config/default.toml`.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) targets: Vec<String>,
    pub(crate) schema: Option<String>,
    pub(crate) broker: Option<String>,
    pub(crate) concurrency: Option<usize>,
    pub(crate) max_claim: Option<usize>,
    pub(crate) poll_interval: Option<Duration>,
    pub(crate) lease: Option<Duration>,
    pub(crate) grace: Option<Duration>,
    pub(crate) drain: Option<Duration>,
}

impl Builder {
    fn new(hosting: Hosting) -> Self {
        Self {
            hosting,
            options: Options {
                targets: vec!["default".to_owned()],
                schema: None,
                broker: None,
                concurrency: None,
                max_claim: None,
                poll_interval: None,
                lease: None,
                grace: None,
                drain: None,
            },
            services: Services::default(),
            registrations: Vec::new(),
            first_error: None,
        }
    }

    /// Gives handlers a service, which they find by its type: a clone of it for each execution.
    #[must_use]
    pub fn provide<T: Clone + Send + Sync + 'static>(mut self, service: T) -> Self {
        if !self.services.provide(service) {
            self.fail(Error::DuplicateService(std::any::type_name::<T>()));
        }
        self
    }

    /// The same with a service that is made for each execution, such as one that remembers what it did.
    #[must_use]
    pub fn provide_scoped<T: Clone + Send + 'static>(mut self, make: impl Fn() -> T + Send + Sync + 'static) -> Self {
        if !self.services.provide_scoped(make) {
            self.fail(Error::DuplicateService(std::any::type_name::<T>()));
        }
        self
    }

    /// Runs a command with this instance of a handler.
    #[must_use]
    pub fn handler<C: Command, H: Handler<C>>(mut self, handler: H) -> Self {
        self.registrations.push(Registration::instance::<C, H>(handler));
        self
    }

    /// Runs a command with a handler that is made for each execution of what was provided.
    #[must_use]
    pub fn register<C: Command, H: Handler<C> + FromServices>(mut self) -> Self {
        self.registrations.push(Registration::made::<C, H>());
        self
    }

    /// Finds all handlers of the program that have `#[derive(Handler)]`, in whichever crate they are. A crate of which nothing
    /// else is used has to be named (`use my_handlers as _;`), or it is not linked.
    #[must_use]
    pub fn discover(self) -> Self {
        self.discover_where(None)
    }

    /// Finds those of a crate or a module: `env!("CARGO_CRATE_NAME")` or `module_path!()`.
    #[must_use]
    pub fn discover_in(self, path: &str) -> Self {
        self.discover_where(Some(path))
    }

    fn discover_where(mut self, under: Option<&str>) -> Self {
        match discovered(under) {
            Ok(found) => self.registrations.extend(found),
            Err(error) => self.fail(error),
        }
        self
    }

    /// Whose commands this process runs; the first also gets what is pushed here without a target, where the engine is embedded.
    /// Without this it is `default`.
    #[must_use]
    pub fn targets<T: Into<String>>(mut self, targets: impl IntoIterator<Item = T>) -> Self {
        self.options.targets = targets.into_iter().map(Into::into).collect();
        self
    }

    /// How many handlers run at a time.
    #[must_use]
    pub fn concurrency(mut self, handlers: usize) -> Self {
        self.options.concurrency = Some(handlers);
        self
    }

    /// How many commands are claimed at once.
    #[must_use]
    pub fn max_claim(mut self, commands: usize) -> Self {
        self.options.max_claim = Some(commands);
        self
    }

    /// How often it is looked for commands of which no message came.
    #[must_use]
    pub fn poll_interval(mut self, interval: Duration) -> Self {
        self.options.poll_interval = Some(interval);
        self
    }

    /// How long after its last sign of life a process counts as dead, so that others run what it had.
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.options.lease = Some(lease);
        self
    }

    /// How long a handler may go on that was told to come to an end.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.options.grace = Some(grace);
        self
    }

    /// How long handlers may go on when this process stops, before their commands are handed back.
    #[must_use]
    pub fn drain(mut self, drain: Duration) -> Self {
        self.options.drain = Some(drain);
        self
    }

    /// The PostgreSQL schema of an embedded engine: several may share a database.
    #[must_use]
    pub fn schema(mut self, schema: impl Into<String>) -> Self {
        self.options.schema = Some(schema.into());
        self
    }

    /// The URL of a RabbitMQ for an embedded engine, which then hears at once of what other processes push. Without one it asks
    /// the database at the poll interval.
    #[must_use]
    pub fn broker(mut self, url: impl Into<String>) -> Self {
        self.options.broker = Some(url.into());
        self
    }

    /// Connects, and begins to run commands if there are handlers. An embedded engine brings its schema up to date before.
    ///
    /// # Errors
    /// [`Error::MissingServices`], [`Error::DuplicateHandler`], [`Error::DuplicateCommand`], [`Error::DuplicateService`],
    /// [`Error::Settings`], and what keeps it from connecting.
    pub async fn start(self) -> Result<Orchestratum, Error> {
        let (hosting, options, registry) = self.checked()?;
        match hosting {
            Hosting::Embedded { url } => embedded::start(&url, &options, registry).await,
            Hosting::Client { url, key } => remote::start(&url, &key, &options, registry).await,
        }
    }

    /// The same handlers on a database in memory, with a clock that only the test moves: for tests of commands and handlers.
    ///
    /// # Errors
    /// Those of [`start`](Self::start).
    pub async fn harness(self) -> Result<Harness, Error> {
        let (_, options, registry) = self.checked()?;
        Harness::start(&options, registry).await
    }

    fn checked(self) -> Result<(Hosting, Options, Registry), Error> {
        if let Some(error) = self.first_error {
            return Err(error);
        }
        let registry = Registry::build(self.registrations, self.services)?;
        Ok((self.hosting, self.options, registry))
    }

    fn fail(&mut self, error: Error) {
        self.first_error.get_or_insert(error);
    }
}

impl Orchestratum {
    /// With an engine inside this process, on `postgres://…` or `sqlite://path`: no server and no broker is needed. Any number of
    /// processes may share a PostgreSQL; an SQLite file belongs to one.
    pub fn embedded(database_url: impl Into<String>) -> Builder {
        Builder::new(Hosting::Embedded {
            url: database_url.into(),
        })
    }

    /// With a server, such as `http://127.0.0.1:5000`, and a key of it: `tasks:read` and `tasks:write` to push commands and to
    /// wait for them, `sagas:read` and `sagas:write` for sagas, `worker` to run handlers.
    pub fn client(url: impl Into<String>, key: impl Into<String>) -> Builder {
        Builder::new(Hosting::Client {
            url: url.into(),
            key: key.into(),
        })
    }
}
