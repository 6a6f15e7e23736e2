//! What a task may use: what it asks for, within what this worker grants.

use std::num::NonZeroU64;

use orchestratum_engine::{CommandLimits, WorkerLimits};
use orchestratum_sandbox::{Exit, Isolation, Limits, Sandbox};
use orchestratum_store::ClaimedTask;
use serde::Deserialize;

use crate::shared::Programs;

const BYTES_PER_MEGABYTE: u64 = 1 << 20;

/// `null` stands for an absent field.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    memory_mb: Option<u64>,
    cpu_seconds: Option<u64>,
    disk_mb: Option<u64>,
    processes: Option<u64>,
}

/// What can be kept where this worker runs programs.
#[derive(Debug, Clone, Copy)]
struct Keeps {
    disk: bool,
    processes: bool,
    isolation: Isolation,
}

/// The limits of the task. One that cannot be kept here, or is above what this worker grants, is refused: whoever asks for it
/// relies on it.
///
/// # Errors
/// What is not granted, in words.
pub(super) fn of(task: &ClaimedTask, programs: &Programs) -> Result<Limits, String> {
    let asked: Option<Asked> = match &task.limits {
        None => None,
        Some(limits) => limits
            .parse()
            .map_err(|error| format!("this worker does not know the limits of the task: {error}"))?,
    };
    asked.unwrap_or_default().granted(programs)
}

/// The limits of a task that asks for none.
pub(super) fn usual(programs: &Programs) -> Limits {
    let granted = Asked::default().granted(programs);
    granted.expect("what is not asked for is not refused, and the settings give nobody more than they grant")
}

/// What a program was held to, for the words about its end.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Kept {
    memory_mb: Option<u64>,
    cpu_seconds: Option<u64>,
    /// Of the disk that is all it can write to.
    disk_mb: Option<u32>,
}

impl Kept {
    pub(super) fn of(limits: &Limits, programs: &Programs) -> Self {
        let disk = limits.disk_megabytes.unwrap_or(Limits::USUAL_DISK_MEGABYTES);
        Self {
            memory_mb: limits.memory_bytes.map(|bytes| bytes / BYTES_PER_MEGABYTE),
            cpu_seconds: limits.cpu_seconds,
            disk_mb: Keeps::by(&programs.sandbox).disk.then_some(disk),
        }
    }

    /// The words about how a program ended, behind the limit that it met where that shows. Who created the task may have set
    /// none, and the words alone look like a fault of the machine.
    pub(super) fn told(&self, exit: Exit, out_of_memory: bool, words: String) -> String {
        /// What the C library and the runtimes above it make of `ENOSPC`.
        const DISK_IS_FULL: &str = "No space left on device";
        let met = if out_of_memory {
            self.memory_mb.map(|most| format!("the limit `memory_mb` is {most}"))
        } else if exit.is_out_of_processor_time() {
            self.cpu_seconds
                .map(|most| format!("the limit `cpu_seconds` is {most}"))
        } else if words.contains(DISK_IS_FULL) {
            // Which of the two it was the words do not say.
            self.disk_mb.map(|most| {
                format!(
                    "the limit `disk_mb` is {most}, with at most {} files",
                    Limits::DISK_FILES
                )
            })
        } else {
            None
        };
        match met {
            Some(met) => format!("{met}: {words}"),
            None => words,
        }
    }
}

impl Keeps {
    fn by(sandbox: &Sandbox) -> Self {
        Self {
            disk: sandbox.isolation() == Isolation::Full,
            processes: sandbox.counts_processes(),
            isolation: sandbox.isolation(),
        }
    }
}

impl Asked {
    fn granted(self, programs: &Programs) -> Result<Limits, String> {
        let Programs { most, usual, .. } = programs;
        self.within(most, usual, Keeps::by(&programs.sandbox))
    }

