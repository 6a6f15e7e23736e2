use axum::http::StatusCode;
use serde_json::{Value, json};

use super::change::Changes;
use super::{Answered, Failure, check_push, documents};
use crate::gitlab::call::Call;
use crate::gitlab::git::{Author, Commit, Put};
use crate::gitlab::pages::{self, Total};
use crate::gitlab::refusal::Refusal;
use crate::gitlab::reply::Reply;
use crate::gitlab::world::World;

const NOT_FOUND: &str = "404 Commit Not Found";

pub(super) fn list(world: &mut World, call: &Call) -> Answered {
    let reference = call.parameters.text("ref_name").unwrap_or_else(|| "HEAD".to_owned());
    let Some(tip) = world.repository.resolve(&reference)? else {
        return Err(Refusal::not_found(NOT_FOUND).into());
    };
    let log = world.repository.log(&tip)?;
    let commits: Vec<Value> = log.iter().map(|commit| documents::commit(commit, &call.base)).collect();
    Ok(pages::reply(call, &commits, Total::Untold)?)
}

pub(super) fn get(world: &mut World, call: &Call, id: &str) -> Answered {
    match world.repository.resolve(id)? {
        Some(commit) => Ok(Reply::ok(&documents::commit_with_stats(world, &commit, &call.base)?)),
        None => Err(Refusal::not_found(NOT_FOUND).into()),
    }
}

pub(super) fn create(world: &mut World, call: &Call) -> Answered {
    let message = call.parameters.required("commit_message")?;
    call.parameters.required("branch")?;
    let actions = match call.parameters.get("actions") {
        Some(Value::Array(actions)) => actions.clone(),
        _ => return Err(Refusal::missing("actions").into()),
    };
    if actions.is_empty() {
        return Err(Refusal::bad("Provide at least one action, or set allow_empty to true").into());
    }
    let commit = make(world, call, &message, &actions)?;
    Ok(Reply::created(&documents::commit_with_stats(
        world, &commit, &call.base,
    )?))
}

/// One commit for all actions, on the branch that the call names.
pub(super) fn make(world: &mut World, call: &Call, message: &str, actions: &[Value]) -> Result<Commit, Failure> {
    check_push(call)?;
    let branch = call.parameters.required("branch")?;
    let start_branch = call.parameters.text("start_branch").filter(|start| *start != branch);
    let start_sha = call.parameters.text("start_sha");
    let tip = world.repository.branch(&branch)?;
    let from = match (&start_sha, &start_branch) {
        (Some(sha), _) => world.repository.resolve(sha)?,
        (None, Some(start)) => world.repository.branch(start)?,
        (None, None) => tip.clone(),
    };
    let Some(from) = from else {
        return Err(Refusal::bad("You can only create or edit files when you are on a branch").into());
    };
    if (start_sha.is_some() || start_branch.is_some()) && tip.is_some() {
        let message =
            format!("A branch called '{branch}' already exists. Switch to that branch in order to make changes");
        return Err(Refusal::bad(message).into());
    }
    let mut changes = Changes::new(world, &from);
    for (index, action) in actions.iter().enumerate() {
        changes.apply(index, action)?;
    }
    let puts = changes.into_puts();
    let author = Author {
        name: call
            .parameters
            .text("author_name")
            .unwrap_or_else(|| call.user.name.to_owned()),
        email: call
            .parameters
            .text("author_email")
            .unwrap_or_else(|| call.user.email()),
    };
    Ok(world.repository.write(&branch, Some(&from), &author, message, &puts)?)
}

/// The files that a commit changed become what they were before it, if nobody has changed them since.
pub(super) fn revert(world: &mut World, call: &Call, id: &str) -> Answered {
    check_push(call)?;
    let branch = call.parameters.required("branch")?;
    let Some(tip) = world.repository.branch(&branch)? else {
        return Err(Refusal::not_found("404 Branch Not Found").into());
    };
    let Some(reverted) = world.repository.resolve(id)? else {
        return Err(Refusal::not_found(NOT_FOUND).into());
    };
    let parent = match reverted.parents.first() {
        Some(parent) => world.repository.resolve(parent)?,
        None => None,
    };
    let mut puts = Vec::new();
    for path in world.repository.paths_of(&reverted)? {
        let made = world.repository.entry(&reverted, &path)?;
        let before = match &parent {
            Some(parent) => world.repository.entry(parent, &path)?,
            None => None,
        };
        let now = world.repository.entry(&tip, &path)?;
        if now == before {
            continue;
        }
        if now != made {
            return Err(cannot_revert("conflict").into());
        }
        puts.push(match before {
            Some(before) => Put::same(path, &before.mode, &before.id),
            None => Put::gone(path),
        });
    }
    if puts.is_empty() {
        return Err(cannot_revert("empty").into());
    }
    let title = reverted.message.lines().next().unwrap_or_default();
    let message = format!("Revert \"{title}\"\n\nThis reverts commit {}", reverted.id);
    let author = Author {
        name: call.user.name.to_owned(),
        email: call.user.email(),
    };
    let commit = world.repository.write(&branch, Some(&tip), &author, &message, &puts)?;
    Ok(Reply::created(&documents::commit_with_stats(
        world, &commit, &call.base,
    )?))
}

/// The words are the same whether others have changed the same, or nothing is left to be changed.
fn cannot_revert(error_code: &str) -> Refusal {
    let message = "Sorry, we cannot revert this commit automatically. This commit may already have been reverted, or a more recent \
                   commit may have updated some of its content.";
    Refusal {
        status: StatusCode::BAD_REQUEST,
        body: json!({"message": message, "error_code": error_code}),
    }
}
