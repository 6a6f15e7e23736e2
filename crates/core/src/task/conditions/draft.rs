//! Conditions as a caller writes them, and the rules they must meet.

use serde::{Deserialize, Serialize};

use super::key::{self, Keys, KnownTask};
use super::unique::Likeness;
use super::{CONCURRENCY_MAX, Concurrency, Conditions, RATE_MAX, Rate, Unique};
use crate::JsonText;
use crate::expression::Size;
use crate::task::rules::Violations;
use crate::task::status::TaskStatus;

/// The shortest and the longest time of a rate.
pub(super) const PER_SECONDS: std::ops::RangeInclusive<f64> = 0.001..=2_592_000.0;

/// The longest time in which a task is unique.
const WITHIN_SECONDS: std::ops::RangeInclusive<f64> = 0.001..=31_536_000.0;

/// The conditions of a draft: nothing checked.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ConditionsDraft {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<ConcurrencyDraft>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<RateDraft>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unique: Option<UniqueDraft>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConcurrencyDraft {
    pub key: String,
    pub limit: i64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateDraft {
    pub key: String,
    pub limit: i64,
    pub per_seconds: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UniqueDraft {
    /// A list of fields, or a text with expressions.
    pub by: JsonText,
    #[serde(default)]
    pub within_seconds: Option<f64>,
    #[serde(default)]
    pub states: Option<Vec<String>>,
}

impl ConditionsDraft {
    pub const fn is_empty(&self) -> bool {
        self.concurrency.is_none() && self.rate.is_none() && self.unique.is_none()
    }

    /// Checks all that does not depend on the values of the task. Pointers begin with the name of the condition. Returns what
    /// the keys hold.
    pub(in crate::task) fn check_form(&self, violations: &mut Violations) -> Size {
        let mut size = Size::default();
        if let Some(ConcurrencyDraft { key, limit }) = &self.concurrency {
            size = size + check_key("/concurrency/key", key, violations);
            whole("/concurrency/limit", *limit, i64::from(CONCURRENCY_MAX), violations);
        }
        if let Some(RateDraft {
            key,
            limit,
            per_seconds,
        }) = &self.rate
        {
            size = size + check_key("/rate/key", key, violations);
            whole("/rate/limit", *limit, i64::from(RATE_MAX), violations);
            seconds("/rate/per_seconds", *per_seconds, &PER_SECONDS, violations);
        }
        if let Some(unique) = &self.unique {
            size = size + unique.check_form(violations);
        }
        size
    }

    /// The conditions of a task; `None` where it has none, or with the reasons noted.
    pub(in crate::task) fn check(&self, task: KnownTask<'_>, violations: &mut Violations) -> Option<Box<Conditions>> {
        if self.is_empty() {
            return None;
        }
        let before = violations.0.len();
        self.check_form(violations);
        if violations.0.len() > before {
            return None;
        }
        let keys = Keys::of(task);
        let concurrency = self.concurrency.as_ref().and_then(|draft| {
            let key = keys.value("/concurrency/key", &draft.key, violations)?;
            let limit = u16::try_from(draft.limit).unwrap_or(CONCURRENCY_MAX);
            Some(Concurrency { key, limit })
        });
        let rate = self.rate.as_ref().and_then(|draft| {
            let key = keys.value("/rate/key", &draft.key, violations)?;
            Some(Rate {
                key,
                limit: u32::try_from(draft.limit).unwrap_or(RATE_MAX),
                per_ms: milliseconds(draft.per_seconds),
            })
        });
        let unique = self.unique.as_ref().and_then(|draft| draft.checked(&keys, violations));
        Some(Box::new(Conditions {
            concurrency,
            rate,
            unique,
        }))
    }
}

impl UniqueDraft {
    const STATES: [TaskStatus; 2] = [TaskStatus::Pending, TaskStatus::InProgress];

    fn check_form(&self, violations: &mut Violations) -> Size {
        let size = match Likeness::read(&self.by) {
            Err(reason) => {
                violations.add("/unique/by", reason);
                Size::default()
            }
            Ok(Likeness::Fields(_)) => Size::default(),
            Ok(Likeness::Key(text)) => check_key("/unique/by", &text, violations),
        };
        if let Some(within) = self.within_seconds {
            seconds("/unique/within_seconds", within, &WITHIN_SECONDS, violations);
        }
        let Some(states) = &self.states else { return size };
        if states.is_empty() || states.len() > TaskStatus::ALL.len() {
            let most = TaskStatus::ALL.len();
            violations.add("/unique/states", format!("must name 1 to {most} statuses, each once"));
            return size;
        }
        for (index, state) in states.iter().enumerate() {
            let pointer = format!("/unique/states/{index}");
            violations.take(&pointer, state.parse::<TaskStatus>());
            if states[..index].contains(state) {
                violations.add(pointer, format!("names {state} a second time"));
            }
        }
        size
    }

    fn checked(&self, keys: &Keys<'_>, violations: &mut Violations) -> Option<Unique> {
        let hash = Likeness::read(&self.by).ok()?.hash(keys, violations)?;
        let states = self.states.as_ref().map(|states| {
            let mut states: Vec<TaskStatus> = states.iter().filter_map(|state| state.parse().ok()).collect();
            states.sort_unstable();
            states
        });
        Some(Unique {
            by: self.by.clone(),
            within_ms: self.within_seconds.map(milliseconds),
            states: states.unwrap_or_else(|| Self::STATES.to_vec()),
            hash,
        })
    }
}

fn check_key(pointer: &str, text: &str, violations: &mut Violations) -> Size {
    match key::parse(text) {
        Ok(Some(template)) => return template.size(),
        Ok(None) => {
            violations.take(pointer, key::check(text));
        }
        Err(faults) => {
            for fault in faults {
                violations.add(pointer, fault);
            }
        }
    }
    Size::default()
}

pub(super) fn whole(pointer: &str, value: i64, most: i64, violations: &mut Violations) {
    if !(1..=most).contains(&value) {
        violations.add(pointer, format!("must be a whole number from 1 to {most}, not {value}"));
    }
}

pub(super) fn seconds(pointer: &str, value: f64, range: &std::ops::RangeInclusive<f64>, violations: &mut Violations) {
    if !range.contains(&value) {
        let (least, most) = (range.start(), range.end());
        violations.add(
            pointer,
            format!("must lie between {least} and {most} seconds, not {value}"),
        );
    }
}

/// Of a time whose range was checked.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the range was checked: it is positive and far below the largest"
)]
pub(super) fn milliseconds(seconds: f64) -> u64 {
    (seconds * 1_000.0).round() as u64
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::identity::TaskId;
    use crate::task::spec::{SpecLimits, TaskDraft, TaskSpec};
    use crate::time::Timestamp;

    fn check(conditions: ConditionsDraft) -> Result<TaskSpec, Vec<String>> {
        let draft = TaskDraft {
            name: "send_mail".to_owned(),
            input: Some(JsonText::new(r#"{"customer": 17, "to": ["a"], "n": null}"#).expect("JSON")),
            conditions,
            ..TaskDraft::default()
        };
        let checked = draft.check("", TaskId(Uuid::nil()), &SpecLimits::default(), Timestamp::EPOCH);
        checked
            .map(|(spec, _)| spec)
            .map_err(|broken| broken.0.iter().map(ToString::to_string).collect())
    }

    fn concurrency(key: &str, limit: i64) -> ConditionsDraft {
        ConditionsDraft {
            concurrency: Some(ConcurrencyDraft {
                key: key.to_owned(),
                limit,
            }),
            ..ConditionsDraft::default()
        }
    }

    fn unique(by: &str, within_seconds: Option<f64>, states: Option<&[&str]>) -> ConditionsDraft {
        ConditionsDraft {
            unique: Some(UniqueDraft {
                by: JsonText::new(by).expect("JSON"),
                within_seconds,
                states: states.map(|states| states.iter().map(ToString::to_string).collect()),
            }),
            ..ConditionsDraft::default()
        }
    }

    fn key_of(text: &str) -> String {
        let spec = check(concurrency(text, 3)).expect("it meets the rules");
        let conditions = spec.conditions.expect("it has one");
        conditions.concurrency.expect("of this kind").key
    }

    #[test]
    fn a_key_has_its_value_when_the_task_is_made() {
        assert_eq!(key_of("reports"), "reports");
        assert_eq!(key_of("customer-${ input.customer }"), "customer-17");
        assert_eq!(key_of("${ input.customer }"), "17");
        assert_eq!(key_of("${ task.name }/${ task.target }"), "send_mail/default");
        assert_eq!(key_of("$${ literally }"), "${ literally }");
    }

    #[test]
    fn what_is_wrong_with_a_key_is_told_with_its_place() {
        let long = "x".repeat(201);
        let expressions = "${ 1 }".repeat(400);
        for (key, limit, told) in [
            ("", 1, "/concurrency/key must have 1 to 200 characters, not 0"),
            (
                long.as_str(),
                1,
                "/concurrency/key must have 1 to 200 characters, not 201",
            ),
            ("a\nb", 1, "/concurrency/key must not contain control characters"),
            (
                expressions.as_str(),
                1,
                "/concurrency/key must have at most 2000 bytes, not 2400",
            ),
            (
                "a",
                0,
                "/concurrency/limit must be a whole number from 1 to 10000, not 0",
            ),
            (
                "a",
                10_001,
                "/concurrency/limit must be a whole number from 1 to 10000, not 10001",
            ),
            (
                "c-${ inptu }",
                1,
                "/concurrency/key at character 6: there is no variable inptu; there are input, task",
            ),
            (
                "${ input.missing }",
                1,
                "/concurrency/key there is no field \"missing\"",
            ),
            (
                "${ input.to }",
                1,
                "/concurrency/key must become a text or a number, not an array",
            ),
            (
                "${ input.n }",
                1,
                "/concurrency/key must become a text or a number, not null",
            ),
            (
                "${ task.status }",
                1,
                "/concurrency/key at character 4: task has no field status",
            ),
        ] {
            let broken = check(concurrency(key, limit)).expect_err(key);
            assert_eq!(broken.len(), 1, "{broken:?}");
            assert!(broken[0].starts_with(told), "{}\nexpected {told}", broken[0]);
        }
    }

    #[test]
    fn a_rate_has_bounds() {
        let rate = |limit, per_seconds| ConditionsDraft {
            rate: Some(RateDraft {
                key: "api-${ input.customer }".to_owned(),
                limit,
                per_seconds,
            }),
            ..ConditionsDraft::default()
        };
        let spec = check(rate(5, 0.5)).expect("it meets the rules");
        let expected = Rate {
            key: "api-17".to_owned(),
            limit: 5,
            per_ms: 500,
        };
        assert_eq!(spec.conditions.expect("it has one").rate, Some(expected));
        let broken = check(rate(0, f64::NAN)).expect_err("out of its range");
        assert_eq!(
            broken,
            [
                "/rate/limit must be a whole number from 1 to 1000000, not 0",
                "/rate/per_seconds must lie between 0.001 and 2592000 seconds, not NaN"
            ]
        );
    }

    #[test]
    fn what_a_task_is_unique_by_is_checked() {
        let of = |conditions: ConditionsDraft| {
            let spec = check(conditions).expect("it meets the rules");
            spec.conditions.expect("it has one").unique.expect("of this kind")
        };
        let whole = of(unique(r#"["name", "target", "input"]"#, Some(3_600.0), None));
        assert_eq!(
            (whole.within_ms, whole.states),
            (Some(3_600_000), UniqueDraft::STATES.to_vec())
        );
        let by_key = of(unique(
            r#""order-${ input.customer }""#,
            None,
            Some(&["Completed", "Pending"]),
        ));
        assert_eq!(by_key.states, [TaskStatus::Pending, TaskStatus::Completed]);
        assert_ne!(whole.hash, by_key.hash);
        for (by, told) in [
            (
                r#"["nme"]"#,
                "/unique/by must name some of name, target, input, description, labels, priority, not nme",
            ),
            ("[]", "/unique/by must name at least one of name"),
            ("5", "/unique/by must be a list of fields or a text"),
            (r#""${ input. }""#, "/unique/by at character "),
        ] {
            let broken = check(unique(by, None, None)).expect_err(by);
            assert!(broken[0].starts_with(told), "{}\nexpected {told}", broken[0]);
        }
        let broken =
            check(unique(r#"["name"]"#, Some(0.0), Some(&["Done", "Pending", "Pending"]))).expect_err("broken");
        assert_eq!(
            broken,
            [
                "/unique/within_seconds must lie between 0.001 and 31536000 seconds, not 0",
                "/unique/states/0 must be one of Pending, InProgress, Completed, Failed, Expired, Cancelled",
                "/unique/states/2 names Pending a second time"
            ]
        );
    }

    #[test]
    fn the_stored_form_is_read_back() {
        let mut draft = concurrency("customer-${ input.customer }", 2);
        draft.unique = unique(r#"["name", "input"]"#, Some(1.5), None).unique;
        let conditions = check(draft).expect("it meets the rules").conditions.expect("some");
        assert_eq!(
            Conditions::from_stored(&conditions.stored()).expect("read"),
            *conditions
        );
        assert!(conditions.gates());
    }
}