    fn within(self, most: &WorkerLimits, usual: &CommandLimits, keeps: Keeps) -> Result<Limits, String> {
        let level = keeps.isolation.as_str();
        if self.disk_mb.is_some() && !keeps.disk {
            return Err(format!(
                "the limit `disk_mb` cannot be kept by this worker: it takes the isolation `full`, and here is `{level}`"
            ));
        }
        if self.processes.is_some() && !keeps.processes {
            return Err(format!(
                "the limit `processes` cannot be kept by this worker: it takes control groups or the isolation `full`, and \
                 here is `{level}` without control groups"
            ));
        }
        let asked_or = |asked: Option<u64>, usual: Option<NonZeroU64>| asked.or(usual.map(NonZeroU64::get));
        let memory = asked_or(self.memory_mb, usual.memory_mb);
        let cpu = asked_or(self.cpu_seconds, usual.cpu_seconds);
        let disk_asked = asked_or(self.disk_mb, usual.disk_mb);
        let processes = asked_or(self.processes, usual.processes);
        let disk = within("disk_mb", disk_asked, most.disk_mb)?;
        // Who asks for no disk has the usual one, which is small, unless this worker grants less.
        let is_usual = |size: &u64| disk_asked.is_none() && *size >= u64::from(Limits::USUAL_DISK_MEGABYTES);
        Ok(Limits {
            memory_bytes: within("memory_mb", memory, most.memory_mb)?
                .map(|size| size.saturating_mul(BYTES_PER_MEGABYTE)),
            cpu_seconds: within("cpu_seconds", cpu, most.cpu_seconds)?,
            disk_megabytes: disk
                .filter(|size| keeps.disk && !is_usual(size))
                .map(|size| u32::try_from(size).unwrap_or(u32::MAX)),
            processes: within("processes", processes, most.processes)?.filter(|_| keeps.processes),
            ..Limits::default()
        })
    }
}

