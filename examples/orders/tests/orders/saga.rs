//! The order's saga: the same in both ways of writing it, and good on every path.

use orchestratum_sdk::prelude::*;
use orchestratum_sdk::saga::{self, Definition as Saga, Running, SimulatedSaga, Simulator, States, read};
use orders::saga::inventory::{ReleaseInventoryCommand, ReserveInventoryCommand};
use orders::saga::payment::{ProcessPaymentCommand, RefundPaymentCommand};
use orders::saga::shipment::{CancelShipmentCommand, CreateShipmentCommand};
use orders::saga::{OrderCreatedEvent, OrderSaga, OrderState, TARGETS, definition};

use crate::world::{Weather, World, lamps};

const YAML: &str = include_str!("../../../../config/sagas/order.yaml");

type Tested = Result<(), Box<dyn std::error::Error>>;

#[test]
fn the_saga_in_rust_is_the_one_that_is_shipped() -> Tested {
    let shipped: Saga = read(YAML)?;
    let built = definition()?;
    assert_eq!(built.canonical(), shipped.canonical());
    assert_eq!(built.fingerprint(), shipped.fingerprint());
    Ok(())
}

/// What the handlers make of everything that a saga starts, until nothing runs any more.
async fn handled(harness: &mut Harness, order: &mut SimulatedSaga<'_>) -> Tested {
    loop {
        let oldest = order.running().next().cloned();
        let Some(running) = oldest else { return Ok(()) };
        match running.name.as_str() {
            ProcessPaymentCommand::NAME => run::<ProcessPaymentCommand>(harness, order, &running).await?,
            RefundPaymentCommand::NAME => run::<RefundPaymentCommand>(harness, order, &running).await?,
            ReserveInventoryCommand::NAME => run::<ReserveInventoryCommand>(harness, order, &running).await?,
            ReleaseInventoryCommand::NAME => run::<ReleaseInventoryCommand>(harness, order, &running).await?,
            CreateShipmentCommand::NAME => run::<CreateShipmentCommand>(harness, order, &running).await?,
            CancelShipmentCommand::NAME => run::<CancelShipmentCommand>(harness, order, &running).await?,
            other => panic!("nobody does {other}"),
        }
    }
}

async fn run<C: Command>(harness: &mut Harness, order: &mut SimulatedSaga<'_>, running: &Running) -> Tested {
    let command: C = running.input.as_ref().expect("it has an input").parse()?;
    match harness.run(command).await?.expect("it has ended") {
        Outcome::Success(output) => order.succeed(C::NAME, &output)?,
        Outcome::Failed(fault) => order.fail(C::NAME, &fault.message)?,
        other => panic!("{:?}", other.fault()),
    }
    Ok(())
}

fn order_of_lamps() -> OrderCreatedEvent {
    OrderCreatedEvent {
        order_id: 7,
        customer_id: "ann".to_owned(),
        items: lamps(),
        total: 9_800,
    }
}

/// An order in a world: what happened there, and where the saga has ended.
async fn ordered(simulator: &Simulator, weather: Weather) -> Result<(Vec<String>, String), Box<dyn std::error::Error>> {
    let world = World::of(weather);
    let builder = Harness::builder();
    let builder = orders::with_handlers(builder, world.clone(), world.clone(), world.clone(), world.clone());
    let mut harness = builder.harness().await?;
    let mut order = simulator.start_on(&order_of_lamps())?;
    handled(&mut harness, &mut order).await?;
    let reason = order.context("failure_reason");
    let end = format!("{} {}", order.state(), reason.as_str().unwrap_or_default());
    let happened = world.happened().clone();
    Ok((happened, end))
}

/// In each weather: what happens, in which state the order ends, and why.
const PATHS: [(Weather, &[&str], OrderState, Option<&str>); 5] = [
    (
        Weather::Fine,
        &["charged 9800", "reserved", "shipped"],
        OrderState::Completed,
        None,
    ),
    (
        Weather::BankAwayAtFirst,
        &["charged 9800", "reserved", "shipped"],
        OrderState::Completed,
        None,
    ),
    (
        Weather::CardDeclined,
        &[],
        OrderState::Failed,
        Some("the card was declined"),
    ),
    (
        Weather::SoldOut,
        &["charged 9800", "refunded 9800"],
        OrderState::Failed,
        Some("a lamp is sold out"),
    ),
    (
        Weather::NoCarrier,
        &["charged 9800", "reserved", "released 7", "refunded 9800"],
        OrderState::Failed,
        Some("nobody drives today"),
    ),
];

#[tokio::test]
async fn every_path_of_an_order_ends_as_it_should_with_the_handlers_that_it_has() -> Tested {
    let simulator = Simulator::new(definition()?)?;
    for (weather, happened, end, reason) in PATHS {
        let (had_happened, had_ended) = ordered(&simulator, weather).await?;
        assert_eq!(had_happened, happened, "{weather:?}");
        let end = format!("{} {}", end.name(), reason.unwrap_or_default());
        assert_eq!(had_ended, end, "{weather:?}");
    }
    assert_eq!(simulator.unvisited(), [""; 0]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_drives_every_order_as_the_simulator_says() -> Tested {
    for (weather, happened, end, reason) in PATHS {
        let world = World::of(weather);
        let builder = Orchestratum::embedded("sqlite::memory:").targets(TARGETS);
        let builder = orders::with_handlers(builder, world.clone(), world.clone(), world.clone(), world.clone());
        let orchestratum = builder.start().await?;
        let sagas = orchestratum.sagas();
        sagas.define(&definition()?).await?;
        let published = sagas.publish("order-7", &order_of_lamps()).await?;
        let order = sagas.wait(published.started[0].id, Duration::from_secs(30)).await?;
        assert_eq!(order.state_in::<OrderState>()?, &end, "{weather:?}");
        assert_eq!(
            order.context::<OrderSaga>()?.failure_reason.as_deref(),
            reason,
            "{weather:?}"
        );
        assert_eq!(*world.happened(), happened, "{weather:?}");
        orchestratum.stop().await?;
    }
    Ok(())
}

#[test]
fn everything_can_happen_to_an_order() -> Tested {
    let report = saga::harness::Harness::new(definition()?)?.explore()?;
    assert!(report.is_complete && report.parked.is_empty(), "{report:#?}");
    assert_eq!(report.failed.len(), 3);
    assert_eq!(report.undone, report.not_undone);
    assert_eq!(report.undone.len(), 3);
    Ok(())
}
