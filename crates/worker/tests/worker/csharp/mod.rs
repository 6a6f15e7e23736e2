//! `csharp` tasks, compiled by a real compiler and run by a real runtime.

mod bounds;
mod isolation;
mod pace;
mod programs;
