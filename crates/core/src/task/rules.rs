//! The rules for what callers may ask, field by field, shared by creating and patching.

use std::fmt::{self, Display};
use std::time::Duration;

use crate::identity::{Target, TaskName, is_step_of_a_path};
use crate::json::JsonText;
use crate::task::built_in::BuiltIn;
use crate::task::conditions::{Conditions, ConditionsDraft, KnownTask};
use crate::task::retry::{Backoff, RetryPolicy};
use crate::task::spec::{Labels, SpecLimits};
use crate::time::Timestamp;

const DESCRIPTION_MAX_LENGTH: usize = 2_000;
/// How many labels a task may have.
pub const LABELS_MAX_COUNT: usize = 32;
const LABEL_KEY_MAX_LENGTH: usize = 63;
const LABEL_VALUE_MAX_LENGTH: usize = 255;
pub const PRIORITY_MAX: u8 = 9;
/// The most of `max_retries` and of `max_losses`.
pub const RETRIES_MAX: u16 = 1_000;
const SHORTEST: Duration = Duration::from_millis(1);

/// One broken rule, with a JSON pointer to the field (RFC 6901).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    pub pointer: String,
    pub message: String,
}

impl Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The whole has no pointer.
        if !self.pointer.is_empty() {
            write!(f, "{} ", self.pointer)?;
        }
        f.write_str(&self.message)
    }
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
    pub fn take<T, E: Display>(&mut self, pointer: &str, result: Result<T, E>) -> Option<T> {
        result.map_err(|error| self.add(pointer, error.to_string())).ok()
    }

    /// Notes those of a part of the request.
    pub fn extend_below(&mut self, prefix: &str, broken: Self) {
        for Violation { pointer, message } in broken.0 {
            self.add(format!("{prefix}{pointer}"), message);
        }
    }

    pub fn into_result(self) -> Result<(), Self> {
        if self.0.is_empty() { Ok(()) } else { Err(self) }
    }
}

/// A name as a step of a JSON pointer (RFC 6901).
pub fn json_pointer(name: &str) -> String {
    format!("/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// Takes fields, and notes which of them break a rule.
pub(super) struct Rules<'a> {
    pub(super) prefix: &'a str,
    pub(super) limits: &'a SpecLimits,
    pub(super) violations: Violations,
}

impl Rules<'_> {
    fn add(&mut self, field: &str, message: impl Into<String>) {
        self.violations.add(format!("{}{field}", self.prefix), message);
    }

    pub(super) fn take<T, E: Display>(&mut self, field: &str, result: Result<T, E>) -> Option<T> {
        self.violations.take(&format!("{}{field}", self.prefix), result)
    }

    pub(super) fn target(&mut self, target: Option<String>) -> Option<Target> {
        let target = target.unwrap_or_else(|| "default".to_owned());
        let target = self.take("/target", Target::new(target))?;
        if is_step_of_a_path(target.as_str()) {
            self.add(
                "/target",
                format!("must not be {target}: no address can name its queue"),
            );
        }
        Some(target)
    }

    pub(super) fn whole(&mut self, field: &str, value: Option<i64>, default: u16, max: u16) -> u16 {
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

    pub(super) fn policy(
        &mut self,
        max_retries: Option<i64>,
        max_losses: Option<i64>,
        backoff: Option<Backoff>,
    ) -> RetryPolicy {
        let default = RetryPolicy::DEFAULT;
        RetryPolicy {
            max_retries: self.whole("/max_retries", max_retries, default.max_retries, RETRIES_MAX),
            max_losses: self.whole("/max_losses", max_losses, default.max_losses, RETRIES_MAX),
            backoff: backoff.unwrap_or(Backoff::DEFAULT),
        }
    }

    pub(super) fn conditions(&mut self, draft: &ConditionsDraft, task: KnownTask<'_>) -> Option<Box<Conditions>> {
        let mut broken = Violations::default();
        let conditions = draft.check(task, &mut broken);
        self.violations.extend_below(self.prefix, broken);
        conditions
    }

    /// In whole milliseconds.
    fn seconds(&mut self, field: &str, seconds: Option<f64>, min: Duration, max: Duration) -> Option<Duration> {
        let seconds = seconds?;
        let (min, max) = (min.as_secs_f64(), max.as_secs_f64());
        if (min..=max).contains(&seconds) {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "the range was just checked"
            )]
            Some(Duration::from_millis((seconds * 1_000.0).round() as u64))
        } else {
            self.add(
                field,
                format!("must lie between {min} and {max} seconds, not {seconds}"),
            );
            None
        }
    }

    pub(super) fn ttl(&mut self, seconds: Option<f64>) -> Option<Duration> {
        self.seconds("/ttl_seconds", seconds, SHORTEST, self.limits.max_ttl)
    }

    pub(super) fn timeout(&mut self, seconds: Option<f64>) -> Option<Duration> {
        self.seconds("/timeout_seconds", seconds, SHORTEST, self.limits.max_timeout)
    }

    pub(super) fn scheduled_at(
        &mut self,
        at: Option<Timestamp>,
        delay_seconds: Option<f64>,
        now: Timestamp,
    ) -> Timestamp {
        let latest = now + self.limits.max_delay;
        match (at, delay_seconds) {
            (Some(_), Some(_)) => self.add("/delay_seconds", "give either scheduled_at or delay_seconds, not both"),
            (Some(at), None) if at > latest => {
                self.add("/scheduled_at", format!("must not be later than {latest}, not {at}"));
            }
            // A time in the past means: now. The time-to-live would otherwise have begun before the task existed.
            (Some(at), None) => return at.max(now),
            (None, delay_seconds) => {
                let delay = self.seconds("/delay_seconds", delay_seconds, Duration::ZERO, self.limits.max_delay);
                return now + delay.unwrap_or_default();
            }
        }
        now
    }

    pub(super) fn description(&mut self, description: Option<&str>) {
        let Some(description) = description else { return };
        if description.len() > DESCRIPTION_MAX_LENGTH {
            self.add(
                "/description",
                format!("must not be longer than {DESCRIPTION_MAX_LENGTH} bytes"),
            );
        }
        self.no_nul("/description", description);
    }

    pub(super) fn input(&mut self, input: Option<&JsonText>) {
        if input.is_some_and(|input| input.len() > self.limits.input_max_bytes) {
            self.add(
                "/input",
                format!("must not be larger than {} bytes", self.limits.input_max_bytes),
            );
        }
    }

    /// Only of a built-in task it is known here what its input means.
    pub(super) fn input_of(&mut self, name: &TaskName, input: Option<&JsonText>) {
        let Some(built_in) = BuiltIn::of(name) else { return };
        if let Err(broken) = built_in.check(input.map_or("null", JsonText::as_str)) {
            for Violation { pointer, message } in broken.0 {
                self.add(&format!("/input{pointer}"), message);
            }
        }
    }

    pub(super) fn labels(&mut self, labels: &Labels) {
        if labels.len() > LABELS_MAX_COUNT {
            self.add("/labels", format!("must not have more than {LABELS_MAX_COUNT} entries"));
            return;
        }
        for (key, value) in labels {
            let field = format!("/labels{}", json_pointer(key));
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
