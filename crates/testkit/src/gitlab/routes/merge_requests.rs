use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{Answered, check_push};
use crate::gitlab::PROJECT;
use crate::gitlab::call::Call;
use crate::gitlab::pages::{self, Total};
use crate::gitlab::refusal::Refusal;
use crate::gitlab::reply::Reply;
use crate::gitlab::world::{World, now};

pub(super) fn list(world: &mut World, call: &Call) -> Answered {
    let wanted = |name: &str| call.parameters.text(name).filter(|value| value != "all");
    let filters: Vec<(&str, String)> = ["state", "source_branch", "target_branch"]
        .into_iter()
        .filter_map(|name| Some((name, wanted(name)?)))
        .collect();
    let lets = |one: &&Value| filters.iter().all(|(name, value)| one[*name] == *value);
    let found: Vec<Value> = world
        .state
        .records
        .merge_requests
        .iter()
        .rev()
        .filter(lets)
        .cloned()
        .collect();
    Ok(pages::reply(call, &found, Total::Told)?)
}

pub(super) fn get(world: &mut World, iid: &str) -> Answered {
    let found = world
        .state
        .records
        .merge_requests
        .iter()
        .find(|one| one["iid"].as_u64() == iid.parse().ok());
    match found {
        Some(found) => Ok(Reply::ok(found)),
        None => Err(Refusal::not_found("404 Not found").into()),
    }
}

pub(super) fn create(world: &mut World, call: &Call) -> Answered {
    let parameters = &call.parameters;
    let source = parameters.required("source_branch")?;
    let target = parameters.required("target_branch")?;
    let title = parameters.required("title")?;
    check_push(call)?;
    let unprocessable = |message: &str| Refusal::message(StatusCode::UNPROCESSABLE_ENTITY, json!([message]));
    if source == target {
        return Err(unprocessable("You can't use same project/branch for source and target").into());
    }
    let Some(tip) = world.repository.branch(&source)? else {
        return Err(unprocessable("Source branch does not exist").into());
    };
    if world.repository.branch(&target)?.is_none() {
        return Err(unprocessable("Target branch does not exist").into());
    }
    let merge_requests = &world.state.records.merge_requests;
    let is_open =
        |one: &&Value| one["state"] == "opened" && one["source_branch"] == source && one["target_branch"] == target;
    if let Some(open) = merge_requests.iter().find(is_open) {
        let message = format!(
            "Another open merge request already exists for this source branch: !{}",
            open["iid"]
        );
        return Err(Refusal::message(StatusCode::CONFLICT, json!([message])).into());
    }
    let iid = merge_requests.len() + 1;
    let created_at = now();
    let made = json!({
        "id": 1_000 + iid,
        "iid": iid,
        "project_id": 1,
        "title": title,
        "description": parameters.get("description"),
        "state": "opened",
        "created_at": created_at,
        "updated_at": created_at,
        "source_branch": source,
        "target_branch": target,
        "author": call.user.document(&call.base),
        "sha": tip.id,
        "merge_status": "checking",
        "detailed_merge_status": "checking",
        "draft": false,
        "web_url": format!("{}/{PROJECT}/-/merge_requests/{iid}", call.base),
    });
    world.state.records.merge_requests.push(made.clone());
    world.state.save()?;
    Ok(Reply::created(&made))
}

pub(super) fn update(world: &mut World, call: &Call, iid: &str) -> Answered {
    check_push(call)?;
    let found = world
        .state
        .records
        .merge_requests
        .iter_mut()
        .find(|one| one["iid"].as_u64() == iid.parse().ok());
    let Some(found) = found else {
        return Err(Refusal::not_found("404 Not found").into());
    };
    let state = match call.parameters.text("state_event").as_deref() {
        None => None,
        Some("close") => Some("closed"),
        Some("reopen") => Some("opened"),
        Some(_) => return Err(Refusal::no_value("state_event").into()),
    };
    if let Some(state) = state {
        found["state"] = json!(state);
    }
    found["updated_at"] = json!(now());
    let shown = found.clone();
    world.state.save()?;
    Ok(Reply::ok(&shown))
}
