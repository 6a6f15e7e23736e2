//! Signals within the process, and their form between processes.

use std::hash::{BuildHasher, Hasher, RandomState};

use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;

use crate::Signal;

/// A receiver that is further behind has missed something; it finds it by asking the database.
const RECEIVER_CAPACITY: usize = 1_024;

/// Hands signals to the receivers of this process: its own at once, those of others as they arrive. Own signals that
/// come back from outside are recognised and dropped, so that nobody is told twice, connected or not.
#[derive(Debug)]
pub(crate) struct Switchboard {
    origin: String,
    receivers: broadcast::Sender<Signal>,
}

/// A signal on its way to other processes.
#[derive(Debug, Serialize, Deserialize)]
struct Envelope {
    origin: String,
    signal: Signal,
}

impl Switchboard {
    pub(crate) fn new() -> Self {
        // Two draws of the hasher's random keys: unique among the processes of an installation, and nothing depends
        // on it being unguessable.
        let half = || RandomState::new().build_hasher().finish();
        Self {
            origin: format!("{:016x}{:016x}", half(), half()),
            receivers: broadcast::Sender::new(RECEIVER_CAPACITY),
        }
    }

    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Signal> {
        self.receivers.subscribe()
    }

    /// Tells this process.
    pub(crate) fn tell(&self, signal: Signal) {
        // Fails only when nobody listens.
        let _ = self.receivers.send(signal);
    }

    /// What to send to the other processes.
    pub(crate) fn wrap(&self, signal: Signal) -> Result<String, serde_json::Error> {
        serde_json::to_string(&Envelope {
            origin: self.origin.clone(),
            signal,
        })
    }

    /// Tells this process what came from outside, unless it came from here.
    pub(crate) fn receive(&self, payload: &[u8]) -> Result<(), serde_json::Error> {
        let envelope: Envelope = serde_json::from_slice(payload)?;
        if envelope.origin != self.origin {
            self.tell(envelope.signal);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use orchestratum_core::Target;

    use super::*;

    fn ready() -> Signal {
        Signal::Ready {
            targets: vec![Target::new("mail").expect("a plain name")],
        }
    }

    #[test]
    fn a_signal_reaches_others_and_does_not_come_back() {
        let (here, there) = (Switchboard::new(), Switchboard::new());
        let (mut at_here, mut at_there) = (here.subscribe(), there.subscribe());
        let payload = here.wrap(ready()).expect("it is plain data");
        here.receive(payload.as_bytes()).expect("our own form");
        there.receive(payload.as_bytes()).expect("our own form");
        assert_eq!(at_there.try_recv(), Ok(ready()));
        assert_eq!(at_here.try_recv(), Err(broadcast::error::TryRecvError::Empty));
    }

    #[test]
    fn what_is_not_a_signal_is_refused() {
        let here = Switchboard::new();
        for payload in ["", "{}", "[1]", r#"{"origin":"x","signal":{"kind":"unheard-of"}}"#] {
            assert!(here.receive(payload.as_bytes()).is_err(), "{payload}");
        }
    }
}
