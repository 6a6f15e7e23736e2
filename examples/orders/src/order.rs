//! The order: what the shop pushes.

use orchestratum_sdk::prelude::*;

use crate::payment::ChargePaymentCommand;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    pub number: u64,
    pub customer: String,
    pub items: Vec<Item>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    pub name: String,
    pub cents: u64,
    pub count: u64,
}

#[derive(Debug, Command, Serialize, Deserialize)]
#[command(output = Total, chain)]
pub struct ProcessOrderCommand {
    pub order: Order,
}

/// What it comes to.
#[derive(Debug, Serialize, Deserialize)]
pub struct Total {
    pub cents: u64,
}

impl Chain for ProcessOrderCommand {
    fn on_success(&self, total: &Total, next: &mut Next) {
        next.push(ChargePaymentCommand {
            order: self.order.clone(),
            cents: total.cents,
        });
    }
}

#[derive(Handler)]
#[handler(ProcessOrderCommand)]
struct ProcessOrderHandler;

impl Handler<ProcessOrderCommand> for ProcessOrderHandler {
    async fn handle(&self, command: &ProcessOrderCommand, context: &Context) -> Result<Total, Failure> {
        let items = &command.order.items;
        if items.is_empty() {
            return Err(Failure::permanent(format!("order {} is empty", command.order.number)));
        }
        let cents = items.iter().map(|item| item.cents * item.count).sum();
        context.log(&format!("order {} comes to {cents} cents", command.order.number));
        Ok(Total { cents })
    }
}
