//! The change of a task's limits, shared by the patch and the retry.

use orchestratum_core::JsonText;
use serde::Deserialize;
use utoipa::ToSchema;

use super::body::stored_limits;
use super::patch::given;
use crate::extract::Whole;
use crate::problem::{Problem, Result};
use crate::routes::schema::Limits;

/// Merged limit by limit: what is absent stays, `null` removes one.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = LimitsPatch)]
#[expect(clippy::option_option, reason = "absent and null are two things in a merge patch")]
pub(crate) struct LimitsPatch {
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 1_048_576)]
    memory_mb: Option<Option<Whole<1, 1_048_576>>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 2_592_000)]
    cpu_seconds: Option<Option<Whole<1, 2_592_000>>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 1_048_576)]
    disk_mb: Option<Option<Whole<1, 1_048_576>>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 100_000)]
    processes: Option<Option<Whole<1, 100_000>>>,
}

/// The limits that a task has after the change; `None` of a change removes all.
pub(super) fn merged(found: Option<&JsonText>, change: Option<LimitsPatch>) -> Result<Option<JsonText>> {
    let Some(change) = change else { return Ok(None) };
    let LimitsPatch {
        memory_mb,
        cpu_seconds,
        disk_mb,
        processes,
    } = change;
    let found: Limits = match found {
        Some(text) => serde_json::from_str(text.as_str()).map_err(|error| Problem::internal(&error))?,
        None => Limits::default(),
    };
    let limits = Limits {
        memory_mb: memory_mb.unwrap_or(found.memory_mb),
        cpu_seconds: cpu_seconds.unwrap_or(found.cpu_seconds),
        disk_mb: disk_mb.unwrap_or(found.disk_mb),
        processes: processes.unwrap_or(found.processes),
    };
    if limits == Limits::default() {
        return Ok(None);
    }
    stored_limits(&limits, "").map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(found: Option<&str>, change: &str) -> Option<String> {
        let found = found.map(|text| JsonText::new(text).expect("JSON"));
        let change = serde_json::from_str(change).expect("a change");
        let limits = merged(found.as_ref(), change).expect("it meets the rules");
        limits.map(|limits| limits.as_str().to_owned())
    }

    #[test]
    fn each_limit_is_changed_by_itself() {
        let found = Some(r#"{"memory_mb":64,"cpu_seconds":5}"#);
        for (change, expected) in [
            (r#"{"memory_mb": 512}"#, Some(r#"{"memory_mb":512,"cpu_seconds":5}"#)),
            (r#"{"memory_mb": null}"#, Some(r#"{"cpu_seconds":5}"#)),
            (r#"{"memory_mb": null, "cpu_seconds": null}"#, None),
            ("{}", found),
            ("null", None),
        ] {
            assert_eq!(after(found, change).as_deref(), expected, "{change}");
        }
        assert_eq!(after(None, r#"{"disk_mb": 8}"#).as_deref(), Some(r#"{"disk_mb":8}"#));
    }

    #[test]
    fn a_limit_out_of_its_range_is_refused_with_its_place() {
        let change = serde_json::from_str(r#"{"memory_mb": 0}"#).expect("a change");
        let problem = merged(None, change).expect_err("it breaks a rule");
        assert!(
            problem.to_string().contains("/limits/memory_mb must be a whole number"),
            "{problem}"
        );
    }
}
