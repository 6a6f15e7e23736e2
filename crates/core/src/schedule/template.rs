//! The task that a slot becomes.

use std::cell::OnceCell;
use std::time::Duration;

use serde_json::json;

use super::jitter::jitter;
use super::spec::ScheduleSpec;
use crate::JsonText;
use crate::expression::{Scope, Size, Variable};
use crate::identity::{ScheduleId, TaskId};
use crate::task::{Entry, Rendered, ScheduledBy, SpecLimits, TaskLife, TaskSpec, Violations, check_entry, in_a_line};
use crate::time::Timestamp;

/// What the expressions of the task see.
const VARIABLES: [Variable<'static>; 1] = [Variable::with_fields("schedule", &["id", "name", "slot"])];

const OWN_TIME: &str = "must not be there: the schedule says when; `delay_seconds` counts from the slot";

pub(super) fn check(task: &JsonText, pointer: &str, limits: &SpecLimits, now: Timestamp) -> Result<(), Violations> {
    let mut violations = Violations::default();
    if let Err(broken) = check_entry(task, &VARIABLES, pointer, limits, now) {
        violations.extend_below("", broken);
    }
    if Entry::read(task, &VARIABLES).is_ok_and(|entry| entry.draft.scheduled_at.is_some()) {
        let pointer = format!("{pointer}/scheduled_at");
        // Whatever else is wrong with it.
        violations.0.retain(|violation| violation.pointer != pointer);
        violations.add(pointer, OWN_TIME);
    }
    violations.into_result()
}

/// What each task costs beside its texts, in the unit of the rest: it is a row, or two.
const TASK_COST: u64 = 2_000;

/// What reading an expression costs, before it is evaluated: a tenth of a millisecond.
const EXPRESSION_COST: u64 = 1_000;

/// What compiling a regular expression in one costs beside that, at most.
const REGEX_COST: u64 = 10_000;

/// What a task of a schedule is made of.
#[derive(Debug, Clone, Copy)]
pub struct MakeTask<'a> {
    pub schedule: ScheduleId,
    pub spec: &'a ScheduleSpec,
    /// `None` where a caller triggers it.
    pub slot: Option<Timestamp>,
    pub id: TaskId,
    pub limits: &'a SpecLimits,
    pub now: Timestamp,
}

/// What became of it.
#[derive(Debug)]
pub struct MadeTask {
    /// Or why it cannot be made, in a line.
    pub made: Result<Box<(TaskSpec, TaskLife)>, String>,
    /// Steps of expressions and bytes, those of what it is made of among them, for whoever bounds a transaction.
    pub cost: u64,
}

