//! What a task may use: what it asks for, within what this worker grants.

use orchestratum_engine::WorkerLimits;
use orchestratum_sandbox::{Isolation, Limits, Sandbox};
use orchestratum_store::ClaimedTask;
use serde::Deserialize;

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
pub(super) fn of(task: &ClaimedTask, most: &WorkerLimits, sandbox: &Sandbox) -> Result<Limits, String> {
    let asked: Option<Asked> = match &task.limits {
        None => None,
        Some(limits) => limits
            .parse()
            .map_err(|error| format!("the limits of the task are not available on this worker yet: {error}"))?,
    };
    asked.unwrap_or_default().granted(most, Keeps::by(sandbox))
}

/// The limits of a task that asks for none.
pub(super) fn usual(most: &WorkerLimits, sandbox: &Sandbox) -> Limits {
    // Nothing that is not asked for is refused.
    Asked::default().granted(most, Keeps::by(sandbox)).unwrap_or_default()
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
    fn granted(self, most: &WorkerLimits, keeps: Keeps) -> Result<Limits, String> {
        let kept = |name: &str, asked: Option<u64>, keeps_it: bool| match asked {
            Some(_) if !keeps_it => Err(format!(
                "the limit `{name}` cannot be kept by this worker: its isolation is `{}`, not `full`",
                keeps.isolation.as_str()
            )),
            _ => Ok(()),
        };
        kept("disk_mb", self.disk_mb, keeps.disk)?;
        kept("processes", self.processes, keeps.processes)?;
        let disk = within("disk_mb", self.disk_mb, most.disk_mb)?;
        Ok(Limits {
            memory_bytes: within("memory_mb", self.memory_mb, most.memory_mb)?
                .map(|size| size.saturating_mul(BYTES_PER_MEGABYTE)),
            cpu_seconds: within("cpu_seconds", self.cpu_seconds, most.cpu_seconds)?,
            // A task that asks for no disk has the usual one, which is small.
            disk_megabytes: self
                .disk_mb
                .and(disk)
                .map(|size| u32::try_from(size).unwrap_or(u32::MAX)),
            processes: within("processes", self.processes, most.processes)?.filter(|_| keeps.processes),
            ..Limits::default()
        })
    }
}

/// What is asked for, or the most of this worker; there, 0 stands for no limit.
fn within(name: &str, asked: Option<u64>, most: u64) -> Result<Option<u64>, String> {
    let most = Some(most).filter(|most| *most > 0);
    match (asked, most) {
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
            .and_then(|asked| asked.granted(&MOST, keeps))
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
    }

    #[test]
    fn what_cannot_be_granted_is_refused_by_name() {
        for (json, keeps, name) in [
            (r#"{"disk_mb": 1}"#, LESS, "`disk_mb` cannot be kept"),
            (r#"{"processes": 5}"#, LESS, "`processes` cannot be kept"),
            (r#"{"gpu": 1}"#, FULL, "`gpu`"),
            (r#"{"memory_mb": 101}"#, FULL, "`worker.limits.memory_mb` is 100"),
            (r#"{"disk_mb": 1001}"#, FULL, "`worker.limits.disk_mb` is 1000"),
        ] {
            let message = granted(json, keeps).expect_err("not granted");
            assert!(message.contains(name), "{message}");
        }
    }
}
