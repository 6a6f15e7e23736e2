use serde_json::{Value, json};

use super::Answered;
use crate::gitlab::PROJECT;
use crate::gitlab::call::Call;
use crate::gitlab::pages::{self, Total};
use crate::gitlab::refusal::Refusal;
use crate::gitlab::reply::Reply;
use crate::gitlab::users::{USERS, User};
use crate::gitlab::world::{World, now};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    CreatedByMe,
    AssignedToMe,
    All,
}

pub(super) fn list(world: &mut World, call: &Call, default: Scope) -> Answered {
    let filter = Filter::read(call, default)?;
    let mut issues: Vec<Value> = world
        .state
        .records
        .issues
        .iter()
        .filter(|issue| filter.lets(issue))
        .cloned()
        .collect();
    if call.parameters.text("sort").as_deref() != Some("asc") {
        issues.reverse();
    }
    Ok(pages::reply(call, &issues, Total::Told)?)
}

pub(super) fn get(world: &mut World, iid: &str) -> Answered {
    let found = world
        .state
        .records
        .issues
        .iter()
        .find(|issue| issue["iid"].as_u64() == iid.parse().ok());
    match found {
        Some(issue) => Ok(Reply::ok(issue)),
        None => Err(Refusal::not_found("404 Not found").into()),
    }
}

pub(super) fn create(world: &mut World, call: &Call) -> Answered {
    let title = call.parameters.required("title")?;
    let iid = world.state.records.issues.len() + 1;
    let assigned = call.parameters.list("assignee_ids");
    let assignees: Vec<Value> = USERS
        .iter()
        .filter(|user| assigned.contains(&user.id.to_string()))
        .map(|user| user.document(&call.base))
        .collect();
    let mut labels = call.parameters.list("labels");
    labels.sort();
    let created_at = now();
    let issue = json!({
        "id": 500 + iid,
        "iid": iid,
        "project_id": 1,
        "title": title,
        "description": call.parameters.get("description"),
        "state": "opened",
        "created_at": created_at,
        "updated_at": created_at,
        "closed_at": null,
        "closed_by": null,
        "labels": labels,
        "milestone": null,
        "assignee": assignees.first(),
        "assignees": assignees,
        "author": call.user.document(&call.base),
        "type": "ISSUE",
        "issue_type": "issue",
        "due_date": null,
        "confidential": false,
        "web_url": format!("{}/{PROJECT}/-/issues/{iid}", call.base),
        "references": {
            "short": format!("#{iid}"),
            "relative": format!("#{iid}"),
            "full": format!("{PROJECT}#{iid}"),
        },
    });
    world.state.records.issues.push(issue.clone());
    world.state.save()?;
    Ok(Reply::created(&issue))
}

#[derive(Debug)]
struct Filter {
    scope: Scope,
    user: User,
    state: Option<String>,
    assignee: Option<Assignee>,
    labels: Vec<String>,
}

#[derive(Debug)]
enum Assignee {
    Nobody,
    Somebody,
    Id(String),
    Name(String),
}

impl Filter {
    fn read(call: &Call, default: Scope) -> Result<Self, Refusal> {
        let parameters = &call.parameters;
        let scope = match parameters.text("scope").as_deref() {
            None => default,
            Some("created_by_me" | "created-by-me") => Scope::CreatedByMe,
            Some("assigned_to_me" | "assigned-to-me") => Scope::AssignedToMe,
            Some("all") => Scope::All,
            Some(_) => return Err(Refusal::no_value("scope")),
        };
        let state = match parameters.text("state").as_deref() {
            None | Some("all") => None,
            Some(state @ ("opened" | "closed")) => Some(state.to_owned()),
            Some(_) => return Err(Refusal::no_value("state")),
        };
        let assignee = match (parameters.text("assignee_id"), parameters.text("assignee_username")) {
            (Some(_), Some(_)) => {
                let message = "assignee_id, assignee_username are mutually exclusive";
                return Err(Refusal::error(axum::http::StatusCode::BAD_REQUEST, message));
            }
            (Some(id), None) => Some(match id.as_str() {
                "None" => Assignee::Nobody,
                "Any" => Assignee::Somebody,
                _ => Assignee::Id(id),
            }),
            (None, name) => {
                let listed = parameters.list("assignee_username").into_iter().next();
                name.or(listed).map(Assignee::Name)
            }
        };
        Ok(Self {
            scope,
            user: call.user,
            state,
            assignee,
            labels: parameters.list("labels"),
        })
    }

    fn lets(&self, issue: &Value) -> bool {
        let assigned = |field: &str, wanted: &str| {
            let users = issue["assignees"].as_array().into_iter().flatten();
            users.into_iter().any(|user| match &user[field] {
                Value::String(text) => text == wanted,
                other => other.as_u64() == wanted.parse().ok(),
            })
        };
        let is_nobodys = issue["assignees"].as_array().is_none_or(Vec::is_empty);
        let in_scope = match self.scope {
            Scope::All => true,
            Scope::CreatedByMe => issue["author"]["username"] == self.user.username,
            Scope::AssignedToMe => assigned("username", self.user.username),
        };
        let of_assignee = match &self.assignee {
            None => true,
            Some(Assignee::Nobody) => is_nobodys,
            Some(Assignee::Somebody) => !is_nobodys,
            Some(Assignee::Id(id)) => assigned("id", id),
            Some(Assignee::Name(name)) => assigned("username", name),
        };
        let has = |label: &String| {
            issue["labels"]
                .as_array()
                .is_some_and(|labels| labels.iter().any(|one| one == label))
        };
        let in_state = self.state.as_ref().is_none_or(|state| issue["state"] == *state);
        in_scope && of_assignee && in_state && self.labels.iter().all(has)
    }
}
