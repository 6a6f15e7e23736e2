//! The engine on a database in memory.

mod brokers;
mod common;
mod loops;
mod sagas;
mod schedules;
mod use_cases;
