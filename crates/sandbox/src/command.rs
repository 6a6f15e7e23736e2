//! What to run and under which limits.

use std::path::PathBuf;

use crate::protocol::Argument;

/// What a program may use. `None` leaves what the caller itself has, or was started with where it raised its own. Core dumps
/// are always off.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Of all its processes together where there are control groups, else the address space of each.
    pub memory_bytes: Option<u64>,
    /// Processor time of each process.
    pub cpu_seconds: Option<u64>,
    /// Processes and threads at a time; see [`Sandbox::counts_processes`](crate::Sandbox::counts_processes).
    pub processes: Option<u64>,
    /// Of all its files; kept at [`Isolation::Full`](crate::Isolation::Full) only, and there never without a size.
    pub disk_megabytes: Option<u32>,
    /// Of each file.
    pub file_size_bytes: Option<u64>,
    /// Of each process. Without control groups never more than 1,024, save at [`Isolation::Off`](crate::Isolation::Off).
    pub open_files: Option<u64>,
}

impl Limits {
    /// Of [`Self::disk_megabytes`] where that says nothing.
    pub const USUAL_DISK_MEGABYTES: u32 = 64;

    /// On a disk of any size: one that is full of empty files is full, too.
    pub const DISK_FILES: u32 = 100_000;
}

/// A program to be run. Its environment has what is given, its own folders (`HOME`, where it starts, and `TMPDIR`), and
/// nothing else.
#[derive(Debug, Clone)]
pub struct Command {
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<Argument>,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) files: Vec<(String, String)>,
    pub(crate) stdin: Option<String>,
    pub(crate) network: bool,
    pub(crate) limits: Limits,
    pub(crate) capture_max_bytes: usize,
    pub(crate) result: ResultPlace,
    pub(crate) tells_progress: bool,
}

/// Where a program writes its result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ResultPlace {
    /// An open file of its own.
    File,
    /// Standard output, of which so many bytes are kept.
    Stdout { most: usize },
}

/// What is found on every machine, and on none a folder of one user.
const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What is kept of each stream unless said otherwise.
const CAPTURE_MAX_BYTES: usize = 256 * 1024;

impl Command {
    /// A program by its path.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        let environment = [("PATH", SEARCH_PATH), ("LANG", "C.UTF-8")];
        Self {
            program: program.into(),
            arguments: Vec::new(),
            environment: environment
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            files: Vec::new(),
            stdin: None,
            network: false,
            limits: Limits::default(),
            capture_max_bytes: CAPTURE_MAX_BYTES,
            result: ResultPlace::File,
            tells_progress: false,
        }
    }

    #[must_use]
    pub fn argument(mut self, argument: Argument) -> Self {
        self.arguments.push(argument);
        self
    }

    #[must_use]
    pub fn arguments(mut self, arguments: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let texts = arguments.into_iter().map(|argument| Argument::Text(argument.into()));
        self.arguments.extend(texts);
        self
    }

    /// Adds to the environment; a name that is there already gets the new value.
    #[must_use]
    pub fn environment(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let name = name.into();
        self.environment.retain(|(present, _)| *present != name);
        self.environment.push((name, value.into()));
        self
    }

    /// A file beside the program's own folders, for an [`Argument::File`].
    #[must_use]
    pub fn file(mut self, name: impl Into<String>, content: impl Into<String>) -> Self {
        self.files.push((name.into(), content.into()));
        self
    }

    /// Standard input; empty unless given.
    #[must_use]
    pub fn stdin(mut self, text: Option<String>) -> Self {
        self.stdin = text;
        self
    }

    /// Whether it may use the network of the machine. At [`Isolation::Off`](crate::Isolation::Off) it may in any case.
    #[must_use]
    pub const fn network(mut self, allowed: bool) -> Self {
        self.network = allowed;
        self
    }

    #[must_use]
    pub const fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// How much of each of standard output and standard error is kept.
    #[must_use]
    pub const fn capture_max_bytes(mut self, most: usize) -> Self {
        self.capture_max_bytes = most;
        self
    }

    /// Standard output is the result, byte for byte, and not a text for people. One byte more than `most` tells that there
    /// was more.
    #[must_use]
    pub const fn stdout_is_result(mut self, most: usize) -> Self {
        self.result = ResultPlace::Stdout { most };
        self
    }

    /// It may tell how far it is, in the open file [`PROGRESS_DESCRIPTOR`](crate::PROGRESS_DESCRIPTOR): numbers from 0 to 1,
    /// each on a line.
    #[must_use]
    pub const fn tells_progress(mut self) -> Self {
        self.tells_progress = true;
        self
    }
}
