//! Real servers, processes and faults for the tests; never shipped.
//!
//! ```text
//!   test ──HTTP──► orchestratum-api ──┐                       ┌──► PostgreSQL
//!     │            orchestratum-worker├──► FaultProxy (opt.) ─┤
//!     │            orchestratum-worker┘                       └──► RabbitMQ
//!     └── kills, stops, cuts, heals
//! ```
//!
//! A [`Cluster`] is what an operator would start: the built binaries, configured by the environment, on a database
//! schema and a queue prefix of their own. Nothing is mocked. Start at [`Cluster::builder`].

pub mod again;
mod amqp_peer;
mod amqp_sender;
mod api;
mod celery;
mod chance;
mod cluster;
mod corner;
mod events;
mod gitlab;
mod http_server;
mod log_lines;
mod name;
mod process;
mod proxy;
mod rabbitmq_node;
mod rounds;
mod schema;
mod servers;
mod traces;
mod virtual_host;
mod wait;

pub use amqp_peer::{AmqpPeer, Answers, SeenMessage};
pub use amqp_sender::AmqpSender;
pub use api::Api;
pub use celery::{CeleryWorker, celery_python};
pub use chance::Chance;
pub use cluster::{Broker, Builder, Cluster, Database};
pub use corner::{Corner, declared_under, sweep_corners};
pub use events::{Event, Events};
pub use gitlab::{
    Fault, FaultKind, GitlabControl, GitlabDouble, GitlabProcess, OWNER_TOKEN, PROJECT, READ_ONLY_TOKEN, READER_TOKEN,
    SeenRequest, serve_gitlab,
};
pub use http_server::{HttpServer, Seen};
pub use log_lines::LogLines;
pub use process::{Process, Start, binary, is_alive, processes_with_environment};
pub use proxy::{FaultProxy, LostCommit};
pub use rabbitmq_node::RabbitmqNode;
pub use rounds::{Rounds, is_soak, rounds};
pub use schema::{Schema, sweep_schemas};
pub use servers::Servers;
pub use traces::{Traces, resident_bytes, task_that_leaves_something};
pub use virtual_host::VirtualHost;
pub use wait::{eventually, eventually_within};
