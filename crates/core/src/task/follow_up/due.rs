//! Follow-ups of a run that has ended: each becomes a task, or is told why it cannot.

use std::cell::OnceCell;

use serde_json::json;

use super::body::Entry;
use super::render::Rendered;
use super::{Edge, FollowUpPlace, FollowUps, VARIABLES, stand_in};
use crate::JsonText;
use crate::expression::Scope;
use crate::identity::{Target, TaskId, TaskName};
use crate::task::life::{TaskLife, TaskState};
use crate::task::rules::{Violation, Violations};
use crate::task::spec::{Labels, SpecLimits, TaskSpec};
use crate::task::status::TaskError;
use crate::text::shortened;
use crate::time::Timestamp;

/// How large the follow-ups of one run may be together, once their expressions have values: they are written in one
/// transaction, with those of other tasks.
pub const FOLLOW_UPS_BYTES_MAX: usize = 8 << 20;

/// What each costs beside its texts, in the unit of the rest: it is a row, or two.
const FOLLOW_UP_COST: u64 = 2_000;

/// The most of a reason why a follow-up is missing.
const REASON_MAX_BYTES: usize = 2_000;

/// A run that has ended, as its follow-ups see it.
#[derive(Debug, Clone, Copy)]
pub struct ParentEnd<'a> {
    pub id: TaskId,
    pub name: &'a TaskName,
    pub target: &'a Target,
    pub priority: u8,
    pub parent_id: Option<TaskId>,
    pub created_at: Timestamp,
    /// Of the newest attempt.
    pub started_at: Option<Timestamp>,
    pub description: Option<&'a str>,
    pub labels: &'a Labels,
    pub input: &'a JsonText,
    pub output: Option<&'a JsonText>,
    /// After its end.
    pub life: &'a TaskLife,
}

/// What became of a follow-up that was due.
#[derive(Debug, Clone, PartialEq)]
pub struct Due {
    pub place: FollowUpPlace,
    pub made: Result<Box<(TaskSpec, TaskLife)>, Unmade>,
}

/// A follow-up that cannot be made of what its parent left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unmade {
    /// What was to run, as far as that is known.
    pub name: String,
    pub reason: String,
}

impl FollowUps {
    /// The follow-ups of the end of a run, in their order; `reported` are those that came with a success. `id` names each.
    ///
    /// Beside them, what it cost: steps of expressions and bytes of what was made, for whoever bounds a transaction.
    pub fn due(
        &self,
        reported: &[JsonText],
        parent: &ParentEnd<'_>,
        limits: &SpecLimits,
        now: Timestamp,
        mut id: impl FnMut(FollowUpPlace) -> TaskId,
    ) -> (Vec<Due>, u64) {
        let Some(edge) = Edge::of(parent.life.status()) else {
            return (Vec::new(), 0);
        };
        let reported = if edge == Edge::Success { reported } else { &[] };
        let end = End {
            parent,
            scope: OnceCell::new(),
        };
        let mut bytes_left = FOLLOW_UPS_BYTES_MAX;
        let mut cost = 0;
        let mut due = Vec::new();
        for (index, entry) in self.of(edge).iter().chain(reported).enumerate() {
            let place = FollowUpPlace {
                run: parent.life.run,
                edge,
                index: u16::try_from(index).unwrap_or(u16::MAX),
            };
            cost += FOLLOW_UP_COST;
            let made = end.follow(entry, id(place), place, bytes_left, limits, now);
            if let Ok(made) = &made {
                let size = made.0.input.len() + made.0.follow_ups.bytes();
                bytes_left = bytes_left.saturating_sub(size);
            }
            due.push(Due { place, made });
        }
        let steps = end.scope.get().map_or(0, Scope::steps_taken);
        (due, cost + steps + (FOLLOW_UPS_BYTES_MAX - bytes_left) as u64)
    }
}

struct End<'a> {
    parent: &'a ParentEnd<'a>,
    /// Made when the first expression asks.
    scope: OnceCell<Scope>,
}

