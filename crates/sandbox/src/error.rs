//! Why a program did not run, or why nobody knows how it ended.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "this program does not call orchestratum_sandbox::shim::run_if_asked() first in its main, so it cannot run others"
    )]
    ShimNotLinked,
    #[error("the process that keeps programs could not be started")]
    Shim(#[source] io::Error),
    /// What stood in the way, such as a container that forbids user namespaces.
    #[error("programs cannot be isolated here: {0}")]
    NoWalls(String),
    /// Not that they cannot be: the machine may be busy.
    #[error("programs were not ready to be run within {} s", .0.as_secs())]
    NotInTime(Duration),
    /// Only at [`crate::Isolation::Full`].
    #[error("{} cannot be shown to programs, each of which has {own} for itself", .path.display())]
    NotShown { path: PathBuf, own: &'static str },
    #[error("{folder} cannot be worked in")]
    Workspace {
        folder: String,
        #[source]
        source: io::Error,
    },
    #[error("the program, an argument or a path is not UTF-8")]
    NotUtf8,
    #[error("the program was described in {bytes} bytes; at most {most} are possible")]
    TooLarge { bytes: usize, most: usize },
    /// What starts programs has so much memory itself that none is left for the program.
    #[error(
        "the limit of {} MiB of memory leaves nothing for a program: what starts it has {} MiB itself",
        mebibytes(*.most_bytes), mebibytes(*.held_bytes)
    )]
    TooLittleMemory { most_bytes: u64, held_bytes: u64 },
    /// The program itself, its directory or its standard input.
    #[error("the program could not be started: {0}")]
    NotStarted(String),
    /// It was killed from outside, or by the program. Its processes were looked for and killed.
    #[error("the process that kept the program ended without saying how the program ended")]
    ShimVanished,
}

/// Rounded up: nobody has nothing.
const fn mebibytes(bytes: u64) -> u64 {
    bytes.div_ceil(1 << 20)
}
