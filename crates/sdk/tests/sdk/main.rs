//! Commands and their handlers, on each way of hosting them.

mod client;
mod commands;
mod defaults;
mod embedded;
mod harness;
mod page;
mod registration;
mod seed;
mod suite;
mod support;
