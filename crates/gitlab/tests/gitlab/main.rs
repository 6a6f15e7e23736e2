//! The client against the double of GitLab, which fails in every way that it can.

mod answers;
mod branches;
mod commits;
mod lost_answers;
mod merge_requests;
mod reading;
mod refusals;
mod reverts;
mod session;
mod waiting;
