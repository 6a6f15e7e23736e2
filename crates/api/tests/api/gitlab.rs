//! What callers ask of GitLab, in one with a real repository.

mod calculations;
mod consistency;
mod geometries;
mod issues;
mod lab;
mod merge_requests;
mod rebasing;
mod refusals;
mod repairs;
mod steps;
mod waiting;

pub(crate) use lab::Lab;
