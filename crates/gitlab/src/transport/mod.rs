//! One request, its answer, and when it is sent again.

mod answer;
mod make;
mod once;
mod pages;
mod repeat;
mod request;
mod retry_after;
mod tries;

pub(crate) use answer::Answer;
pub(crate) use make::Make;
pub(crate) use request::Request;
