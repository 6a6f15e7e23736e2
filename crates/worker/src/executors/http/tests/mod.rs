//! Requests as they are sent, to real servers.

mod answers;
mod lab;
mod received;
mod refusals;
mod secrets;
mod sent;
mod tls;
