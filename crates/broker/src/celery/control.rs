//! Celery's remote control: one message to all workers.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Header, Message, Reply, TransientExchange, TransientKind};

/// How long an order waits for a worker that is busy connecting.
const ORDER_EXPIRES: Duration = Duration::from_secs(60);
/// Nobody waits longer for an answer to a ping.
const PING_EXPIRES: Duration = Duration::from_secs(5);

/// How the workers of one application are addressed together.
#[derive(Debug, Clone)]
pub struct Control {
    orders: String,
    replies: String,
}

/// With every field that workers look for.
#[derive(Serialize)]
struct Order<'a, A> {
    method: &'static str,
    arguments: A,
    destination: (),
    pattern: (),
    matcher: (),
    #[serde(skip_serializing_if = "Option::is_none")]
    ticket: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_to: Option<ReplyTo<'a>>,
}

#[derive(Serialize)]
struct ReplyTo<'a> {
    exchange: &'a str,
    routing_key: &'a str,
}

#[derive(Serialize)]
struct Revoke<'a> {
    task_id: &'a [String],
    terminate: bool,
    signal: &'static str,
}

#[derive(Serialize)]
struct NoArguments {}

impl<A> Order<'_, A> {
    const fn new(method: &'static str, arguments: A) -> Self {
        Self {
            method,
            arguments,
            destination: (),
            pattern: (),
            matcher: (),
            ticket: None,
            reply_to: None,
        }
    }
}

impl Control {
    /// `name` is the application's `control_exchange`, which is `celery` unless somebody set another.
    pub fn new(name: &str) -> Self {
        Self {
            orders: format!("{name}.pidbox"),
            replies: format!("reply.{name}.pidbox"),
        }
    }

    /// What workers declare, and a restart of the broker loses until one does so again.
    pub fn exchanges(&self) -> Vec<TransientExchange> {
        vec![
            TransientExchange {
                name: self.orders.clone(),
                kind: TransientKind::Fanout,
            },
            TransientExchange {
                name: self.replies.clone(),
                kind: TransientKind::DirectForReplies,
            },
        ]
    }

    /// Ends these tasks where they run, and keeps them from beginning where they wait in a worker.
    ///
    /// By SIGKILL: with any other signal a worker says `terminated` before the process is, and forgets the task with that, so
    /// that nothing more can be done to one that lives on.
    pub fn revoke(&self, ids: &[String]) -> Message {
        let arguments = Revoke {
            task_id: ids,
            terminate: true,
            signal: "SIGKILL",
        };
        self.order(&Order::new("revoke", arguments))
    }

    /// Every worker answers with its name, under the ticket.
    pub fn ping(&self, ticket: &str, reply_queue: &str) -> Message {
        let order = Order {
            ticket: Some(ticket),
            reply_to: Some(ReplyTo {
                exchange: &self.replies,
                routing_key: reply_queue,
            }),
            ..Order::new("ping", NoArguments {})
        };
        Message {
            expiration: Some(PING_EXPIRES),
            ..self.order(&order)
        }
    }

    fn order<A: Serialize>(&self, order: &Order<'_, A>) -> Message {
        Message {
            content_type: Some("application/json"),
            content_encoding: Some("utf-8"),
            headers: vec![("clock".to_owned(), Header::Integer(1))],
            body: serde_json::to_vec(order).expect("texts and numbers can be written"),
            // Where no worker listens there is nobody to tell.
            matters: false,
            expiration: Some(ORDER_EXPIRES),
            ..Message::to(self.orders.clone(), "")
        }
    }
}

/// Who answers a ping.
pub fn pong(reply: &Reply) -> Option<String> {
    #[derive(Deserialize)]
    struct Pong {
        ok: String,
    }
    let answer: BTreeMap<String, Pong> = serde_json::from_slice(&reply.body).ok()?;
    let (worker, pong) = answer.into_iter().next()?;
    (pong.ok == "pong").then_some(worker)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(message: &Message) -> String {
        String::from_utf8_lossy(&message.body).into_owned()
    }

    #[test]
    fn an_order_to_revoke_is_these_bytes() {
        let message = Control::new("celery").revoke(&["a-1".to_owned(), "a-2".to_owned()]);
        assert_eq!(
            (message.exchange.as_str(), message.routing_key.as_str()),
            ("celery.pidbox", "")
        );
        assert_eq!(message.content_type, Some("application/json"));
        assert!(!message.matters);
        assert_eq!(
            text(&message),
            r#"{"method":"revoke","arguments":{"task_id":["a-1","a-2"],"terminate":true,"signal":"SIGKILL"},"destination":null,"pattern":null,"matcher":null}"#
        );
    }

    #[test]
    fn a_ping_says_where_its_answers_go_and_is_answered_with_a_name() {
        let message = Control::new("mine").ping("t", "q");
        assert_eq!(message.exchange, "mine.pidbox");
        assert_eq!(
            text(&message),
            r#"{"method":"ping","arguments":{},"destination":null,"pattern":null,"matcher":null,"ticket":"t","reply_to":{"exchange":"reply.mine.pidbox","routing_key":"q"}}"#
        );
        let reply = |body: &str| Reply {
            content_type: None,
            headers: BTreeMap::new(),
            body: body.as_bytes().to_vec(),
        };
        assert_eq!(
            pong(&reply(r#"{"w1@host": {"ok": "pong"}}"#)).as_deref(),
            Some("w1@host")
        );
        for other in ["", "{}", "[]", r#"{"w1@host": {"error": "no"}}"#] {
            assert_eq!(pong(&reply(other)), None, "{other}");
        }
    }
}
