//! What an order needs of the world outside, and one that is good enough to try it.

use std::io;

use orchestratum_sdk::Failure;

use crate::order::Item;

/// Takes money. The same key takes it once, however often it is asked.
pub trait Bank: Send + Sync {
    fn charge(&self, key: &str, order: u64, cents: u64) -> Result<Receipt, PaymentError>;

    /// Also where nothing was charged: then there is nothing to give back.
    fn refund(&self, key: &str, order: u64, cents: u64);
}

/// That an order was paid.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Receipt {
    pub number: String,
    pub cents: u64,
}

#[derive(Debug)]
pub enum PaymentError {
    /// It will be declined the next time, too.
    Declined,
    /// It may go better the next time.
    Unreachable(io::Error),
}

impl From<PaymentError> for Failure {
    fn from(error: PaymentError) -> Self {
        match error {
            PaymentError::Declined => Self::permanent("the card was declined"),
            PaymentError::Unreachable(error) => error.into(),
        }
    }
}

/// Keeps goods.
pub trait Warehouse: Send + Sync {
    /// The number of the reservation.
    fn reserve(&self, key: &str, order: u64, items: &[Item]) -> Result<String, OutOfStock>;

    /// Also where nothing was reserved.
    fn release(&self, key: &str, order: u64);
}

/// There is no more of it, and will not be soon.
#[derive(Debug)]
pub struct OutOfStock {
    pub item: String,
}

impl From<OutOfStock> for Failure {
    fn from(OutOfStock { item }: OutOfStock) -> Self {
        Self::permanent(format!("{item} is sold out"))
    }
}

/// Brings parcels.
pub trait Carrier: Send + Sync {
    /// The number to follow the parcel by.
    fn ship(&self, key: &str, order: u64) -> Result<String, io::Error>;

    /// Also where nothing was shipped.
    fn cancel(&self, key: &str, order: u64) -> Result<(), io::Error>;
}

/// Tells customers.
pub trait Mailbox: Send + Sync {
    fn send(&self, key: &str, customer: &str, text: &str) -> Result<(), io::Error>;
}

/// Everything goes well, and is printed.
#[derive(Debug)]
pub struct Paper;

impl Bank for Paper {
    fn charge(&self, key: &str, order: u64, cents: u64) -> Result<Receipt, PaymentError> {
        println!("order {order}: {cents} cents are charged ({key})");
        Ok(Receipt {
            number: format!("R-{order}"),
            cents,
        })
    }

    fn refund(&self, key: &str, order: u64, cents: u64) {
        println!("order {order}: {cents} cents are given back ({key})");
    }
}

impl Warehouse for Paper {
    fn reserve(&self, key: &str, order: u64, items: &[Item]) -> Result<String, OutOfStock> {
        println!("order {order}: goods of {} kinds are reserved ({key})", items.len());
        Ok(format!("W-{order}"))
    }

    fn release(&self, key: &str, order: u64) {
        println!("order {order}: its goods are released ({key})");
    }
}

impl Carrier for Paper {
    fn ship(&self, key: &str, order: u64) -> Result<String, io::Error> {
        println!("order {order} leaves the house ({key})");
        Ok(format!("P-{order}"))
    }

    fn cancel(&self, key: &str, order: u64) -> Result<(), io::Error> {
        println!("order {order} stays in the house ({key})");
        Ok(())
    }
}

impl Mailbox for Paper {
    fn send(&self, key: &str, customer: &str, text: &str) -> Result<(), io::Error> {
        println!("to {customer}: {text} ({key})");
        Ok(())
    }
}
