//! What a task may use, as far as this worker can hold it to that.

use orchestratum_sandbox::Limits;
use orchestratum_store::ClaimedTask;
use serde::Deserialize;

const BYTES_PER_MEGABYTE: u64 = 1 << 20;

/// `null` stands for an absent field.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    memory_mb: Option<u64>,
    cpu_seconds: Option<u64>,
    disk_mb: Option<u64>,
    processes: Option<u64>,
}

/// The limits of each process of the task. One that cannot be kept is refused: whoever asks for it relies on it.
pub(super) fn of(task: &ClaimedTask) -> Result<Limits, String> {
    let Some(limits) = &task.limits else {
        return Ok(Limits::default());
    };
    let asked: Option<Asked> = limits
        .parse()
        .map_err(|error| format!("the limits of the task are not available on this worker yet: {error}"))?;
    asked.map_or(Ok(Limits::default()), Asked::checked)
}

impl Asked {
    fn checked(self) -> Result<Limits, String> {
        for (name, value) in [("disk_mb", self.disk_mb), ("processes", self.processes)] {
            if value.is_some() {
                return Err(format!("the limit `{name}` is not available on this worker yet"));
            }
        }
        Ok(Limits {
            cpu_seconds: self.cpu_seconds,
            address_space_bytes: self.memory_mb.map(|size| size.saturating_mul(BYTES_PER_MEGABYTE)),
            ..Limits::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(json: &str) -> Result<Limits, String> {
        serde_json::from_str::<Asked>(json)
            .map_err(|error| error.to_string())
            .and_then(Asked::checked)
    }

    #[test]
    fn memory_and_processor_time_are_passed_on() {
        let limits = checked(r#"{"memory_mb": 64, "cpu_seconds": 5, "disk_mb": null}"#).expect("available");
        assert_eq!(limits.address_space_bytes, Some(67_108_864));
        assert_eq!(limits.cpu_seconds, Some(5));
    }

    #[test]
    fn what_cannot_be_kept_is_refused_by_name() {
        for (json, name) in [
            (r#"{"disk_mb": 1}"#, "`disk_mb`"),
            (r#"{"processes": 5}"#, "`processes`"),
            (r#"{"gpu": 1}"#, "`gpu`"),
        ] {
            let message = checked(json).expect_err("not available");
            assert!(message.contains(name), "{message}");
        }
    }
}
