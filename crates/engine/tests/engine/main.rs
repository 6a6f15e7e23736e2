//! The engine on a database in memory.

mod brokers;
mod common;
mod loops;
mod use_cases;
