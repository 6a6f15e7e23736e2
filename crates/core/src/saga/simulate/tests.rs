//! The order in the hands of a test.

use std::time::Duration;

use serde_json::json;

use super::*;
use crate::saga::{SagaStatus, read};

const ORDER: &str = include_str!("../../../../../config/sagas/order.yaml");

const WHOLE: &str = include_str!("../tests/whole.yaml");

fn simulator(text: &str) -> Simulator {
    let definition = read(text).unwrap_or_else(|faults| panic!("{faults}"));
    Simulator::new(definition).unwrap_or_else(|faults| panic!("{faults}"))
}

fn told(result: Result<(), SimulationError>) -> String {
    result.expect_err("refused").to_string()
}

#[test]
fn an_order_goes_as_its_test_says_and_states_that_no_test_was_in_are_told() -> Result<(), SimulationError> {
    let orders = simulator(ORDER);
    assert_eq!(orders.unvisited().len(), 6);
    let input = json!({"order_id": 7, "customer_id": "ann", "items": [], "total": 9_800});
    let mut order = orders.start(&input)?;
    assert_eq!(order.context("total"), json!(9_800));
    assert_eq!(
        told(order.succeed("reserve_inventory", &json!({}))),
        "no reserve_inventory runs; what runs is process_payment"
    );
    order.succeed("process_payment", &json!({"transaction_id": "T"}))?;
    order.succeed("reserve_inventory", &json!({"reservation_id": "R"}))?;
    let running: Vec<&Running> = order.running().collect();
    assert_eq!((running.len(), running[0].name.as_str()), (1, "create_shipment"));
    assert_eq!(
        told(order.raise_named("no name", &json!({}))),
        "\"no name\" is no name of an event"
    );
    assert_eq!(told(order.answer(&json!({}))), "the saga awaits no answer");
    order.fail("create_shipment", "nobody drives today")?;
    assert_eq!(order.status(), SagaStatus::Compensating);
    order.fail("release_inventory", "the warehouse is away")?;
    assert_eq!(order.status(), SagaStatus::CompensationStuck);
    order.retry_compensation()?;
    order.succeed("release_inventory", &json!(null))?;
    order.lose("refund_payment")?;
    order.skip_compensation()?;
    assert_eq!((order.state(), order.status()), ("Failed", SagaStatus::Failed));
    assert_eq!(order.undone(), ["release_inventory"]);
    assert_eq!(order.context("failure_reason"), json!("nobody drives today"));
    assert_eq!(order.context("shipment_tracking_number"), json!(null));
    assert!(
        order
            .mermaid()
            .contains("AwaitingShipment --> Failed : ✔ shipment_failed")
    );
    assert_eq!(told(order.cancel()), "the saga is over");
    assert_eq!(orders.unvisited(), ["Completed"]);
    Ok(())
}

#[test]
fn what_takes_too_long_is_taken_back() -> Result<(), SimulationError> {
    let orders = simulator(ORDER);
    let input = json!({"order_id": 7, "customer_id": "ann", "items": [], "total": 9_800});
    let mut order = orders.start_with("order_created", &input)?;
    order.succeed("process_payment", &json!({"transaction_id": "T"}))?;
    order.advance(Duration::from_secs(86_399))?;
    assert_eq!(order.status(), SagaStatus::Running);
    order.advance(Duration::from_secs(1))?;
    assert!(order.running().all(|running| running.is_cancelled));
    order.stop("reserve_inventory")?;
    order.succeed("release_inventory", &json!(null))?;
    order.succeed("refund_payment", &json!(null))?;
    assert_eq!(order.status(), SagaStatus::TimedOut);
    assert_eq!(order.undone(), ["release_inventory", "refund_payment"]);
    Ok(())
}

#[test]
fn timers_fire_in_their_order_and_answers_are_given() -> Result<(), SimulationError> {
    let sagas = simulator(WHOLE);
    let mut saga = sagas.start(&json!({"items": []}))?;
    assert_eq!(saga.state(), "Child");
    saga.succeed("other", &json!(null))?;
    assert_eq!((saga.state(), saga.status()), ("Asking", SagaStatus::AwaitingInput));
    saga.advance(Duration::from_secs(1_801))?;
    let reminders = saga.running().filter(|running| running.name == "remind");
    assert_eq!(reminders.count(), 2);
    saga.answer(&json!({"ok": true}))?;
    assert_eq!(saga.state(), "Completed");

    let mut saga = sagas.start(&json!({"items": []}))?;
    saga.succeed("other", &json!(null))?;
    saga.advance(Duration::from_secs(3_600))?;
    assert_eq!(saga.status(), SagaStatus::Compensating, "the answer by default is no");
    assert_eq!(saga.parked().count(), 0);
    Ok(())
}

#[test]
fn a_definition_with_faults_is_not_simulated() {
    let faults = read("name: a\ninitial: A\nstates: {A: {on: {x: {target: B}}}}")
        .map_or_else(Err, Simulator::new)
        .expect_err("refused");
    assert_eq!(
        faults.to_string(),
        "/states/A/on/x/0/target there is no state B; there are A"
    );
}
