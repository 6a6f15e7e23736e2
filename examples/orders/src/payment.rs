//! The payment, and its way back.

use std::sync::Arc;

use orchestratum_sdk::prelude::*;

use crate::notification::SendNotificationCommand;
use crate::order::Order;
use crate::shipping::ShipOrderCommand;
use crate::world::{Bank, Receipt};

#[derive(Debug, Command, Serialize, Deserialize)]
#[command(output = Receipt, timeout_seconds = 30, retries = 2, chain)]
pub struct ChargePaymentCommand {
    pub order: Order,
    pub cents: u64,
}

impl Chain for ChargePaymentCommand {
    fn on_success(&self, receipt: &Receipt, next: &mut Next) {
        next.push(ShipOrderCommand {
            order: self.order.clone(),
            receipt: receipt.clone(),
        });
    }

    fn on_failure(&self, next: &mut Next) {
        next.push(SendNotificationCommand::about(&self.order, "could not be paid"));
    }
}

#[derive(Handler)]
#[handler(ChargePaymentCommand)]
struct ChargePaymentHandler {
    bank: Arc<dyn Bank>,
}

impl Handler<ChargePaymentCommand> for ChargePaymentHandler {
    async fn handle(&self, command: &ChargePaymentCommand, context: &Context) -> Result<Receipt, Failure> {
        let charged = self
            .bank
            .charge(&context.idempotency_key(), command.order.number, command.cents);
        Ok(charged?)
    }
}

/// Gives back what was charged.
#[derive(Debug, Command, Serialize, Deserialize)]
#[command(name = "payment.refund", retries = 10, chain)]
pub struct RefundPaymentCommand {
    pub order: Order,
    pub receipt: Receipt,
}

impl Chain for RefundPaymentCommand {
    fn on_success(&self, (): &(), next: &mut Next) {
        next.push(SendNotificationCommand::about(
            &self.order,
            "cannot be shipped: your money is back",
        ));
    }
}

#[derive(Handler)]
#[handler(RefundPaymentCommand)]
struct RefundPaymentHandler {
    bank: Arc<dyn Bank>,
}

impl Handler<RefundPaymentCommand> for RefundPaymentHandler {
    async fn handle(&self, command: &RefundPaymentCommand, context: &Context) -> Result<(), Failure> {
        let order = command.order.number;
        self.bank
            .refund(&context.idempotency_key(), order, command.receipt.cents);
        Ok(())
    }
}
