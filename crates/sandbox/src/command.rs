//! What to run and under which limits.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Where the standard input comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Stdin {
    #[default]
    Empty,
    /// A file, so that nobody has to pump bytes into a program that may never read them.
    File(PathBuf),
}

/// Limits of each process of the tree; `None` leaves what the caller itself has, or was started with where it raised its
/// own. Core dumps are always off.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    pub cpu_seconds: Option<u64>,
    pub address_space_bytes: Option<u64>,
    pub file_size_bytes: Option<u64>,
    pub open_files: Option<u64>,
}

/// A program to be run. Its environment has what is given and nothing else.
#[derive(Debug, Clone)]
pub struct Command {
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) directory: PathBuf,
    pub(crate) stdin: Stdin,
    pub(crate) limits: Limits,
    pub(crate) capture_max_bytes: usize,
}

/// What is found on every machine, and on none a folder of one user.
const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What is kept of each stream unless said otherwise.
const CAPTURE_MAX_BYTES: usize = 256 * 1024;

impl Command {
    /// A program by its path, in a directory that is also its `HOME`.
    pub fn new(program: impl Into<PathBuf>, directory: impl Into<PathBuf>) -> Self {
        let directory = directory.into();
        let home = directory.to_string_lossy().into_owned();
        let environment = [("PATH", SEARCH_PATH), ("LANG", "C.UTF-8"), ("HOME", &home)];
        Self {
            program: program.into(),
            arguments: Vec::new(),
            environment: environment
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            directory,
            stdin: Stdin::Empty,
            limits: Limits::default(),
            capture_max_bytes: CAPTURE_MAX_BYTES,
        }
    }

    #[must_use]
    pub fn arguments(mut self, arguments: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
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

    #[must_use]
    pub fn stdin(mut self, stdin: Stdin) -> Self {
        self.stdin = stdin;
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
}
