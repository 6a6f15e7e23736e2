//! Sagas in the tests of those who write them: no server, no clock, nothing to wait for.
//!
//! Whoever tests says how each task ends, what is raised, and how much time goes by; the rest is what the server would do.
//!
//! ```
//! use std::time::Duration;
//!
//! use orchestratum_core::saga::{SagaStatus, Simulator, read};
//! use serde_json::json;
//!
//! let trip = read(r#"
//! name: trip
//! initial: Initial
//! states:
//!   Initial:
//!     on:
//!       start: {tasks: [{name: book_hotel, raises: {success: hotel_booked, failure: failed}}], target: AwaitingHotel}
//!   AwaitingHotel:
//!     on:
//!       hotel_booked:
//!         set: {room: "${ event.data.room }"}
//!         compensation: [{name: cancel_hotel, input: "${ context.room }"}]
//!         tasks: [{name: book_flight, raises: {success: flight_booked, failure: failed}}]
//!         target: AwaitingFlight
//!       failed: {target: Failed}
//!   AwaitingFlight:
//!     on:
//!       flight_booked: {target: Booked}
//!       failed: {compensate: true, target: Failed}
//!     after: [{seconds: 900, compensate: true, target: Failed}]
//!   Booked: {final: true}
//!   Failed: {final: failed}
//! "#)?;
//! let simulator = Simulator::new(trip)?;
//!
//! let mut saga = simulator.start(&json!({}))?;
//! saga.succeed("book_hotel", &json!({"room": "7"}))?;
//! assert_eq!(saga.state(), "AwaitingFlight");
//! saga.fail("book_flight", "there is no seat left")?;
//! saga.succeed("cancel_hotel", &json!(null))?;
//! assert_eq!((saga.state(), saga.status()), ("Failed", SagaStatus::Failed));
//! assert_eq!(saga.undone(), ["cancel_hotel"]);
//!
//! // A flight of which nobody hears: it is cancelled first, as it may still be booked.
//! let mut saga = simulator.start(&json!({}))?;
//! saga.succeed("book_hotel", &json!({"room": "7"}))?;
//! saga.advance(Duration::from_secs(900))?;
//! assert_eq!(saga.status(), SagaStatus::Compensating);
//! saga.stop("book_flight")?;
//! saga.succeed("cancel_hotel", &json!(null))?;
//!
//! // No test has booked a trip to the end.
//! assert_eq!(simulator.unvisited(), ["Booked"]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod simulator;
mod world;

#[cfg(test)]
mod tests;

pub use simulator::{SimulatedSaga, SimulationError, Simulator};
pub(super) use world::World;
pub use world::{Running, RunningKind};
