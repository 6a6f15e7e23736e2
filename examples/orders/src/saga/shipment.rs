//! The goods leave the house. It is the last step: it is called off only where nobody knows whether it was done.

use std::sync::Arc;

use orchestratum_sdk::prelude::*;
use orchestratum_sdk::saga::{Event, Fields, Task, task};

use super::{MINUTE, OrderSagaFields, OrderState, Saga};
use crate::world::Carrier;

/// What is done when the goods are reserved.
pub(super) fn ship(saga: OrderSagaFields) -> Task<OrderShippedEvent> {
    let undo = CancelShipmentCommandFields {
        order_id: saga.order_id.clone(),
    };
    let input = CreateShipmentCommandFields {
        order_id: saga.order_id,
    };
    let ship = task(input).target("shipping").ttl(MINUTE).max_retries(3);
    let ship = ship.compensate_with(task(undo).target("shipping").max_retries(5));
    ship.raises::<OrderShippedEvent, ShipmentFailedEvent>()
}

pub(super) fn step(saga: &mut Saga) {
    saga.during(OrderState::AwaitingShipment)
        .when::<OrderShippedEvent>()
        .set(|saga, event| saga.shipment_tracking_number.to(event.tracking_number))
        .transition_to(OrderState::Completed)
        .finalize();

    saga.during(OrderState::AwaitingShipment)
        .when::<ShipmentFailedEvent>()
        .set(|saga, event| saga.failure_reason.to(event.message))
        .compensate()
        .transition_to(OrderState::Failed);
}

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

#[derive(Debug, Command, Fields, Serialize, Deserialize)]
pub struct CancelShipmentCommand {
    pub order_id: u64,
}

#[derive(Handler)]
#[handler(CancelShipmentCommand)]
struct CancelShipmentHandler {
    carrier: Arc<dyn Carrier>,
}

impl Handler<CancelShipmentCommand> for CancelShipmentHandler {
    async fn handle(&self, command: &CancelShipmentCommand, context: &Context) -> Result<(), Failure> {
        Ok(self.carrier.cancel(&context.idempotency_key(), command.order_id)?)
    }
}
