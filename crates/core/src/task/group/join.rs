//! What comes after a group, made when the last of its members is over.

use std::cell::OnceCell;
use std::fmt::Write;

use serde_json::json;

use super::{GroupSpec, GroupStatus};
use crate::JsonText;
use crate::expression::{Scope, Variable};
use crate::identity::TaskId;
use crate::task::follow_up::{Entry, Rendered, Unmade, in_a_line};
use crate::task::life::TaskLife;
use crate::task::rules::Violations;
use crate::task::spec::{SpecLimits, TaskSpec};
use crate::task::status::TaskStatus;
use crate::time::Timestamp;

/// What its expressions see of the group.
pub(super) const VARIABLES: [Variable<'static>; 3] = [
    Variable::any("outputs"),
    Variable::any("results"),
    Variable::with_fields(
        "group",
        &[
            "id",
            "name",
            "size",
            "policy",
            "status",
            "completed",
            "failed",
            "expired",
            "cancelled",
            "deleted",
            "created_at",
            "finished_at",
            "outputs_bytes",
            "outputs_left_out",
        ],
    ),
];

/// A member that is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberEnd {
    pub task: TaskId,
    pub index: u16,
    pub status: TaskStatus,
    pub output: Option<JsonText>,
    /// As it is stored: an object of `kind` and `message`.
    pub error: Option<JsonText>,
}

/// A group whose members are all over, as what comes after it sees it.
#[derive(Debug, Clone, Copy)]
pub struct GroupEnd<'a> {
    pub spec: &'a GroupSpec,
    /// With which it ends.
    pub status: GroupStatus,
    /// In their order, without those that were deleted. Their outputs and errors are there as far as [`outputs_fit`] says.
    ///
    /// [`outputs_fit`]: Self::outputs_fit
    pub members: &'a [MemberEnd],
    /// How large the outputs and errors of all members are together.
    pub outputs_bytes: u64,
}

