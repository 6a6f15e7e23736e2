//! The broker: hints that work is ready, over RabbitMQ or without any broker.
