//! What the program of a task may use, as `tasks create` and `tasks retry` take it.

use clap::Args;
use serde_json::Value;

use super::input;

#[derive(Debug, Args)]
pub(super) struct Limits {
    /// Mebibytes of memory that the processes of a program may have together, or, where the worker has no control groups,
    /// of address space each.
    #[arg(long, allow_negative_numbers = true)]
    memory_mb: Option<i64>,
    /// Seconds of processor time that each process of a program may have.
    #[arg(long, allow_negative_numbers = true)]
    cpu_seconds: Option<i64>,
    /// Mebibytes that the files of a program may take; the worker must have the isolation `full`.
    #[arg(long, allow_negative_numbers = true)]
    disk_mb: Option<i64>,
    /// Processes and threads that a program may have at a time; the worker must have control groups or the isolation
    /// `full`.
    #[arg(long, allow_negative_numbers = true)]
    processes: Option<i64>,
}

impl Limits {
    /// Those that were given, as the body of a request has them; `None` if there are none.
    pub(super) fn given(self) -> Option<Value> {
        let Self {
            memory_mb,
            cpu_seconds,
            disk_mb,
            processes,
        } = self;
        let limits = input::given([
            ("memory_mb", memory_mb.map(Value::from)),
            ("cpu_seconds", cpu_seconds.map(Value::from)),
            ("disk_mb", disk_mb.map(Value::from)),
            ("processes", processes.map(Value::from)),
        ]);
        limits
            .as_object()
            .is_some_and(|limits| !limits.is_empty())
            .then_some(limits)
    }
}
