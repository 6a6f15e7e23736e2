//! The goods are reserved, or released again.

use std::sync::Arc;

use orchestratum_sdk::prelude::*;
use orchestratum_sdk::saga::{Event, Fields};

use crate::order::Item;
use crate::world::Warehouse;

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
    pub reservation_id: String,
}

#[derive(Handler)]
#[handler(ReleaseInventoryCommand)]
struct ReleaseInventoryHandler {
    warehouse: Arc<dyn Warehouse>,
}

impl Handler<ReleaseInventoryCommand> for ReleaseInventoryHandler {
    async fn handle(&self, command: &ReleaseInventoryCommand, context: &Context) -> Result<(), Failure> {
        self.warehouse
            .release(&context.idempotency_key(), &command.reservation_id);
        Ok(())
    }
}
