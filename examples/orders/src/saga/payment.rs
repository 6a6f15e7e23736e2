//! The order is paid, or the customer gets the money back.

use std::sync::Arc;

use orchestratum_sdk::prelude::*;
use orchestratum_sdk::saga::{Event, Fields, task};

use super::inventory::reserve;
use super::{MINUTE, OrderState, Saga};
use crate::world::Bank;

pub(super) fn step(saga: &mut Saga) {
    saga.during(OrderState::AwaitingPayment).on_entry(|saga| {
        let undo = RefundPaymentCommandFields {
            order_id: saga.order_id.clone(),
            amount: saga.total.clone(),
        };
        let input = ProcessPaymentCommandFields {
            order_id: saga.order_id,
            customer_id: saga.customer_id,
            amount: saga.total,
        };
        let charge = task(input).target("billing").ttl(MINUTE).max_retries(3);
        let charge = charge.compensate_with(task(undo).target("billing").max_retries(5));
        charge.raises::<PaymentProcessedEvent, PaymentFailedEvent>()
    });

    saga.during(OrderState::AwaitingPayment)
        .when::<PaymentProcessedEvent>()
        .set(|saga, event| saga.payment_transaction_id.to(event.transaction_id))
        .then(|saga, _| reserve(saga))
        .transition_to(OrderState::AwaitingInventory);

    saga.during(OrderState::AwaitingPayment)
        .when::<PaymentFailedEvent>()
        .set(|saga, event| saga.failure_reason.to(event.message))
        .compensate()
        .transition_to(OrderState::Failed);
}

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
    pub order_id: u64,
    pub amount: u64,
}

#[derive(Handler)]
#[handler(RefundPaymentCommand)]
struct RefundPaymentHandler {
    bank: Arc<dyn Bank>,
}

impl Handler<RefundPaymentCommand> for RefundPaymentHandler {
    async fn handle(&self, command: &RefundPaymentCommand, context: &Context) -> Result<(), Failure> {
        self.bank
            .refund(&context.idempotency_key(), command.order_id, command.amount);
        Ok(())
    }
}
