//! Events of other programs that come as messages: the same fields as `POST /api/events`.
//!
//! A message is acknowledged when what it asks for is committed. One that can never be taken goes to the queue for what was
//! refused, with a line that says why; while the database is away, messages wait with the broker. Events of one correlation id are
//! taken one after the other, in the order in which they come, and hold no others back.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use orchestratum_broker::Inbound;
use orchestratum_core::saga::{DefinitionName, EventName};
use orchestratum_core::task::Violations;
use orchestratum_core::{JsonText, Origin, read_json, shortened};
use parking_lot::Mutex;
use serde::Deserialize;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::given::{check_event_id, check_id};
use crate::sagas::PublishEvent;
use crate::{Engine, Error, error};

/// How many messages are being taken at a time: each waits for a commit that it shares with others.
const AT_ONCE: usize = 64;

/// The most of a reason: names that a message makes up may be as large as itself.
const REASON_MAX_BYTES: usize = 1_000;

/// How long a message waits that could not be taken for a reason that passes.
const AGAIN_AFTER: [Duration; 3] = [
    Duration::from_millis(100),
    Duration::from_secs(1),
    Duration::from_secs(5),
];

/// How often a message is tried that cannot be taken in time while the database answers others: it is itself too much, and there
/// are others behind it.
const TRIES: u32 = 20;

/// The fields of a message.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    name: EventName,
    correlation_id: String,
    definition: Option<DefinitionName>,
    data: Option<JsonText>,
    id: Option<String>,
}

pub(super) async fn run(engine: Engine, stop: CancellationToken) {
    let message_max_bytes = engine.settings().tasks.body_max_bytes();
    let Some(mut messages) = engine.parts.broker.inbound(message_max_bytes) else {
        stop.cancelled().await;
        return;
    };
    let (lanes, tracker) = (Arc::new(Lanes::default()), TaskTracker::new());
    loop {
        let message = tokio::select! {
            message = messages.next() => message,
            () = stop.cancelled() => break,
        };
        let Some(message) = message else { break };
        match read(&engine, &message) {
            Ok(event) => {
                let correlation_id = event.correlation_id.clone();
                if lanes.add(&correlation_id, (event, message)) {
                    let lane = Lane {
                        lanes: Arc::clone(&lanes),
                        correlation_id,
                    };
                    tracker.spawn(take_in_turn(engine.clone(), lane, stop.clone()));
                }
            }
            Err(reason) => {
                let correlation_id = correlation_id_of(&engine, &message);
                refuse(message, correlation_id.as_deref(), &reason);
            }
        }
    }
    tracker.close();
    tracker.wait().await;
}

/// Messages that are to be taken, by their correlation ids. However many wait, the next is read: the broker hands out only so many
/// that nobody has said a word on.
#[derive(Debug)]
struct Lanes<Taken> {
    waiting: Mutex<HashMap<String, VecDeque<Taken>>>,
    places: Semaphore,
}

impl<Taken> Default for Lanes<Taken> {
    fn default() -> Self {
        Self {
            waiting: Mutex::default(),
            places: Semaphore::new(AT_ONCE),
        }
    }
}

impl<Taken> Lanes<Taken> {
    /// Whether a lane is to be begun for it.
    fn add(&self, correlation_id: &str, message: Taken) -> bool {
        let mut waiting = self.waiting.lock();
        if let Some(lane) = waiting.get_mut(correlation_id) {
            lane.push_back(message);
            return false;
        }
        waiting.insert(correlation_id.to_owned(), VecDeque::from([message]));
        true
    }

    /// The next of a lane; nothing, and it is over.
    fn next(&self, correlation_id: &str) -> Option<Taken> {
        let mut waiting = self.waiting.lock();
        let message = waiting.get_mut(correlation_id)?.pop_front();
        if message.is_none() {
            waiting.remove(correlation_id);
        }
        message
    }
}

/// The messages of a correlation id, while there are some. Those of one that panics come again when the connection ends.
struct Lane<Taken> {
    lanes: Arc<Lanes<Taken>>,
    correlation_id: String,
}

impl<Taken> Drop for Lane<Taken> {
    fn drop(&mut self) {
        // Another one that is over may have been begun anew.
        if std::thread::panicking() {
            self.lanes.waiting.lock().remove(&self.correlation_id);
        }
    }
}

/// The event of a message. One without an id gets one here, so that it is the same event however often it is tried.
fn read(engine: &Engine, message: &Inbound) -> Result<PublishEvent, String> {
    let most = engine.settings().tasks.body_max_bytes();
    if message.body.len() > most {
        return Err(format!("it is larger than {most} bytes"));
    }
    // The reason is for people who look after the server, and not for what others send.
    let body: Body = read_json(&message.body).map_err(|unread| unread.without_values().to_string())?;
    check_id("/correlation_id", &body.correlation_id).map_err(in_words)?;
    let id = match body.id.or_else(|| message.message_id.clone()) {
        Some(id) => {
            check_event_id(&id).map_err(in_words)?;
            id
        }
        None => engine.parts.clock.time_ordered().to_string(),
    };
    Ok(PublishEvent {
        name: body.name,
        correlation_id: body.correlation_id,
        definition: body.definition,
        data: engine.checked_json("/data", body.data).map_err(in_words)?,
        id: Some(id),
        origin: Origin::default(),
        actor: None,
    })
}

