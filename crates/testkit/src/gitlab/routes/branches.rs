use axum::http::{Method, StatusCode};
use serde_json::Value;

use super::{Answered, check_push, documents};
use crate::gitlab::call::Call;
use crate::gitlab::pages::{self, Total};
use crate::gitlab::refusal::Refusal;
use crate::gitlab::reply::Reply;
use crate::gitlab::world::World;

const NOT_FOUND: &str = "404 Branch Not Found";

pub(super) fn list(world: &mut World, call: &Call) -> Answered {
    let mut branches: Vec<Value> = Vec::new();
    for name in world.repository.branches()? {
        if let Some(tip) = world.repository.branch(&name)? {
            branches.push(documents::branch(world, &name, &tip, &call.base)?);
        }
    }
    Ok(pages::reply(call, &branches, Total::Told)?)
}

pub(super) fn get(world: &mut World, call: &Call, name: &str) -> Answered {
    let Some(tip) = world.repository.branch(name)? else {
        return Err(Refusal::not_found(NOT_FOUND).into());
    };
    if call.method == Method::HEAD {
        return Ok(Reply::empty(StatusCode::NO_CONTENT));
    }
    Ok(Reply::ok(&documents::branch(world, name, &tip, &call.base)?))
}

pub(super) fn create(world: &mut World, call: &Call) -> Answered {
    let name = call.parameters.required("branch")?;
    let reference = call.parameters.required("ref")?;
    check_push(call)?;
    if !world.repository.is_branch_name(&name) {
        return Err(Refusal::bad("Branch name is invalid").into());
    }
    if world.repository.branch(&name)?.is_some() {
        return Err(Refusal::bad("Branch already exists").into());
    }
    let Some(start) = world.repository.resolve(&reference)? else {
        let message = format!("Failed to create branch '{name}': invalid reference name '{reference}'");
        return Err(Refusal::bad(message).into());
    };
    world.repository.make_branch(&name, &start)?;
    Ok(Reply::created(&documents::branch(world, &name, &start, &call.base)?))
}

pub(super) fn delete(world: &mut World, call: &Call, name: &str) -> Answered {
    check_push(call)?;
    if world.repository.branch(name)?.is_none() {
        return Err(Refusal::not_found(NOT_FOUND).into());
    }
    world.repository.delete_branch(name)?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}
