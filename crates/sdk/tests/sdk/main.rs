//! Commands and their handlers, on each way of hosting them.

mod client;
mod commands;
mod defaults;
mod embedded;
mod harness;
mod hostings;
mod page;
mod registration;
mod reports;
mod sagas;
mod seed;
mod suite;
mod support;
