//! Sagas: what has many steps, waits between them, and is undone when one fails.
//!
//! A saga is a state machine that the server runs. Its definition is data, whether it was written as YAML or here: in Rust its
//! states, its context and its events are types, so that what does not exist does not compile.
//!
//! ```
//! use orchestratum_sdk::prelude::*;
//! use orchestratum_sdk::saga::{Event, Fields, SagaBuilder, Simulator, States, task};
//!
//! /// The saga begins in the first.
//! #[derive(States)]
//! enum TripState {
//!     Initial,
//!     AwaitingHotel,
//!     AwaitingFlight,
//!     Booked,
//!     Failed,
//! }
//!
//! /// What it keeps.
//! #[derive(Fields)]
//! struct Trip {
//!     traveller: String,
//!     room: Option<String>,
//!     reason: Option<String>,
//! }
//!
//! /// Its name is `start`: what `POST /api/sagas` raises.
//! #[derive(Event, Serialize)]
//! struct StartEvent {
//!     traveller: String,
//! }
//!
//! /// Its name is `hotel_booked`. It is what the task answers.
//! #[derive(Event, Serialize, Deserialize)]
//! struct HotelBookedEvent {
//!     room: String,
//! }
//!
//! #[derive(Event, Serialize, Deserialize)]
//! struct FlightBookedEvent {
//!     seat: String,
//! }
//!
//! /// What the server tells of a failure are its data: `kind`, `message` and `code`.
//! #[derive(Event)]
//! #[event(failure)]
//! struct BookingFailedEvent;
//!
//! #[derive(Command, Fields, Serialize, Deserialize)]
//! #[command(output = HotelBookedEvent)]
//! struct BookHotelCommand {
//!     traveller: String,
//! }
//!
//! #[derive(Command, Fields, Serialize, Deserialize)]
//! struct CancelHotelCommand {
//!     room: String,
//! }
//!
//! #[derive(Command, Fields, Serialize, Deserialize)]
//! #[command(output = FlightBookedEvent)]
//! struct BookFlightCommand {
//!     traveller: String,
//! }
//!
//! let mut saga = SagaBuilder::<Trip, TripState>::new("trip");
//! saga.context::<StartEvent, _>(|saga, input| saga.traveller.to(input.traveller));
//!
//! saga.initially()
//!     .when::<StartEvent>()
//!     .then(|saga, _| {
//!         task(BookHotelCommandFields { traveller: saga.traveller })
//!             .raises::<HotelBookedEvent, BookingFailedEvent>()
//!     })
//!     .transition_to(TripState::AwaitingHotel);
//!
//! saga.during(TripState::AwaitingHotel)
//!     .when::<HotelBookedEvent>()
//!     .set(|saga, event| saga.room.to(event.room))
//!     .compensate_with(|saga, _| task(CancelHotelCommandFields { room: saga.room.known() }))
//!     .then(|saga, _| {
//!         task(BookFlightCommandFields { traveller: saga.traveller })
//!             .raises::<FlightBookedEvent, BookingFailedEvent>()
//!     })
//!     .transition_to(TripState::AwaitingFlight)
//!     .when::<BookingFailedEvent>()
//!     .set(|saga, event| saga.reason.to(event.message))
//!     .transition_to(TripState::Failed)
//!     .finalize_failed_for(|saga| saga.reason);
//!
//! saga.during(TripState::AwaitingFlight)
//!     .when::<FlightBookedEvent>()
//!     .transition_to(TripState::Booked)
//!     .finalize()
//!     .when::<BookingFailedEvent>()
//!     .set(|saga, event| saga.reason.to(event.message))
//!     .compensate()
//!     .transition_to(TripState::Failed);
//!
//! let definition = saga.build()?;
//!
//! // What its author expects of it, without a server: see `Simulator`. `harness::Harness` does with it all that can happen.
//! let simulator = Simulator::new(definition)?;
//! let mut trip = simulator.start(&StartEvent { traveller: "Ann".to_owned() })?;
//! trip.succeed("book_hotel", &HotelBookedEvent { room: "7".to_owned() })?;
//! trip.fail("book_flight", "there is no seat left")?;
//! trip.succeed("cancel_hotel", &())?;
//! assert_eq!((trip.state(), trip.undone()), ("Failed", &["cancel_hotel".to_owned()][..]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`Sagas`] gives the definition to an [`Orchestratum`](crate::Orchestratum), starts sagas by it, tells them events and finds them.
//!
//! | verb | YAML |
//! |---|---|
//! | `context` | `context` |
//! | `timeout(…).compensate().transition_to(…)` | `timeout` |
//! | `initially()`, `during(state)` | `states` |
//! | `when::<Event>()`, `after(delay)`, `always()` | `on`, `after`, `always` |
//! | `only_if` | `if` |
//! | `set` | `set` |
//! | `compensate_with` | `compensation` |
//! | `then`: a [`task`], [`for_each`], [`child`] | `tasks` |
//! | `compensate` | `compensate: true` |
//! | `transition_to`; `stay` | `target`; none |
//! | `finalize`, `finalize_failed`, `finalize_failed_for` | `final: true`, `final: failed`, with `reason` |
//! | `await_input`, `schema`, `remind_after`, `default_after` | `await_input` |
//! | `on_entry`, `on_exit` | the same |
//!
//! A field that the context or the event does not have does not compile:
//!
//! ```compile_fail,E0609
//! # use orchestratum_sdk::saga::{Event, Fields, SagaBuilder, States};
//! #[derive(States)]
//! enum State { Initial, Done }
//!
//! #[derive(Fields)]
//! struct Context { name: Option<String> }
//!
//! #[derive(Event)]
//! struct StartEvent { name: String }
//!
//! let mut saga = SagaBuilder::<Context, State>::new("typed");
//! saga.initially().when::<StartEvent>().set(|saga, event| saga.name.to(event.nme)).transition_to(State::Done);
//! ```
//!
//! Neither does one of another type:
//!
//! ```compile_fail,E0277
//! # use orchestratum_sdk::saga::{Event, Fields, SagaBuilder, States};
//! # #[derive(States)]
//! # enum State { Initial, Done }
//! # #[derive(Fields)]
//! # struct Context { name: Option<String> }
//! #[derive(Event)]
//! struct StartEvent { name: u64 }
//!
//! let mut saga = SagaBuilder::<Context, State>::new("typed");
//! saga.initially().when::<StartEvent>().set(|saga, event| saga.name.to(event.name)).transition_to(State::Done);
//! ```
//!
//! Nor does a transition that undoes everything and starts something new:
//!
//! ```compile_fail,E0599
//! # use orchestratum_sdk::saga::{Event, Fields, SagaBuilder, States, Task, constant};
//! # #[derive(States)]
//! # enum State { Initial, Done }
//! # #[derive(Fields)]
//! # struct Context { name: Option<String> }
//! # #[derive(Event)]
//! # struct StartEvent { name: String }
//! let mut saga = SagaBuilder::<Context, State>::new("typed");
//! saga.initially()
//!     .when::<StartEvent>()
//!     .then(|_, _| Task::named("echo", constant("hello")))
//!     .compensate()
//!     .transition_to(State::Done);
//! ```
//!
//! And an event that a task raises is what the task answers:
//!
//! ```compile_fail,E0277
//! # use orchestratum_sdk::prelude::*;
//! # use orchestratum_sdk::saga::{Event, Fields, task};
//! #[derive(Event)]
//! struct PaidEvent { receipt: String }
//!
//! #[derive(Command, Fields, Serialize, Deserialize)]
//! #[command(output = String)]
//! struct PayCommand { cents: u64 }
//!
//! # let cents = orchestratum_sdk::saga::constant(5);
//! task(PayCommandFields { cents }).raises_success::<PaidEvent>();
//! ```

pub use orchestratum_core::saga::builder::*;
pub use orchestratum_core::saga::{
    CompensationStatus, Definition, Fault, Faults, OnCompensationFailure, Running, RunningKind, SagaEnd, SagaStatus,
    SimulatedSaga, SimulationError, Simulator, TimerKind, Unhandled, diagram, harness, read,
};
pub use orchestratum_core::task::{Violation, Violations};
pub use orchestratum_core::{SagaId, Timestamp};
pub use orchestratum_sdk_derive::{Event, Fields, States};

pub use crate::sagas::{
    AwaitedInput, Compensation, Deferred, Defined, DueTimer, EventEnvelope, HistoryEntry, IssuedTask, LiveChild,
    LiveTask, Migrated, Migration, Note, Pages, Parked, Published, Saga, SagaAt, SagaFilter, Sagas, StartedChild,
};
