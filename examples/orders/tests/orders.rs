//! What becomes of orders, however they go.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use orchestratum_sdk::prelude::*;
use orders::order::{Item, Order, ProcessOrderCommand};
use orders::world::{Bank, Carrier, Mailbox, OutOfStock, PaymentError, Receipt, Warehouse};

/// How the world takes an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Weather {
    Fine,
    /// The bank does not answer the first two times.
    BankAwayAtFirst,
    CardDeclined,
    NoCarrier,
}

struct World {
    weather: Weather,
    happened: Mutex<Vec<String>>,
    keys: Mutex<Vec<String>>,
}

impl World {
    fn happened(&self) -> MutexGuard<'_, Vec<String>> {
        self.happened.lock().expect("nobody panics here")
    }

    fn keys(&self) -> MutexGuard<'_, Vec<String>> {
        self.keys.lock().expect("nobody panics here")
    }
}

impl Bank for World {
    fn charge(&self, key: &str, order: u64, cents: u64) -> Result<Receipt, PaymentError> {
        self.keys().push(key.to_owned());
        match self.weather {
            Weather::CardDeclined => Err(PaymentError::Declined),
            Weather::BankAwayAtFirst if self.keys().len() <= 2 => {
                Err(PaymentError::Unreachable(io::Error::other("the bank is away")))
            }
            Weather::Fine | Weather::BankAwayAtFirst | Weather::NoCarrier => {
                self.happened().push(format!("charged {cents}"));
                Ok(Receipt {
                    number: format!("R-{order}"),
                    cents,
                })
            }
        }
    }

    fn refund(&self, _key: &str, receipt: &Receipt) {
        self.happened().push(format!("refunded {}", receipt.cents));
    }
}

impl Warehouse for World {
    fn reserve(&self, _key: &str, order: u64, _items: &[Item]) -> Result<String, OutOfStock> {
        self.happened().push("reserved".to_owned());
        Ok(format!("W-{order}"))
    }

    fn release(&self, _key: &str, reservation: &str) {
        self.happened().push(format!("released {reservation}"));
    }
}

impl Carrier for World {
    fn ship(&self, _key: &str, order: u64) -> Result<String, io::Error> {
        if self.weather == Weather::NoCarrier {
            return Err(io::Error::other("nobody drives today"));
        }
        self.happened().push("shipped".to_owned());
        Ok(format!("P-{order}"))
    }
}

impl Mailbox for World {
    fn send(&self, _key: &str, customer: &str, text: &str) -> Result<(), io::Error> {
        self.happened().push(format!("{customer}: {text}"));
        Ok(())
    }
}

async fn ordered(weather: Weather, items: Vec<Item>) -> Result<(Arc<World>, Outcome<()>), orchestratum_sdk::Error> {
    let world = Arc::new(World {
        weather,
        happened: Mutex::default(),
        keys: Mutex::default(),
    });
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

fn lamps() -> Vec<Item> {
    vec![Item {
        name: "a lamp".to_owned(),
        cents: 4_900,
        count: 2,
    }]
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
