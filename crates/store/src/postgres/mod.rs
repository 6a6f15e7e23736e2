//! PostgreSQL.
//!
//! ```text
//!   one statement    Database::all, ::execute    a lost answer: the same guarded statement again
//!   several          Database::transact          a lost COMMIT: the state of the transaction is asked for
//! ```
//!
//! One lock order everywhere: schedules, rates of targets, dispatches, then tasks, each by id, then inserts. A group is locked before
//! inserts, and where it is deleted, before its members.
//! What only sweeps takes `SKIP LOCKED`.

mod audit;
mod connect;
mod database;
mod dispatches;
mod external;
mod failure;
mod groups;
mod idempotency;
mod invariants;
mod keys;
mod leases;
mod logs;
mod maintenance;
mod overviews;
mod queues;
mod refusals;
mod rows;
mod sagas;
mod schedules;
mod server;
mod tasks;
mod transaction;
mod workers;

use database::Database;

/// The statements that drain a queue, for the benchmark to drive them with nothing around them, and those of lists, for their plans.
pub mod statements {
    pub use super::sagas::{
        COUNT_LIVE_SAGAS, KNOWN_EVENTS, LAST_OF_SERIES, OPEN_CHILDREN, OPEN_TASKS, SAGA_LISTS, SagaListStatements,
        WRITE_SAGAS,
    };
    pub use super::tasks::{CLAIM_AND_FILL_UP, COMPLETE};
}

/// The store on PostgreSQL.
#[derive(Debug)]
pub struct PostgresStore {
    database: Database,
}
