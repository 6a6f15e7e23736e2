//! No broker: signals through the database.

/// The broker that is none.
#[derive(Debug)]
pub struct DatabaseBroker;
