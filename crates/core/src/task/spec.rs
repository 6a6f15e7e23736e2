//! What a caller asks for: the draft as it came, the rules it must meet, and the task specification that results.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::identity::{SagaId, ScheduleId, Target, TaskId, TaskName};
use crate::json::JsonText;
use crate::saga::Purpose;
use crate::task::conditions::{Conditions, ConditionsDraft, KnownTask};
use crate::task::follow_up::{FollowUpPlace, FollowUps};
use crate::task::group::GroupPlace;
use crate::task::life::TaskLife;
use crate::task::retry::{Backoff, RetryPolicy};
use crate::task::rules::{PRIORITY_MAX, Rules, Violations};
use crate::time::Timestamp;

/// Small key-value pairs to find tasks by.
pub type Labels = BTreeMap<String, String>;

/// The part of a task that its life does not change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskSpec {
    pub id: TaskId,
    pub name: TaskName,
    pub target: Target,
    pub description: Option<String>,
    pub input: JsonText,
    pub labels: Labels,
    /// 0 to 9; higher goes first.
    pub priority: u8,
    pub ttl: Duration,
    /// The limit of one attempt.
    pub timeout: Option<Duration>,
    pub policy: RetryPolicy,
    /// Limits of a code task, as JSON (`memory_mb`, `cpu_seconds`, `disk_mb`, `processes`).
    pub limits: Option<JsonText>,
    pub parent_id: Option<TaskId>,
    /// Which follow-up of the parent it is.
    pub place: Option<FollowUpPlace>,
    /// The schedule that made it.
    pub scheduled_by: Option<ScheduledBy>,
    /// What comes after it.
    pub follow_ups: FollowUps,
    /// What must hold before it may run, or be made.
    pub conditions: Option<Box<Conditions>>,
    /// Which member of a group it is.
    pub group: Option<GroupPlace>,
    /// Which task of a saga it is.
    pub saga: Option<SagaPlace>,
    pub created_at: Timestamp,
}

/// Which task of a saga it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SagaPlace {
    pub saga: SagaId,
    /// By which the saga knows it.
    pub number: u32,
    pub purpose: Purpose,
}

/// Which task of a schedule it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScheduledBy {
    pub schedule: ScheduleId,
    /// The time it stands for: with the schedule, that is what exists at most once. `None` where a caller triggered it.
    pub slot: Option<Timestamp>,
}

/// The bounds a configuration sets on what callers may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpecLimits {
    pub default_ttl: Duration,
    pub max_ttl: Duration,
    pub max_timeout: Duration,
    /// How far ahead a task may be scheduled.
    pub max_delay: Duration,
    pub input_max_bytes: usize,
}

impl Default for SpecLimits {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(86_400);
        Self {
            default_ttl: DAY,
            max_ttl: DAY * 36_525,
            max_timeout: DAY * 30,
            max_delay: DAY * 3_653,
            input_max_bytes: 1 << 20,
        }
    }
}

/// A task as a caller describes it: nothing checked, nothing filled in. What it has not is left out of its stored form.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TaskDraft {
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<JsonText>,
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_seconds: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_retries: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_losses: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backoff: Option<Backoff>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduled_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_seconds: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<JsonText>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_id: Option<TaskId>,
    #[serde(default, skip_serializing_if = "FollowUps::is_empty")]
    pub follow_ups: FollowUps,
    #[serde(default, skip_serializing_if = "ConditionsDraft::is_empty")]
    pub conditions: ConditionsDraft,
}

impl TaskDraft {
    /// How large what its caller gave is, roughly: that without a bound of its own, or with a wide one.
    pub fn bytes(&self) -> usize {
        let input = self.input.as_ref().map_or(0, JsonText::len);
        let description = self.description.as_ref().map_or(0, String::len);
        let labels = self.labels.iter();
        let labels: usize = labels.map(|(key, value)| key.len() + value.len()).sum();
        input + description + labels + self.follow_ups.bytes()
    }

