//! The rules for a group when it is created.

use super::join::VARIABLES;
use super::{GroupPlace, GroupPolicy, GroupSpec};
use crate::JsonText;
use crate::identity::{GroupId, TaskId};
use crate::task::follow_up::check_entry;
use crate::task::life::TaskLife;
use crate::task::rules::Violations;
use crate::task::spec::{SpecLimits, TaskDraft, TaskSpec};
use crate::time::Timestamp;

/// The most members of a group.
pub const MEMBERS_MAX: usize = 10_000;

/// How large the texts of a template may be together, times its members: as large as a request that spells them out.
const TEMPLATE_BYTES_MAX: usize = 16 << 20;

/// The longest name of a group, in bytes.
const NAME_MAX_BYTES: usize = 255;

/// The members of a group as a caller describes them.
#[derive(Debug, Clone)]
pub enum Members {
    /// Each for itself.
    Tasks(Vec<TaskDraft>),
    /// As many of one kind as there are inputs.
    Inputs {
        template: Box<TaskDraft>,
        inputs: Vec<JsonText>,
    },
}

impl Members {
    fn count(&self) -> usize {
        match self {
            Self::Tasks(drafts) => drafts.len(),
            Self::Inputs { inputs, .. } => inputs.len(),
        }
    }

    /// Where a caller wrote them.
    const fn field(&self) -> &'static str {
        match self {
            Self::Tasks(_) => "/tasks",
            Self::Inputs { .. } => "/inputs",
        }
    }
}

/// A group as a caller describes it: nothing checked, nothing filled in.
#[derive(Debug, Clone)]
pub struct GroupDraft {
    pub name: Option<String>,
    pub policy: GroupPolicy,
    pub members: Members,
    pub on_complete: Option<JsonText>,
    pub on_failure: Option<JsonText>,
}

impl GroupDraft {
    /// Checks every rule, of the members too, and fills in the defaults. `member_id` makes the ids of the members.
    ///
    /// # Errors
    /// All [`Violations`], such as `/tasks/17/input`.
    pub fn check(
        self,
        id: GroupId,
        mut member_id: impl FnMut() -> TaskId,
        limits: &SpecLimits,
        now: Timestamp,
    ) -> Result<(GroupSpec, Vec<(TaskSpec, TaskLife)>), Violations> {
        let mut violations = Violations::default();
        let count = self.members.count();
        if !(1..=MEMBERS_MAX).contains(&count) {
            let message = format!("must have 1 to {MEMBERS_MAX} members, not {count}");
            violations.add(self.members.field(), message);
            return Err(violations);
        }
        if let Some(name) = &self.name
            && (name.is_empty() || name.len() > NAME_MAX_BYTES || name.contains('\0'))
        {
            let rule = format!("must have 1 to {NAME_MAX_BYTES} bytes, none of them U+0000");
            violations.add("/name", rule);
        }
        if self.on_failure.is_some() && self.policy == GroupPolicy::Continue {
            let message = "is for the policy fail; with continue, on_complete runs whatever happened";
            violations.add("/on_failure", message);
        }
        for (pointer, entry) in [("/on_complete", &self.on_complete), ("/on_failure", &self.on_failure)] {
            if let Some(entry) = entry
                && let Err(broken) = check_entry(entry, &VARIABLES, pointer, limits, now)
            {
                violations.extend_below("", broken);
            }
        }
        let members = match self.members {
            Members::Tasks(drafts) => each(drafts, &mut member_id, limits, now, &mut violations),
            Members::Inputs { template, inputs } => {
                of_template(&template, inputs, &mut member_id, limits, now, &mut violations)
            }
        };
        violations.into_result()?;
        let place = |index: usize| GroupPlace {
            group: id,
            index: u16::try_from(index).unwrap_or(u16::MAX),
        };
        let members = members.into_iter().enumerate().map(|(index, (mut spec, life))| {
            spec.group = Some(place(index));
            (spec, life)
        });
        let spec = GroupSpec {
            id,
            name: self.name,
            policy: self.policy,
            on_complete: self.on_complete,
            on_failure: self.on_failure,
            size: u16::try_from(count).unwrap_or(u16::MAX),
            created_at: now,
        };
        Ok((spec, members.collect()))
    }
}

