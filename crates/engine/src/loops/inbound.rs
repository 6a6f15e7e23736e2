//! Events of other programs that come as messages: the same fields as `POST /api/events`.
//!
//! A message is acknowledged when what it asks for is committed. One that can never be taken goes to the queue for what was
//! refused, with a line that says why; while the database is away, messages wait with the broker. Events of one correlation id are
//! taken one after the other, in the order in which they come.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use futures::StreamExt;
use orchestratum_broker::Inbound;
use orchestratum_core::saga::{DefinitionName, EventName};
use orchestratum_core::task::Violations;
use orchestratum_core::{JsonText, Origin};
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::given::{check_event_id, check_id};
use crate::sagas::PublishEvent;
use crate::{Engine, Error, error};

/// How many messages are being taken at a time: each waits for a commit that it shares with others.
const LANES: usize = 64;

/// How many wait in a lane: messages of one correlation id do not keep all others out.
const LANE: usize = 16;

/// How large the body of a message may be, as large as that of the call.
const BODY_MAX_BYTES: usize = 1 << 20;

/// How long a message waits that could not be taken for a reason that passes.
const AGAIN_AFTER: [Duration; 3] = [
    Duration::from_millis(100),
    Duration::from_secs(1),
    Duration::from_secs(5),
];

/// The fields of a message.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    name: EventName,
    correlation_id: String,
    definition: Option<DefinitionName>,
    #[serde(default = "JsonText::null")]
    data: JsonText,
    id: Option<String>,
}

pub(super) async fn run(engine: Engine, stop: CancellationToken) {
    let Some(mut messages) = engine.parts.broker.inbound() else {
        stop.cancelled().await;
        return;
    };
    let tracker = TaskTracker::new();
    let lanes: Vec<mpsc::Sender<(PublishEvent, Inbound)>> = (0..LANES)
        .map(|_| {
            let (lane, events) = mpsc::channel(LANE);
            tracker.spawn(take_in_turn(engine.clone(), events, stop.clone()));
            lane
        })
        .collect();
    loop {
        let message = tokio::select! {
            message = messages.next() => message,
            () = stop.cancelled() => break,
        };
        let Some(message) = message else { break };
        match read(&message) {
            Ok(event) => {
                let mut hasher = DefaultHasher::new();
                event.correlation_id.hash(&mut hasher);
                let lane = usize::try_from(hasher.finish() % LANES as u64).unwrap_or(0);
                if lanes[lane].send((event, message)).await.is_err() {
                    break;
                }
            }
            Err(reason) => refuse(message, &reason),
        }
    }
    drop(lanes);
    tracker.close();
    tracker.wait().await;
}

/// The event of a message.
fn read(message: &Inbound) -> Result<PublishEvent, String> {
    if message.body.len() > BODY_MAX_BYTES {
        return Err(format!("it is larger than {BODY_MAX_BYTES} bytes"));
    }
    let body: Body = serde_json::from_slice(&message.body).map_err(|error| error.to_string())?;
    let id = body.id.or_else(|| message.message_id.clone());
    check_id("/correlation_id", &body.correlation_id).map_err(in_words)?;
    if let Some(id) = &id {
        check_event_id(id).map_err(in_words)?;
    }
    Ok(PublishEvent {
        name: body.name,
        correlation_id: body.correlation_id,
        definition: body.definition,
        data: body.data,
        id,
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

fn refuse(message: Inbound, reason: &str) {
    tracing::warn!(
        message.id = message.message_id.as_deref(),
        reason,
        "an inbound message was refused"
    );
    metrics::counter!("orchestratum_inbound_messages_total", "result" => "refused").increment(1);
    message.refused();
}

async fn take_in_turn(engine: Engine, mut events: mpsc::Receiver<(PublishEvent, Inbound)>, stop: CancellationToken) {
    while let Some((event, message)) = events.recv().await {
        let mut pauses = AGAIN_AFTER.into_iter().chain(std::iter::repeat(AGAIN_AFTER[2]));
        loop {
            match engine.publish(event.clone()).await {
                Ok(_) => {
                    metrics::counter!("orchestratum_inbound_messages_total", "result" => "taken").increment(1);
                    message.taken();
                    break;
                }
                Err(error) if error.is_transient() => {
                    tracing::debug!(error = %error::chain(&error), "an inbound message waits");
                    let pause = pauses.next().unwrap_or(AGAIN_AFTER[2]);
                    if !super::sleep_unless_stopped(pause, &stop).await {
                        // It comes again, to whoever reads then.
                        return;
                    }
                }
                Err(error) => {
                    refuse(message, &in_words(error));
                    break;
                }
            }
        }
    }
}
