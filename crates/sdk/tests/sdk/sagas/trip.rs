//! A trip as a saga, the handlers that book it, and a saga that only waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use orchestratum_sdk::prelude::*;
use orchestratum_sdk::saga::{Definition as Saga, Event, Fields, SagaBuilder, Sagas, States, cel, task};
use parking_lot::Mutex;
use serde_json::json;

use crate::support::{Hosting, Place};

#[derive(Debug, PartialEq, Eq, States)]
pub(super) enum TripState {
    Initial,
    AwaitingRoom,
    AwaitingConsent,
    AwaitingSeat,
    Booked,
    Failed,
}

#[derive(Debug, PartialEq, Eq, Fields, Deserialize)]
pub(super) struct Trip {
    pub(super) traveller: String,
    pub(super) room: Option<u32>,
    pub(super) seat: Option<String>,
    pub(super) reason: Option<String>,
}

#[derive(Debug, PartialEq, Eq, Event, Serialize, Deserialize)]
pub(super) struct StartEvent {
    pub(super) traveller: String,
}

/// The shop's own event, on which a trip begins as well.
#[derive(Debug, Event, Serialize)]
pub(super) struct TripWantedEvent {
    pub(super) traveller: String,
}

#[derive(Debug, PartialEq, Eq, Event, Serialize, Deserialize)]
pub(super) struct ConsentedEvent {
    pub(super) ok: bool,
    pub(super) by: String,
}

#[derive(Debug, Event, Serialize, Deserialize)]
pub(super) struct RoomBookedEvent {
    room: u32,
}

#[derive(Debug, Event, Serialize, Deserialize)]
pub(super) struct SeatBookedEvent {
    seat: String,
}

#[derive(Debug, Event)]
#[event(failure)]
pub(super) struct BookingFailedEvent;

#[derive(Debug, Command, Fields, Serialize, Deserialize)]
#[command(output = RoomBookedEvent)]
pub(super) struct BookRoomCommand {
    traveller: String,
}

#[derive(Debug, Command, Fields, Serialize, Deserialize)]
pub(super) struct CancelRoomCommand {
    room: u32,
}

#[derive(Debug, Command, Fields, Serialize, Deserialize)]
#[command(output = SeatBookedEvent)]
pub(super) struct BookSeatCommand {
    traveller: String,
}

/// Who has no seat left.
pub(super) const LATE: &str = "late";

pub(super) fn trip() -> Saga {
    trip_that_asks("May they travel?")
}

pub(super) fn trip_that_asks(prompt: &str) -> Saga {
    let mut saga = SagaBuilder::<Trip, TripState>::new("trip");
    saga.context::<StartEvent, _>(|saga, input| saga.traveller.to(input.traveller));
    saga.initially()
        .when::<StartEvent>()
        .transition_to(TripState::AwaitingRoom)
        .when::<TripWantedEvent>()
        .transition_to(TripState::AwaitingRoom);
    saga.during(TripState::AwaitingRoom)
        .on_entry(|saga| {
            let input = BookRoomCommandFields {
                traveller: saga.traveller,
            };
            task(input).raises::<RoomBookedEvent, BookingFailedEvent>()
        })
        .when::<RoomBookedEvent>()
        .set(|saga, event| saga.room.to(event.room))
        .compensate_with(|saga, _| {
            task(CancelRoomCommandFields {
                room: saga.room.known(),
            })
        })
        .transition_to(TripState::AwaitingConsent)
        .when::<BookingFailedEvent>()
        .transition_to(TripState::Failed)
        .finalize_failed();
    saga.during(TripState::AwaitingConsent)
        .await_input::<ConsentedEvent>(prompt)
        .schema(json!({
            "type": "object", "required": ["ok", "by"], "properties": {"ok": {"type": "boolean"}, "by": {"type": "string"}}
        }))
        .when::<ConsentedEvent>()
        .only_if(|_, event| event.ok)
        .then(|saga, _| {
            let input = BookSeatCommandFields {
                traveller: saga.traveller,
            };
            task(input).raises::<SeatBookedEvent, BookingFailedEvent>()
        })
        .transition_to(TripState::AwaitingSeat)
        .when::<ConsentedEvent>()
        .compensate()
        .transition_to(TripState::Failed);
    saga.during(TripState::AwaitingSeat)
        .when::<SeatBookedEvent>()
        .set(|saga, event| saga.seat.to(event.seat))
        .transition_to(TripState::Booked)
        .finalize()
        .when::<BookingFailedEvent>()
        .set(|saga, event| saga.reason.to(event.message))
        .compensate()
        .transition_to(TripState::Failed);
    saga.build().expect("a definition")
}

