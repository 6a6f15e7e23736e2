//! Sagas that follow each other under one key.

use std::sync::Arc;

use orchestratum_store::Store;

use super::lab::Lab;
use super::saga_lab::{COUNTER, ORDER, define, definition_name, start};

pub(crate) async fn the_last_of_a_series_is_found_whatever_retention_has_left(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    define(&lab, ORDER).await;
    define(&lab, COUNTER).await;
    let last = async |key: &str| {
        let name = definition_name("order");
        let saga = lab.store.last_of_series(&name, key).await.expect("works");
        saga.map(|saga| saga.instance.correlation_id)
    };
    assert_eq!(last("17:issue/1:1").await, None);
    // All beside it, and of another definition, are none of it.
    for other in [
        "17:issue/1:1#0",
        "17:issue/1:1#3x",
        "17:issue/1:1#",
        "17:issue/1:12",
        "17:issue/1:1 #9",
        "17:issue/1:",
    ] {
        start(&lab, "order", other).await;
    }
    start(&lab, "counter", "17:issue/1:1#99").await;
    assert_eq!(last("17:issue/1:1").await, None);
    // Neither the first ones are left, nor is the newest the one that was started last.
    for left in ["#9", "#10", "#12", "#11"] {
        start(&lab, "order", &format!("17:issue/1:1{left}")).await;
    }
    assert_eq!(last("17:issue/1:1").await.as_deref(), Some("17:issue/1:1#12"));
    start(&lab, "order", "Пример/%_:1").await;
    assert_eq!(last("Пример/%_:1").await.as_deref(), Some("Пример/%_:1"));
}
