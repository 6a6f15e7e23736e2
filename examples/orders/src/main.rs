//! Takes an order and shows what comes of it: `cargo run -p orders`.
//!
//! With a URL as its argument (`postgres://…` or `sqlite://orders.db`) the orders are kept there, and the process goes on as a
//! worker until it is stopped.

use std::sync::Arc;

use orchestratum_sdk::prelude::*;
use orders::order::{Item, Order, ProcessOrderCommand};
use orders::world::Paper;

#[tokio::main]
async fn main() -> Result<(), orchestratum_sdk::Error> {
    let url = std::env::args().nth(1);
    let builder = Orchestratum::embedded(url.as_deref().unwrap_or("sqlite::memory:"));
    let paper = Arc::new(Paper);
    let orchestratum = orders::with_handlers(builder, paper.clone(), paper.clone(), paper.clone(), paper)
        .start()
        .await?;
    let order = Order {
        number: 7,
        customer: "ann@example.com".to_owned(),
        items: vec![Item {
            name: "a lamp".to_owned(),
            cents: 4_900,
            count: 2,
        }],
    };
    let mut id = orchestratum.push(ProcessOrderCommand { order }).await?;
    // Each command comes after the one before.
    loop {
        orchestratum.wait_for_end(id, Duration::from_secs(30)).await?;
        match orchestratum.followers(id).await?.commands.first() {
            Some(next) => id = next.id,
            None => break,
        }
    }
    if url.is_some() {
        return orchestratum.run().await;
    }
    orchestratum.stop().await
}
