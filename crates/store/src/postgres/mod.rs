//! PostgreSQL.

/// The store on PostgreSQL.
#[derive(Debug)]
pub struct PostgresStore;
