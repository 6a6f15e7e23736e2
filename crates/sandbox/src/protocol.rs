//! What caller and shim say to each other over the socket that is the shim's standard input.
//!
//! The caller begins with a [`Request`], the shim ends with a [`Status`]: each a length in four bytes and JSON. Between
//! them the caller sends single bytes, its orders.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{Exit, Limits};

/// The argument that makes a program be the shim.
pub(crate) const ARGUMENT: &str = "__sandbox";

/// In the environment of every program: by it the processes of a run are found if the shim is gone.
pub(crate) const MARKER: &str = "ORCHESTRATUM_SANDBOX_RUN";

pub(crate) const TERMINATE: u8 = b't';
pub(crate) const KILL: u8 = b'k';

/// The kernel takes no more than this for arguments and environment together, with its default stack limit.
pub(crate) const REQUEST_MAX_BYTES: usize = 2 << 20;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Request {
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) directory: PathBuf,
    pub(crate) stdin: Option<PathBuf>,
    pub(crate) limits: Limits,
    /// The soft limit of open files where `limits` has none.
    pub(crate) open_files: Option<u64>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Status {
    NotStarted { reason: String },
    Ended { exit: Exit, peak_memory_bytes: Option<u64> },
}

/// A message with its length before it.
pub(crate) fn frame<T: Serialize>(message: &T) -> Result<Vec<u8>, serde_json::Error> {
    let body = serde_json::to_vec(message)?;
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    let mut framed = length.to_be_bytes().to_vec();
    framed.extend(body);
    Ok(framed)
}
