//! What a caller asks for: the draft as it came, the rules it must meet, and the task specification that results.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::identity::{Target, TaskId, TaskName};
use crate::json::JsonText;
use crate::task::event::LifePatch;
use crate::task::life::TaskLife;
use crate::task::retry::{Backoff, RetryPolicy};
use crate::time::Timestamp;

/// Small key-value pairs to find tasks by.
pub type Labels = BTreeMap<String, String>;

const DESCRIPTION_MAX_LENGTH: usize = 2_000;
/// How many labels a task may have.
pub const LABELS_MAX_COUNT: usize = 32;
const LABEL_KEY_MAX_LENGTH: usize = 63;
const LABEL_VALUE_MAX_LENGTH: usize = 255;
pub const PRIORITY_MAX: u8 = 9;
const RETRIES_MAX: u16 = 1_000;

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
    pub created_at: Timestamp,
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

/// One broken rule, with a JSON pointer to the field (RFC 6901).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    pub pointer: String,
    pub message: String,
}

/// How many broken rules are told: whoever broke more has enough to mend.
const VIOLATIONS_MAX_COUNT: usize = 100;

/// Every broken rule of a request, so that a caller mends them in one go; of very many, the first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Violations(pub Vec<Violation>);

impl Violations {
    pub fn add(&mut self, pointer: impl Into<String>, message: impl Into<String>) {
        if self.0.len() < VIOLATIONS_MAX_COUNT {
            self.0.push(Violation {
                pointer: pointer.into(),
                message: message.into(),
            });
        }
    }

    /// The value, or `None` with the error noted.
    pub fn take<T, E: std::fmt::Display>(&mut self, pointer: &str, result: Result<T, E>) -> Option<T> {
        result.map_err(|error| self.add(pointer, error.to_string())).ok()
    }

    pub fn into_result(self) -> Result<(), Self> {
        if self.0.is_empty() { Ok(()) } else { Err(self) }
    }
}

/// A task as a caller describes it: nothing checked, nothing filled in.
#[derive(Debug, Clone, Default)]
pub struct TaskDraft {
    pub name: String,
    pub target: Option<String>,
    pub description: Option<String>,
    pub input: Option<JsonText>,
    pub labels: Labels,
    pub priority: Option<i64>,
    pub ttl_seconds: Option<f64>,
    pub timeout_seconds: Option<f64>,
    pub max_retries: Option<i64>,
    pub max_losses: Option<i64>,
    pub backoff: Option<Backoff>,
    pub scheduled_at: Option<Timestamp>,
    pub delay_seconds: Option<f64>,
    pub limits: Option<JsonText>,
    pub parent_id: Option<TaskId>,
}

