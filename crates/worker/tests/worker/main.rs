//! Workers as they run, with real interpreters, real processes and a real database.

mod ahead;
mod amqp;
mod celery;
mod claims;
mod clocks;
mod commands;
mod csharp;
mod environments;
mod escapes;
mod executors;
mod gate;
mod gitlab;
mod going_on;
mod handlers;
mod http;
mod isolation;
mod leases;
mod leaving;
mod limits;
mod live_logs;
mod progress;
mod python;
mod reports;
mod spans;
mod support;
