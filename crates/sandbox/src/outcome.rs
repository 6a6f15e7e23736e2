//! How a program ended and what it wrote.

use std::{fmt, io};

use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::protocol::Status;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Exit {
    Code(i32),
    /// Killed by the signal of this number.
    Signal(i32),
}

impl Exit {
    pub(crate) const KILLED: Self = Self::Signal(Signal::SIGKILL as i32);

    pub const fn is_success(self) -> bool {
        matches!(self, Self::Code(0))
    }

    /// Whether it had used up its processor time: see [`Limits::cpu_seconds`](crate::Limits::cpu_seconds).
    pub const fn is_out_of_processor_time(self) -> bool {
        matches!(self, Self::Signal(number) if number == Signal::SIGXCPU as i32)
    }

    /// As a shell shows it: 128 and the number of the signal.
    pub const fn code(self) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Signal(number) => 128 + number,
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(number) => match Signal::try_from(*number) {
                Ok(signal) => write!(f, "killed by signal {number} ({signal})"),
                Err(_) => write!(f, "killed by signal {number}"),
            },
        }
    }
}

/// What a program wrote to a stream: its beginning and its end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Captured {
    /// Valid UTF-8 without U+0000: what was not is replaced. The place of a cut is marked.
    pub text: String,
    /// How much was written, kept or not.
    pub total_bytes: u64,
    /// How much of the text was taken while the program ran: see [`Written::take`](crate::Written::take).
    pub taken_bytes: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    pub exit: Exit,
    pub stdout: Captured,
    pub stderr: Captured,
    /// What it wrote to the open file of [`Argument::Result`](crate::Argument::Result), or to standard output where that is
    /// [the result](crate::Command::stdout_is_result).
    pub result: Vec<u8>,
    /// Of the largest single process of the tree.
    pub peak_memory_bytes: Option<u64>,
    /// The kernel killed one of its processes because all of them together had more memory than they may.
    pub out_of_memory: bool,
}

impl Finished {
    /// By the word of whoever kept the program, if there was one, and what was written to its three files.
    pub(crate) fn of(
        status: io::Result<Status>,
        (stdout, stderr, result): (Captured, Captured, Vec<u8>),
        out_of_memory: bool,
    ) -> Result<Self, Error> {
        let (exit, peak_memory_bytes) = match status {
            Ok(Status::Ended {
                exit,
                peak_memory_bytes,
            }) => (exit, peak_memory_bytes),
            // The kernel may choose whoever keeps the program.
            _ if out_of_memory => (Exit::KILLED, None),
            Ok(Status::NotStarted { reason }) => return Err(Error::NotStarted(reason)),
            Err(_) => return Err(Error::ShimVanished),
        };
        Ok(Self {
            exit,
            stdout,
            stderr,
            result,
            peak_memory_bytes,
            out_of_memory,
        })
    }
}
