//! The product as its users run it: real processes on real servers.

mod dev;
mod end_to_end;
mod faults;
mod leftovers;
mod secrets;
