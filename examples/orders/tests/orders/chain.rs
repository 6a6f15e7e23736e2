//! What becomes of orders as chains of commands, however they go.

use std::sync::Arc;

use orchestratum_sdk::prelude::*;
use orders::order::{Order, ProcessOrderCommand};

use crate::world::{Weather, World, lamps};

async fn ordered(
    weather: Weather,
    items: Vec<orders::order::Item>,
) -> Result<(Arc<World>, Outcome<()>), orchestratum_sdk::Error> {
    let world = World::of(weather);
    let builder = Harness::builder();
    let builder = orders::with_handlers(builder, world.clone(), world.clone(), world.clone(), world.clone());
    let mut harness = builder.harness().await?;
    let order = Order {
        number: 7,
        customer: "ann".to_owned(),
        items,
    };
    let outcome = harness.run(ProcessOrderCommand { order }).await?;
    let outcome = match outcome.expect("it has ended") {
        Outcome::Success(_total) => Outcome::Success(()),
        Outcome::Failed(fault) => Outcome::Failed(fault),
        other => panic!("{other:?}"),
    };
    Ok((world, outcome))
}

#[tokio::test]
async fn an_order_is_paid_shipped_and_told_about() -> Result<(), orchestratum_sdk::Error> {
    let (world, _) = ordered(Weather::Fine, lamps()).await?;
    assert_eq!(
        *world.happened(),
        ["charged 9800", "shipped", "ann: order 7 is on its way as P-7"]
    );
    Ok(())
}

#[tokio::test]
async fn a_bank_that_is_away_is_asked_again_with_the_same_key() -> Result<(), orchestratum_sdk::Error> {
    let (world, _) = ordered(Weather::BankAwayAtFirst, lamps()).await?;
    assert_eq!(world.happened()[0], "charged 9800");
    assert_eq!(world.happened().len(), 3);
    let keys = world.keys();
    assert_eq!(keys.len(), 3);
    assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
    Ok(())
}

#[tokio::test]
async fn a_declined_card_is_told_about_and_not_asked_again() -> Result<(), orchestratum_sdk::Error> {
    let (world, _) = ordered(Weather::CardDeclined, lamps()).await?;
    assert_eq!(*world.happened(), ["ann: order 7 could not be paid"]);
    assert_eq!(world.keys().len(), 1);
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_shipped_is_refunded() -> Result<(), orchestratum_sdk::Error> {
    let (world, _) = ordered(Weather::NoCarrier, lamps()).await?;
    assert_eq!(
        *world.happened(),
        [
            "charged 9800",
            "refunded 9800",
            "ann: order 7 cannot be shipped: your money is back"
        ]
    );
    Ok(())
}

#[tokio::test]
async fn an_empty_order_fails_for_good() -> Result<(), orchestratum_sdk::Error> {
    let (world, outcome) = ordered(Weather::Fine, Vec::new()).await?;
    assert_eq!(outcome.fault().expect("it failed").message, "order 7 is empty");
    assert_eq!(*world.happened(), [""; 0]);
    Ok(())
}
