//! What `docs/sagas.md` shows of the SDK is an example that is compiled and run; and a trip that somebody else waits for.

use orchestratum_sdk::Error;
use orchestratum_sdk::prelude::*;

use super::trip::{Agency, ConsentedEvent, StartEvent, Trip, TripState, trip};
use crate::page::are_of;
use crate::support::Hosting;

#[tokio::test(flavor = "multi_thread")]
async fn a_trip_is_started_answered_and_read() -> Result<(), Error> {
    let agency = Agency::open(Hosting::EmbeddedInSqlite).await;
    let (orchestratum, definition) = (agency.orchestratum.clone(), trip());
    let (traveller, by) = ("Ann".to_owned(), "Bob".to_owned());
    let sagas = orchestratum.sagas();
    sagas.define(&definition).await?; // at the start of every process: the same content is the same version

    let saga = sagas.start("trip", "order-4711", &StartEvent { traveller }).await?; // once for each correlation id
    let saga = sagas.wait(saga.id, Duration::from_secs(30)).await?; // until it is over, or waits for somebody
    if let Some(question) = &saga.awaiting {
        println!("{}", question.prompt);
        sagas.input(saga.unchanged(), &ConsentedEvent { ok: true, by }).await?; // if it still asks what was read
    }
    let saga = sagas.wait(saga.id, Duration::from_secs(30)).await?;
    match saga.state_in()? {
        TripState::Booked => println!("room {:?}", saga.context::<Trip>()?.room),
        TripState::Failed => println!("{:?}", saga.context::<Trip>()?.reason),
        state => println!("still {state:?}"),
    }
    assert!(saga.is_in(&TripState::Booked));
    agency.close().await;
    Ok(())
}

#[test]
fn the_programs_of_the_page_are_these() {
    are_of(
        include_str!("../../../../../docs/sagas.md"),
        &[include_str!("../../../examples/trip.rs")],
        3,
    );
}
