//! What the actions of a commit do to its files: all of them, or none.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::Failure;
use crate::gitlab::git::{Commit, Entry, Put};
use crate::gitlab::refusal::Refusal;
use crate::gitlab::world::World;

const FILE: &str = "100644";
const EXECUTABLE: &str = "100755";

/// The files of a commit that are other than in the one before.
#[derive(Debug)]
pub(super) struct Changes<'a> {
    world: &'a mut World,
    before: &'a Commit,
    after: BTreeMap<String, Option<File>>,
}

#[derive(Debug, Clone)]
struct File {
    mode: String,
    content: Content,
}

#[derive(Debug, Clone)]
enum Content {
    New(Vec<u8>),
    Blob(String),
}

impl<'a> Changes<'a> {
    pub(super) fn new(world: &'a mut World, before: &'a Commit) -> Self {
        Self {
            world,
            before,
            after: BTreeMap::new(),
        }
    }

    pub(super) fn apply(&mut self, index: usize, action: &Value) -> Result<(), Failure> {
        let text = |name: &str| action.get(name).and_then(Value::as_str);
        let path = checked_path(text("file_path").unwrap_or_default())?;
        let content = content(action)?;
        match text("action").unwrap_or_default() {
            "create" => self.create(path, action, content.unwrap_or_default()),
            "update" => {
                let content = content.ok_or_else(|| Refusal::bad("You must provide content"))?;
                let file = self.existing(&path, action)?;
                self.put(path, file.mode, Content::New(content));
                Ok(())
            }
            "delete" => {
                self.existing(&path, action)?;
                self.after.insert(path, None);
                Ok(())
            }
            "chmod" => {
                let file = self.existing(&path, action)?;
                self.put(path, mode(action), file.content);
                Ok(())
            }
            "move" => {
                let from = checked_path(text("previous_path").unwrap_or_default())?;
                let file = self.existing(&from, action)?;
                if self.file(&path)?.is_some() {
                    return Err(Refusal::bad("A file with this name already exists").into());
                }
                self.after.insert(from, None);
                self.put(path, file.mode, content.map_or(file.content, Content::New));
                Ok(())
            }
            _ => Err(Refusal::no_value(&format!("actions[{index}][action]")).into()),
        }
    }

    pub(super) fn into_puts(self) -> Vec<Put> {
        let put = |(path, file): (String, Option<File>)| match file {
            None => Put::gone(path),
            Some(File { mode, content }) => match content {
                Content::New(content) => Put::file(path, &mode, content),
                Content::Blob(id) => Put::same(path, &mode, &id),
            },
        };
        // What goes makes room: a file may take the place of a folder.
        let (gone, there): (Vec<_>, Vec<_>) = self.after.into_iter().partition(|(_, file)| file.is_none());
        gone.into_iter().chain(there).map(put).collect()
    }

    fn create(&mut self, path: String, action: &Value, content: Vec<u8>) -> Result<(), Failure> {
        if self.file(&path)?.is_some() {
            return Err(Refusal::bad("A file with this name already exists").into());
        }
        let is_folder = self
            .world
            .repository
            .entry(self.before, &path)?
            .is_some_and(|entry| entry.is_folder());
        if is_folder {
            return Err(Refusal::bad("A directory with this name already exists").into());
        }
        self.put(path, mode(action), Content::New(content));
        Ok(())
    }

    fn put(&mut self, path: String, mode: String, content: Content) {
        self.after.insert(path, Some(File { mode, content }));
    }

    /// As the actions before have left it.
    fn file(&mut self, path: &str) -> Result<Option<File>, Failure> {
        if let Some(file) = self.after.get(path) {
            return Ok(file.clone());
        }
        let entry = self.world.repository.entry(self.before, path)?;
        Ok(entry.filter(|entry| !entry.is_folder()).map(|Entry { mode, id }| File {
            mode,
            content: Content::Blob(id),
        }))
    }

    /// One that must be there, and as the action knows it.
    fn existing(&mut self, path: &str, action: &Value) -> Result<File, Failure> {
        let Some(file) = self.file(path)? else {
            return Err(Refusal::bad("A file with this name doesn't exist").into());
        };
        let known = action
            .get("last_commit_id")
            .and_then(Value::as_str)
            .filter(|known| !known.is_empty());
        if let Some(known) = known
            && self.world.repository.last_commit_of(self.before, path)? != known
        {
            let message = "You are attempting to update a file that has changed since you started editing it.";
            return Err(Refusal::bad(message).into());
        }
        Ok(file)
    }
}

fn checked_path(path: &str) -> Result<String, Refusal> {
    let path = path.trim_start_matches('/');
    if path.is_empty() {
        return Err(Refusal::bad("You must provide a file path"));
    }
    if path.split('/').any(|segment| segment == "..") {
        return Err(Refusal::bad("Path cannot include directory traversal"));
    }
    Ok(path.to_owned())
}

fn mode(action: &Value) -> String {
    let executable = matches!(action.get("execute_filemode"), Some(Value::Bool(true)));
    if executable { EXECUTABLE } else { FILE }.to_owned()
}

fn content(action: &Value) -> Result<Option<Vec<u8>>, Refusal> {
    let Some(text) = action.get("content").and_then(Value::as_str) else {
        return Ok(None);
    };
    if action.get("encoding").and_then(Value::as_str) != Some("base64") {
        return Ok(Some(text.as_bytes().to_vec()));
    }
    match STANDARD.decode(text) {
        Ok(content) => Ok(Some(content)),
        Err(_) => Err(Refusal::error(StatusCode::BAD_REQUEST, "content is invalid")),
    }
}
