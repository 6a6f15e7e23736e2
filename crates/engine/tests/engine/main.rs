//! The engine on a database in memory.

mod brokers;
mod common;
mod loops;
mod manual_clock;
mod sagas;
mod schedules;
mod use_cases;