impl GroupEnd<'_> {
    /// Whether outputs and errors of so many bytes are handed on. Beyond what an input may be, nothing that holds them all could
    /// be made anyway, and nobody should read so much for nothing.
    pub fn outputs_fit(bytes: u64, limits: &SpecLimits) -> bool {
        usize::try_from(bytes).is_ok_and(|bytes| bytes <= limits.input_max_bytes)
    }

    /// The task that comes after it, or why it cannot be made; `None` where nothing is to come.
    pub fn follow_up(
        &self,
        id: TaskId,
        limits: &SpecLimits,
        now: Timestamp,
    ) -> Option<Result<Box<(TaskSpec, TaskLife)>, Unmade>> {
        let json = self.spec.follow_up(self.status)?;
        let unmade = |name: String, broken: &Violations| Unmade {
            name,
            reason: in_a_line(broken),
        };
        let entry = match Entry::read(json, &VARIABLES) {
            Ok(entry) => entry,
            Err(broken) => return Some(Err(unmade(String::new(), &broken))),
        };
        let name = entry.draft.name.clone();
        let made = self.made(&entry, id, limits, now);
        Some(made.map(Box::new).map_err(|broken| {
            let broken = if Self::outputs_fit(self.outputs_bytes, limits) {
                broken
            } else {
                self.with_the_cause(broken, limits)
            };
            unmade(name, &broken)
        }))
    }

    fn made(
        &self,
        entry: &Entry,
        id: TaskId,
        limits: &SpecLimits,
        now: Timestamp,
    ) -> Result<(TaskSpec, TaskLife), Violations> {
        let scope = OnceCell::new();
        let Rendered {
            draft,
            has_labels: _,
            follow_ups,
        } = entry.render(
            || scope.get_or_init(|| self.values(limits, now)),
            limits.input_max_bytes,
        )?;
        let (mut spec, life) = draft.check("", id, limits, now)?;
        spec.follow_ups = follow_ups;
        Ok((spec, life))
    }

    /// Whoever asked for outputs that are left out is told why they are.
    fn with_the_cause(&self, mut broken: Violations, limits: &SpecLimits) -> Violations {
        let (bytes, most) = (self.outputs_bytes, limits.input_max_bytes);
        let message = format!(
            "the outputs and errors of the members are {bytes} bytes together, more than the {most} that are handed on: there \
             is no `outputs`, and `results` have none"
        );
        broken.add("", message);
        broken
    }

    fn values(&self, limits: &SpecLimits, now: Timestamp) -> Scope {
        let fit = Self::outputs_fit(self.outputs_bytes, limits);
        let outputs = fit.then(|| ("outputs", self.outputs()));
        let others = [("results", self.results(fit)), ("group", self.as_json(fit, now))];
        Scope::new(outputs.into_iter().chain(others))
    }

    /// Each place of the group with its member, if that is still there.
    fn places(&self) -> impl Iterator<Item = (u16, Option<&MemberEnd>)> {
        let mut members = self.members.iter().peekable();
        (0..self.spec.size).map(move |index| (index, members.next_if(|member| member.index == index)))
    }

    fn outputs(&self) -> JsonText {
        let outputs = self.places().map(|(_, member)| {
            member
                .and_then(|member| member.output.as_ref())
                .map_or("null", JsonText::as_str)
        });
        list(outputs)
    }

    fn results(&self, with_outputs: bool) -> JsonText {
        let results = self.places().map(|(index, member)| {
            let mut result = String::new();
            let told = match member {
                Some(member) => write!(
                    result,
                    r#"{{"id":"{}","index":{index},"status":"{}""#,
                    member.task, member.status
                ),
                // Somebody deleted it.
                None => write!(result, r#"{{"id":null,"index":{index},"status":null"#),
            };
            let text = |json: Option<&JsonText>| json.map_or("null", JsonText::as_str).to_owned();
            let told = told.and_then(|()| {
                if with_outputs {
                    let output = text(member.and_then(|member| member.output.as_ref()));
                    let error = text(member.and_then(|member| member.error.as_ref()));
                    write!(result, r#","output":{output},"error":{error}"#)
                } else {
                    Ok(())
                }
            });
            told.expect("a String takes every character");
            result.push('}');
            result
        });
        list(results)
    }

    fn as_json(&self, with_outputs: bool, now: Timestamp) -> JsonText {
        let spec = self.spec;
        let count = |status| self.members.iter().filter(|member| member.status == status).count();
        let group = json!({
            "id": spec.id,
            "name": spec.name,
            "size": spec.size,
            "policy": spec.policy.as_str(),
            "status": self.status.as_str(),
            "completed": count(TaskStatus::Completed),
            "failed": count(TaskStatus::Failed),
            "expired": count(TaskStatus::Expired),
            "cancelled": count(TaskStatus::Cancelled),
            "deleted": usize::from(spec.size).saturating_sub(self.members.len()),
            "created_at": spec.created_at.to_string(),
            "finished_at": now.to_string(),
            "outputs_bytes": self.outputs_bytes,
            "outputs_left_out": !with_outputs,
        });
        JsonText::trusted(group.to_string())
    }
}

fn list(entries: impl Iterator<Item = impl AsRef<str>>) -> JsonText {
    let mut list = String::from("[");
    for (index, entry) in entries.enumerate() {
        if index > 0 {
            list.push(',');
        }
        list.push_str(entry.as_ref());
    }
    list.push(']');
    JsonText::trusted(list)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::super::GroupPolicy;
    use super::*;
    use crate::identity::GroupId;

    fn spec(size: u16, on_complete: &str) -> GroupSpec {
        GroupSpec {
            id: GroupId(Uuid::from_u128(7)),
            name: Some("nightly".to_owned()),
            policy: GroupPolicy::Continue,
            on_complete: Some(JsonText::new(on_complete).expect("JSON")),
            on_failure: None,
            size,
            created_at: Timestamp::EPOCH,
        }
    }

    fn member(index: u16, output: &str) -> MemberEnd {
        MemberEnd {
            task: TaskId(Uuid::from_u128(u128::from(index))),
            index,
            status: TaskStatus::Completed,
            output: Some(JsonText::new(output).expect("JSON")),
            error: None,
        }
    }

    fn failed(index: u16) -> MemberEnd {
        MemberEnd {
            status: TaskStatus::Failed,
            output: None,
            error: Some(JsonText::trusted(r#"{"kind":"Failed","message":"no"}"#)),
            ..member(index, "0")
        }
    }

    fn made(spec: &GroupSpec, members: &[MemberEnd], outputs_bytes: u64) -> Result<TaskSpec, Unmade> {
        let end = GroupEnd {
            spec,
            status: GroupStatus::Completed,
            members,
            outputs_bytes,
        };
        let made = end.follow_up(TaskId(Uuid::from_u128(9)), &SpecLimits::default(), Timestamp::EPOCH);
        made.expect("on_complete").map(|made| made.0)
    }

    #[test]
    fn what_comes_after_sees_outputs_results_and_group() {
        let spec = spec(
            4,
            r#"{"name": "echo", "target": "gpu", "input": {
                "outputs": "${ outputs }",
                "sum": "${ outputs[0] + outputs[3].n }",
                "bad": "${ results.filter(r, r.status != 'Completed').map(r, [r.index, r.status]) }",
                "why": "${ results[1].error.kind }",
                "told": "${ group.name }: ${ group.completed } of ${ group.size }, ${ group.deleted } deleted"
            }, "labels": {"group": "${ group.id }"}, "on_success": [{"name": "mail"}]}"#,
        );
        // The third was deleted.
        let made = made(&spec, &[member(0, "40"), failed(1), member(3, r#"{"n": 2}"#)], 50).expect("made");
        assert_eq!(
            made.input.as_str(),
            r#"{"outputs":[40,null,null,{"n": 2}],"sum":42,"bad":[[1,"Failed"],[2,null]],"why":"Failed","told":"nightly: 2 of 4, 1 deleted"}"#
        );
        assert_eq!((made.target.as_str(), made.follow_ups.is_empty()), ("gpu", false));
        assert_eq!(made.labels["group"], spec.id.to_string());
        assert_eq!((made.parent_id, made.group), (None, None));
    }

    #[test]
    fn results_tell_all_of_each_member_that_is_left() {
        let spec = spec(3, r#"{"name": "echo", "input": "${ results }"}"#);
        let made = made(&spec, &[member(0, "[1]"), failed(2)], 50).expect("made");
        assert_eq!(
            made.input.as_str(),
            concat!(
                r#"[{"id":"00000000-0000-0000-0000-000000000000","index":0,"status":"Completed","output":[1],"error":null},"#,
                r#"{"id":null,"index":1,"status":null,"output":null,"error":null},"#,
                r#"{"id":"00000000-0000-0000-0000-000000000002","index":2,"status":"Failed","output":null,"#,
                r#""error":{"kind":"Failed","message":"no"}}]"#
            )
        );
    }

    #[test]
    fn outputs_that_are_too_large_are_left_out_and_whoever_asks_for_them_is_told() {
        let much = (1 << 20) + 1;
        let without = |text: &str| made(&spec(1, text), &[failed(0)], much);
        let references = without(r#"{"name": "echo", "input": ["${ results }", "${ group.outputs_left_out }"]}"#);
        assert_eq!(
            references.expect("made").input.as_str(),
            r#"[[{"id":"00000000-0000-0000-0000-000000000000","index":0,"status":"Failed"}],true]"#
        );
        for asks in ["${ outputs }", "${ size(outputs) }", "${ results[0].output }"] {
            let unmade = without(&format!(r#"{{"name": "echo", "input": "{asks}"}}"#)).expect_err("no outputs");
            assert_eq!(unmade.name, "echo");
            assert!(
                unmade
                    .reason
                    .contains("are 1048577 bytes together, more than the 1048576"),
                "{asks}: {}",
                unmade.reason
            );
        }
        // Nobody asked: it is made.
        assert!(without(r#"{"name": "echo", "input": 1}"#).is_ok());
    }

    #[test]
    fn ten_thousand_members_are_looked_through_in_the_steps_there_are() {
        let members: Vec<MemberEnd> = (0..10_000).map(|index| member(index, "1")).collect();
        for (expression, expected) in [
            ("${ size(outputs) }", "10000"),
            ("${ results.filter(r, r.status != 'Completed').size() }", "0"),
            ("${ results.all(r, r.output == 1) }", "true"),
        ] {
            let spec = spec(10_000, &format!(r#"{{"name": "echo", "input": "{expression}"}}"#));
            let made = made(&spec, &members, 10_000).expect(expression);
            assert_eq!(made.input.as_str(), expected, "{expression}");
        }
    }
}
