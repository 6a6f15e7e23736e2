//! The servers that the systems share: on each a place of its own for each deployment.

mod postgres;
mod rabbitmq;

pub(crate) use postgres::{Database, Postgres};
pub(crate) use rabbitmq::{Rabbitmq, VirtualHost};
