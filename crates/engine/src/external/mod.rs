//! External workers: programs in any language that claim over HTTP.
//!
//! ```text
//!   claim ──► store ──► tasks, each under a lease of its own      none ready: wait among the Pollers
//!   heartbeat ──► the lease goes on; the answer says whether to stop
//!   report ──► finish, as any worker's                            only with the key that claimed
//! ```
//!
//! A lease that runs out is found by `loops/leases.rs`, and a task that becomes ready by whoever waits through `loops/poll.rs`.

mod claim;
mod heartbeat;
mod holders;
mod pollers;
mod report;

pub use claim::{
    CLAIM_MAX, ClaimDraft, ClaimedExternally, LEASE_MAX_SECONDS, LEASE_MIN_SECONDS, NAMES_MAX, TARGETS_MAX,
    WAIT_MAX_SECONDS,
};
pub use heartbeat::{CHECKPOINT_MAX_BYTES, Kept};
pub use report::{AttemptEnd, Beside, LOG_MAX_BYTES, Told};

pub(crate) use holders::Holders;
pub(crate) use pollers::Pollers;
