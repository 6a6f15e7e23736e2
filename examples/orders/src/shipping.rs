//! The parcel.

use std::sync::Arc;

use orchestratum_sdk::prelude::*;

use crate::notification::SendNotificationCommand;
use crate::order::Order;
use crate::payment::RefundPaymentCommand;
use crate::world::{Carrier, Receipt};

/// Its output is the number to follow the parcel by.
#[derive(Debug, Command, Serialize, Deserialize)]
#[command(output = String, timeout_seconds = 60, retries = 1, chain)]
pub struct ShipOrderCommand {
    pub order: Order,
    pub receipt: Receipt,
}

impl Chain for ShipOrderCommand {
    fn on_success(&self, parcel: &String, next: &mut Next) {
        next.push(SendNotificationCommand::about(
            &self.order,
            &format!("is on its way as {parcel}"),
        ));
    }

    // Also if it is cancelled, or cannot be shipped for so long that its time is over.
    fn on_failure(&self, next: &mut Next) {
        next.push(RefundPaymentCommand {
            order: self.order.clone(),
            receipt: self.receipt.clone(),
        });
    }
}

#[derive(Handler)]
#[handler(ShipOrderCommand)]
struct ShipOrderHandler {
    carrier: Arc<dyn Carrier>,
}

impl Handler<ShipOrderCommand> for ShipOrderHandler {
    async fn handle(&self, command: &ShipOrderCommand, context: &Context) -> Result<String, Failure> {
        Ok(self.carrier.ship(&context.idempotency_key(), command.order.number)?)
    }
}
