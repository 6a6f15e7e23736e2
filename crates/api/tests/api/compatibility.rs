//! What whoever comes from one of the two libraries relies on, told by HTTP: see `docs/compatibility.md`.

mod events;
mod tasks;
mod undoing;
mod versions;
