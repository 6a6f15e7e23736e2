//! What an order needs of the world outside, and one that is good enough to try it.

use std::io;

/// Takes money. The same key takes it once, however often it is asked.
pub trait Bank: Send + Sync {
    fn charge(&self, key: &str, order: u64, cents: u64) -> Result<Receipt, PaymentError>;

    fn refund(&self, key: &str, receipt: &Receipt);
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

/// Brings parcels.
pub trait Carrier: Send + Sync {
    /// The number to follow the parcel by.
    fn ship(&self, key: &str, order: u64) -> Result<String, io::Error>;
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

    fn refund(&self, key: &str, receipt: &Receipt) {
        println!(
            "receipt {}: {} cents are given back ({key})",
            receipt.number, receipt.cents
        );
    }
}

impl Carrier for Paper {
    fn ship(&self, key: &str, order: u64) -> Result<String, io::Error> {
        println!("order {order} leaves the house ({key})");
        Ok(format!("P-{order}"))
    }
}

impl Mailbox for Paper {
    fn send(&self, key: &str, customer: &str, text: &str) -> Result<(), io::Error> {
        println!("to {customer}: {text} ({key})");
        Ok(())
    }
}
