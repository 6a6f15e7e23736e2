//! The interface over HTTP: the real router over a real engine, and where it matters a real server.

mod access;
mod attempts;
mod bad_requests;
mod bad_values;
mod changes;
mod common;
mod compatibility;
mod external;
mod follow_logs;
mod follow_ups;
mod gitlab;
mod groups;
mod hang_ups;
mod held;
mod idempotency;
mod limits;
mod sagas;
mod schedules;
mod server;
mod tasks;
