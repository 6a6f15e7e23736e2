//! `amqp`: a message to somebody else's program, and its answer where one is wanted.
//!
//! Whoever may create tasks decides where messages go, within what the settings name. A message is on its way as soon as it is
//! sent: an attempt that is lost, or does not learn what became of it, sends it again. So every one of a run has the same id.

mod output;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use orchestratum_broker::{Header, Message, Messenger, Missed};
use orchestratum_core::JsonText;
use orchestratum_core::task::{AmqpBody, AmqpInput, AmqpReply, BuiltIn, Ending};
use orchestratum_engine::Settings;
use orchestratum_store::{ClaimedTask, Evidence};

use super::messaging::{self, Names};
use super::{Context, Ended, Executor, Phase};
use crate::handler::idempotency_key;

const TRACE_PARENT: &str = "traceparent";

pub(crate) struct Amqp {
    messenger: Arc<Messenger>,
    exchanges: Names,
    queues: Names,
}

impl fmt::Debug for Amqp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Amqp")
    }
}

impl Amqp {
    pub(crate) fn new(messenger: Arc<Messenger>, settings: &Settings) -> Self {
        let amqp = &settings.worker.amqp;
        Self {
            messenger,
            exchanges: Names::new(&amqp.exchanges, settings),
            queues: Names::new(&amqp.queues, settings),
        }
    }

    /// Why a message may not go where the task says.
    fn refusal(&self, input: &AmqpInput) -> Option<String> {
        let (exchange, routing_key) = (&input.exchange, &input.routing_key);
        if exchange.is_empty() {
            let allowed = self.queues.allow(routing_key);
            return (!allowed)
                .then(|| format!("the queue `{routing_key}` is refused: worker.amqp.queues does not allow it"));
        }
        let allowed = self.exchanges.allow(exchange);
        (!allowed).then(|| format!("the exchange `{exchange}` is refused: worker.amqp.exchanges does not allow it"))
    }

    async fn exchange(&self, task: &ClaimedTask, input: &AmqpInput) -> Result<Ended, messaging::Error> {
        let id = idempotency_key(task.id, task.run);
        // Before it is sent: an answer may be faster than the confirmation.
        let mut replies = self.messenger.expect(&id);
        messaging::ready(&self.messenger).await?;
        replies.begins_now();
        self.messenger.send(&message(task, input, &id)).await?;
        let output = match input.reply {
            AmqpReply::None => output::confirmed(&id),
            AmqpReply::Queue => {
                let reply = match replies.next().await {
                    Ok(reply) => reply,
                    Err(Missed::TooLarge(too_large)) => return Ok(not_storable(format!("the answer {too_large}"))),
                    Err(Missed::Lost) => return Err(messaging::Error::AnswerLost),
                };
                output::answered(&id, &reply)
            }
        };
        Ok(match output {
            Ok(output) => success(output),
            Err(error) => not_storable(format!("the answer {error}")),
        })
    }
}

#[async_trait]
impl Executor for Amqp {
    async fn run(&self, task: &ClaimedTask, mut context: Context) -> Ended {
        let input = match AmqpInput::read(task.input.as_str()) {
            Ok(input) => input,
            Err(broken) => return Ended::refused(BuiltIn::Amqp, &broken),
        };
        if let Some(reason) = self.refusal(&input) {
            tracing::warn!(reason, "an `amqp` task may not send its message there");
            return Ended::failed(reason, false);
        }
        tokio::select! {
            biased;
            result = self.exchange(task, &input) => result.unwrap_or_else(|error| Ended::failed(error.to_string(), true)),
            () = context.reached(Phase::Terminate) => Ended {
                interrupted: true,
                ..Ended::failed("the message was not answered, or not confirmed", true)
            },
        }
    }
}

fn message(task: &ClaimedTask, input: &AmqpInput, id: &str) -> Message {
    let (content_type, body) = match &input.body {
        AmqpBody::Empty => (None, Vec::new()),
        AmqpBody::Text(text) => (Some("text/plain"), text.clone().into_bytes()),
        AmqpBody::Json(json) => (Some("application/json"), json.as_str().as_bytes().to_vec()),
    };
    let text = |(name, value): (&String, &String)| (name.clone(), Header::Text(value.clone()));
    let mut headers: Vec<(String, Header)> = input.headers.iter().map(text).collect();
    if let Some(trace) = &task.origin.trace_parent
        && !input.headers.contains_key(TRACE_PARENT)
    {
        headers.push((TRACE_PARENT.to_owned(), Header::Text(trace.as_str().to_owned())));
    }
    Message {
        content_type,
        content_encoding: content_type.map(|_| "utf-8"),
        headers,
        body,
        message_id: Some(id.to_owned()),
        correlation_id: Some(id.to_owned()),
        wants_reply: input.reply == AmqpReply::Queue,
        ..Message::to(input.exchange.clone(), input.routing_key.clone())
    }
}

fn success(output: JsonText) -> Ended {
    Ended {
        ending: Ending::Success,
        evidence: Evidence {
            output: Some(output),
            ..Evidence::default()
        },
        interrupted: false,
    }
}

fn not_storable(message: String) -> Ended {
    Ended {
        ending: Ending::OutputNotStorable { message },
        evidence: Evidence::default(),
        interrupted: false,
    }
}
