//! Workers as they run, with real interpreters, real processes and a real database.

mod claims;
mod clocks;
mod executors;
mod gate;
mod handlers;
mod leases;
mod leaving;
mod limits;
mod reports;
mod spans;
mod support;
