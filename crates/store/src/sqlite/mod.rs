//! SQLite.

/// The store on SQLite.
#[derive(Debug)]
pub struct SqliteStore;
