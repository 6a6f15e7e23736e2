use axum::http::{Method, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Answered, Failure, commits};
use crate::gitlab::call::Call;
use crate::gitlab::hexadecimal::hexadecimal;
use crate::gitlab::refusal::Refusal;
use crate::gitlab::reply::Reply;
use crate::gitlab::world::World;

pub(super) fn answer(world: &mut World, call: &Call, path: &str) -> Answered {
    match call.method {
        Method::GET | Method::HEAD => get(world, call, path),
        Method::POST => change(world, call, path, "create", StatusCode::CREATED),
        Method::PUT => change(world, call, path, "update", StatusCode::OK),
        Method::DELETE => change(world, call, path, "delete", StatusCode::NO_CONTENT),
        _ => Err(Refusal::error(StatusCode::METHOD_NOT_ALLOWED, "405 Not Allowed").into()),
    }
}

fn get(world: &mut World, call: &Call, path: &str) -> Answered {
    let reference = call.parameters.required("ref")?;
    let (mut document, content) = read(world, &reference, path)?;
    if call.method == Method::HEAD {
        return Ok(with_headers(Reply::empty(StatusCode::OK), &document));
    }
    document["content"] = json!(STANDARD.encode(content));
    Ok(Reply::ok(&document))
}

pub(super) fn raw(world: &mut World, call: &Call, path: &str) -> Answered {
    let reference = call.parameters.text("ref").unwrap_or_else(|| "HEAD".to_owned());
    let (document, content) = read(world, &reference, path)?;
    Ok(with_headers(
        Reply::bytes(StatusCode::OK, "text/plain", content),
        &document,
    ))
}

fn read(world: &mut World, reference: &str, path: &str) -> Result<(Value, Vec<u8>), Failure> {
    let Some(commit) = world.repository.resolve(reference)? else {
        return Err(Refusal::not_found("404 Commit Not Found").into());
    };
    let entry = world.repository.entry(&commit, path)?;
    let Some(entry) = entry.filter(|entry| !entry.is_folder()) else {
        return Err(Refusal::not_found("404 File Not Found").into());
    };
    let content = world.repository.blob(&entry.id)?;
    let hash = hexadecimal(&Sha256::digest(&content));
    let document = json!({
        "file_name": path.rsplit('/').next(),
        "file_path": path,
        "size": content.len(),
        "encoding": "base64",
        "content_sha256": hash,
        "ref": reference,
        "blob_id": entry.id,
        "commit_id": commit.id,
        "last_commit_id": world.repository.last_commit_of(&commit, path)?,
        "execute_filemode": entry.is_executable(),
    });
    Ok((document, content))
}

fn with_headers(mut reply: Reply, document: &Value) -> Reply {
    for (name, value) in document.as_object().into_iter().flatten() {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        reply = reply.with_header(format!("x-gitlab-{}", name.replace('_', "-")), text);
    }
    reply
}

/// A commit of one action.
fn change(world: &mut World, call: &Call, path: &str, action: &str, status: StatusCode) -> Answered {
    let branch = call.parameters.required("branch")?;
    let message = call.parameters.required("commit_message")?;
    if action != "delete" && call.parameters.get("content").is_none() {
        return Err(Refusal::missing("content").into());
    }
    let mut done = json!({"action": action, "file_path": path});
    for name in ["content", "encoding", "last_commit_id", "execute_filemode"] {
        if let Some(value) = call.parameters.get(name) {
            done[name] = value.clone();
        }
    }
    commits::make(world, call, &message, &[done])?;
    if status == StatusCode::NO_CONTENT {
        return Ok(Reply::empty(status));
    }
    Ok(Reply::json(status, &json!({"file_path": path, "branch": branch})))
}
