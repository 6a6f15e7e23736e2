//! Events: those that sagas take, and those that tell of changes.

mod follow;
mod publish;

// `routes!` also needs what the attribute of each handler generates, hence the globs.
pub(crate) use follow::*;
pub(crate) use publish::*;