impl End<'_> {
    fn follow(
        &self,
        json: &JsonText,
        id: TaskId,
        place: FollowUpPlace,
        bytes_left: usize,
        limits: &SpecLimits,
        now: Timestamp,
    ) -> Result<Box<(TaskSpec, TaskLife)>, Unmade> {
        let entry = Entry::read(json, &VARIABLES).map_err(|broken| Unmade {
            name: String::new(),
            reason: in_a_line(&broken),
        })?;
        let name = entry.draft.name.clone();
        let made = self.made(&entry, id, place, bytes_left, limits, now);
        made.map(Box::new).map_err(|broken| Unmade {
            name,
            reason: stand_in::reason(json).unwrap_or_else(|| in_a_line(&broken)),
        })
    }

    fn made(
        &self,
        entry: &Entry,
        id: TaskId,
        place: FollowUpPlace,
        bytes_left: usize,
        limits: &SpecLimits,
        now: Timestamp,
    ) -> Result<(TaskSpec, TaskLife), Violations> {
        let Rendered {
            mut draft,
            has_labels,
            follow_ups,
        } = entry.render(|| self.scope(), limits.input_max_bytes)?;
        let mut violations = Violations::default();
        let size = draft.input.as_ref().map_or(0, JsonText::len) + follow_ups.bytes();
        if size > bytes_left {
            violations.add(
                "",
                format!("the follow-ups of one run must not be larger than {FOLLOW_UPS_BYTES_MAX} bytes together"),
            );
        }
        violations.into_result()?;
        if draft.target.is_none() {
            draft.target = Some(self.parent.target.as_str().to_owned());
        }
        if !has_labels {
            draft.labels.clone_from(self.parent.labels);
        }
        let (mut spec, life) = draft.check("", id, limits, now)?;
        spec.parent_id = Some(self.parent.id);
        spec.place = Some(place);
        spec.follow_ups = follow_ups;
        Ok((spec, life))
    }

    fn scope(&self) -> &Scope {
        self.scope.get_or_init(|| {
            let parent = self.parent;
            let error = match &parent.life.state {
                TaskState::Failed { error, .. }
                | TaskState::Expired { error, .. }
                | TaskState::Cancelled { error, .. } => Some(error),
                TaskState::Pending { .. } | TaskState::InProgress { .. } | TaskState::Completed { .. } => None,
            };
            Scope::new([
                ("output", parent.output.cloned().unwrap_or_else(JsonText::null)),
                ("error", error.map_or_else(JsonText::null, TaskError::as_seen)),
                ("input", parent.input.clone()),
                ("task", parent.as_json()),
            ])
        })
    }
}

impl ParentEnd<'_> {
    fn as_json(&self) -> JsonText {
        let life = self.life;
        let finished_at = match life.state {
            TaskState::Completed { finished_at }
            | TaskState::Failed { finished_at, .. }
            | TaskState::Expired { finished_at, .. }
            | TaskState::Cancelled { finished_at, .. } => Some(finished_at),
            TaskState::Pending { .. } | TaskState::InProgress { .. } => None,
        };
        let task = json!({
            "id": self.id,
            "name": self.name.as_str(),
            "target": self.target.as_str(),
            "description": self.description,
            "labels": self.labels,
            "priority": self.priority,
            "run": life.run,
            "attempt": life.attempt,
            "status": life.status().as_str(),
            "parent_id": self.parent_id,
            "created_at": self.created_at.to_string(),
            "scheduled_at": life.scheduled_at.to_string(),
            "started_at": self.started_at.map(|time| time.to_string()),
            "finished_at": finished_at.map(|time| time.to_string()),
        });
        JsonText::trusted(task.to_string())
    }
}

