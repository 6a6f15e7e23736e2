//! The goods leave the house. What has left cannot be called back: it is the last step, so nothing undoes it.

use std::sync::Arc;

use orchestratum_sdk::prelude::*;
use orchestratum_sdk::saga::{Event, Fields};

use crate::world::Carrier;

#[derive(Debug, Command, Fields, Serialize, Deserialize)]
#[command(output = OrderShippedEvent)]
pub struct CreateShipmentCommand {
    pub order_id: u64,
}

#[derive(Debug, Event, Serialize, Deserialize)]
pub struct OrderShippedEvent {
    pub tracking_number: String,
}

#[derive(Debug, Event)]
#[event(failure)]
pub struct ShipmentFailedEvent;

#[derive(Handler)]
#[handler(CreateShipmentCommand)]
struct CreateShipmentHandler {
    carrier: Arc<dyn Carrier>,
}

impl Handler<CreateShipmentCommand> for CreateShipmentHandler {
    async fn handle(&self, command: &CreateShipmentCommand, context: &Context) -> Result<OrderShippedEvent, Failure> {
        let tracking_number = self.carrier.ship(&context.idempotency_key(), command.order_id)?;
        Ok(OrderShippedEvent { tracking_number })
    }
}
