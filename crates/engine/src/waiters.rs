//! Callers that wait for a task, or a saga, to come to rest.
//!
//! A signal wakes them at once; because signals can get lost, one statement every 250 ms asks for all of them together,
//! and only while someone waits.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How often the database is asked for tasks that are waited for.
pub(crate) const ASK_EVERY: Duration = Duration::from_millis(250);

#[derive(Debug)]
pub(crate) struct Waiters<Id: Copy + Eq + Hash> {
    awaited: Mutex<HashMap<Id, watch::Sender<bool>>>,
    /// The process is stopping: nobody waits any more.
    over: CancellationToken,
}

impl<Id: Copy + Eq + Hash> Default for Waiters<Id> {
    fn default() -> Self {
        Self {
            awaited: Mutex::default(),
            over: CancellationToken::new(),
        }
    }
}

/// A place in the queue of those who wait; leaving it forgets what was waited for if nobody else waits.
#[derive(Debug)]
pub(crate) struct Waiting<Id: Copy + Eq + Hash> {
    waiters: Arc<Waiters<Id>>,
    id: Id,
    ended: watch::Receiver<bool>,
}

impl<Id: Copy + Eq + Hash> Waiters<Id> {
    pub(crate) fn wait_for(self: &Arc<Self>, id: Id) -> Waiting<Id> {
        let mut awaited = self.awaited.lock();
        let ended = awaited
            .entry(id)
            .or_insert_with(|| watch::Sender::new(false))
            .subscribe();
        Waiting {
            waiters: Arc::clone(self),
            id,
            ended,
        }
    }

    pub(crate) fn ended(&self, ended: &[Id]) {
        let awaited = self.awaited.lock();
        if awaited.is_empty() {
            return;
        }
        for id in ended {
            if let Some(sender) = awaited.get(id) {
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

    /// Those someone waits for.
    pub(crate) fn waited_for(&self) -> Vec<Id> {
        self.awaited
            .lock()
            .iter()
            .filter(|(_, sender)| !*sender.borrow())
            .map(|(id, _)| *id)
            .collect()
    }
}

impl<Id: Copy + Eq + Hash> Waiting<Id> {
    /// Returns early when the process stops.
    pub(crate) async fn until_ended(&mut self) {
        tokio::select! {
            // The sender lives as long as this place does.
            _ = self.ended.wait_for(|ended| *ended) => {}
            () = self.waiters.over.cancelled() => {}
        }
    }
}

impl<Id: Copy + Eq + Hash> Drop for Waiting<Id> {
    fn drop(&mut self) {
        let mut awaited = self.waiters.awaited.lock();
        if awaited.get(&self.id).is_some_and(|sender| sender.receiver_count() <= 1) {
            awaited.remove(&self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use orchestratum_core::TaskId;
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
        assert!(waiters.awaited.lock().is_empty());
    }
}
