//! The machine: processes, what they use, and the time.

mod clock;
mod facts;
mod ports;
mod program;
mod usage;

pub(crate) use clock::{monotonic_now, wall_clock_micros};
pub(crate) use facts::Facts;
pub(crate) use ports::{free_port, free_ports};
pub(crate) use program::Program;
pub(crate) use usage::{Usage, descendants_of, parent_of, peak_memory_bytes};
