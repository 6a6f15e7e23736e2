//! Why a worker cannot work at all. What happens to single tasks is reported with them.

use std::io;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the name `{name}` of {handler} must match [A-Za-z0-9._-]{{1,100}}")]
    InvalidName { name: String, handler: &'static str },
    #[error("the name `{name}` of {handler} belongs to a built-in task: no handler can have it")]
    ReservedName { name: String, handler: &'static str },
    #[error("two handlers are called `{name}`: {first} and {second}")]
    DuplicateName {
        name: String,
        first: &'static str,
        second: &'static str,
    },
    #[error("programs cannot be run here")]
    Sandbox(#[source] orchestratum_sandbox::Error),
    #[error("the thread that renews the lease cannot be started")]
    LeaseThread(#[source] io::Error),
    #[error("a part of the worker that takes tasks ended by itself")]
    TakerEnded(#[source] Option<tokio::task::JoinError>),
    #[error("the broker of `amqp` or `celery` tasks cannot be used")]
    Outside(#[source] orchestratum_broker::Error),
    #[error("the GitLab of `gitlab` tasks cannot be used")]
    Gitlab(#[source] orchestratum_gitlab::SettingsError),
    #[error("the broker cannot be consumed")]
    Broker(#[source] orchestratum_broker::Error),
}
