//! The definitions of the sagas that the product is given to run.

use anyhow::Result;
use bytes::Bytes;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use super::Deployment;

/// How many tasks an order has.
pub(crate) const ORDER_TASKS: u32 = 4;

/// Connections over which sagas are started.
const LANES: u32 = 16;

/// A kind of saga.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Story {
    /// An order: four no-op tasks, one after the other, three of which leave something to undo.
    Order,
    /// Counts the events that it gets, and waits for ever.
    Counter,
    /// Waits for so many seconds and is over.
    Timer { seconds: u32 },
}

impl Story {
    const fn name(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::Counter => "counter",
            Self::Timer { .. } => "timer",
        }
    }

    fn definition(self) -> Value {
        match self {
            Self::Order => order(),
            Self::Counter => counter(),
            Self::Timer { seconds } => timer(seconds),
        }
    }

    /// What it is started with.
    pub(crate) fn input(self) -> Value {
        match self {
            Self::Order => json!({"order_id": "order-4711", "items": [{"sku": "chair", "count": 2}], "total": 129.9}),
            Self::Counter | Self::Timer { .. } => Value::Null,
        }
    }

    /// The body of `POST /api/sagas`.
    pub(crate) fn request(self) -> Result<Bytes> {
        Ok(serde_json::to_vec(&json!({"definition": self.name(), "input": self.input()}))?.into())
    }
}

impl Deployment {
    /// Gives the definition to the api.
    pub(crate) async fn define(&self, story: Story) -> Result<()> {
        let path = format!("/api/saga-definitions/{}", story.name());
        let body = serde_json::to_vec(&story.definition())?.into();
        let answer = self.server()?.lane().await?.send(Method::PUT, &path, body).await?;
        answer.expect(StatusCode::CREATED)?;
        Ok(())
    }

    /// Starts so many, over HTTP, each by a request of its own.
    pub(crate) async fn start_sagas(&self, story: Story, sagas: u32) -> Result<()> {
        let (server, request) = (self.server()?, story.request()?);
        server.post_all("/api/sagas", &request, sagas, LANES).await?;
        Ok(())
    }
}

/// The order of the documentation, with a fourth step and the no-op in the place of each.
fn order() -> Value {
    let step = |input: Value, success: &str| {
        json!([{
            "name": "echo", "input": input, "ttl_seconds": 60, "max_retries": 3,
            "raises": {"success": success, "failure": "step_failed"},
        }])
    };
    let undo = |input: Value| json!([{"name": "echo", "input": input, "max_retries": 5}]);
    let failed = json!({"set": {"reason": "${ event.data.message }"}, "compensate": true, "target": "Failed"});
    json!({
        "name": "order",
        "context": {
            "order_id": "${ input.order_id }", "items": "${ input.items }", "total": "${ input.total }",
        },
        "timeout": {"after_seconds": 86_400, "target": "Failed", "compensate": true},
        "initial": "Initial",
        "states": {
            "Initial": {"on": {"start": {
                "tasks": step(
                    json!({"transaction_id": "${ context.order_id }", "amount": "${ context.total }"}),
                    "payment_processed"
                ),
                "target": "AwaitingPayment",
            }}},
            "AwaitingPayment": {"on": {
                "payment_processed": {
                    "set": {"transaction_id": "${ event.data.transaction_id }"},
                    "compensation": undo(json!({"transaction_id": "${ context.transaction_id }"})),
                    "tasks": step(
                        json!({"reservation_id": "${ context.order_id }", "items": "${ context.items }"}),
                        "inventory_reserved"
                    ),
                    "target": "AwaitingInventory",
                },
                "step_failed": failed,
            }},
            "AwaitingInventory": {"on": {
                "inventory_reserved": {
                    "set": {"reservation_id": "${ event.data.reservation_id }"},
                    "compensation": undo(json!({"reservation_id": "${ context.reservation_id }"})),
                    "tasks": step(json!({"tracking_number": "${ context.order_id }"}), "order_shipped"),
                    "target": "AwaitingShipment",
                },
                "step_failed": failed,
            }},
            "AwaitingShipment": {"on": {
                "order_shipped": {
                    "set": {"tracking_number": "${ event.data.tracking_number }"},
                    "compensation": undo(json!({"tracking_number": "${ context.tracking_number }"})),
                    "tasks": step(json!({"order_id": "${ context.order_id }"}), "customer_told"),
                    "target": "AwaitingNotice",
                },
                "step_failed": failed,
            }},
            "AwaitingNotice": {"on": {
                "customer_told": {"target": "Completed"},
                "step_failed": failed,
            }},
            "Completed": {"final": true},
            "Failed": {"final": "failed"},
        },
    })
}

/// With a timer of a day, as what waits usually has one.
fn counter() -> Value {
    json!({
        "name": "counter",
        "context": {"count": 0},
        "initial": "Initial",
        "states": {
            "Initial": {"on": {"start": {"target": "Open"}}},
            "Open": {
                "on": {"counted": {"set": {"count": "${ context.count + 1 }"}}},
                "after": [{"seconds": 86_400, "target": "Closed"}],
            },
            "Closed": {"final": true},
        },
    })
}

fn timer(seconds: u32) -> Value {
    json!({
        "name": "timer",
        "initial": "Initial",
        "states": {
            "Initial": {"on": {"start": {"target": "Waiting"}}},
            "Waiting": {"after": [{"seconds": seconds, "target": "Over"}]},
            "Over": {"final": true},
        },
    })
}
