//! Ending a program from any thread.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use crate::protocol::{Action, Order};

/// Ends a program without waiting: also where the runtime that watches it is stuck.
#[derive(Debug, Clone)]
pub struct Killer {
    orders: Arc<UnixStream>,
    run: u32,
    killed: Arc<Notify>,
}

impl Killer {
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

    /// Completes once a kill was ordered.
    pub(crate) async fn killed(&self) {
        self.killed.notified().await;
    }

    fn tell(&self, action: Action) {
        let order = Order { run: self.run, action };
        // Fails only when the other side is gone, or will not read any more: the watcher deals with both.
        let _ = (&*self.orders).write(&order.to_bytes());
    }
}
