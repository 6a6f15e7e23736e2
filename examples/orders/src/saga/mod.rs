//! The order as a saga: a server runs it, and undoes what was done when a later step fails.
//!
//! ```text
//!   Initial ──► AwaitingPayment ──► AwaitingInventory ──► AwaitingShipment ──► Completed
//!                     │ fails            │ fails: refund       │ fails: release, then refund
//!                     └─────────────► Failed ◄─────────────────┘
//! ```
//!
//! What undoes a step belongs to its task, so that a step of which nobody knows whether it was done is undone, too.
//! `config/sagas/order.yaml` is the same definition, written by hand. One file a step: its part of the saga, its commands and its
//! events, and their handlers.

pub mod inventory;
pub mod payment;
pub mod shipment;

use orchestratum_sdk::prelude::*;
use orchestratum_sdk::saga::{Definition, Event, Faults, Fields, SagaBuilder, States};

use crate::order::Item;

/// An order that nobody has finished by then is taken back.
const DAY: Duration = Duration::from_secs(86_400);

const MINUTE: Duration = Duration::from_secs(60);

/// Who does the steps of a saga. Whoever runs this crate's handlers serves all of them.
pub const TARGETS: [&str; 4] = ["default", "billing", "warehouse", "shipping"];

#[derive(Debug, PartialEq, Eq, States)]
pub enum OrderState {
    Initial,
    AwaitingPayment,
    AwaitingInventory,
    AwaitingShipment,
    Completed,
    Failed,
}

/// What it keeps of an order.
#[derive(Debug, Fields, Deserialize)]
pub struct OrderSaga {
    pub order_id: u64,
    pub customer_id: String,
    pub items: Vec<Item>,
    /// In cents.
    pub total: u64,
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

/// The definition on its way.
type Saga = SagaBuilder<OrderSaga, OrderState>;

/// # Errors
/// If something in it is wrong.
pub fn definition() -> Result<Definition, Faults> {
    let mut saga = Saga::new("order");
    saga.context::<OrderCreatedEvent, _>(|saga, input| {
        [
            saga.order_id.to(input.order_id),
            saga.customer_id.to(input.customer_id),
            saga.items.to(input.items),
            saga.total.to(input.total),
        ]
    });
    saga.timeout(DAY)
        .compensate()
        .transition_to(OrderState::Failed)
        .finalize_failed();

    saga.initially()
        .when::<StartEvent>()
        .transition_to(OrderState::AwaitingPayment)
        .when::<OrderCreatedEvent>()
        .transition_to(OrderState::AwaitingPayment);
    payment::step(&mut saga);
    inventory::step(&mut saga);
    shipment::step(&mut saga);
    saga.build()
}
