//! What the caller says to the processes that keep programs, and what they answer.
//!
//! Messages are a length in four bytes and JSON; open files come with the first byte. [`Order`]s have a socket of their
//! own, or come after the request of a single run: they are of one size, so that any thread writes one whole.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::streams::RESULT_MAX_BYTES;
use crate::{Confinement, Exit, Limits, host};

/// The arguments that make a program be the shim.
pub(crate) const ARGUMENT: &str = "__sandbox";
pub(crate) const CELL_ARGUMENT: &str = "__sandbox-cell";

/// In the environment of every program: by it the processes of a run are found if the shim is gone.
pub(crate) const MARKER: &str = "ORCHESTRATUM_SANDBOX_RUN";

/// Processes of the sandbox itself that are beside those of a program at most, and are counted with them: the launcher and the
/// keeper of a cell.
pub(crate) const OWN_PROCESSES: u64 = 2;

/// Open files of each process where nobody counts what the kernel holds for them, as it does for each socket. It is what
/// systems let programs open that do not ask for more, and what `select(2)` can take, so everyone makes do with it. The soft
/// and the hard limit: a runtime such as that of .NET takes all that it may when it starts.
const OPEN_FILES_WHERE_NOBODY_COUNTS: u64 = 1024;

/// Far above what a task may have as input.
pub(crate) const MESSAGE_MAX_BYTES: usize = 16 << 20;

/// A program to be started by whoever receives this. Standard input, output, error and the place for a result come with
/// it as open files, and a fifth where it tells how far it is, if it does.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Launch {
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<Argument>,
    pub(crate) environment: Vec<(String, String)>,
    /// Where its files are, and its `home`, `tmp` and `shm`.
    pub(crate) folder: PathBuf,
    /// To be written into the folder first.
    pub(crate) files: Vec<(String, String)>,
    pub(crate) limits: EachProcess,
    /// The soft limit of open files where `limits` has none.
    pub(crate) open_files: Option<u64>,
}

/// What each process of a program may use; set with `setrlimit`.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct EachProcess {
    pub(crate) cpu_seconds: Option<u64>,
    pub(crate) address_space_bytes: Option<u64>,
    pub(crate) file_size_bytes: Option<u64>,
    pub(crate) open_files: Option<u64>,
    /// The kernel counts all of the user's, so this is for users who are nobody else.
    pub(crate) processes: Option<u64>,
}

impl EachProcess {
    /// Where the program has a user of its own; `memory_together` where a group counts the memory of all.
    pub(crate) fn in_a_cell(limits: &Limits, memory_together: bool) -> Self {
        let address_space_bytes = limits.memory_bytes.filter(|_| !memory_together);
        // The place for a result is memory, too, and is on no disk that has a size. Files that are do not get larger.
        let disk = limits.disk_megabytes.unwrap_or(Limits::USUAL_DISK_MEGABYTES);
        let largest_file = RESULT_MAX_BYTES.max(u64::from(disk) << 20);
        let most_open_files = (!memory_together).then_some(OPEN_FILES_WHERE_NOBODY_COUNTS);
        Self {
            cpu_seconds: limits.cpu_seconds,
            address_space_bytes,
            file_size_bytes: limits.file_size_bytes.or(address_space_bytes.map(|_| largest_file)),
            open_files: [limits.open_files, most_open_files].into_iter().flatten().min(),
            processes: limits.processes.map(|most| most.saturating_add(OWN_PROCESSES)),
        }
    }
}

/// An argument of a program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Argument {
    Text(String),
    /// The path of one of the program's files, by the file's name.
    File(String),
    /// The number of the open file that takes the result.
    Result,
}

/// One program in a process of its own that ends with it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SingleRun {
    pub(crate) launch: Launch,
    pub(crate) confinement: Confinement,
}