fn each(
    drafts: Vec<TaskDraft>,
    member_id: &mut impl FnMut() -> TaskId,
    limits: &SpecLimits,
    now: Timestamp,
    violations: &mut Violations,
) -> Vec<(TaskSpec, TaskLife)> {
    let mut members = Vec::with_capacity(drafts.len());
    for (index, draft) in drafts.into_iter().enumerate() {
        match draft.check(&format!("/tasks/{index}"), member_id(), limits, now) {
            Ok((spec, _)) if is_unique(&spec) => violations.add(format!("/tasks/{index}/unique"), NOT_UNIQUE),
            Ok(member) => members.push(member),
            Err(broken) => violations.extend_below("", broken),
        }
    }
    members
}

/// How large the texts are that each member has from its template.
fn texts(template: &TaskDraft) -> usize {
    let labels: usize = template.labels.iter().map(|(key, value)| key.len() + value.len()).sum();
    let description = template.description.as_ref().map_or(0, String::len);
    let limits = template.limits.as_ref().map_or(0, JsonText::len);
    template.follow_ups.bytes() + labels + description + limits
}

fn of_template(
    template: &TaskDraft,
    inputs: Vec<JsonText>,
    member_id: &mut impl FnMut() -> TaskId,
    limits: &SpecLimits,
    now: Timestamp,
    violations: &mut Violations,
) -> Vec<(TaskSpec, TaskLife)> {
    if template.input.is_some() {
        violations.add("/template/input", "each member has one of the inputs");
        return Vec::new();
    }
    let bytes = texts(template);
    if bytes.saturating_mul(inputs.len()) > TEMPLATE_BYTES_MAX {
        let message = format!(
            "has {bytes} bytes of texts for each of {} members: more than {TEMPLATE_BYTES_MAX} together",
            inputs.len()
        );
        violations.add("/template", message);
        return Vec::new();
    }
    let mut members = Vec::with_capacity(inputs.len());
    for (index, input) in inputs.into_iter().enumerate() {
        let draft = TaskDraft {
            input: Some(input),
            ..template.clone()
        };
        let broken = match draft.check("", member_id(), limits, now) {
            Ok((spec, _)) if is_unique(&spec) => {
                violations.add("/template/unique", NOT_UNIQUE);
                return members;
            }
            Ok(member) => {
                members.push(member);
                continue;
            }
            Err(broken) => broken,
        };
        for violation in broken.0 {
            if let Some(below) = violation.pointer.strip_prefix("/input") {
                violations.add(format!("/inputs/{index}{below}"), violation.message);
            } else if index == 0 {
                // The others have it from the same template.
                violations.add(format!("/template{}", violation.pointer), violation.message);
            }
        }
    }
    members
}

/// A group waits for each of its members, so each is made.
const NOT_UNIQUE: &str =
    "is not for a member of a group, which is always made; repeat a group with its Idempotency-Key";

