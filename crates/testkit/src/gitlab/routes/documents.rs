//! Commits and branches as GitLab shows them.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use crate::gitlab::git::Commit;
use crate::gitlab::world::World;
use crate::gitlab::{DEFAULT_BRANCH, PROJECT};

pub(super) fn commit(commit: &Commit, base: &str) -> Value {
    let moment = |seconds| {
        let moment = DateTime::<Utc>::from_timestamp(seconds, 0);
        moment.map(|moment| moment.to_rfc3339_opts(SecondsFormat::Millis, false))
    };
    let message = &commit.message;
    json!({
        "id": commit.id,
        "short_id": &commit.id[..8],
        "parent_ids": commit.parents,
        "title": message.lines().next().unwrap_or_default(),
        "message": message,
        "author_name": commit.author.name,
        "author_email": commit.author.email,
        "authored_date": moment(commit.author.seconds),
        "committer_name": commit.committer.name,
        "committer_email": commit.committer.email,
        "committed_date": moment(commit.committer.seconds),
        "created_at": moment(commit.committer.seconds),
        "trailers": {},
        "extended_trailers": {},
        "web_url": format!("{base}/{PROJECT}/-/commit/{}", commit.id),
    })
}

/// Of one commit alone.
pub(super) fn commit_with_stats(world: &World, shown: &Commit, base: &str) -> anyhow::Result<Value> {
    let (additions, deletions) = world.repository.lines_changed(shown)?;
    let mut document = commit(shown, base);
    document["stats"] = json!({"additions": additions, "deletions": deletions, "total": additions + deletions});
    document["status"] = Value::Null;
    document["project_id"] = json!(1);
    document["last_pipeline"] = Value::Null;
    Ok(document)
}

pub(super) fn branch(world: &mut World, name: &str, tip: &Commit, base: &str) -> anyhow::Result<Value> {
    let default = world.repository.branch(DEFAULT_BRANCH)?;
    let is_default = name == DEFAULT_BRANCH;
    let merged = !is_default && default.is_some_and(|default| world.repository.is_merged(tip, &default));
    Ok(json!({
        "name": name,
        "merged": merged,
        "protected": false,
        "developers_can_push": false,
        "developers_can_merge": false,
        "can_push": true,
        "default": is_default,
        "web_url": format!("{base}/{PROJECT}/-/tree/{name}"),
        "commit": commit(tip, base),
    }))
}
