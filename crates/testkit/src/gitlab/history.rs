//! What was asked.

use serde::{Deserialize, Serialize};

/// A request to the API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenRequest {
    pub method: String,
    /// Behind `/api/v4`, decoded.
    pub path: String,
    pub query: String,
    /// Whatever became of it, also where a fault kept the answer.
    pub status: u16,
}