impl MakeTask<'_> {
    pub fn make(&self) -> MadeTask {
        let scope = OnceCell::new();
        let entry = Entry::read(&self.spec.task, &VARIABLES);
        let size = entry.as_ref().map_or_else(|_| Size::default(), Entry::size);
        let made = entry.and_then(|entry| self.made(&entry, &scope));
        let steps = scope.get().map_or(0, Scope::steps_taken);
        let bytes = made
            .as_ref()
            .map_or(0, |(spec, _)| spec.input.len() + spec.follow_ups.bytes());
        MadeTask {
            made: made.map(Box::new).map_err(|broken| in_a_line(&broken)),
            cost: TASK_COST
                + EXPRESSION_COST * size.expressions as u64
                + REGEX_COST * size.regexes as u64
                + steps
                + (self.spec.task.len() + bytes) as u64,
        }
    }

    fn made(&self, entry: &Entry, scope: &OnceCell<Scope>) -> Result<(TaskSpec, TaskLife), Violations> {
        let scope = || scope.get_or_init(|| self.scope());
        let Rendered {
            mut draft, follow_ups, ..
        } = entry.render(scope, self.limits.input_max_bytes)?;
        if let Some(slot) = self.slot {
            let wait = jitter(self.schedule, slot, self.spec.jitter);
            let delay = draft.delay_seconds.take().unwrap_or_default();
            match Duration::try_from_secs_f64(delay) {
                Ok(delay) => draft.scheduled_at = Some(slot + delay + wait),
                // It is told what is wrong with it.
                Err(_) => draft.delay_seconds = Some(delay),
            }
        }
        let (mut task, life) = draft.check("", self.id, self.limits, self.now)?;
        task.scheduled_by = Some(ScheduledBy {
            schedule: self.schedule,
            slot: self.slot,
        });
        // They were checked with the schedule, and are again when they are due.
        task.follow_ups = follow_ups;
        Ok((task, life))
    }

    fn scope(&self) -> Scope {
        let schedule = json!({
            "id": self.schedule,
            "name": self.spec.name,
            "slot": self.slot.unwrap_or(self.now).to_string(),
        });
        Scope::new([("schedule", JsonText::trusted(schedule.to_string()))])
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::schedule::{Cron, Misfire, Overlap};
    use crate::task::TaskState;

    const NOW: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);

    fn spec(task: &str, jitter: Duration) -> ScheduleSpec {
        ScheduleSpec {
            name: "nightly".to_owned(),
            cron: Cron::parse("0 3 * * *", "UTC").expect("an expression"),
            task: JsonText::new(task).expect("JSON"),
            overlap: Overlap::Skip,
            misfire: Misfire::FireOnce,
            start_at: None,
            end_at: None,
            jitter,
            paused: false,
        }
    }

    fn make(spec: &ScheduleSpec, slot: Option<Timestamp>, now: Timestamp) -> Result<Box<(TaskSpec, TaskLife)>, String> {
        let limits = SpecLimits::default();
        let make = MakeTask {
            schedule: ScheduleId(Uuid::from_u128(7)),
            spec,
            slot,
            id: TaskId(Uuid::from_u128(8)),
            limits: &limits,
            now,
        };
        make.make().made
    }

    fn due_at(life: &TaskLife) -> Timestamp {
        match life.state {
            TaskState::Pending { due_at } => due_at,
            TaskState::InProgress { .. }
            | TaskState::Completed { .. }
            | TaskState::Failed { .. }
            | TaskState::Expired { .. }
            | TaskState::Cancelled { .. } => unreachable!("a new task is pending"),
        }
    }

    #[test]
    fn a_task_knows_its_slot_and_expressions_see_it() {
        let spec = spec(
            r#"{"name": "report", "input": {"day": "${ schedule.slot }"}, "labels": {"of": "${ schedule.name }"},
                "on_success": [{"name": "echo", "input": "${ output }"}]}"#,
            Duration::ZERO,
        );
        let late = NOW + Duration::from_secs(5);
        let (task, life) = *make(&spec, Some(NOW), late).expect("a task");
        assert_eq!(task.input.as_str(), r#"{"day":"2027-01-15T08:00:00Z"}"#);
        assert_eq!(task.labels["of"], "nightly");
        assert!(!task.follow_ups.is_empty());
        assert_eq!(task.scheduled_by.and_then(|by| by.slot), Some(NOW));
        assert_eq!(due_at(&life), late, "a slot that is past is due at once");
        let (triggered, _) = *make(&spec, None, late).expect("a task");
        assert_eq!(triggered.scheduled_by.map(|by| by.slot), Some(None));
        assert_eq!(triggered.input.as_str(), r#"{"day":"2027-01-15T08:00:05Z"}"#);
    }

    #[test]
    fn jitter_and_delay_count_from_the_slot_however_late_it_is_made() {
        let spec = spec(r#"{"name": "echo", "delay_seconds": 100}"#, Duration::from_secs(50));
        let (_, life) = *make(&spec, Some(NOW), NOW).expect("a task");
        let delay = due_at(&life).saturating_since(NOW);
        assert!(
            (Duration::from_secs(100)..=Duration::from_secs(150)).contains(&delay),
            "{delay:?}"
        );
        let (_, later) = *make(&spec, Some(NOW), NOW + Duration::from_millis(1_500)).expect("a task");
        assert_eq!(due_at(&later), due_at(&life));
    }

    #[test]
    fn what_cannot_be_made_says_why() {
        let broken = make(
            &spec(r#"{"name": "echo", "target": "${ schedule.slot }"}"#, Duration::ZERO),
            Some(NOW),
            NOW,
        );
        assert_eq!(
            broken.expect_err("no target"),
            "/target must match [A-Za-z0-9._-]{1,100}"
        );
    }

    #[test]
    fn a_task_is_checked_with_the_rules_of_a_create_and_below_its_place() {
        let told = |task: &str| {
            let json = JsonText::new(task).expect("JSON");
            let checked = check(&json, "/task", &SpecLimits::default(), NOW);
            checked.map_or_else(
                |broken| broken.0.iter().map(ToString::to_string).collect(),
                |()| Vec::<String>::new(),
            )
        };
        assert_eq!(
            told(r#"{"name": "echo", "input": "${ schedule.id }"}"#),
            Vec::<String>::new()
        );
        for (task, expected) in [
            (r#"{"name": "a b"}"#, "/task/name must match"),
            (r#"{"nme": "echo"}"#, "/task/nme unknown field"),
            (r#""echo""#, "/task invalid type"),
            (r#"{"name": "shell"}"#, "/task/input must be an object"),
            (
                r#"{"name": "echo", "input": {"a": "${ output }"}}"#,
                "/task/input/a at character 4: there is no variable output",
            ),
            (
                r#"{"name": "echo", "input": "${ schedule.time }"}"#,
                "/task/input at character 4: schedule has no field time",
            ),
            (
                r#"{"name": "echo", "scheduled_at": "2027-01-01T00:00:00Z"}"#,
                "/task/scheduled_at must not be there",
            ),
            (
                r#"{"name": "echo", "on_success": [{"name": "x y"}]}"#,
                "/task/on_success/0/name must match",
            ),
        ] {
            let told = told(task);
            assert!(told.len() == 1 && told[0].starts_with(expected), "{task}: {told:?}");
        }
    }
}
