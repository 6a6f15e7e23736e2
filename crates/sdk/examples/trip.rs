//! The program of `docs/sagas.md`: `cargo run -p orchestratum-sdk --example trip`.

use orchestratum_sdk::prelude::*;
use orchestratum_sdk::saga::{Definition, Event, Faults, Fields, SagaBuilder, States, task};

/// The saga begins in the first.
#[derive(Debug, PartialEq, Eq, States)]
enum TripState {
    Initial,
    AwaitingRoom,
    AwaitingConsent,
    AwaitingSeat,
    Booked,
    Failed,
}

/// What it keeps.
#[derive(Debug, PartialEq, Eq, Fields, Deserialize)]
struct Trip {
    traveller: String,
    room: Option<u32>,
    seat: Option<String>,
    reason: Option<String>,
}

/// Its name is `start`: what `POST /api/sagas` raises.
#[derive(Event, Serialize, Deserialize)]
struct StartEvent {
    traveller: String,
}

/// Its name is `consented`.
#[derive(Event, Serialize, Deserialize)]
struct ConsentedEvent {
    ok: bool,
}

#[derive(Event, Serialize, Deserialize)]
struct RoomBookedEvent {
    room: u32,
}

#[derive(Event, Serialize, Deserialize)]
struct SeatBookedEvent {
    seat: String,
}

/// What the server tells of a failure are its data: `kind`, `message` and `code`.
#[derive(Event)]
#[event(failure)]
struct BookingFailedEvent;

/// A task `book_room`, whose output is the event that its success raises.
#[derive(Command, Fields, Serialize, Deserialize)]
#[command(output = RoomBookedEvent)]
struct BookRoomCommand {
    traveller: String,
}

#[derive(Command, Fields, Serialize, Deserialize)]
struct CancelRoomCommand {
    traveller: String,
}

#[derive(Command, Fields, Serialize, Deserialize)]
#[command(output = SeatBookedEvent)]
struct BookSeatCommand {
    traveller: String,
}

#[derive(Command, Fields, Serialize, Deserialize)]
struct CancelSeatCommand {
    traveller: String,
}

