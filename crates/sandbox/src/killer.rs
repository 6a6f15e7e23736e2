//! Ending a program from any thread.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;

use crate::protocol::{Action, Order};
use crate::{cell, streams};

/// How long a program may take to die once that was ordered, before whoever keeps it is killed instead.
const DYING: Duration = Duration::from_millis(1_500);

/// Ends a program without waiting: also where the runtime that watches it is stuck.
#[derive(Debug, Clone)]
pub struct Killer {
    orders: Arc<UnixStream>,
    run: u32,
    killed: Arc<Notify>,
}

impl Killer {
    /// A program is dead so long after a kill was ordered, and its end is told, also if whoever keeps it has to be killed. Of
    /// a cell, which takes the most steps.
    pub const DEAD_WITHIN: Duration = DYING
        .saturating_add(cell::CLEANING)
        .saturating_add(cell::DESTROYING)
        .saturating_add(streams::PATIENCE);

    /// The socket must not block.
    pub(crate) fn new(orders: Arc<UnixStream>, run: u32) -> Self {
        Self {
            orders,
            run,
            killed: Arc::default(),
        }
    }

    /// TERM to every process of the tree.
    pub fn terminate(&self) {
        self.tell(Action::Terminate);
    }

    /// KILL to every process of the tree.
    pub fn kill(&self) {
        self.tell(Action::Kill);
        self.killed.notify_one();
    }

    /// The program may live so long from now on without hearing more: where the caller is frozen, it dies then.
    pub fn live(&self, at_most: Duration) {
        let milliseconds = u32::try_from(at_most.as_millis()).unwrap_or(u32::MAX);
        self.tell(Action::Live(milliseconds));
    }

    /// Completes when a kill was ordered so long ago that the program should be dead.
    pub(crate) async fn overdue(&self) {
        self.killed.notified().await;
        sleep(DYING).await;
    }

    fn tell(&self, action: Action) {
        let order = Order { run: self.run, action };
        // Fails only when the other side is gone, or will not read any more: the watcher deals with both.
        let _ = (&*self.orders).write(&order.to_bytes());
    }
}
