//! A bare repository. One process of git serves all reading; a commit is one more.

mod objects;
mod repository;
mod write;

pub(super) use objects::{Commit, Entry};
pub(super) use repository::Repository;
pub(super) use write::{Author, Put};
