//! Messages that other programs send to us, as who reads them gets them.

use futures::stream::BoxStream;
use lapin::BasicProperties;
use tokio::sync::mpsc;

/// One message. It stays the broker's until somebody says what became of it; dropped without a word, it comes again when the
/// connection ends.
#[derive(Debug)]
pub struct Inbound {
    pub body: Vec<u8>,
    /// Its `message_id`, if its sender gave it one.
    pub message_id: Option<String>,
    /// All that its sender gave it.
    pub(crate) properties: BasicProperties,
    pub(crate) routing_key: String,
    pub(crate) tag: u64,
    pub(crate) settle: mpsc::UnboundedSender<InboundSettlement>,
}

/// The word on a message.
#[derive(Debug)]
pub(crate) enum InboundSettlement {
    Taken(u64),
    Refused(Box<RefusedInbound>),
}

/// A message that goes to the queue for what was refused.
#[derive(Debug)]
pub(crate) struct RefusedInbound {
    pub(crate) tag: u64,
    pub(crate) body: Vec<u8>,
    pub(crate) properties: BasicProperties,
    pub(crate) routing_key: String,
    pub(crate) reason: String,
}

impl Inbound {
    /// Its channel is gone: the broker has it back, and gives it to whoever reads next. A word on it would not be heard.
    pub fn is_gone(&self) -> bool {
        self.settle.is_closed()
    }

    /// What it asks for is committed.
    pub fn taken(self) {
        // A channel that is gone has given the message back: it comes again, and is known by its id.
        let _ = self.settle.send(InboundSettlement::Taken(self.tag));
    }

    /// It will never be taken: it goes to the queue for what was refused, with the reason for whoever looks after it.
    pub fn refused(self, reason: &str) {
        let refused = RefusedInbound {
            tag: self.tag,
            body: self.body,
            properties: self.properties,
            routing_key: self.routing_key,
            reason: reason.to_owned(),
        };
        let _ = self.settle.send(InboundSettlement::Refused(Box::new(refused)));
    }
}

/// Messages as they come, over every reconnection, until the broker is closed.
pub type InboundMessages = BoxStream<'static, Inbound>;
