//! The order is paid, or the customer gets the money back.

use std::sync::Arc;

use orchestratum_sdk::prelude::*;
use orchestratum_sdk::saga::{Event, Fields};

use crate::world::{Bank, Receipt};

#[derive(Debug, Command, Fields, Serialize, Deserialize)]
#[command(output = PaymentProcessedEvent)]
pub struct ProcessPaymentCommand {
    pub order_id: u64,
    pub customer_id: String,
    /// In cents.
    pub amount: u64,
}

#[derive(Debug, Event, Serialize, Deserialize)]
pub struct PaymentProcessedEvent {
    pub transaction_id: String,
}

#[derive(Debug, Event)]
#[event(failure)]
pub struct PaymentFailedEvent;

#[derive(Handler)]
#[handler(ProcessPaymentCommand)]
struct ProcessPaymentHandler {
    bank: Arc<dyn Bank>,
}

impl Handler<ProcessPaymentCommand> for ProcessPaymentHandler {
    async fn handle(
        &self,
        command: &ProcessPaymentCommand,
        context: &Context,
    ) -> Result<PaymentProcessedEvent, Failure> {
        let key = context.idempotency_key();
        let receipt = self.bank.charge(&key, command.order_id, command.amount)?;
        Ok(PaymentProcessedEvent {
            transaction_id: receipt.number,
        })
    }
}

#[derive(Debug, Command, Fields, Serialize, Deserialize)]
pub struct RefundPaymentCommand {
    pub transaction_id: String,
    pub amount: u64,
}

#[derive(Handler)]
#[handler(RefundPaymentCommand)]
struct RefundPaymentHandler {
    bank: Arc<dyn Bank>,
}

impl Handler<RefundPaymentCommand> for RefundPaymentHandler {
    async fn handle(&self, command: &RefundPaymentCommand, context: &Context) -> Result<(), Failure> {
        let receipt = Receipt {
            number: command.transaction_id.clone(),
            cents: command.amount,
        };
        self.bank.refund(&context.idempotency_key(), &receipt);
        Ok(())
    }
}