#[derive(Debug, PartialEq, Eq, States)]
pub(super) enum BudgetState {
    Initial,
    Open,
    Spent,
}

#[derive(Debug, PartialEq, Eq, Fields, Serialize, Deserialize)]
pub(super) struct Budget {
    pub(super) limit: u64,
}

#[derive(Debug, Event, Serialize)]
#[event(name = "start")]
pub(super) struct BudgetStartEvent {
    pub(super) limit: u64,
}

#[derive(Debug, Event, Serialize)]
pub(super) struct PricedEvent {
    pub(super) amount: u64,
}

/// It starts nothing. With a limit of 0 no price can be held against it.
pub(super) fn budget() -> Saga {
    let mut saga = SagaBuilder::<Budget, BudgetState>::new("budget");
    saga.context::<BudgetStartEvent, _>(|saga, input| saga.limit.to(input.limit));
    saga.initially()
        .when::<BudgetStartEvent>()
        .transition_to(BudgetState::Open);
    saga.during(BudgetState::Open)
        .when::<PricedEvent>()
        .only_if(|_, _| cel("event.data.amount / context.limit > 2"))
        .transition_to(BudgetState::Spent)
        .finalize()
        .when::<PricedEvent>()
        .stay();
    saga.build().expect("a definition")
}

/// What was done, and whether rooms can be given back.
#[derive(Debug, Clone, Default)]
pub(super) struct Bookings {
    done: Arc<Mutex<Vec<String>>>,
    is_closed: Arc<AtomicBool>,
}

impl Bookings {
    fn add(&self, what: String) {
        self.done.lock().push(what);
    }

    pub(super) fn done(&self) -> Vec<String> {
        self.done.lock().clone()
    }

    /// Nobody takes rooms back, or somebody does again.
    pub(super) fn close(&self, is_closed: bool) {
        self.is_closed.store(is_closed, Ordering::SeqCst);
    }
}

#[derive(Handler)]
#[handler(BookRoomCommand, CancelRoomCommand, BookSeatCommand)]
pub(super) struct Agent {
    bookings: Bookings,
}

impl Handler<BookRoomCommand> for Agent {
    async fn handle(&self, command: &BookRoomCommand, _context: &Context) -> Result<RoomBookedEvent, Failure> {
        self.bookings.add(format!("room for {}", command.traveller));
        Ok(RoomBookedEvent { room: 7 })
    }
}

impl Handler<CancelRoomCommand> for Agent {
    async fn handle(&self, command: &CancelRoomCommand, _context: &Context) -> Result<(), Failure> {
        if self.bookings.is_closed.load(Ordering::SeqCst) {
            return Err(Failure::permanent("nobody is there"));
        }
        self.bookings.add(format!("room {} is free", command.room));
        Ok(())
    }
}

impl Handler<BookSeatCommand> for Agent {
    async fn handle(&self, command: &BookSeatCommand, _context: &Context) -> Result<SeatBookedEvent, Failure> {
        if command.traveller == LATE {
            return Err(Failure::permanent("there is no seat left"));
        }
        self.bookings.add(format!("seat for {}", command.traveller));
        Ok(SeatBookedEvent { seat: "12A".to_owned() })
    }
}

/// Where trips are booked.
pub(super) struct Agency {
    pub(super) orchestratum: Orchestratum,
    pub(super) sagas: Sagas,
    pub(super) bookings: Bookings,
    /// Ends with the agency.
    _place: Place,
}

impl Agency {
    /// With its handlers.
    pub(super) async fn open(hosting: Hosting) -> Self {
        Self::at(Place::of(hosting).await, true).await
    }

    /// Nobody does there what is to be done.
    pub(super) async fn without_handlers(hosting: Hosting) -> Self {
        Self::at(Place::of(hosting).await, false).await
    }

    async fn at(place: Place, has_handlers: bool) -> Self {
        let bookings = Bookings::default();
        let mut builder = place.builder().provide(bookings.clone());
        if has_handlers {
            builder = builder
                .register::<BookRoomCommand, Agent>()
                .register::<CancelRoomCommand, Agent>()
                .register::<BookSeatCommand, Agent>();
        }
        let orchestratum = builder.start().await.expect("it starts");
        let sagas = orchestratum.sagas();
        sagas.define(&trip()).await.expect("it is taken");
        Self {
            orchestratum,
            sagas,
            bookings,
            _place: place,
        }
    }

    pub(super) async fn close(self) {
        self.orchestratum.stop().await.expect("it ends well");
    }
}

pub(super) fn start_of(traveller: &str) -> StartEvent {
    StartEvent {
        traveller: traveller.to_owned(),
    }
}

pub(super) fn yes() -> ConsentedEvent {
    ConsentedEvent {
        ok: true,
        by: "Bob".to_owned(),
    }
}
