//! A task with all that came after it.

use std::collections::HashMap;

use orchestratum_core::{JsonText, TaskId};
use orchestratum_store::{Children, MissingFollowUp, PAGE_BYTES, Task};

use crate::{Engine, Error};

/// The most tasks of a tree behind its root.
pub const TREE_TASKS_MAX: usize = 1_000;

/// How far down it is looked.
pub const TREE_DEPTH_MAX: usize = 50;

/// A task and all that followed it, as far as one answer can show it.
#[derive(Debug, Clone, PartialEq)]
pub struct Tree {
    pub root: Branch,
    /// Not everything is shown.
    pub truncated: bool,
}

/// A task and what followed it, run by run.
#[derive(Debug, Clone, PartialEq)]
pub struct Branch {
    pub task: Task,
    /// In the order of their runs, edges and places.
    pub follow_ups: Vec<Branch>,
    pub missing: Vec<MissingFollowUp>,
}

impl Engine {
    /// The tree below a task, level by level, until it is as large as an answer may be.
    ///
    /// # Errors
    /// [`Error::TaskNotFound`].
    pub async fn tree(&self, task: TaskId) -> Result<Tree, Error> {
        let root = self.task(task).await?;
        let mut bytes_left = PAGE_BYTES;
        let mut tasks_left = TREE_TASKS_MAX;
        let mut levels: Vec<Children> = Vec::new();
        let mut parents = vec![task];
        let mut truncated = false;
        while !parents.is_empty() && !truncated {
            let is_full = levels.len() >= TREE_DEPTH_MAX || tasks_left == 0 || bytes_left == 0;
            // One is enough to know that there are more.
            let most = if is_full { 1 } else { tasks_left };
            let level = self.parts.store.children(&parents, most, bytes_left).await?;
            if is_full {
                truncated = !level.tasks.is_empty() || !level.missing.is_empty();
                break;
            }
            truncated = level.truncated;
            parents = level.tasks.iter().map(|task| task.spec.id).collect();
            tasks_left -= parents.len().min(tasks_left);
            let bytes: usize = level.tasks.iter().map(bytes_of).sum();
            bytes_left -= bytes.min(bytes_left);
            levels.push(level);
        }
        Ok(Tree {
            root: assembled(root, levels),
            truncated,
        })
    }
}

fn bytes_of(task: &Task) -> usize {
    let spec = &task.spec;
    let description = spec.description.as_ref().map_or(0, String::len);
    spec.input.len() + task.output.as_ref().map_or(0, JsonText::len) + description + spec.follow_ups.bytes()
}

/// From the leaves up: behind the last level there is nothing.
fn assembled(root: Task, levels: Vec<Children>) -> Branch {
    let mut followed: HashMap<TaskId, Vec<Branch>> = HashMap::new();
    let mut missing: HashMap<TaskId, Vec<MissingFollowUp>> = HashMap::new();
    for level in levels.into_iter().rev() {
        let mut of_parents: HashMap<TaskId, Vec<Branch>> = HashMap::new();
        for task in level.tasks {
            if let Some(parent) = task.spec.parent_id {
                let branch = branch(task, &mut followed, &mut missing);
                of_parents.entry(parent).or_default().push(branch);
            }
        }
        followed = of_parents;
        missing = HashMap::new();
        for one in level.missing {
            missing.entry(one.parent).or_default().push(one);
        }
    }
    branch(root, &mut followed, &mut missing)
}

fn branch(
    task: Task,
    followed: &mut HashMap<TaskId, Vec<Branch>>,
    missing: &mut HashMap<TaskId, Vec<MissingFollowUp>>,
) -> Branch {
    Branch {
        follow_ups: followed.remove(&task.spec.id).unwrap_or_default(),
        missing: missing.remove(&task.spec.id).unwrap_or_default(),
        task,
    }
}
