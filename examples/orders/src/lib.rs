//! An order is paid, shipped and told about: a chain of commands.
//!
//! ```text
//!   ProcessOrder ──► ChargePayment ──► ShipOrder ──► SendNotification "is on its way"
//!                          │               └─ fails ──► RefundPayment ──► SendNotification "your money is back"
//!                          └─ fails ──► SendNotification "could not be paid"
//! ```
//!
//! One file a step: its command, what comes after it, and its handler. What they need of the world outside is in [`world`].

pub mod notification;
pub mod order;
pub mod payment;
pub mod shipping;
pub mod world;

use std::sync::Arc;

use orchestratum_sdk::Builder;

use crate::world::{Bank, Carrier, Mailbox};

/// With all handlers of this crate and what they need.
#[must_use]
pub fn with_handlers(
    builder: Builder,
    bank: Arc<dyn Bank>,
    carrier: Arc<dyn Carrier>,
    mailbox: Arc<dyn Mailbox>,
) -> Builder {
    builder
        .provide(bank)
        .provide(carrier)
        .provide(mailbox)
        .discover_in(module_path!())
}
