//! Orders as chains of commands and as sagas.

mod chain;
mod saga;
mod world;
