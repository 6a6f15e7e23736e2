//! The API: which file answers what. All of it happens one request at a time.

mod branches;
mod change;
mod commits;
mod documents;
mod files;
mod issues;
mod merge_requests;
mod project;

use axum::http::{Method, StatusCode};

use super::PROJECT;
use super::call::Call;
use super::refusal::Refusal;
use super::reply::Reply;
use super::world::World;

/// A refusal, or a fault of the double itself, which becomes a 500.
#[derive(Debug)]
pub(super) enum Failure {
    Refused(Refusal),
    Broken(anyhow::Error),
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Broken(error)
    }
}

pub(super) type Answered = Result<Reply, Failure>;

pub(super) fn answer(world: &mut World, call: &Call) -> Reply {
    match route(world, call) {
        Ok(reply) => reply,
        Err(Failure::Refused(refusal)) => refusal.into(),
        Err(Failure::Broken(error)) => Refusal::message(StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}")).into(),
    }
}

fn route(world: &mut World, call: &Call) -> Answered {
    let segments: Vec<&str> = call.segments.iter().map(String::as_str).collect();
    match segments.as_slice() {
        ["user"] => Ok(Reply::ok(&call.user.document(&call.base))),
        ["issues"] => issues::list(world, call, issues::Scope::CreatedByMe),
        ["projects", "1" | PROJECT, rest @ ..] => of_project(world, call, rest),
        ["projects", _, ..] => Err(Refusal::not_found("404 Project Not Found").into()),
        _ => unknown(),
    }
}

fn of_project(world: &mut World, call: &Call, segments: &[&str]) -> Answered {
    let method = &call.method;
    match segments {
        [] => Ok(Reply::ok(&project::document(&call.base))),
        ["issues"] if method == Method::POST => issues::create(world, call),
        ["issues"] => issues::list(world, call, issues::Scope::All),
        ["issues", iid] => issues::get(world, iid),
        ["merge_requests"] if method == Method::POST => merge_requests::create(world, call),
        ["merge_requests"] => merge_requests::list(world, call),
        ["merge_requests", iid] if method == Method::PUT => merge_requests::update(world, call, iid),
        ["merge_requests", iid] => merge_requests::get(world, iid),
        ["repository", "branches"] if method == Method::POST => branches::create(world, call),
        ["repository", "branches"] => branches::list(world, call),
        ["repository", "branches", name] if method == Method::DELETE => branches::delete(world, call, name),
        ["repository", "branches", name] => branches::get(world, call, name),
        ["repository", "commits"] if method == Method::POST => commits::create(world, call),
        ["repository", "commits"] => commits::list(world, call),
        ["repository", "commits", id] => commits::get(world, call, id),
        ["repository", "commits", id, "revert"] if method == Method::POST => commits::revert(world, call, id),
        ["repository", "files", path] => files::answer(world, call, path),
        ["repository", "files", path, "raw"] => files::raw(world, call, path),
        _ => unknown(),
    }
}

fn unknown() -> Answered {
    Err(Refusal::error(StatusCode::NOT_FOUND, "404 Not Found").into())
}

/// Before anything is changed in the repository.
fn check_push(call: &Call) -> Result<(), Refusal> {
    if call.user.may_push {
        Ok(())
    } else {
        let message = "403 Forbidden - You are not allowed to push into this branch";
        Err(Refusal::message(StatusCode::FORBIDDEN, message))
    }
}
