//! The broker: hints that work is ready, and signals between processes.
//!
//! ```text
//!   engine ──► dyn Broker ──┬─► rabbitmq   one durable classic queue a target, confirms, own supervisor
//!                           └─► database   no broker: a signal through the database wakes the workers
//! ```
//!
//! Nothing here is the truth: the `dispatches` rows are. Losing every message costs a bounded delay, a message too many
//! costs one empty claim. So a broker may refuse, lose, repeat and reorder as it likes. Start at [`Broker`].
//!
//! Beside it stands what tasks say to other people's programs: [`Messenger`] sends and takes replies, [`celery`] knows what
//! Celery's workers understand.

mod backoff;
mod broker;
pub mod celery;
mod connect;
mod consumer;
mod database;
mod error;
mod health;
mod inbound;
mod message;
mod messenger;
mod rabbitmq;
mod switchboard;

pub use broker::{Broker, PublishReport};
pub use connect::{Options, connect};
pub use consumer::{Consumer, Delivery};
pub use database::DatabaseBroker;
pub use error::Error;
pub use inbound::{Inbound, InboundMessages};
pub use message::{Hint, Signal};
pub use messenger::{
    Expected, Header, Message, Messenger, MessengerOptions, Missed, Reply, TooLarge, TransientExchange, TransientKind,
    check_amqp_url,
};
pub use rabbitmq::RabbitBroker;
