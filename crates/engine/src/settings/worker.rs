//! What `worker` says: which tasks it takes, and how their programs are run.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use orchestratum_core::{EnvironmentName, Target};
use serde::Deserialize;

use super::commands::{self, Commands};
use super::environments::{self, EnvironmentSettings};
use super::forms::{address_or_none, empty_is_none, list_or_commas, one_of};
use super::messaging::{AmqpSettings, CelerySettings};
use crate::reachable::Reachable;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkerSettings {
    pub name: String,
    #[serde(deserialize_with = "list_or_commas")]
    pub targets: Vec<Target>,
    pub concurrency: usize,
    pub in_process_concurrency: usize,
    pub lease_seconds: f64,
    pub poll_interval_seconds: f64,
    pub max_claim: usize,
    pub drain_seconds: f64,
    pub kill_grace_seconds: f64,
    pub embedded: bool,
    #[serde(deserialize_with = "empty_is_none")]
    pub work_dir: Option<PathBuf>,
    pub isolation: IsolationWanted,
    pub network: bool,
    pub limits: WorkerLimits,
    pub python: String,
    #[serde(default, deserialize_with = "environments::read")]
    pub environments: BTreeMap<EnvironmentName, EnvironmentSettings>,
    #[serde(deserialize_with = "empty_is_none")]
    pub environments_cache: Option<PathBuf>,
    #[serde(deserialize_with = "empty_is_none")]
    pub csharp: Option<PathBuf>,
    #[serde(deserialize_with = "empty_is_none")]
    pub csharp_cache: Option<PathBuf>,
    pub shell: String,
    pub log_max_bytes: usize,
    #[serde(deserialize_with = "address_or_none")]
    pub listen: Option<SocketAddr>,
    pub http: HttpSettings,
    pub amqp: AmqpSettings,
    pub celery: CelerySettings,
    #[serde(deserialize_with = "commands::deserialize")]
    pub commands: Commands,
}

/// Where `http` tasks may go.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpSettings {
    pub enabled: bool,
    #[serde(deserialize_with = "list_or_commas")]
    pub allow: Vec<Reachable>,
    #[serde(deserialize_with = "list_or_commas")]
    pub ports: Vec<u16>,
}

/// What the program of a task may use at most; 0 is no limit. A task that asks for nothing has these, but for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkerLimits {
    pub memory_mb: u64,
    pub cpu_seconds: u64,
    pub disk_mb: u64,
    pub processes: u64,
}

/// How well the programs of tasks are to be kept apart from the worker's machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum IsolationWanted {
    /// The best that the machine allows, but no less than Landlock.
    Auto,
    Full,
    Landlock,
    Off,
}

impl TryFrom<String> for IsolationWanted {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let words = [
            ("auto", Self::Auto),
            ("full", Self::Full),
            ("landlock", Self::Landlock),
            ("off", Self::Off),
        ];
        one_of(&text, &words)
    }
}

impl WorkerSettings {
    /// Whether someone chose the interpreter: it has to be there then.
    pub fn names_python(&self) -> bool {
        self.python != "python3"
    }

    pub fn lease(&self) -> Duration {
        Duration::from_secs_f64(self.lease_seconds)
    }

    /// How many programs run at a time.
    pub fn processes(&self) -> usize {
        match self.concurrency {
            0 => thread::available_parallelism().map_or(1, usize::from),
            count => count,
        }
    }
}