pub(crate) fn in_a_line(broken: &Violations) -> String {
    let told: Vec<String> = broken.0.iter().map(Violation::to_string).collect();
    shortened(&told.join("; "), REASON_MAX_BYTES, "").into_owned()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::task::{ErrorKind, RetryPolicy, stand_in};

    const NOW: Timestamp = Timestamp::from_micros(1_767_225_600_000_000);

    struct Parent {
        name: TaskName,
        target: Target,
        labels: Labels,
        input: JsonText,
        output: Option<JsonText>,
        life: TaskLife,
    }

    impl Parent {
        fn ended(state: TaskState) -> Self {
            let created = TaskLife::new(RetryPolicy::DEFAULT, NOW, std::time::Duration::from_secs(60));
            Self {
                name: "pay".parse().expect("a name"),
                target: "gpu".parse().expect("a target"),
                labels: Labels::from([("team".to_owned(), "billing".to_owned())]),
                input: JsonText::new(r#"{"order": 7}"#).expect("JSON"),
                output: None,
                life: TaskLife {
                    state,
                    run: 3,
                    attempt: 4,
                    ..created
                },
            }
        }

        fn completed(output: &str) -> Self {
            Self {
                output: Some(JsonText::new(output).expect("JSON")),
                ..Self::ended(TaskState::Completed { finished_at: NOW })
            }
        }

        fn end(&self) -> ParentEnd<'_> {
            ParentEnd {
                id: TaskId(Uuid::from_u128(1)),
                name: &self.name,
                target: &self.target,
                priority: 2,
                parent_id: None,
                created_at: NOW,
                started_at: Some(NOW),
                description: None,
                labels: &self.labels,
                input: &self.input,
                output: self.output.as_ref(),
                life: &self.life,
            }
        }

        fn due(&self, follow_ups: &str) -> Vec<Due> {
            let follow_ups = FollowUps::from_stored(follow_ups).expect("lists");
            follow_ups
                .due(&[], &self.end(), &SpecLimits::default(), NOW, |place| {
                    TaskId(Uuid::from_u128(100 + u128::from(place.index)))
                })
                .0
        }
    }

    fn made(due: &Due) -> &TaskSpec {
        match &due.made {
            Ok(made) => &made.0,
            Err(unmade) => panic!("{unmade:?}"),
        }
    }

    fn unmade(due: &Due) -> &Unmade {
        due.made.as_ref().expect_err("it cannot be made")
    }

    #[test]
    fn a_follow_up_sees_how_its_parent_ended() {
        let parent = Parent::completed(r#"{"total": 41}"#);
        let due = parent.due(
            r#"{"on_success": [
                {"name": "mail", "input": {"total": "${ output.total + 1 }", "order": "${ input.order }",
                                           "of": "${ task.name }#${ task.run }/${ task.attempt }", "e": "${ error }"},
                 "description": "for ${ task.id }", "labels": {"order": "${ input.order }"}, "target": "mail-${ task.target }",
                 "delay_seconds": "${ output.total - 31 }", "priority": 5, "on_failure": [{"name": "echo"}]}],
               "on_failure": [{"name": "other"}]}"#,
        );
        let [due] = due.as_slice() else { panic!("{due:?}") };
        let expected = FollowUpPlace {
            run: 3,
            edge: Edge::Success,
            index: 0,
        };
        assert_eq!(due.place, expected);
        let spec = made(due);
        assert_eq!(spec.input.as_str(), r#"{"total":42,"order":7,"of":"pay#3/4","e":null}"#);
        assert_eq!(
            spec.description.as_deref(),
            Some("for 00000000-0000-0000-0000-000000000001")
        );
        assert_eq!(spec.labels, Labels::from([("order".to_owned(), "7".to_owned())]));
        assert_eq!((spec.target.as_str(), spec.priority), ("mail-gpu", 5));
        assert_eq!(
            (spec.parent_id, spec.place),
            (Some(TaskId(Uuid::from_u128(1))), Some(expected))
        );
        assert_eq!(spec.follow_ups.of(Edge::Failure).len(), 1);
        let life = &due.made.as_ref().expect("made").1;
        assert_eq!(life.scheduled_at.as_micros() - NOW.as_micros(), 10_000_000);
    }

    #[test]
    fn the_target_and_the_labels_are_those_of_the_parent_if_none_are_given() {
        let parent = Parent::ended(TaskState::Failed {
            finished_at: NOW,
            error: TaskError::new(ErrorKind::Failed, "it \"broke\""),
        });
        let due = parent.due(
            r#"{"on_failure": [{"name": "tell", "input": "${ error.kind }: ${ error.message }${ error.code == null ? '' : '!' }"},
                               {"name": "tell", "labels": {}, "input": "${ output == null }"}]}"#,
        );
        assert_eq!(made(&due[0]).input.as_str(), r#""Failed: it \"broke\"""#);
        assert_eq!(made(&due[0]).target.as_str(), "gpu");
        assert_eq!(made(&due[0]).labels, parent.labels);
        assert_eq!(made(&due[1]).labels, Labels::new());
        assert_eq!(made(&due[1]).input.as_str(), "true");
    }

    #[test]
    fn a_follow_up_that_cannot_be_made_leaves_the_others_alone() {
        let parent = Parent::completed(r#"{"n": 5, "text": "a b"}"#);
        let due = parent.due(
            r#"{"on_success": [
                {"name": "a", "input": {"x": ["${ output.missing }"]}},
                {"name": "python", "input": "${ output }"},
                {"name": "b", "target": "${ output.text }", "description": "${ output.no }"},
                {"name": "c", "delay_seconds": "${ output.text }"},
                {"name": "d", "input": "${ output.n }"}]}"#,
        );
        let told: Vec<(&str, &str)> = due[..4]
            .iter()
            .map(|due| (unmade(due).name.as_str(), unmade(due).reason.as_str()))
            .collect();
        assert_eq!(told[0], ("a", "/input/x/0 there is no field \"missing\""));
        assert_eq!(told[1].0, "python");
        assert!(
            told[1].1.starts_with("/input/n is no field of this input"),
            "{}",
            told[1].1
        );
        assert_eq!(told[2], ("b", "/description there is no field \"no\""));
        assert_eq!(told[3], ("c", "/delay_seconds must be a number"));
        assert_eq!(made(&due[4]).input.as_str(), "5");
        assert_eq!(due[4].place.index, 4);
    }

    #[test]
    fn what_comes_with_the_report_of_a_success_counts_on_behind_the_list() {
        let parent = Parent::completed("1");
        let lists =
            FollowUps::from_stored(r#"{"on_success": [{"name": "a"}], "on_expire": [{"name": "z"}]}"#).expect("lists");
        let reported = [JsonText::new(r#"{"name": "b", "input": "${output}"}"#).expect("JSON")];
        let (due, _) = lists.due(&reported, &parent.end(), &SpecLimits::default(), NOW, |_| {
            TaskId(Uuid::nil())
        });
        let names: Vec<(&str, u16)> = due
            .iter()
            .map(|due| (made(due).name.as_str(), due.place.index))
            .collect();
        assert_eq!(names, [("a", 0), ("b", 1)]);
    }

    #[test]
    fn what_stands_in_for_a_follow_up_tells_its_reason_and_takes_nothing_of_the_output() {
        let parent = Parent::completed(&format!("\"{}\"", "x".repeat(1_000_000)));
        let reason = "because ".repeat(100);
        let lists = FollowUps::on_success(vec![stand_in("mail", &reason)]);
        let (due, cost) = lists.due(&[], &parent.end(), &SpecLimits::default(), NOW, |_| TaskId(Uuid::nil()));
        let Unmade { name, reason: told } = unmade(&due[0]);
        assert_eq!(name, "mail");
        assert_eq!(told, &reason[..500]);
        assert!(cost < FOLLOW_UP_COST + 100, "{cost}");
    }

    #[test]
    fn the_follow_ups_of_a_run_are_bounded_together() {
        let parent = Parent::completed(&format!("\"{}\"", "x".repeat(1_000_000)));
        let one = r#"{"name": "a", "input": "${ output }"}"#;
        let due = parent.due(&format!("{{\"on_success\": [{}]}}", vec![one; 20].join(",")));
        let count = due.iter().filter(|due| due.made.is_ok()).count();
        assert_eq!(count, 8);
        assert!(unmade(&due[19]).reason.contains("larger than 8388608 bytes together"));
    }
}
