//! The settings: `config/default.toml` documents each.

mod commands;
mod environments;
mod fault;
mod forms;
mod gitlab;
mod messaging;
mod place;
mod variables;
mod worker;

use std::borrow::Cow;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use config::{Config, Environment, File, FileFormat};
use orchestratum_core::task::SpecLimits;
use orchestratum_store::BATCH_BYTES;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

pub use self::commands::{CommandLimits, CommandSettings, Commands};
pub use self::environments::{EnvironmentSettings, Requirements};
use self::fault::Fault;
use self::forms::{address, address_or_none, empty_is_none, one_of};
pub use self::gitlab::GitlabSettings;
pub use self::messaging::{AmqpSettings, CelerySettings, NamePattern};
use self::place::Sources;
pub use self::worker::{HttpSettings, IsolationWanted, WorkerLimits, WorkerSettings};

/// The most that may be kept of one stream of a program.
const LOG_BYTES: usize = 64 << 20;

/// What a task has beside its input: names, labels and the rest, with every character escaped.
pub const BESIDE_INPUT_BYTES: usize = 128 << 10;

/// What a call may carry whatever the settings are.
pub const BODY_MAX_BYTES: usize = 1 << 20;

/// Clients rely on that no answer takes longer.
const FOLLOW_SECONDS: f64 = 86_400.0;