fn definition() -> Result<Definition, Faults> {
    let mut saga = SagaBuilder::<Trip, TripState>::new("trip");
    saga.context::<StartEvent, _>(|saga, input| saga.traveller.to(input.traveller));
    saga.initially()
        .when::<StartEvent>()
        .transition_to(TripState::AwaitingRoom);
    saga.during(TripState::AwaitingRoom)
        .on_entry(|saga| {
            let undo = CancelRoomCommandFields {
                traveller: saga.traveller.clone(),
            };
            let input = BookRoomCommandFields {
                traveller: saga.traveller,
            };
            let book = task(input).compensate_with(task(undo)); // also when nobody knows whether it was booked
            book.raises::<RoomBookedEvent, BookingFailedEvent>()
        })
        .when::<RoomBookedEvent>()
        .set(|saga, event| saga.room.to(event.room))
        .transition_to(TripState::AwaitingConsent)
        .when::<BookingFailedEvent>()
        .set(|saga, event| saga.reason.to(event.message))
        .compensate()
        .transition_to(TripState::Failed)
        .finalize_failed();
    saga.during(TripState::AwaitingConsent)
        .await_input::<ConsentedEvent>("May they travel?")
        .when::<ConsentedEvent>()
        .only_if(|_, event| event.ok)
        .then(|saga, _| {
            let undo = CancelSeatCommandFields {
                traveller: saga.traveller.clone(),
            };
            let input = BookSeatCommandFields {
                traveller: saga.traveller,
            };
            let book = task(input).compensate_with(task(undo));
            book.raises::<SeatBookedEvent, BookingFailedEvent>()
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
    saga.build()
}

#[derive(Handler)]
#[handler(BookRoomCommand, CancelRoomCommand, BookSeatCommand, CancelSeatCommand)]
struct Agent;

impl Handler<BookRoomCommand> for Agent {
    async fn handle(&self, _command: &BookRoomCommand, _context: &Context) -> Result<RoomBookedEvent, Failure> {
        Ok(RoomBookedEvent { room: 7 })
    }
}

impl Handler<CancelRoomCommand> for Agent {
    async fn handle(&self, _command: &CancelRoomCommand, _context: &Context) -> Result<(), Failure> {
        Ok(())
    }
}

impl Handler<BookSeatCommand> for Agent {
    async fn handle(&self, command: &BookSeatCommand, _context: &Context) -> Result<SeatBookedEvent, Failure> {
        match command.traveller.as_str() {
            "Zoe" => Err(Failure::permanent("there is no seat left")),
            _ => Ok(SeatBookedEvent { seat: "12A".to_owned() }),
        }
    }
}

impl Handler<CancelSeatCommand> for Agent {
    async fn handle(&self, _command: &CancelSeatCommand, _context: &Context) -> Result<(), Failure> {
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let orchestratum = Orchestratum::embedded("sqlite::memory:") // or postgres://user:password@host/shop
        .discover()
        .start()
        .await?;
    let sagas = orchestratum.sagas();
    sagas.define(&definition()?).await?; // at the start of every process: the same content is the same version

    let patience = Duration::from_secs(30);
    for traveller in ["Ann", "Zoe"] {
        let input = StartEvent {
            traveller: traveller.to_owned(),
        };
        let saga = sagas.start("trip", traveller, &input).await?; // once for each correlation id
        let saga = sagas.wait(saga.id, patience).await?; // until it is over, or waits for somebody
        if let Some(question) = &saga.awaiting {
            println!("{}", question.prompt);
            sagas.input(saga.unchanged(), &ConsentedEvent { ok: true }).await?; // if it still asks what was read
        }
        let saga = sagas.wait(saga.id, patience).await?;
        match saga.state_in()? {
            TripState::Booked | TripState::Failed => println!("{:?}", saga.context::<Trip>()?),
            state => println!("still {state:?}"),
        }
    }
    for saga in sagas.find_by_state("trip", &TripState::Failed).take(100).await? {
        println!("{} has failed", saga.correlation_id);
    }
    orchestratum.stop().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use orchestratum_sdk::saga::harness::Harness;
    use orchestratum_sdk::saga::{SagaStatus, Simulator};
    use serde_json::json;

    use super::*;

    #[test]
    fn it_is_travelled() -> Result<(), Box<dyn std::error::Error>> {
        main()
    }

    #[test]
    fn a_trip_without_a_seat_gives_its_room_back() -> Result<(), Box<dyn std::error::Error>> {
        let simulator = Simulator::new(definition()?)?;
        let mut trip = simulator.start(&json!({"traveller": "Zoe"}))?;
        trip.succeed("book_room", &RoomBookedEvent { room: 7 })?;
        trip.answer(&ConsentedEvent { ok: true })?;
        trip.fail("book_seat", "there is no seat left")?;
        trip.succeed("cancel_room", &())?;
        assert_eq!((trip.state(), trip.status()), ("Failed", SagaStatus::Failed));
        assert_eq!(trip.undone(), ["cancel_room"]);
        assert_eq!(simulator.unvisited(), ["Booked"]); // what no test has come to
        Ok(())
    }

    #[test]
    fn everything_can_happen_to_a_trip() -> Result<(), Box<dyn std::error::Error>> {
        let harness = Harness::new(definition()?)?
            .event("consented", &json!({"ok": true})) // data where a guess will not do; said again, one more
            .event("consented", &json!({"ok": false}))
            .worlds(20_000); // 4,000 if nothing is said
        let report = harness.explore()?; // or the first rule that is broken, and the way there
        assert!(report.is_complete && report.unvisited.is_empty(), "{report:#?}");
        Ok(())
    }
}
