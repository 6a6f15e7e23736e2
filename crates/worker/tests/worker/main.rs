//! Workers as they run, with real interpreters, real processes and a real database.

mod clocks;
mod executors;
mod handlers;
mod leases;
mod leaving;
mod limits;
mod reports;
mod support;
mod spans;