    /// Checks every rule and fills in the defaults.
    ///
    /// # Errors
    /// All [`Violations`], each with a pointer below `prefix` (empty, or `/tasks/3` in a batch).
    pub fn check(
        self,
        prefix: &str,
        id: TaskId,
        limits: &SpecLimits,
        now: Timestamp,
    ) -> Result<(TaskSpec, TaskLife), Violations> {
        let mut rules = Rules {
            prefix,
            limits,
            violations: Violations::default(),
        };
        let name = rules.take("/name", TaskName::new(self.name));
        let target = rules.target(self.target);
        rules.description(self.description.as_deref());
        rules.input(self.input.as_ref());
        if let Some(name) = &name {
            rules.input_of(name, self.input.as_ref());
        }
        rules.labels(&self.labels);
        let priority = rules.whole("/priority", self.priority, 0, u16::from(PRIORITY_MAX));
        let ttl = rules.ttl(self.ttl_seconds).unwrap_or(limits.default_ttl);
        let timeout = rules.timeout(self.timeout_seconds);
        let policy = rules.policy(self.max_retries, self.max_losses, self.backoff);
        let scheduled_at = rules.scheduled_at(self.scheduled_at, self.delay_seconds, now);
        if let Err(broken) = self.follow_ups.check(prefix, limits, now) {
            rules.violations.extend_below("", broken);
        }
        let priority = u8::try_from(priority).unwrap_or(PRIORITY_MAX);
        let input = self.input.unwrap_or_else(JsonText::null);
        let known = name.as_ref().zip(target.as_ref()).map(|(name, target)| KnownTask {
            id,
            name,
            target,
            description: self.description.as_deref(),
            input: &input,
            labels: &self.labels,
            priority,
            parent_id: self.parent_id,
            created_at: now,
            scheduled_at,
        });
        let conditions = known.and_then(|known| rules.conditions(&self.conditions, known));
        match (name, target, rules.violations.into_result()) {
            (Some(name), Some(target), Ok(())) => {
                let spec = TaskSpec {
                    id,
                    name,
                    target,
                    description: self.description,
                    input,
                    labels: self.labels,
                    priority,
                    ttl,
                    timeout,
                    policy,
                    limits: self.limits,
                    parent_id: self.parent_id,
                    place: None,
                    scheduled_by: None,
                    saga: None,
                    follow_ups: self.follow_ups,
                    conditions,
                    group: None,
                    created_at: now,
                };
                let life = TaskLife::new(policy, scheduled_at, ttl);
                Ok((spec, life))
            }
            (_, _, Err(violations)) => Err(violations),
            (_, _, Ok(())) => unreachable!("a missing name or target is a violation"),
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn check(draft: TaskDraft) -> Result<(TaskSpec, TaskLife), Vec<String>> {
        draft
            .check(
                "",
                TaskId(Uuid::nil()),
                &SpecLimits::default(),
                Timestamp::from_micros(1_000_000),
            )
            .map_err(|violations| violations.0.into_iter().map(|violation| violation.pointer).collect())
    }

    #[test]
    fn a_target_that_no_address_can_hold_is_refused() {
        for target in [".", ".."] {
            let draft = TaskDraft {
                name: "echo".to_owned(),
                target: Some(target.to_owned()),
                ..TaskDraft::default()
            };
            assert_eq!(check(draft).expect_err("no queue can be paused by it"), ["/target"]);
        }
    }

    fn named() -> TaskDraft {
        TaskDraft {
            name: "echo".to_owned(),
            ..TaskDraft::default()
        }
    }

    #[test]
    fn a_name_alone_makes_a_task_that_is_due_now_and_dies_in_a_day() {
        let (spec, life) = check(named()).expect("valid");
        assert_eq!(spec.target.as_str(), "default");
        assert_eq!(spec.input, JsonText::null());
        assert_eq!(life.scheduled_at, Timestamp::from_micros(1_000_000));
        assert_eq!(
            life.expires_at.saturating_since(life.scheduled_at),
            Duration::from_secs(86_400)
        );
    }

    #[test]
    fn every_broken_rule_is_named_at_once() {
        let pointers = check(TaskDraft {
            name: "no spaces".to_owned(),
            target: Some(String::new()),
            priority: Some(10),
            ttl_seconds: Some(f64::NAN),
            timeout_seconds: Some(-1.0),
            max_retries: Some(-1),
            labels: Labels::from([("a/b".to_owned(), "x".repeat(256))]),
            ..TaskDraft::default()
        })
        .expect_err("invalid");
        assert_eq!(
            pointers,
            [
                "/name",
                "/target",
                "/labels/a~1b",
                "/priority",
                "/ttl_seconds",
                "/timeout_seconds",
                "/max_retries"
            ]
        );
    }

    #[test]
    fn the_deadline_counts_from_the_scheduled_time() {
        let (_, life) = check(TaskDraft {
            delay_seconds: Some(10.0),
            ttl_seconds: Some(1.5),
            ..named()
        })
        .expect("valid");
        assert_eq!(life.scheduled_at, Timestamp::from_micros(11_000_000));
        assert_eq!(life.expires_at, Timestamp::from_micros(12_500_000));
    }

    #[test]
    fn a_number_out_of_its_range_is_told_with_the_range() {
        for (draft, message) in [
            (
                TaskDraft {
                    delay_seconds: Some(-5.0),
                    ..named()
                },
                "must lie between 0 and 315619200 seconds, not -5",
            ),
            (
                TaskDraft {
                    ttl_seconds: Some(0.0),
                    ..named()
                },
                "must lie between 0.001 and 3155760000 seconds, not 0",
            ),
            (
                TaskDraft {
                    max_losses: Some(1_001),
                    ..named()
                },
                "must be a whole number from 0 to 1000, not 1001",
            ),
        ] {
            let broken = draft
                .check("", TaskId(Uuid::nil()), &SpecLimits::default(), Timestamp::EPOCH)
                .expect_err("out of its range");
            assert_eq!(broken.0[0].message, message);
        }
    }

    #[test]
    fn the_input_of_a_built_in_task_is_checked_with_the_rest() {
        let shell = TaskDraft {
            name: "shell".to_owned(),
            priority: Some(10),
            ..TaskDraft::default()
        };
        assert_eq!(check(shell).expect_err("no input"), ["/input", "/priority"]);
        let python = TaskDraft {
            name: "python".to_owned(),
            input: Some(JsonText::new(r#"{"code": "", "args": [1]}"#).expect("JSON")),
            ..TaskDraft::default()
        };
        assert_eq!(check(python).expect_err("a number"), ["/input/args/0"]);
    }

    #[test]
    fn a_time_in_the_past_means_now() {
        let (_, life) = check(TaskDraft {
            scheduled_at: Some(Timestamp::EPOCH),
            ..named()
        })
        .expect("valid");
        assert_eq!(life.scheduled_at, Timestamp::from_micros(1_000_000));
    }

    #[test]
    fn both_ways_to_say_when_are_one_too_many() {
        let pointers = check(TaskDraft {
            scheduled_at: Some(Timestamp::EPOCH),
            delay_seconds: Some(1.0),
            ..named()
        })
        .expect_err("invalid");
        assert_eq!(pointers, ["/delay_seconds"]);
    }
}
