//! A change of a task by a caller: as it came, and as it meets the rules.

use std::time::Duration;

use crate::identity::{Target, TaskName};
use crate::json::JsonText;
use crate::task::event::LifePatch;
use crate::task::rules::{PRIORITY_MAX, RETRIES_MAX, Rules, Violations};
use crate::task::spec::{Labels, SpecLimits, TaskSpec};
use crate::time::Timestamp;

/// A change by a caller; `None` leaves a field as it is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TaskPatch {
    /// `Some(None)` removes it.
    pub description: Option<Option<String>>,
    pub labels: Option<Labels>,
    pub priority: Option<i64>,
    pub input: Option<JsonText>,
    pub target: Option<String>,
    pub ttl_seconds: Option<f64>,
    /// `Some(None)` removes the limit.
    pub timeout_seconds: Option<Option<f64>>,
    pub max_retries: Option<i64>,
    pub scheduled_at: Option<Timestamp>,
    /// `Some(None)` removes them.
    pub limits: Option<Option<JsonText>>,
}

/// A [`TaskPatch`] that meets the rules.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CheckedPatch {
    pub description: Option<Option<String>>,
    pub labels: Option<Labels>,
    pub priority: Option<u8>,
    pub input: Option<JsonText>,
    pub target: Option<Target>,
    pub timeout: Option<Option<Duration>>,
    pub limits: Option<Option<JsonText>>,
    pub life: LifePatch,
}

impl TaskPatch {
    /// Checks every rule for a task of this name.
    ///
    /// # Errors
    /// All [`Violations`].
    pub fn check(self, name: &TaskName, limits: &SpecLimits, now: Timestamp) -> Result<CheckedPatch, Violations> {
        let mut rules = Rules {
            prefix: "",
            limits,
            violations: Violations::default(),
        };
        rules.description(self.description.as_ref().and_then(Option::as_deref));
        rules.input(self.input.as_ref());
        if self.input.is_some() {
            rules.input_of(name, self.input.as_ref());
        }
        if let Some(labels) = &self.labels {
            rules.labels(labels);
        }
        let priority = self
            .priority
            .map(|value| rules.whole("/priority", Some(value), 0, u16::from(PRIORITY_MAX)));
        let target = self
            .target
            .and_then(|target| rules.take("/target", Target::new(target)));
        let ttl = rules.ttl(self.ttl_seconds);
        let timeout = self.timeout_seconds.map(|seconds| rules.timeout(seconds));
        let max_retries = self
            .max_retries
            .map(|value| rules.whole("/max_retries", Some(value), 0, RETRIES_MAX));
        let scheduled_at = self.scheduled_at.map(|at| rules.scheduled_at(Some(at), None, now));
        rules.violations.into_result()?;
        let touches_what_runs = priority.is_some()
            || self.input.is_some()
            || target.is_some()
            || timeout.is_some()
            || self.limits.is_some();
        Ok(CheckedPatch {
            description: self.description,
            labels: self.labels,
            priority: priority.map(|value| u8::try_from(value).unwrap_or(PRIORITY_MAX)),
            input: self.input,
            target,
            timeout,
            limits: self.limits,
            life: LifePatch {
                ttl,
                max_retries,
                scheduled_at,
                touches_what_runs,
            },
        })
    }
}

impl CheckedPatch {
    /// Whether the task is just so already, as far as the patch is about what its life does not change.
    pub fn leaves(&self, spec: &TaskSpec) -> bool {
        let Self {
            description,
            labels,
            priority,
            input,
            target,
            timeout,
            limits,
            life:
                LifePatch {
                    ttl,
                    max_retries,
                    // Those of the life, which the transition tells.
                    scheduled_at: _,
                    touches_what_runs: _,
                },
        } = self;
        description
            .as_ref()
            .is_none_or(|description| *description == spec.description)
            && labels.as_ref().is_none_or(|labels| *labels == spec.labels)
            && priority.is_none_or(|priority| priority == spec.priority)
            && input.as_ref().is_none_or(|input| *input == spec.input)
            && target.as_ref().is_none_or(|target| *target == spec.target)
            && timeout.is_none_or(|timeout| timeout == spec.timeout)
            && limits.as_ref().is_none_or(|limits| *limits == spec.limits)
            && ttl.is_none_or(|ttl| ttl == spec.ttl)
            && max_retries.is_none_or(|max_retries| max_retries == spec.policy.max_retries)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::identity::TaskId;
    use crate::task::spec::TaskDraft;

    fn python() -> TaskSpec {
        let draft = TaskDraft {
            name: "python".to_owned(),
            input: Some(JsonText::new(r#"{"code": "1"}"#).expect("JSON")),
            priority: Some(5),
            timeout_seconds: Some(2.0),
            ..TaskDraft::default()
        };
        let checked = draft.check("", TaskId(Uuid::nil()), &SpecLimits::default(), Timestamp::EPOCH);
        checked.expect("it meets the rules").0
    }

    fn checked(patch: TaskPatch) -> Result<CheckedPatch, Violations> {
        patch.check(&python().name, &SpecLimits::default(), Timestamp::EPOCH)
    }

    #[test]
    fn a_new_input_must_suit_the_name() {
        let input = |text: &str| TaskPatch {
            input: Some(JsonText::new(text.to_owned()).expect("JSON")),
            ..TaskPatch::default()
        };
        assert!(checked(input(r#"{"code": "2"}"#)).is_ok());
        let broken = checked(input(r#"{"script": "2"}"#)).expect_err("that of another name");
        assert_eq!(broken.0[0].pointer, "/input/script");
    }

    #[test]
    fn a_patch_to_what_is_so_already_leaves_it() {
        let spec = python();
        let same = TaskPatch {
            description: Some(None),
            labels: Some(Labels::new()),
            priority: Some(5),
            input: Some(spec.input.clone()),
            target: Some("default".to_owned()),
            ttl_seconds: Some(86_400.0),
            timeout_seconds: Some(Some(2.0)),
            max_retries: Some(0),
            scheduled_at: None,
            limits: Some(None),
        };
        assert!(checked(same.clone()).expect("it meets the rules").leaves(&spec));
        for other in [
            TaskPatch {
                description: Some(Some(String::new())),
                ..same.clone()
            },
            TaskPatch {
                labels: Some(Labels::from([("a".to_owned(), "b".to_owned())])),
                ..same.clone()
            },
            TaskPatch {
                priority: Some(4),
                ..same.clone()
            },
            TaskPatch {
                target: Some("gpu".to_owned()),
                ..same.clone()
            },
            TaskPatch {
                ttl_seconds: Some(1.0),
                ..same.clone()
            },
            TaskPatch {
                timeout_seconds: Some(None),
                ..same.clone()
            },
            TaskPatch {
                max_retries: Some(1),
                ..same.clone()
            },
            TaskPatch {
                limits: Some(Some(JsonText::new(r#"{"memory_mb":64}"#).expect("JSON"))),
                ..same
            },
        ] {
            assert!(
                !checked(other.clone()).expect("it meets the rules").leaves(&spec),
                "{other:?}"
            );
        }
    }
}