/// A cell, which runs many programs, one after the other.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Opening {
    pub(crate) confinement: Confinement,
    /// Runs in the cell and starts the programs in place of the shim, such as an interpreter that forks.
    pub(crate) runner: Option<Runner>,
    /// The soft limit of open files for the runner, and so for its programs.
    pub(crate) open_files: Option<u64>,
}

impl Opening {
    pub(crate) fn of(confinement: Confinement, runner: Option<Runner>) -> Self {
        Self {
            confinement,
            runner,
            open_files: host::open_files_at_start(),
        }
    }
}

/// A program that starts others within its cell: it reads messages from standard input, where open files come with them,
/// says [`Opened::Ready`] there first, and [`Status::Ended`] of each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Runner {
    pub program: PathBuf,
    pub arguments: Vec<String>,
    pub environment: Vec<(String, String)>,
    /// Comes from standard input before all messages, without a length: the source of one that is a script, say, which
    /// would fill every list of processes as an argument. No path leads to it: a runner is outside of the namespace
    /// that `/proc` shows.
    #[serde(skip)]
    pub reads_first: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Opened {
    Ready,
    Refused { reason: String },
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Status {
    NotStarted { reason: String },
    Ended { exit: Exit, peak_memory_bytes: Option<u64> },
}

/// A message with its length before it.
pub(crate) fn frame<T: Serialize>(message: &T) -> Result<Vec<u8>, serde_json::Error> {
    let mut framed = vec![0; 4];
    serde_json::to_writer(&mut framed, message)?;
    let length = u32::try_from(framed.len() - 4).unwrap_or(u32::MAX);
    framed[..4].copy_from_slice(&length.to_be_bytes());
    Ok(framed)
}

/// What is to happen to the programs of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// TERM to every process.
    Terminate,
    /// KILL to every process.
    Kill,
    /// KILL to every process if nothing else is heard for so many milliseconds.
    Live(u32),
    /// Nothing of the run may be left; the next order is of the next run. Answered.
    Clean,
    /// The disk of this run has so many MiB. Answered.
    Disk(u32),
}

/// An action, and which run of the cell it is meant for: one that comes late must not hit the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) run: u32,
    pub(crate) action: Action,
}

pub(crate) const ORDER_BYTES: usize = 9;

/// The answers to the orders that have one.
pub(crate) const DONE: u8 = 1;
pub(crate) const FAILED: u8 = 0;

impl Order {
    pub(crate) fn to_bytes(self) -> [u8; ORDER_BYTES] {
        let (code, value) = match self.action {
            Action::Terminate => (b't', 0),
            Action::Kill => (b'k', 0),
            Action::Live(milliseconds) => (b'l', milliseconds),
            Action::Clean => (b'c', 0),
            Action::Disk(megabytes) => (b'd', megabytes),
        };
        let mut bytes = [code; ORDER_BYTES];
        bytes[1..5].copy_from_slice(&self.run.to_be_bytes());
        bytes[5..].copy_from_slice(&value.to_be_bytes());
        bytes
    }

    /// `None` for what this version does not know.
    pub(crate) fn from_bytes(bytes: [u8; ORDER_BYTES]) -> Option<Self> {
        let [code, a, b, c, d, value @ ..] = bytes;
        let value = u32::from_be_bytes(value);
        let action = match code {
            b't' => Action::Terminate,
            b'k' => Action::Kill,
            b'l' => Action::Live(value),
            b'c' => Action::Clean,
            b'd' => Action::Disk(value),
            _ => return None,
        };
        Some(Self {
            run: u32::from_be_bytes([a, b, c, d]),
            action,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_read_as_it_was_written() {
        for action in [
            Action::Terminate,
            Action::Kill,
            Action::Live(24_000),
            Action::Clean,
            Action::Disk(u32::MAX),
        ] {
            let order = Order { run: 70_000, action };
            assert_eq!(Order::from_bytes(order.to_bytes()), Some(order));
        }
        assert_eq!(Order::from_bytes([0; ORDER_BYTES]), None);
    }
}
