//! Sagas from a program, on every hosting.

mod decisions;
mod life;
mod lists;
mod page;
mod refusals;
mod trip;
