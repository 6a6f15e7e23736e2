//! The use cases on groups, one file each. What happens to them by itself is in `loops/groups.rs`.

mod cancel;
mod create;
mod read;

pub use cancel::CancelledGroup;
pub use create::{CreateGroup, CreatedGroup};
pub use read::GroupState;
