//! The order as a saga: a server runs it, and undoes what was done when a later step fails.
//!
//! ```text
//!   Initial ──► AwaitingPayment ──► AwaitingInventory ──► AwaitingShipment ──► Completed
//!                     │ fails            │ fails: refund       │ fails: release, then refund
//!                     └─────────────► Failed ◄─────────────────┘
//! ```
//!
//! `config/sagas/order.yaml` is the same definition, written by hand. The steps are commands as any others, one file for what is
//! done and what undoes it.

pub mod inventory;
pub mod payment;
pub mod shipment;

use std::time::Duration;

use orchestratum_sdk::prelude::*;
use orchestratum_sdk::saga::{Definition, Event, Faults, Fields, SagaBuilder, States, task};

use self::inventory::{
    InventoryReservationFailedEvent, InventoryReservedEvent, ReleaseInventoryCommandFields,
    ReserveInventoryCommandFields,
};
use self::payment::{
    PaymentFailedEvent, PaymentProcessedEvent, ProcessPaymentCommandFields, RefundPaymentCommandFields,
};
use self::shipment::{CreateShipmentCommandFields, OrderShippedEvent, ShipmentFailedEvent};
use crate::order::Item;

/// An order that nobody has finished by then is taken back.
const DAY: Duration = Duration::from_secs(86_400);

const MINUTE: Duration = Duration::from_secs(60);

#[derive(States)]
pub enum OrderState {
    Initial,
    AwaitingPayment,
    AwaitingInventory,
    AwaitingShipment,
    Completed,
    Failed,
}

/// What it keeps of an order.
#[derive(Fields)]
pub struct OrderSaga {
    pub order_id: u64,
    pub customer_id: String,
    pub items: Vec<Item>,
    /// In cents.
    pub total: u64,
    // What the compensations need.
    pub payment_transaction_id: Option<String>,
    pub inventory_reservation_id: Option<String>,
    pub shipment_tracking_number: Option<String>,
    pub failure_reason: Option<String>,
}

/// What `POST /api/sagas` raises with its input.
#[derive(Debug, Event, Serialize, Deserialize)]
pub struct StartEvent {
    pub order_id: u64,
    pub customer_id: String,
    pub items: Vec<Item>,
    pub total: u64,
}

/// The shop's own event, which starts a saga as well.
#[derive(Debug, Event, Serialize, Deserialize)]
pub struct OrderCreatedEvent {
    pub order_id: u64,
    pub customer_id: String,
    pub items: Vec<Item>,
    pub total: u64,
}

/// # Errors
/// If something in it is wrong.
pub fn definition() -> Result<Definition, Faults> {
    use OrderState::{AwaitingInventory, AwaitingPayment, AwaitingShipment, Completed, Failed};

    let mut saga = SagaBuilder::<OrderSaga, OrderState>::new("order");
    saga.context::<OrderCreatedEvent, _>(|saga, input| {
        [
            saga.order_id.to(input.order_id),
            saga.customer_id.to(input.customer_id),
            saga.items.to(input.items),
            saga.total.to(input.total),
        ]
    });
    saga.timeout(DAY).compensate().transition_to(Failed).finalize_failed();

    saga.initially()
        .when::<StartEvent>()
        .transition_to(AwaitingPayment)
        .when::<OrderCreatedEvent>()
        .transition_to(AwaitingPayment);

    saga.during(AwaitingPayment).on_entry(|saga| {
        let input = ProcessPaymentCommandFields {
            order_id: saga.order_id,
            customer_id: saga.customer_id,
            amount: saga.total,
        };
        let task = task(input).target("billing").ttl(MINUTE).max_retries(3);
        task.raises::<PaymentProcessedEvent, PaymentFailedEvent>()
    });

    saga.during(AwaitingPayment)
        .when::<PaymentProcessedEvent>()
        .set(|saga, event| saga.payment_transaction_id.to(event.transaction_id))
        .compensate_with(|saga, _| {
            let input = RefundPaymentCommandFields {
                transaction_id: saga.payment_transaction_id.known(),
                amount: saga.total,
            };
            task(input).target("billing").max_retries(5)
        })
        .then(|saga, _| {
            let input = ReserveInventoryCommandFields {
                order_id: saga.order_id,
                items: saga.items,
            };
            let task = task(input).target("warehouse").ttl(MINUTE).max_retries(3);
            task.raises::<InventoryReservedEvent, InventoryReservationFailedEvent>()
        })
        .transition_to(AwaitingInventory);

    saga.during(AwaitingPayment)
        .when::<PaymentFailedEvent>()
        .set(|saga, event| saga.failure_reason.to(event.message))
        .transition_to(Failed);

    saga.during(AwaitingInventory)
        .when::<InventoryReservedEvent>()
        .set(|saga, event| saga.inventory_reservation_id.to(event.reservation_id))
        .compensate_with(|saga, _| {
            let input = ReleaseInventoryCommandFields {
                reservation_id: saga.inventory_reservation_id.known(),
            };
            task(input).target("warehouse").max_retries(5)
        })
        .then(|saga, _| {
            let input = CreateShipmentCommandFields {
                order_id: saga.order_id,
            };
            let task = task(input).target("shipping").ttl(MINUTE).max_retries(3);
            task.raises::<OrderShippedEvent, ShipmentFailedEvent>()
        })
        .transition_to(AwaitingShipment);

    saga.during(AwaitingInventory)
        .when::<InventoryReservationFailedEvent>()
        .set(|saga, event| saga.failure_reason.to(event.message))
        .compensate()
        .transition_to(Failed);

    saga.during(AwaitingShipment)
        .when::<OrderShippedEvent>()
        .set(|saga, event| saga.shipment_tracking_number.to(event.tracking_number))
        .transition_to(Completed)
        .finalize();

    saga.during(AwaitingShipment)
        .when::<ShipmentFailedEvent>()
        .set(|saga, event| saga.failure_reason.to(event.message))
        .compensate()
        .transition_to(Failed);

    saga.build()
}
