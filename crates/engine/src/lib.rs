//! The use cases and the background loops of Orchestratum.
//!
//! ```text
//!   api, worker ──► Engine ──► tasks/<use case> ──► Batcher ──► store
//!                     │                               │ after the commit
//!                     │                               └──► announce (messages), signals, waiters
//!                     └──► loops/<loop>: what a process that died, or a message that was lost, left undone
//! ```
//!
//! One file a use case, one file a loop. Start at [`Engine`], then open the use case.

mod advance_clock;
mod announce;
mod aside;
pub mod batcher;
pub mod changes;
pub mod clock;
mod engine;
pub mod error;
pub mod external;
mod following;
mod follows;
pub mod gitlab;
pub mod given;
pub mod groups;
mod health;
pub mod identity;
mod journal;
mod kept;
pub mod keys;
mod loops;
mod places;
mod queues;
mod reachable;
pub mod sagas;
pub mod schedules;
mod settings;
mod signals;
pub mod tasks;
pub mod telemetry;
mod waiters;
mod workers;

pub use engine::Engine;
pub use error::Error;
pub use health::Health;
pub use loops::RUNNING_GRACE;
pub use queues::Queues;
pub use reachable::{InvalidReachable, Reachable};
pub use settings::{
    AmqpSettings, ApiSettings, AuthSettings, BESIDE_INPUT_BYTES, BODY_MAX_BYTES, BrokerSettings, CelerySettings,
    CommandLimits, CommandSettings, Commands, DEFAULTS, DatabaseSettings, EnvironmentSettings, Error as SettingsError,
    GitlabSettings, HttpSettings, IsolationWanted, LogFormat, LogSettings, MetricsSettings, NamePattern, Requirements,
    Settings, TaskSettings, TlsSettings, WorkerLimits, WorkerSettings,
};
