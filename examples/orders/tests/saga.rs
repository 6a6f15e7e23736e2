//! The order's saga: the same in both ways of writing it, and good on every path.

use orchestratum_sdk::saga::harness::Harness;
use orchestratum_sdk::saga::{Definition, SagaStatus, SimulatedSaga, Simulator, read};
use orders::order::Item;
use orders::saga::inventory::InventoryReservedEvent;
use orders::saga::payment::PaymentProcessedEvent;
use orders::saga::shipment::OrderShippedEvent;
use orders::saga::{OrderCreatedEvent, definition};

const YAML: &str = include_str!("../../../config/sagas/order.yaml");

type Tested = Result<(), Box<dyn std::error::Error>>;

#[test]
fn the_saga_in_rust_is_the_one_that_is_shipped() -> Tested {
    let shipped: Definition = read(YAML)?;
    let built = definition()?;
    assert_eq!(built.canonical(), shipped.canonical());
    assert_eq!(built.fingerprint(), shipped.fingerprint());
    Ok(())
}

fn order() -> OrderCreatedEvent {
    OrderCreatedEvent {
        order_id: 7,
        customer_id: "ann".to_owned(),
        items: vec![Item {
            name: "a lamp".to_owned(),
            cents: 4_900,
            count: 2,
        }],
        total: 9_800,
    }
}

fn paid(order: &mut SimulatedSaga<'_>) -> Tested {
    let transaction_id = "T".to_owned();
    Ok(order.succeed("process_payment", &PaymentProcessedEvent { transaction_id })?)
}

fn reserved(order: &mut SimulatedSaga<'_>) -> Tested {
    let reservation_id = "R".to_owned();
    Ok(order.succeed("reserve_inventory", &InventoryReservedEvent { reservation_id })?)
}

#[test]
fn every_path_of_an_order_ends_as_it_should() -> Tested {
    let simulator = Simulator::new(definition()?)?;

    let mut shipped = simulator.start_on(&order())?;
    paid(&mut shipped)?;
    reserved(&mut shipped)?;
    let tracking_number = "P".to_owned();
    shipped.succeed("create_shipment", &OrderShippedEvent { tracking_number })?;
    assert_eq!((shipped.state(), shipped.undone().len()), ("Completed", 0));

    let mut unpaid = simulator.start_on(&order())?;
    unpaid.fail("process_payment", "the card was declined")?;
    assert_eq!((unpaid.state(), unpaid.undone().len()), ("Failed", 0));
    assert_eq!(unpaid.context("failure_reason"), "the card was declined");

    let mut sold_out = simulator.start_on(&order())?;
    paid(&mut sold_out)?;
    sold_out.fail("reserve_inventory", "there is no lamp left")?;
    sold_out.succeed("refund_payment", &())?;
    assert_eq!(
        (sold_out.state(), sold_out.undone()),
        ("Failed", &["refund_payment".to_owned()][..])
    );

    let mut stranded = simulator.start_on(&order())?;
    paid(&mut stranded)?;
    reserved(&mut stranded)?;
    stranded.fail("create_shipment", "nobody drives today")?;
    stranded.succeed("release_inventory", &())?;
    stranded.succeed("refund_payment", &())?;
    assert_eq!(stranded.status(), SagaStatus::Failed);
    assert_eq!(stranded.undone(), ["release_inventory", "refund_payment"]);

    assert_eq!(simulator.unvisited(), [""; 0]);
    Ok(())
}

#[test]
fn everything_can_happen_to_an_order() -> Tested {
    let report = Harness::new(definition()?)?.explore()?;
    assert!(report.is_complete && report.parked.is_empty(), "{report:#?}");
    assert_eq!(report.failed.len(), 3);
    assert_eq!(report.undone, report.not_undone);
    assert_eq!(report.undone.len(), 2);
    Ok(())
}
