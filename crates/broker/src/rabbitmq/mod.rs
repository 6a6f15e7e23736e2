//! RabbitMQ through lapin.

/// The broker on RabbitMQ.
#[derive(Debug)]
pub struct RabbitBroker;

/// What is needed to acknowledge a delivery.
#[derive(Debug)]
pub(crate) struct Ticket;