/// What is in `config/default.toml`.
pub const DEFAULTS: &str = include_str!("../../../../config/default.toml");

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    pub database: DatabaseSettings,
    pub broker: BrokerSettings,
    pub api: ApiSettings,
    pub auth: AuthSettings,
    pub tasks: TaskSettings,
    pub sagas: SagaSettings,
    pub gitlab: GitlabSettings,
    pub worker: WorkerSettings,
    pub logs: LogSettings,
    pub metrics: MetricsSettings,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatabaseSettings {
    pub url: SecretString,
    pub schema: String,
    pub max_connections: u32,
    pub timeout_seconds: f64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BrokerSettings {
    pub url: SecretString,
    pub prefix: String,
    pub window: usize,
    pub prefetch: u16,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiSettings {
    #[serde(deserialize_with = "address")]
    pub listen: SocketAddr,
    pub header_timeout_seconds: f64,
    pub idle_timeout_seconds: f64,
    pub body_timeout_seconds: f64,
    pub write_timeout_seconds: f64,
    pub max_wait_seconds: f64,
    pub max_followers: usize,
    pub max_follow_seconds: f64,
    pub max_connections: usize,
    pub bodies_max_bytes: usize,
    pub answers_max_bytes: usize,
    pub shutdown_seconds: f64,
    pub loops: bool,
    pub tls: TlsSettings,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsSettings {
    #[serde(deserialize_with = "address_or_none")]
    pub listen: Option<SocketAddr>,
    #[serde(deserialize_with = "empty_is_none")]
    pub certificate_file: Option<PathBuf>,
    #[serde(deserialize_with = "empty_is_none")]
    pub key_file: Option<PathBuf>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthSettings {
    pub bootstrap_key: SecretString,
    pub create_first_key: bool,
    pub pepper: SecretString,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskSettings {
    pub default_ttl_seconds: f64,
    pub max_ttl_seconds: f64,
    pub max_timeout_seconds: f64,
    pub max_delay_seconds: f64,
    pub input_max_bytes: usize,
    pub output_max_bytes: usize,
    pub retention_days: u32,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SagaSettings {
    #[serde(deserialize_with = "empty_is_none")]
    pub definitions_folder: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum LogFormat {
    Text,
    Json,
}

impl TryFrom<String> for LogFormat {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        one_of(&text, &[("text", Self::Text), ("json", Self::Json)])
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogSettings {
    pub level: String,
    pub format: LogFormat,
    #[serde(deserialize_with = "empty_is_none")]
    pub dir: Option<PathBuf>,
    pub max_files: usize,
    pub max_file_mib: NonZeroU32,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricsSettings {
    pub public: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the settings cannot be read")]
    Unreadable(#[from] config::ConfigError),
    #[error("{0}")]
    Wrong(String),
    #[error("{key} {rule}")]
    Invalid { key: Cow<'static, str>, rule: String },
}

impl Settings {
    /// The defaults, the files of `config/`, and the environment, in this order.
    pub fn load() -> Result<Self, Error> {
        Self::load_with(&[])
    }

    /// The same with `overrides` on top, such as those of a command line: pairs of `section.key` and value.
    pub fn load_with(overrides: &[(&str, &str)]) -> Result<Self, Error> {
        let folder = std::env::var_os("ORCHESTRATUM_CONFIG_DIR").filter(|folder| !folder.is_empty());
        let folder = folder.map_or_else(|| PathBuf::from("config"), PathBuf::from);
        let settings = Self::load_from(&folder, std::env::var("ORCHESTRATUM_ENV").ok().as_deref(), overrides)?;
        let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        match variables::mistaken(names, &defaults()?) {
            Some(mistake) => Err(Error::Wrong(mistake)),
            None => Ok(settings),
        }
    }

    /// The defaults with `overrides` on top, and nothing of the folder or of the environment: for a program of a user that runs
    /// an engine inside, and has settings of its own.
    pub fn defaults_with(overrides: &[(&str, &str)]) -> Result<Self, Error> {
        let mut chosen = Config::builder();
        for (key, value) in overrides {
            chosen = chosen.set_override(*key, *value)?;
        }
        let chosen = chosen.build()?;
        let defaults = File::from_str(DEFAULTS, FileFormat::Toml);
        let config = Config::builder()
            .add_source(defaults)
            .add_source(chosen.clone())
            .build()?;
        Self::read(&chosen, &config, Vec::new())
    }

    pub(crate) fn load_from(
        folder: &Path,
        environment: Option<&str>,
        overrides: &[(&str, &str)],
    ) -> Result<Self, Error> {
        let builder = Config::builder()
            .add_source(File::from_str(DEFAULTS, FileFormat::Toml))
            .add_source(
                File::from(folder.join("default.toml"))
                    .format(FileFormat::Toml)
                    .required(false),
            );
        let mut files = vec![folder.join("default.toml")];
        let mut chosen = Config::builder();
        // An empty variable is what a compose file or a CI makes of one that is not set.
        if let Some(environment) = environment.filter(|name| !name.is_empty()) {
            let file = folder.join(format!("{environment}.toml"));
            files.insert(0, file.clone());
            chosen = chosen.add_source(File::from(file).format(FileFormat::Toml));
        }
        chosen = chosen.add_source(
            Environment::with_prefix("ORCHESTRATUM")
                .prefix_separator("__")
                .separator("__"),
        );
        for (key, value) in overrides {
            chosen = chosen.set_override(*key, *value)?;
        }
        let chosen = chosen.build()?;
        let config = builder.add_source(chosen.clone()).build()?;
        Self::read(&chosen, &config, files)
    }

    fn read(chosen: &Config, config: &Config, files: Vec<PathBuf>) -> Result<Self, Error> {
        let sources = Sources { config, files };
        let read = config.clone().try_deserialize::<Self>();
        let mut settings = read.map_err(|error| Error::Wrong(Fault::of(&error, &sources).to_string()))?;
        if is_set("api.listen", chosen, config)? && !is_set("api.tls.listen", chosen, config)? {
            // Several instances fit on one machine by giving each an `api.listen` alone.
            settings.api.tls.listen = None;
            settings.check_certificate().map_err(|error| error.placed(&sources))?;
        }
        settings.check().map_err(|error| error.placed(&sources))?;
        Ok(settings)
    }

    /// Whoever names a certificate wants HTTPS, and would not notice that there is none.
    fn check_certificate(&self) -> Result<(), Error> {
        let files = [
            ("api.tls.certificate_file", &self.api.tls.certificate_file),
            ("api.tls.key_file", &self.api.tls.key_file),
        ];
        for (key, file) in files {
            rule(
                file.is_none(),
                key,
                "is set, but api.listen without api.tls.listen turns HTTPS off: set api.tls.listen, too, be it to \"\" for no \
                 HTTPS",
            )?;
        }
        Ok(())
    }

    fn check(&self) -> Result<(), Error> {
        rule(
            (1..=1000).contains(&self.database.max_connections),
            "database.max_connections",
            "must lie between 1 and 1000",
        )?;
        rule(
            (1..=100_000).contains(&self.broker.window),
            "broker.window",
            "must lie between 1 and 100000",
        )?;
        rule(self.broker.prefetch > 0, "broker.prefetch", "must be above 0")?;
        rule(
            !self.worker.targets.is_empty(),
            "worker.targets",
            "must name at least one target",
        )?;
        rule(
            (1..=1000).contains(&self.worker.max_claim),
            "worker.max_claim",
            "must lie between 1 and 1000",
        )?;
        rule(
            self.worker.concurrency <= 4096,
            "worker.concurrency",
            "must be at most 4096",
        )?;
        rule(
            (1..=4096).contains(&self.worker.in_process_concurrency),
            "worker.in_process_concurrency",
            "must lie between 1 and 4096",
        )?;
        rule(
            (1.0..=86_400.0).contains(&self.worker.lease_seconds),
            "worker.lease_seconds",
            "must lie between 1 and 86400",
        )?;
        rule(
            !self.worker.http.ports.contains(&0),
            "worker.http.ports",
            "must lie between 1 and 65535",
        )?;
        rule(
            is_filter(&self.logs.level),
            "logs.level",
            "must be error, warn, info, debug or trace, or a filter such as `info,sqlx=warn`",
        )?;
        rule(
            self.api.max_followers <= 100_000,
            "api.max_followers",
            "must be at most 100000",
        )?;
        let held = [
            ("api.bodies_max_bytes", self.api.bodies_max_bytes),
            ("api.answers_max_bytes", self.api.answers_max_bytes),
        ];
        for (key, bytes) in held {
            // The largest body must fit, and the largest page.
            rule(bytes >= BATCH_BYTES, key, "must be at least 16777216, which is 16 MiB")?;
        }
        rule(
            self.tasks.default_ttl_seconds <= self.tasks.max_ttl_seconds,
            "tasks.default_ttl_seconds",
            "must not be above tasks.max_ttl_seconds",
        )?;
        self.check_commands()?;
        self.check_messaging()?;
        self.check_sizes()?;
        self.check_seconds()?;
        self.check_gitlab()
    }

    /// Of what a process holds once for each of the tasks that it has in hand.
    fn check_sizes(&self) -> Result<(), Error> {
        let sizes = [
            ("tasks.input_max_bytes", self.tasks.input_max_bytes, BATCH_BYTES),
            ("tasks.output_max_bytes", self.tasks.output_max_bytes, BATCH_BYTES),
            ("worker.log_max_bytes", self.worker.log_max_bytes, LOG_BYTES),
        ];
        for (key, bytes, most) in sizes {
            let in_words = format!("must be at most {most}, which is {} MiB", most >> 20);
            rule(bytes <= most, key, &in_words)?;
        }
        Ok(())
    }

    fn check_commands(&self) -> Result<(), Error> {
        for (name, command) in &self.worker.commands {
            if let Some((setting, rule)) = command.broken(name, &self.worker.limits) {
                let key = Cow::Owned(format!("worker.commands.\"{name}\"{setting}"));
                return Err(Error::Invalid { key, rule });
            }
        }
        Ok(())
    }

    fn check_messaging(&self) -> Result<(), Error> {
        let broken = [self.worker.amqp.broken(), self.worker.celery.broken()];
        match broken.into_iter().flatten().next() {
            Some((key, rule)) => Err(Error::Invalid {
                key: Cow::Borrowed(key),
                rule: rule.to_owned(),
            }),
            None => Ok(()),
        }
    }

    fn check_gitlab(&self) -> Result<(), Error> {
        match self.gitlab.broken() {
            Some((key, rule)) => Err(Error::Invalid {
                key: Cow::Borrowed(key),
                rule,
            }),
            None => Ok(()),
        }
    }

    fn check_seconds(&self) -> Result<(), Error> {
        let all = [
            ("database.timeout_seconds", self.database.timeout_seconds),
            ("api.header_timeout_seconds", self.api.header_timeout_seconds),
            ("api.idle_timeout_seconds", self.api.idle_timeout_seconds),
            ("api.body_timeout_seconds", self.api.body_timeout_seconds),
            ("api.write_timeout_seconds", self.api.write_timeout_seconds),
            ("api.max_wait_seconds", self.api.max_wait_seconds),
            ("api.max_follow_seconds", self.api.max_follow_seconds),
            ("api.shutdown_seconds", self.api.shutdown_seconds),
            ("tasks.default_ttl_seconds", self.tasks.default_ttl_seconds),
            ("tasks.max_ttl_seconds", self.tasks.max_ttl_seconds),
            ("tasks.max_timeout_seconds", self.tasks.max_timeout_seconds),
            ("tasks.max_delay_seconds", self.tasks.max_delay_seconds),
            ("worker.poll_interval_seconds", self.worker.poll_interval_seconds),
            ("worker.drain_seconds", self.worker.drain_seconds),
            ("worker.kill_grace_seconds", self.worker.kill_grace_seconds),
        ];
        for (key, seconds) in all.into_iter().chain(self.gitlab.seconds()) {
            let sound = seconds > 0.0 && seconds <= 1e10;
            rule(sound, key, "must be a number of seconds above 0")?;
        }
        rule(
            self.api.max_follow_seconds <= FOLLOW_SECONDS,
            "api.max_follow_seconds",
            "must be at most 86400, which is a day",
        )
    }
}

impl Error {
    /// Says where the setting was written whose rule is broken.
    fn placed(self, sources: &Sources<'_>) -> Self {
        match self {
            Self::Invalid { key, rule } => match sources.place(&key.replace('"', "")) {
                Some(place) => Self::Invalid {
                    rule: format!("{rule} ({place})"),
                    key,
                },
                None => Self::Invalid { key, rule },
            },
            other => other,
        }
    }
}

fn rule(holds: bool, key: &'static str, rule: &str) -> Result<(), Error> {
    if holds {
        Ok(())
    } else {
        Err(Error::Invalid {
            key: Cow::Borrowed(key),
            rule: rule.to_owned(),
        })
    }
}

/// Whether somebody chose the value of a key, be it the default. `config/default.toml` has every key, often as a copy of
/// what is compiled in: there only another value is a choice.
fn is_set(key: &str, chosen: &Config, all: &Config) -> Result<bool, Error> {
    Ok(chosen.get_string(key).is_ok() || all.get_string(key)? != defaults()?.get_string(key)?)
}

fn defaults() -> Result<Config, config::ConfigError> {
    let builder = Config::builder().add_source(File::from_str(DEFAULTS, FileFormat::Toml));
    builder.build()
}

/// A word that is no level would be taken for the name of a part, and everything else would be silent.
fn is_filter(text: &str) -> bool {
    const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];
    text.split(',')
        .any(|part| part.contains('=') || LEVELS.contains(&part.trim().to_ascii_lowercase().as_str()))
}

impl DatabaseSettings {
    pub fn is_sqlite(&self) -> bool {
        self.url.expose_secret().starts_with("sqlite:")
    }

    pub fn options(&self) -> orchestratum_store::Options {
        orchestratum_store::Options {
            schema: self.schema.clone(),
            max_connections: self.max_connections,
            timeout: Duration::from_secs_f64(self.timeout_seconds),
            ..orchestratum_store::Options::default()
        }
    }
}

impl TaskSettings {
    /// How large the whole may be in which an input comes, or the data of an event, in bytes.
    pub fn body_max_bytes(&self) -> usize {
        (self.input_max_bytes + BESIDE_INPUT_BYTES).clamp(BODY_MAX_BYTES, BATCH_BYTES)
    }

    pub fn limits(&self) -> SpecLimits {
        SpecLimits {
            default_ttl: Duration::from_secs_f64(self.default_ttl_seconds),
            max_ttl: Duration::from_secs_f64(self.max_ttl_seconds),
            max_timeout: Duration::from_secs_f64(self.max_timeout_seconds),
            max_delay: Duration::from_secs_f64(self.max_delay_seconds),
            input_max_bytes: self.input_max_bytes,
        }
    }
}

#[cfg(test)]
mod tests;
