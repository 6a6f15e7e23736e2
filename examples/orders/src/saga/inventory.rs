//! The goods are reserved, or released again.

use std::sync::Arc;

use orchestratum_sdk::prelude::*;
use orchestratum_sdk::saga::{Event, Fields, Task, task};

use super::shipment::ship;
use super::{MINUTE, OrderSagaFields, OrderState, Saga};
use crate::order::Item;
use crate::world::Warehouse;

/// What is done when the order is paid.
pub(super) fn reserve(saga: OrderSagaFields) -> Task<InventoryReservedEvent> {
    let undo = ReleaseInventoryCommandFields {
        order_id: saga.order_id.clone(),
    };
    let input = ReserveInventoryCommandFields {
        order_id: saga.order_id,
        items: saga.items,
    };
    let reserve = task(input).target("warehouse").ttl(MINUTE).max_retries(3);
    let reserve = reserve.compensate_with(task(undo).target("warehouse").max_retries(5));
    reserve.raises::<InventoryReservedEvent, InventoryReservationFailedEvent>()
}

pub(super) fn step(saga: &mut Saga) {
    saga.during(OrderState::AwaitingInventory)
        .when::<InventoryReservedEvent>()
        .set(|saga, event| saga.inventory_reservation_id.to(event.reservation_id))
        .then(|saga, _| ship(saga))
        .transition_to(OrderState::AwaitingShipment);

    saga.during(OrderState::AwaitingInventory)
        .when::<InventoryReservationFailedEvent>()
        .set(|saga, event| saga.failure_reason.to(event.message))
        .compensate()
        .transition_to(OrderState::Failed);
}

#[derive(Debug, Command, Fields, Serialize, Deserialize)]
#[command(output = InventoryReservedEvent)]
pub struct ReserveInventoryCommand {
    pub order_id: u64,
    pub items: Vec<Item>,
}

#[derive(Debug, Event, Serialize, Deserialize)]
pub struct InventoryReservedEvent {
    pub reservation_id: String,
}

#[derive(Debug, Event)]
#[event(failure)]
pub struct InventoryReservationFailedEvent;

#[derive(Handler)]
#[handler(ReserveInventoryCommand)]
struct ReserveInventoryHandler {
    warehouse: Arc<dyn Warehouse>,
}

impl Handler<ReserveInventoryCommand> for ReserveInventoryHandler {
    async fn handle(
        &self,
        command: &ReserveInventoryCommand,
        context: &Context,
    ) -> Result<InventoryReservedEvent, Failure> {
        let key = context.idempotency_key();
        let reservation_id = self.warehouse.reserve(&key, command.order_id, &command.items)?;
        Ok(InventoryReservedEvent { reservation_id })
    }
}

#[derive(Debug, Command, Fields, Serialize, Deserialize)]
pub struct ReleaseInventoryCommand {
    pub order_id: u64,
}

#[derive(Handler)]
#[handler(ReleaseInventoryCommand)]
struct ReleaseInventoryHandler {
    warehouse: Arc<dyn Warehouse>,
}

impl Handler<ReleaseInventoryCommand> for ReleaseInventoryHandler {
    async fn handle(&self, command: &ReleaseInventoryCommand, context: &Context) -> Result<(), Failure> {
        self.warehouse.release(&context.idempotency_key(), command.order_id);
        Ok(())
    }
}
