//! The engine on a database in memory.

mod common;
mod loops;
mod use_cases;
