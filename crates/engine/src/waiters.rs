//! Callers that wait for a task to end.
//!
//! A signal wakes them at once; because signals can get lost, one statement every 250 ms asks for all of them together,
//! and only while someone waits.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use orchestratum_core::TaskId;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How often the database is asked for tasks that are waited for.
pub(crate) const ASK_EVERY: Duration = Duration::from_millis(250);

#[derive(Debug, Default)]
pub(crate) struct Waiters {
    tasks: Mutex<HashMap<TaskId, watch::Sender<bool>>>,
    /// The process is stopping: nobody waits any more.
    over: CancellationToken,
}

/// A place in the queue of those who wait for a task; leaving it forgets the task if nobody else waits.
#[derive(Debug)]
pub(crate) struct Waiting {
    waiters: Arc<Waiters>,
    task: TaskId,
    ended: watch::Receiver<bool>,
}

impl Waiters {
    pub(crate) fn wait_for(self: &Arc<Self>, task: TaskId) -> Waiting {
        let mut tasks = self.tasks.lock();
        let ended = tasks
            .entry(task)
            .or_insert_with(|| watch::Sender::new(false))
            .subscribe();
        Waiting {
            waiters: Arc::clone(self),
            task,
            ended,
        }
    }

    pub(crate) fn ended(&self, ended: &[TaskId]) {
        let tasks = self.tasks.lock();
        if tasks.is_empty() {
            return;
        }
        for task in ended {
            if let Some(sender) = tasks.get(task) {
                sender.send_replace(true);
            }
        }
    }

    /// From now on nobody waits.
    pub(crate) fn give_up(&self) {
        self.over.cancel();
    }

    pub(crate) fn gave_up(&self) -> bool {
        self.over.is_cancelled()
    }

    /// Returns when nobody waits any more.
    pub(crate) async fn giving_up(&self) {
        self.over.cancelled().await;
    }

    /// The tasks someone waits for.
    pub(crate) fn waited_for(&self) -> Vec<TaskId> {
        self.tasks
            .lock()
            .iter()
            .filter(|(_, sender)| !*sender.borrow())
            .map(|(task, _)| *task)
            .collect()
    }
}

impl Waiting {
    /// Returns early when the process stops.
    pub(crate) async fn until_ended(&mut self) {
        tokio::select! {
            // The sender lives as long as this place does.
            _ = self.ended.wait_for(|ended| *ended) => {}
            () = self.waiters.over.cancelled() => {}
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut tasks = self.waiters.tasks.lock();
        if tasks.get(&self.task).is_some_and(|sender| sender.receiver_count() <= 1) {
            tasks.remove(&self.task);
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[tokio::test]
    async fn everyone_who_waits_is_woken_and_then_forgotten() {
        let waiters = Arc::new(Waiters::default());
        let task = TaskId(Uuid::nil());
        let mut first = waiters.wait_for(task);
        let mut second = waiters.wait_for(task);
        assert_eq!(waiters.waited_for(), [task]);
        waiters.ended(&[task]);
        first.until_ended().await;
        second.until_ended().await;
        drop(first);
        drop(second);
        assert!(waiters.tasks.lock().is_empty());
    }
}