fn is_unique(spec: &TaskSpec) -> bool {
    let conditions = spec.conditions.as_ref();
    conditions.is_some_and(|conditions| conditions.unique.is_some())
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn echo() -> TaskDraft {
        TaskDraft {
            name: "echo".to_owned(),
            ..TaskDraft::default()
        }
    }

    fn json(text: &str) -> JsonText {
        JsonText::new(text).expect("JSON")
    }

    fn of(members: Members) -> GroupDraft {
        GroupDraft {
            name: None,
            policy: GroupPolicy::Fail,
            members,
            on_complete: None,
            on_failure: None,
        }
    }

    type Checked = (GroupSpec, Vec<(TaskSpec, TaskLife)>);

    fn check(draft: GroupDraft) -> Result<Checked, Vec<String>> {
        let mut next = 0;
        let id = || {
            next += 1;
            TaskId(Uuid::from_u128(next))
        };
        draft
            .check(GroupId(Uuid::nil()), id, &SpecLimits::default(), Timestamp::EPOCH)
            .map_err(|broken| broken.0.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn members_have_their_places_in_the_order_of_the_request() {
        let (group, members) = check(of(Members::Tasks(vec![echo(), echo(), echo()]))).expect("valid");
        assert_eq!((group.size, group.policy), (3, GroupPolicy::Fail));
        let places: Vec<_> = members
            .iter()
            .map(|(spec, _)| (spec.id.0.as_u128(), spec.group.map(|place| place.index)))
            .collect();
        assert_eq!(places, [(1, Some(0)), (2, Some(1)), (3, Some(2))]);
    }

    #[test]
    fn a_template_makes_a_member_of_each_input() {
        let inputs = Members::Inputs {
            template: Box::new(echo()),
            inputs: vec![json("1"), json(r#"{"a": 2}"#)],
        };
        let (group, members) = check(of(inputs)).expect("valid");
        assert_eq!(group.size, 2);
        let given: Vec<&str> = members.iter().map(|(spec, _)| spec.input.as_str()).collect();
        assert_eq!(given, ["1", r#"{"a": 2}"#]);
    }

    #[test]
    fn a_template_that_becomes_much_by_its_members_is_refused() {
        let of_inputs = |count: usize| {
            of(Members::Inputs {
                template: Box::new(TaskDraft {
                    description: Some("x".repeat(2_000)),
                    ..echo()
                }),
                inputs: vec![json("1"); count],
            })
        };
        assert!(check(of_inputs(8_388)).is_ok());
        let broken = check(of_inputs(8_389)).expect_err("refused");
        assert_eq!(
            broken,
            ["/template has 2000 bytes of texts for each of 8389 members: more than 16777216 together"]
        );
    }

    #[test]
    fn an_empty_group_and_one_that_is_too_large_are_refused() {
        for (count, told) in [(0, "not 0"), (MEMBERS_MAX + 1, "not 10001")] {
            let broken = check(of(Members::Tasks(vec![echo(); count]))).expect_err("refused");
            assert_eq!(broken, [format!("/tasks must have 1 to 10000 members, {told}")]);
        }
        assert!(check(of(Members::Tasks(vec![echo(); MEMBERS_MAX]))).is_ok());
    }

    #[test]
    fn every_broken_rule_is_told_with_its_place() {
        let broken = check(GroupDraft {
            name: Some(String::new()),
            policy: GroupPolicy::Continue,
            members: Members::Tasks(vec![
                echo(),
                TaskDraft {
                    priority: Some(10),
                    ..echo()
                },
            ]),
            on_complete: Some(json(r#"{"name": "echo", "input": "${ outptus }"}"#)),
            on_failure: Some(json(
                r#"{"name": "a b", "on_success": [{"name": "echo", "input": "${ results }"}]}"#,
            )),
        })
        .expect_err("refused");
        assert_eq!(
            broken,
            [
                "/name must have 1 to 255 bytes, none of them U+0000",
                "/on_failure is for the policy fail; with continue, on_complete runs whatever happened",
                "/on_complete/input at character 4: there is no variable outptus; there are outputs, results, group",
                "/on_failure/name must match [A-Za-z0-9._-]{1,100}",
                "/on_failure/on_success/0/input at character 4: there is no variable results; there are output, error, \
                 input, task",
                "/tasks/1/priority must be a whole number from 0 to 9, not 10",
            ]
        );
    }

    #[test]
    fn faults_of_a_template_are_told_once_and_those_of_inputs_each() {
        let python = TaskDraft {
            name: "python".to_owned(),
            priority: Some(10),
            ..TaskDraft::default()
        };
        let inputs = Members::Inputs {
            template: Box::new(python),
            inputs: vec![json(r#"{"code": ""}"#), json(r#"{"code": 5}"#), json("null")],
        };
        let broken = check(of(inputs)).expect_err("refused");
        assert_eq!(
            broken,
            [
                "/template/priority must be a whole number from 0 to 9, not 10",
                "/inputs/1/code must be a text, not a number",
                "/inputs/2 must be an object, not null",
            ]
        );
    }
}
