//! Takes an order as a chain of commands and another one as a saga, and shows what comes of them: `cargo run -p orders`.
//!
//! With a URL as its argument (`postgres://…` or `sqlite://orders.db`) the orders are kept there, and the process goes on as a
//! worker until it is stopped.

use std::sync::Arc;

use orchestratum_sdk::Error;
use orchestratum_sdk::prelude::*;
use orders::order::{Item, Order, ProcessOrderCommand};
use orders::saga::{self, OrderSaga, OrderState, StartEvent, TARGETS};
use orders::world::Paper;

const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1);
    let builder = Orchestratum::embedded(url.as_deref().unwrap_or("sqlite::memory:"));
    let paper = Arc::new(Paper);
    let orchestratum = orders::with_handlers(builder, paper.clone(), paper.clone(), paper.clone(), paper)
        .targets(TARGETS)
        .start()
        .await?;
    as_a_chain(&orchestratum).await?;
    as_a_saga(&orchestratum).await?;
    if url.is_some() {
        orchestratum.run().await?;
    }
    Ok(orchestratum.stop().await?)
}

async fn as_a_chain(orchestratum: &Orchestratum) -> Result<(), Error> {
    let order = Order {
        number: 7,
        customer: "ann@example.com".to_owned(),
        items: lamps(),
    };
    let mut id = orchestratum.push(ProcessOrderCommand { order }).await?;
    // Each command comes after the one before.
    loop {
        orchestratum.wait_for_end(id, PATIENCE).await?;
        match orchestratum.followers(id).await?.commands.first() {
            Some(next) => id = next.id,
            None => return Ok(()),
        }
    }
}

async fn as_a_saga(orchestratum: &Orchestratum) -> Result<(), Box<dyn std::error::Error>> {
    let sagas = orchestratum.sagas();
    sagas.define(&saga::definition()?).await?;
    let ordered = StartEvent {
        order_id: 8,
        customer_id: "bob@example.com".to_owned(),
        items: lamps(),
        total: 9_800,
    };
    // Where orders are kept, the one of the last time is found again.
    let order = sagas.start("order", "order-8", &ordered).await?;
    let order = sagas.wait(order.id, PATIENCE).await?;
    let kept = order.context::<OrderSaga>()?;
    match order.state_in()? {
        OrderState::Completed => println!("order 8 is on its way as {:?}", kept.shipment_tracking_number),
        state => println!("order 8 is {state:?}: {:?}", kept.failure_reason),
    }
    Ok(())
}

fn lamps() -> Vec<Item> {
    vec![Item {
        name: "a lamp".to_owned(),
        cents: 4_900,
        count: 2,
    }]
}
