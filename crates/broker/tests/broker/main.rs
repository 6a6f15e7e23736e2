//! The brokers against real servers: `AMQP_URL` and `RABBITMQ_API` (its management plugin), and `DATABASE_URL`.

mod conformance;
mod database;
mod harness;
mod messenger;
mod rabbitmq_delivery;
mod rabbitmq_faults;
mod rabbitmq_inbound;
mod rabbitmq_signals;
