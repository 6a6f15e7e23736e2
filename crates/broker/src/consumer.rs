//! The worker's end of a consumption: the messages that have arrived, and what the worker says about each.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::Hint;

/// A message for a worker, which owes the broker one word about it: [`acknowledge`](Self::acknowledge) once the claim
/// has committed, or a drop, which gives the message back for another worker. When its connection is gone, neither
/// means anything any more: the broker has taken the message back by itself and delivers it again, which is harmless.
#[derive(Debug)]
pub struct Delivery {
    pub hint: Hint,
    ticket: Ticket,
}

/// Names a delivery on the channel it came from. The channel's settlements end with it, so a ticket that outlives its
/// channel cannot be mistaken for one of the next.
#[derive(Debug)]
struct Ticket {
    tag: u64,
    settled: bool,
    /// Unbounded, because it cannot grow: each delivery sends one settlement, and the prefetch bounds the deliveries.
    settlements: mpsc::UnboundedSender<Settlement>,
}

/// The worker's word about a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settlement {
    Acknowledge(u64),
    Requeue(u64),
}

impl Delivery {
    pub(crate) fn new(hint: Hint, tag: u64, settlements: mpsc::UnboundedSender<Settlement>) -> Self {
        Self {
            hint,
            ticket: Ticket {
                tag,
                settled: false,
                settlements,
            },
        }
    }

    /// The message has done its work. Returns at once: the acknowledgement is sent in the background, with others.
    pub fn acknowledge(mut self) {
        self.ticket.settle(Settlement::Acknowledge(self.ticket.tag));
    }
}

impl Ticket {
    fn settle(&mut self, settlement: Settlement) {
        if !std::mem::replace(&mut self.settled, true) {
            // Fails only when the channel is gone, and the delivery with it.
            let _ = self.settlements.send(settlement);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.settle(Settlement::Requeue(self.tag));
    }
}

/// A worker's stream of messages. Dropping it ends the consumption; what was not acknowledged goes back.
#[derive(Debug)]
pub struct Consumer {
    mailbox: Arc<Mailbox>,
    /// Tells the consumption whether this worker has room; its end tells that the worker is gone.
    accepting: watch::Sender<bool>,
}

impl Consumer {
    /// The worker's end, and what tells the other end whether the worker has room.
    pub(crate) fn new(mailbox: Arc<Mailbox>) -> (Self, watch::Receiver<bool>) {
        let (accepting, has_room) = watch::channel(true);
        (Self { mailbox, accepting }, has_room)
    }

    /// The next message, or `None` when the broker was closed.
    pub async fn next(&mut self) -> Option<Delivery> {
        loop {
            if let Some(delivery) = self.try_next() {
                return Some(delivery);
            }
            tokio::select! {
                () = self.mailbox.arrived.notified() => {}
                () = self.mailbox.closed.cancelled() => return self.try_next(),
            }
        }
    }

    /// A message that is already here.
    pub fn try_next(&mut self) -> Option<Delivery> {
        self.mailbox.deliveries.lock().pop_front()
    }

    /// Says whether this worker has room. Without room the messages go back to the broker, for other workers: those
    /// not taken from here by themselves, those the worker holds when it drops them.
    pub fn set_accepting(&self, accepting: bool) {
        self.accepting
            .send_if_modified(|current| std::mem::replace(current, accepting) != accepting);
    }
}

/// What has arrived and was not taken yet. Its size is bounded by the prefetch of the channel that fills it; when that
/// channel ends it is emptied, since the broker will deliver its content again.
#[derive(Debug)]
pub(crate) struct Mailbox {
    deliveries: Mutex<VecDeque<Delivery>>,
    arrived: Notify,
    closed: CancellationToken,
}

impl Mailbox {
    /// A mailbox that is closed when the token is cancelled.
    pub(crate) fn new(closed: CancellationToken) -> Arc<Self> {
        Arc::new(Self {
            deliveries: Mutex::default(),
            arrived: Notify::new(),
            closed,
        })
    }

    pub(crate) fn put(&self, delivery: Delivery) {
        self.deliveries.lock().push_back(delivery);
        self.arrived.notify_one();
    }

    /// Drops, and so gives back, everything that was not taken.
    pub(crate) fn empty(&self) {
        // Dropped after the lock is released: a drop sends to a channel.
        let given_back = std::mem::take(&mut *self.deliveries.lock());
        drop(given_back);
    }

    /// No more messages will come.
    pub(crate) fn close(&self) {
        self.closed.cancel();
    }
}
