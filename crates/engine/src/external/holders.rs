//! Which key claimed an attempt.
//!
//! Whoever claimed it never changes, so what is known of it stays true: this process remembers its own claims, and asks the
//! database, together with others, about those of other processes and of long ago.

use std::collections::HashMap;
use std::sync::Arc;

use orchestratum_core::TaskId;
use orchestratum_store::{AttemptHolder, Store};
use parking_lot::Mutex;

use crate::batcher::{Batcher, Bounds, Weight};
use crate::{Engine, Error};

/// The most attempts that are remembered; beyond it remembering begins anew.
const REMEMBERED: usize = 100_000;

#[derive(Debug)]
pub(crate) struct Holders {
    /// The newest attempt that was claimed here, and the id of the key.
    claimed: Mutex<HashMap<TaskId, (u32, Arc<str>)>>,
    questions: Batcher<(TaskId, u32), Option<AttemptHolder>>,
}

impl Holders {
    pub(crate) fn start(store: &Arc<dyn Store>) -> Self {
        let store = Arc::clone(store);
        let weight = |_: &(TaskId, u32)| Weight { rows: 1, bytes: 0 };
        let questions = Batcher::start(Bounds::HOT_PATH, weight, move |asked: Arc<Vec<(TaskId, u32)>>| {
            let store = Arc::clone(&store);
            async move {
                let found = store.holders(&asked).await?;
                let mut found: HashMap<_, _> = found
                    .into_iter()
                    .map(|holder| ((holder.task, holder.attempt), holder))
                    .collect();
                // The same may be asked twice at a time.
                let answers = asked.iter().map(|key| found.get_mut(key).cloned());
                Ok(answers.collect())
            }
        });
        Self {
            claimed: Mutex::default(),
            questions,
        }
    }

    pub(super) fn remember(&self, attempts: impl Iterator<Item = (TaskId, u32)>, key_id: &str) {
        let key_id: Arc<str> = key_id.into();
        let mut claimed = self.claimed.lock();
        for (task, attempt) in attempts {
            if claimed.len() >= REMEMBERED {
                claimed.clear();
            }
            claimed.insert(task, (attempt, Arc::clone(&key_id)));
        }
    }

    /// Its id may be another task's from now on.
    pub(crate) fn forget(&self, task: TaskId) {
        self.claimed.lock().remove(&task);
    }

    fn claimed_here(&self, task: TaskId, attempt: u32, key_id: &str) -> bool {
        let claimed = self.claimed.lock();
        claimed
            .get(&task)
            .is_some_and(|(newest, key)| *newest == attempt && **key == *key_id)
    }
}

impl Engine {
    /// # Errors
    /// [`Error::TaskNotFound`], [`Error::AttemptNotFound`], and [`Error::ClaimedByAnother`] if this key did not claim it.
    pub(super) async fn check_holder(&self, task: TaskId, attempt: u32, key_id: &str) -> Result<(), Error> {
        let holders = &self.parts.holders;
        if holders.claimed_here(task, attempt, key_id) {
            return Ok(());
        }
        let holder = holders.questions.submit((task, attempt)).await?;
        let holder = holder.ok_or(Error::TaskNotFound(task))?;
        if attempt == 0 || attempt > holder.newest {
            return Err(Error::AttemptNotFound {
                task,
                attempt,
                newest: holder.newest,
            });
        }
        // What is over stays as it is: a report on it is compared with how it ended, whoever repeats it.
        if holder.is_forgotten || holder.key_id.as_deref() == Some(key_id) {
            Ok(())
        } else {
            Err(Error::ClaimedByAnother { task, attempt })
        }
    }
}
