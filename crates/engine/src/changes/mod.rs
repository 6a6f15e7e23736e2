//! Changes of tasks and sagas, told live to those who follow them.
//!
//! ```text
//!   Finished, Changed, Moved, Sagas ──► noticed ──loop──► read in batches ──► ring ──► followers
//! ```
//!
//! Signals name what changed, and one statement reads how all of it stands: a follower sees where something stands now, not every
//! status in between. While nobody follows, nothing is noticed and nothing is read; for a while after the last has gone the ring is
//! kept, so that whoever comes again misses nothing. What was lost on the way is told, too: the ring begins anew.

mod filter;
mod follow;
mod hub;
mod ring;

pub use self::filter::{ChangeFilter, SagaChanges, TaskChanges};
pub use self::follow::{ChangeFollower, FollowedChanges};
pub use self::ring::{Change, ChangeId, What};

pub(crate) use self::hub::Changes;
