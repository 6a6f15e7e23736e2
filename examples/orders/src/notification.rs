//! What the customer hears.

use std::sync::Arc;

use orchestratum_sdk::prelude::*;

use crate::order::Order;
use crate::world::Mailbox;

#[derive(Debug, Command, Serialize, Deserialize)]
#[command(name = "notification.send", timeout_seconds = 10, retries = 5)]
pub struct SendNotificationCommand {
    pub customer: String,
    pub text: String,
}

impl SendNotificationCommand {
    pub(crate) fn about(order: &Order, what: &str) -> Self {
        Self {
            customer: order.customer.clone(),
            text: format!("order {} {what}", order.number),
        }
    }
}

#[derive(Handler)]
#[handler(SendNotificationCommand)]
struct SendNotificationHandler {
    mailbox: Arc<dyn Mailbox>,
}

impl Handler<SendNotificationCommand> for SendNotificationHandler {
    async fn handle(&self, command: &SendNotificationCommand, context: &Context) -> Result<(), Failure> {
        Ok(self
            .mailbox
            .send(&context.idempotency_key(), &command.customer, &command.text)?)
    }
}
