//! Messages that other programs send to us, as who reads them gets them.

use futures::stream::BoxStream;
use tokio::sync::mpsc;

/// One message. It stays the broker's until somebody says what became of it; dropped without a word, it comes again when the
/// connection ends.
#[derive(Debug)]
pub struct Inbound {
    pub body: Vec<u8>,
    /// Its `message_id`, if its sender gave it one.
    pub message_id: Option<String>,
    pub(crate) tag: u64,
    pub(crate) settle: mpsc::UnboundedSender<InboundSettlement>,
}

/// The word on a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InboundSettlement {
    Taken(u64),
    /// It goes to the queue for what was refused.
    Refused(u64),
}

impl Inbound {
    /// What it asks for is committed.
    pub fn taken(self) {
        // A channel that is gone has given the message back: it comes again, and is known by its id.
        let _ = self.settle.send(InboundSettlement::Taken(self.tag));
    }

    /// It will never be taken: it goes to the queue for what was refused.
    pub fn refused(self) {
        let _ = self.settle.send(InboundSettlement::Refused(self.tag));
    }
}

/// Messages as they come, over every reconnection, until the broker is closed.
pub type InboundMessages = BoxStream<'static, Inbound>;
