//! A world in which orders go as a test wants it.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use orders::order::Item;
use orders::world::{Bank, Carrier, Mailbox, OutOfStock, PaymentError, Receipt, Warehouse};

/// How the world takes an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weather {
    Fine,
    /// The bank does not answer the first two times.
    BankAwayAtFirst,
    CardDeclined,
    SoldOut,
    NoCarrier,
}

pub(crate) struct World {
    weather: Weather,
    happened: Mutex<Vec<String>>,
    keys: Mutex<Vec<String>>,
}

impl World {
    pub(crate) fn of(weather: Weather) -> Arc<Self> {
        Arc::new(Self {
            weather,
            happened: Mutex::default(),
            keys: Mutex::default(),
        })
    }

    pub(crate) fn happened(&self) -> MutexGuard<'_, Vec<String>> {
        self.happened.lock().expect("nobody panics here")
    }

    pub(crate) fn keys(&self) -> MutexGuard<'_, Vec<String>> {
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
            Weather::Fine | Weather::BankAwayAtFirst | Weather::SoldOut | Weather::NoCarrier => {
                self.happened().push(format!("charged {cents}"));
                Ok(Receipt {
                    number: format!("R-{order}"),
                    cents,
                })
            }
        }
    }

    fn refund(&self, _key: &str, _order: u64, cents: u64) {
        self.happened().push(format!("refunded {cents}"));
    }
}

impl Warehouse for World {
    fn reserve(&self, _key: &str, order: u64, items: &[Item]) -> Result<String, OutOfStock> {
        if self.weather == Weather::SoldOut {
            let item = items.first().map_or("nothing", |item| &item.name);
            return Err(OutOfStock { item: item.to_owned() });
        }
        self.happened().push("reserved".to_owned());
        Ok(format!("W-{order}"))
    }

    fn release(&self, _key: &str, order: u64) {
        self.happened().push(format!("released {order}"));
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

    fn cancel(&self, _key: &str, order: u64) -> Result<(), io::Error> {
        self.happened().push(format!("called off {order}"));
        Ok(())
    }
}

impl Mailbox for World {
    fn send(&self, _key: &str, customer: &str, text: &str) -> Result<(), io::Error> {
        self.happened().push(format!("{customer}: {text}"));
        Ok(())
    }
}

pub(crate) fn lamps() -> Vec<Item> {
    vec![Item {
        name: "a lamp".to_owned(),
        cents: 4_900,
        count: 2,
    }]
}