impl TaskDraft {
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
        let target = rules.take(
            "/target",
            Target::new(self.target.unwrap_or_else(|| "default".to_owned())),
        );
        rules.description(self.description.as_deref());
        rules.input(self.input.as_ref());
        rules.labels(&self.labels);
        let priority = rules.whole("/priority", self.priority, 0, u16::from(PRIORITY_MAX));
        let ttl = rules.ttl(self.ttl_seconds).unwrap_or(limits.default_ttl);
        let timeout = rules.timeout(self.timeout_seconds);
        let policy = RetryPolicy {
            max_retries: rules.whole(
                "/max_retries",
                self.max_retries,
                RetryPolicy::DEFAULT.max_retries,
                RETRIES_MAX,
            ),
            max_losses: rules.whole(
                "/max_losses",
                self.max_losses,
                RetryPolicy::DEFAULT.max_losses,
                RETRIES_MAX,
            ),
            backoff: self.backoff.unwrap_or(Backoff::DEFAULT),
        };
        let scheduled_at = rules.scheduled_at(self.scheduled_at, self.delay_seconds, now);
        match (name, target, rules.violations.into_result()) {
            (Some(name), Some(target), Ok(())) => {
                let spec = TaskSpec {
                    id,
                    name,
                    target,
                    description: self.description,
                    input: self.input.unwrap_or_else(JsonText::null),
                    labels: self.labels,
                    priority: u8::try_from(priority).unwrap_or(PRIORITY_MAX),
                    ttl,
                    timeout,
                    policy,
                    limits: self.limits,
                    parent_id: self.parent_id,
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
    pub life: LifePatch,
}

impl TaskPatch {
    /// # Errors
    /// All [`Violations`].
    pub fn check(self, limits: &SpecLimits, now: Timestamp) -> Result<CheckedPatch, Violations> {
        let mut rules = Rules {
            prefix: "",
            limits,
            violations: Violations::default(),
        };
        rules.description(self.description.as_ref().and_then(Option::as_deref));
        rules.input(self.input.as_ref());
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
        let touches_what_runs = priority.is_some() || self.input.is_some() || target.is_some() || timeout.is_some();
        Ok(CheckedPatch {
            description: self.description,
            labels: self.labels,
            priority: priority.map(|value| u8::try_from(value).unwrap_or(PRIORITY_MAX)),
            input: self.input,
            target,
            timeout,
            life: LifePatch {
                ttl,
                max_retries,
                scheduled_at,
                touches_what_runs,
            },
        })
    }
}

/// The rules for single fields, shared by creating and patching.
struct Rules<'a> {
    prefix: &'a str,
    limits: &'a SpecLimits,
    violations: Violations,
}

impl Rules<'_> {
    fn add(&mut self, field: &str, message: impl Into<String>) {
        self.violations.add(format!("{}{field}", self.prefix), message);
    }

    fn take<T, E: std::fmt::Display>(&mut self, field: &str, result: Result<T, E>) -> Option<T> {
        self.violations.take(&format!("{}{field}", self.prefix), result)
    }

    fn whole(&mut self, field: &str, value: Option<i64>, default: u16, max: u16) -> u16 {
        match value {
            None => default,
            Some(value) => match u16::try_from(value) {
                Ok(value) if value <= max => value,
                _ => {
                    self.add(field, format!("must be a whole number from 0 to {max}, not {value}"));
                    default
                }
            },
        }
    }

    /// Whole milliseconds, more than zero, at most `max`.
    fn seconds(&mut self, field: &str, seconds: Option<f64>, max: Duration) -> Option<Duration> {
        let seconds = seconds?;
        if seconds >= 0.001 && seconds <= max.as_secs_f64() {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "the range was just checked"
            )]
            Some(Duration::from_millis((seconds * 1_000.0).round() as u64))
        } else {
            self.add(
                field,
                format!("must lie between 0.001 and {} seconds, not {seconds}", max.as_secs()),
            );
            None
        }
    }

    fn ttl(&mut self, seconds: Option<f64>) -> Option<Duration> {
        self.seconds("/ttl_seconds", seconds, self.limits.max_ttl)
    }

    fn timeout(&mut self, seconds: Option<f64>) -> Option<Duration> {
        self.seconds("/timeout_seconds", seconds, self.limits.max_timeout)
    }

    fn scheduled_at(&mut self, at: Option<Timestamp>, delay_seconds: Option<f64>, now: Timestamp) -> Timestamp {
        let latest = now + self.limits.max_delay;
        match (at, delay_seconds) {
            (Some(_), Some(_)) => self.add("/delay_seconds", "give either scheduled_at or delay_seconds, not both"),
            (Some(at), None) if at > latest => {
                self.add("/scheduled_at", format!("must not be later than {latest}, not {at}"));
            }
            // A time in the past means: now. The time-to-live would otherwise have begun before the task existed.
            (Some(at), None) => return at.max(now),
            (None, Some(0.0) | None) => {}
            (None, Some(_)) => {
                if let Some(delay) = self.seconds("/delay_seconds", delay_seconds, self.limits.max_delay) {
                    return now + delay;
                }
            }
        }
        now
    }

    fn description(&mut self, description: Option<&str>) {
        let Some(description) = description else { return };
        if description.len() > DESCRIPTION_MAX_LENGTH {
            self.add(
                "/description",
                format!("must not be longer than {DESCRIPTION_MAX_LENGTH} bytes"),
            );
        }
        self.no_nul("/description", description);
    }

    fn input(&mut self, input: Option<&JsonText>) {
        if input.is_some_and(|input| input.len() > self.limits.input_max_bytes) {
            self.add(
                "/input",
                format!("must not be larger than {} bytes", self.limits.input_max_bytes),
            );
        }
    }

    fn labels(&mut self, labels: &Labels) {
        if labels.len() > LABELS_MAX_COUNT {
            self.add("/labels", format!("must not have more than {LABELS_MAX_COUNT} entries"));
            return;
        }
        for (key, value) in labels {
            // RFC 6901 escapes, so that the pointer stays one.
            let field = format!("/labels/{}", key.replace('~', "~0").replace('/', "~1"));
            if key.is_empty() || key.len() > LABEL_KEY_MAX_LENGTH {
                self.add(
                    &field,
                    format!("a label's key must have 1 to {LABEL_KEY_MAX_LENGTH} bytes"),
                );
            }
            if value.len() > LABEL_VALUE_MAX_LENGTH {
                self.add(
                    &field,
                    format!("a label's value must not be longer than {LABEL_VALUE_MAX_LENGTH} bytes"),
                );
            }
            self.no_nul(&field, key);
            self.no_nul(&field, value);
        }
    }

    fn no_nul(&mut self, field: &str, text: &str) {
        if text.contains('\0') {
            self.add(field, "must not contain the character U+0000, which cannot be stored");
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