/// What is asked for, or the most of this worker; there, 0 stands for no limit.
fn within(name: &str, asked: Option<u64>, most: u64) -> Result<Option<u64>, String> {
    let most = Some(most).filter(|most| *most > 0);
    match (asked, most) {
        // Checked where tasks come in; here it would stand for no limit.
        (Some(0), _) => Err(format!("the limit `{name}` must be at least 1")),
        (Some(asked), Some(most)) if asked > most => Err(format!(
            "the limit `{name}` of {asked} is above what this worker grants: `worker.limits.{name}` is {most}"
        )),
        _ => Ok(asked.or(most)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: Keeps = Keeps {
        disk: true,
        processes: true,
        isolation: Isolation::Full,
    };
    const LESS: Keeps = Keeps {
        disk: false,
        processes: false,
        isolation: Isolation::Landlock,
    };
    const MOST: WorkerLimits = WorkerLimits {
        memory_mb: 100,
        cpu_seconds: 0,
        disk_mb: 1_000,
        processes: 50,
    };

    fn granted(json: &str, keeps: Keeps) -> Result<Limits, String> {
        serde_json::from_str::<Asked>(json)
            .map_err(|error| error.to_string())
            .and_then(|asked| asked.within(&MOST, &CommandLimits::default(), keeps))
    }

    #[test]
    fn what_is_asked_for_is_granted_and_what_is_not_is_the_most_there_is() {
        let json = r#"{"memory_mb": 64, "cpu_seconds": 5, "disk_mb": 7, "processes": null}"#;
        let limits = granted(json, FULL).expect("granted");
        assert_eq!((limits.memory_bytes, limits.cpu_seconds), (Some(67_108_864), Some(5)));
        assert_eq!((limits.disk_megabytes, limits.processes), (Some(7), Some(50)));
        let limits = granted("{}", LESS).expect("nothing is asked for");
        assert_eq!((limits.memory_bytes, limits.cpu_seconds), (Some(104_857_600), None));
        assert_eq!((limits.disk_megabytes, limits.processes), (None, None));
        let limits = granted("{}", FULL).expect("nothing is asked for");
        assert_eq!(limits.disk_megabytes, None, "the usual one is less than the most");
        let little = WorkerLimits { disk_mb: 10, ..MOST };
        let limits = Asked::default()
            .within(&little, &CommandLimits::default(), FULL)
            .expect("nothing is asked for");
        assert_eq!(
            limits.disk_megabytes,
            Some(10),
            "also where the most is less than the usual one"
        );
    }

    #[test]
    fn what_is_not_asked_for_is_the_usual_as_far_as_it_can_be_kept() {
        let usual: CommandLimits =
            serde_json::from_str(r#"{"memory_mb": 10, "disk_mb": 20, "processes": 5}"#).expect("limits");
        let granted = |json: &str, keeps| {
            let asked: Asked = serde_json::from_str(json).expect("limits");
            asked.within(&MOST, &usual, keeps).expect("granted")
        };
        let limits = granted("{}", FULL);
        assert_eq!((limits.memory_bytes, limits.cpu_seconds), (Some(10 << 20), None));
        assert_eq!((limits.disk_megabytes, limits.processes), (Some(20), Some(5)));
        let limits = granted(r#"{"memory_mb": 100, "disk_mb": 30}"#, FULL);
        assert_eq!(
            (limits.memory_bytes, limits.disk_megabytes),
            (Some(100 << 20), Some(30)),
            "a task may ask for more, within the most"
        );
        let limits = granted("{}", LESS);
        assert_eq!((limits.disk_megabytes, limits.processes), (None, None));
    }

    #[test]
    fn a_limit_that_a_program_met_is_told_with_its_value() {
        const SIGXCPU: i32 = 24;
        let kept = Kept {
            memory_mb: Some(256),
            cpu_seconds: Some(5),
            disk_mb: Some(64),
        };
        let (failed, full) = (Exit::Code(1), "OSError: [Errno 28] No space left on device");
        for (exit, out_of_memory, words, expected) in [
            (
                Exit::Signal(9),
                true,
                "it was killed",
                "the limit `memory_mb` is 256: it was killed",
            ),
            (
                Exit::Signal(SIGXCPU),
                false,
                "it was killed",
                "the limit `cpu_seconds` is 5: it was killed",
            ),
            (Exit::Signal(9), false, "it was killed", "it was killed"),
            (failed, false, "no luck", "no luck"),
            (
                failed,
                false,
                full,
                "the limit `disk_mb` is 64, with at most 100000 files: OSError: [Errno 28] No space left on device",
            ),
        ] {
            assert_eq!(kept.told(exit, out_of_memory, words.to_owned()), expected);
            assert_eq!(
                Kept::default().told(exit, out_of_memory, words.to_owned()),
                words,
                "nothing was kept"
            );
        }
    }

    #[test]
    fn what_cannot_be_granted_is_refused_by_name() {
        for (json, keeps, name) in [
            (
                r#"{"disk_mb": 1}"#,
                LESS,
                "`disk_mb` cannot be kept by this worker: it takes the isolation `full`",
            ),
            (
                r#"{"processes": 5}"#,
                LESS,
                "`processes` cannot be kept by this worker: it takes control groups or",
            ),
            (
                r#"{"gpu": 1}"#,
                FULL,
                "`gpu`, expected one of `memory_mb`, `cpu_seconds`, `disk_mb`, `processes`",
            ),
            (r#"{"memory_mb": 101}"#, FULL, "`worker.limits.memory_mb` is 100"),
            (r#"{"disk_mb": 1001}"#, FULL, "`worker.limits.disk_mb` is 1000"),
            (r#"{"disk_mb": 0}"#, FULL, "`disk_mb` must be at least 1"),
            (r#"{"cpu_seconds": 0}"#, FULL, "`cpu_seconds` must be at least 1"),
        ] {
            let message = granted(json, keeps).expect_err("not granted");
            assert!(message.contains(name), "{message}");
        }
    }
}
