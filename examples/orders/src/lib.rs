//! An order is paid, shipped and told about: a chain of commands.
//!
//! ```text
//!   ProcessOrder ──► ChargePayment ──► ShipOrder ──► SendNotification "is on its way"
//!                          │               └─ fails ──► RefundPayment ──► SendNotification "your money is back"
//!                          └─ fails ──► SendNotification "could not be paid"
//! ```
//!
//! One file a step: its command, what comes after it, and its handler. What they need of the world outside is in [`world`].
//!
//! The same order as a saga, which a server runs, is in [`saga`].

pub mod notification;
pub mod order;
pub mod payment;
pub mod saga;
pub mod shipping;
pub mod world;

use std::sync::Arc;

use orchestratum_sdk::Builder;

use crate::world::{Bank, Carrier, Mailbox, Warehouse};

/// With all handlers of this crate and what they need.
#[must_use]
pub fn with_handlers(
    builder: Builder,
    bank: Arc<dyn Bank>,
    warehouse: Arc<dyn Warehouse>,
    carrier: Arc<dyn Carrier>,
    mailbox: Arc<dyn Mailbox>,
) -> Builder {
    builder
        .provide(bank)
        .provide(warehouse)
        .provide(carrier)
        .provide(mailbox)
        .discover_in(module_path!())
}
