//! The double of GitLab: held against GitLab's own client, failing as it is told, and surviving its end.

mod conformance;
mod faults;
mod process;
