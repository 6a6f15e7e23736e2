//! The body that describes a new group.

use orchestratum_core::JsonText;
use orchestratum_core::task::{GroupDraft, GroupPolicy, MEMBERS_MAX, Members};
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::extract::bounded;
use crate::problem::{Code, Problem, Result};
use crate::routes::schema;
use crate::routes::tasks::TaskBody;

/// Many tasks, and one that comes after them: either `tasks`, or a `template` with `inputs`. Unknown fields are refused.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewGroup)]
pub(crate) struct Body {
    /// A UUIDv7 of the caller's choice, made in the last or next 24 hours: the same id and body again is the same group.
    #[serde(default)]
    pub(super) id: Option<Uuid>,
    /// For people.
    #[serde(default)]
    #[schema(max_length = 255, example = "nightly totals")]
    name: Option<String>,
    /// What a member that does not succeed means: `fail` cancels the others, and the group fails; `continue` lets them run, and
    /// what comes after the group sees who failed.
    #[serde(default)]
    #[schema(value_type = schema::GroupPolicy, default = "fail")]
    policy: Option<GroupPolicy>,
    /// The members, each for itself: what a create takes, without `id` and `unique`.
    #[serde(default)]
    #[schema(value_type = Option<Vec<TaskBody>>, min_items = 1, max_items = 10000)]
    tasks: Option<Tasks>,
    /// Members of one kind: what a create takes, without `id`, `unique` and `input`.
    #[serde(default)]
    template: Option<Box<TaskBody>>,
    /// With a `template`: the input of each member.
    #[serde(default)]
    #[schema(value_type = Option<Vec<schema::Anything>>, min_items = 1, max_items = 10000)]
    inputs: Option<Inputs>,
    /// What runs when all members are over: what a create takes, without `id`. Its texts may hold expressions over `outputs`,
    /// `results` and `group`. Without a `target` it goes to `default`.
    #[serde(default)]
    #[schema(value_type = Option<schema::AfterGroup>)]
    on_complete: Option<JsonText>,
    /// With the policy `fail`: what runs in its place where a member did not succeed.
    #[serde(default)]
    #[schema(value_type = Option<schema::AfterGroup>)]
    on_failure: Option<JsonText>,
}

#[derive(Debug, Deserialize)]
#[serde(transparent)]
struct Tasks(#[serde(deserialize_with = "bounded::list::<_, _, MEMBERS_MAX>")] Vec<TaskBody>);

#[derive(Debug, Deserialize)]
#[serde(transparent)]
struct Inputs(#[serde(deserialize_with = "bounded::list::<_, _, MEMBERS_MAX>")] Vec<JsonText>);

impl Body {
    /// The draft, whose rules the domain checks.
    pub(super) fn into_draft(self) -> Result<GroupDraft> {
        let members = match (self.tasks, self.template, self.inputs) {
            (Some(Tasks(tasks)), None, None) => each(tasks)?,
            (None, Some(template), Some(Inputs(inputs))) => Members::Inputs {
                template: Box::new(without_id(*template, "/template")?),
                inputs,
            },
            (Some(_), Some(_), _) => return Err(refused("/template", "goes without tasks, which have all of theirs")),
            (Some(_), None, Some(_)) => return Err(refused("/inputs", "goes with a template, not with tasks")),
            (None, Some(_), None) => return Err(refused("/inputs", "must have the input of each member")),
            (None, None, Some(_)) => return Err(refused("/template", "must say what runs with the inputs")),
            (None, None, None) => {
                let rule = "must have the members of the group; or there must be a template with inputs";
                return Err(refused("/tasks", rule));
            }
        };
        Ok(GroupDraft {
            name: self.name,
            policy: self.policy.unwrap_or_default(),
            members,
            on_complete: self.on_complete,
            on_failure: self.on_failure,
        })
    }
}

fn each(tasks: Vec<TaskBody>) -> Result<Members> {
    let drafts = tasks
        .into_iter()
        .enumerate()
        .map(|(index, task)| without_id(task, &format!("/tasks/{index}")));
    Ok(Members::Tasks(drafts.collect::<Result<_>>()?))
}

fn without_id(task: TaskBody, prefix: &str) -> Result<orchestratum_core::task::TaskDraft> {
    if task.id.is_some() {
        let message = "members have ids of our own; a group is repeated with its Idempotency-Key or its id";
        return Err(refused(&format!("{prefix}/id"), message));
    }
    task.into_draft(prefix)
}

fn refused(pointer: &str, message: &str) -> Problem {
    Problem::broken(Code::InvalidBody, pointer, message)
}