fn in_words(error: Error) -> String {
    match error {
        Error::Invalid(Violations(broken)) => broken.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
        error => error::chain(&error),
    }
}

/// Of a message that has other faults.
fn correlation_id_of(engine: &Engine, message: &Inbound) -> Option<String> {
    #[derive(Deserialize)]
    struct Addressed {
        correlation_id: String,
    }
    if message.body.len() > engine.settings().tasks.body_max_bytes() {
        return None;
    }
    let addressed: Addressed = read_json(&message.body).ok()?;
    let is_one = check_id("/correlation_id", &addressed.correlation_id).is_ok();
    is_one.then_some(addressed.correlation_id)
}

fn refuse(message: Inbound, correlation_id: Option<&str>, reason: &str) {
    if message.is_gone() {
        return;
    }
    let reason = shortened(reason, REASON_MAX_BYTES, "");
    tracing::warn!(
        message.id = message.message_id.as_deref(),
        saga.correlation_id = correlation_id,
        reason = &*reason,
        "an inbound message was refused"
    );
    metrics::counter!("orchestratum_inbound_messages_total", "result" => "refused").increment(1);
    message.refused(&reason);
}

async fn take_in_turn(engine: Engine, lane: Lane<(PublishEvent, Inbound)>, stop: CancellationToken) {
    while let Some((event, message)) = lane.lanes.next(&lane.correlation_id) {
        let mut pauses = AGAIN_AFTER.into_iter().chain(std::iter::repeat(AGAIN_AFTER[2]));
        let mut tries = 0;
        loop {
            // One that waits to be tried again keeps no place.
            let place = lane.lanes.places.acquire().await;
            // It comes again, behind all that waits here.
            if message.is_gone() {
                break;
            }
            let published = engine.publish(event.clone()).await;
            drop(place);
            match published {
                Ok(_) => {
                    metrics::counter!("orchestratum_inbound_messages_total", "result" => "taken").increment(1);
                    message.taken();
                    break;
                }
                Err(error) if error.is_transient() => {
                    tries += u32::from(is_its_own(&engine, &event, &error).await);
                    if tries >= TRIES {
                        let reason = format!("it was tried {TRIES} times, and then: {}", error::chain(&error));
                        refuse(message, Some(&event.correlation_id), &reason);
                        break;
                    }
                    tracing::debug!(error = %error::chain(&error), "an inbound message waits");
                    let pause = pauses.next().unwrap_or(AGAIN_AFTER[2]);
                    if !super::sleep_unless_stopped(pause, &stop).await {
                        // It comes again, to whoever reads then.
                        return;
                    }
                }
                Err(error) => {
                    refuse(message, Some(&event.correlation_id), &in_words(error));
                    break;
                }
            }
        }
    }
}

/// Whether it took too long, and the database is not away: it answers something small meanwhile.
async fn is_its_own(engine: &Engine, event: &PublishEvent, error: &Error) -> bool {
    let Error::Store(failed) = error else { return false };
    failed.is_timeout() && engine.parts.store.addressees(&event.correlation_id).await.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_a_correlation_id_stay_in_their_order_and_hold_no_others_back() {
        let lanes = Lanes::default();
        assert!(lanes.add("a", 0), "nobody takes those of it");
        for message in 1..1_000 {
            assert!(!lanes.add("a", message), "whoever takes the first takes them all");
        }
        assert!(lanes.add("b", 1_000));
        for message in 0..1_000 {
            assert_eq!(lanes.next("a"), Some(message));
        }
        assert_eq!(lanes.next("b"), Some(1_000));
        assert!(!lanes.add("b", 1_001), "it goes on");
        assert_eq!((lanes.next("b"), lanes.next("b")), (Some(1_001), None));
        assert_eq!(lanes.next("a"), None);
        assert!(lanes.waiting.lock().is_empty(), "nothing is kept of what is over");
        assert!(lanes.add("b", 1_002), "the lane was over");
    }

    #[test]
    fn a_lane_that_panics_is_over() {
        let lanes = Arc::new(Lanes::default());
        assert!(lanes.add("a", 0));
        let lane = Lane {
            lanes: Arc::clone(&lanes),
            correlation_id: "a".to_owned(),
        };
        let taking = std::thread::spawn(move || {
            let _lane = lane;
            panic!("at the disco");
        });
        assert!(taking.join().is_err());
        assert!(lanes.add("a", 1), "there is none");
    }
}
