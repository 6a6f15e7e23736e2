//! How sagas go, with the handlers of this process.

use orchestratum_sdk::Error;
use orchestratum_sdk::prelude::*;
use orchestratum_sdk::saga::{CompensationStatus, EventEnvelope, SagaFilter, SagaStatus, TimerKind, read};

use super::trip::{
    Agency, Budget, BudgetStartEvent, BudgetState, ConsentedEvent, LATE, PricedEvent, StartEvent, Trip, TripState,
    TripWantedEvent, budget, start_of, trip, trip_that_asks, yes,
};
use crate::hostings::on_every_hosting;
use crate::support::{BOUND, Hosting};

on_every_hosting!(
    a_saga_is_driven_from_its_start_to_its_end,
    a_failure_undoes_what_was_done,
    a_definition_that_is_given_again_stays_as_it_is,
    a_start_is_done_once,
    an_event_of_one_id_is_taken_once,
    an_event_reaches_a_saga_or_starts_it,
    a_cancel_undoes_what_was_done_and_is_done_once,
    whoever_reads_a_saga_is_told_what_is_due_and_what_waits,
);

async fn a_saga_is_driven_from_its_start_to_its_end(hosting: Hosting) {
    let agency = Agency::open(hosting).await;
    let started = agency.sagas.start("trip", "trip-1", &start_of("Ann")).await;
    let saga = started.expect("it starts");
    assert_eq!(
        (saga.definition.as_str(), saga.definition_version, saga.parent_id),
        ("trip", 1, None)
    );
    assert_eq!(saga.input::<StartEvent>().expect("what it was given"), start_of("Ann"));

    let saga = agency.sagas.wait(saga.id, BOUND).await.expect("it asks");
    assert_eq!(saga.status, SagaStatus::AwaitingInput);
    assert_eq!(saga.state_in().ok(), Some(&TripState::AwaitingConsent));
    let question = saga.awaiting.as_ref().expect("a question");
    assert_eq!(
        (question.event.as_str(), question.prompt.as_str()),
        ("consented", "May they travel?")
    );
    assert!(question.schema().is_some_and(|schema| schema.contains("required")));
    let undo = saga.compensations.first().expect("the room");
    assert_eq!(
        (undo.name.as_str(), undo.status, &undo.error),
        ("cancel_room", CompensationStatus::Pending, &None)
    );

    agency.sagas.input(saga.unchanged(), &yes()).await.expect("an answer");
    let saga = agency.sagas.wait(saga.id, BOUND).await.expect("it ends");
    assert_eq!((saga.status, saga.state.as_str()), (SagaStatus::Completed, "Booked"));
    assert!(saga.is_in(&TripState::Booked) && !saga.is_in(&TripState::Failed));
    assert!(
        saga.finished_at
            .is_some_and(|finished_at| finished_at >= saga.created_at)
    );
    let context = saga.context::<Trip>().expect("a trip");
    let expected = Trip {
        traveller: "Ann".to_owned(),
        room: Some(7),
        seat: Some("12A".to_owned()),
        reason: None,
    };
    assert_eq!(context, expected);
    assert_eq!(agency.bookings.done(), ["room for Ann", "seat for Ann"]);
    agency.close().await;
}

async fn a_failure_undoes_what_was_done(hosting: Hosting) {
    let agency = Agency::open(hosting).await;
    let started = agency.sagas.start("trip", "trip-1", &start_of(LATE)).await;
    let saga = started.expect("it starts");
    agency.sagas.wait(saga.id, BOUND).await.expect("it asks");
    agency.sagas.input(saga.id, &yes()).await.expect("an answer");
    let saga = agency.sagas.wait(saga.id, BOUND).await.expect("it ends");
    assert_eq!((saga.status, saga.state.as_str()), (SagaStatus::Failed, "Failed"));
    let reason = saga.context::<Trip>().expect("a trip").reason;
    assert_eq!(reason.as_deref(), Some("there is no seat left"));
    assert_eq!(agency.bookings.done(), ["room for late", "room 7 is free"]);

    let history = agency.sagas.history(saga.id).take(100).await.expect("a history");
    let kinds: Vec<&str> = history.iter().map(|entry| entry.kind.as_str()).collect();
    assert_eq!(
        kinds,
        ["started", "task_ended", "event", "task_ended", "compensation_ended"]
    );
    let answered = &history[2];
    assert_eq!(answered.data::<ConsentedEvent>().expect("an answer"), Some(yes()));
    assert_eq!(
        (answered.from.as_str(), answered.to.as_str()),
        ("AwaitingConsent", "AwaitingSeat")
    );
    assert_eq!(answered.tasks[0].name, "book_seat");
    let failed = &history[3];
    let error = failed.error.as_ref().expect("an error");
    assert_eq!(
        (error.kind.as_str(), error.message.as_str()),
        ("Failed", "there is no seat left")
    );
    let undoing = &failed.tasks[0];
    assert_eq!((undoing.name.as_str(), undoing.compensation), ("cancel_room", true));
    let task = agency.orchestratum.status(undoing.task_id.expect("a task")).await;
    assert_eq!(task.expect("it is there").state, State::Completed);
    let undone = history[4].log.iter().find(|note| note.event == "saga.compensation");
    assert_eq!(
        undone.expect("it is told").change.as_deref(),
        Some("succeeded"),
        "{history:#?}"
    );
    agency.close().await;
}

async fn a_definition_that_is_given_again_stays_as_it_is(hosting: Hosting) {
    let agency = Agency::without_handlers(hosting).await;
    let again = agency.sagas.define(&trip()).await.expect("it is taken");
    assert_eq!(again.version, 1);
    let other = agency.sagas.define(&trip_that_asks("Really?")).await;
    let other = other.expect("it is taken");
    assert_eq!(other.version, 2);
    let saga = agency.sagas.start("trip", "trip-1", &start_of("Ann")).await;
    assert_eq!(saga.expect("it starts").definition_version, 2);
    agency.close().await;
}

async fn a_start_is_done_once(hosting: Hosting) {
    let agency = Agency::open(hosting).await;
    let first = agency.sagas.start("trip", "trip-1", &start_of("Ann")).await;
    let first = first.expect("it starts");
    agency.sagas.wait(first.id, BOUND).await.expect("it asks");
    let again = agency.sagas.start("trip", "trip-1", &start_of("Bob")).await;
    let again = again.expect("it is there");
    assert_eq!((again.id, again.status), (first.id, SagaStatus::AwaitingInput));
    let input = again.input::<StartEvent>().expect("what it was given first");
    assert_eq!(input, start_of("Ann"));
    let other = agency.sagas.start("trip", "trip-2", &start_of("Bob")).await;
    assert_ne!(other.expect("it starts").id, first.id);
    assert_eq!(agency.bookings.done()[0], "room for Ann");
    agency.close().await;
}

async fn an_event_of_one_id_is_taken_once(hosting: Hosting) {
    let agency = Agency::without_handlers(hosting).await;
    let sagas = &agency.sagas;
    sagas.define(&budget()).await.expect("it is taken");
    let started = sagas.start("budget", "b-1", &BudgetStartEvent { limit: 10 }).await;
    let saga = started.expect("it starts");
    assert_eq!(saga.context::<Budget>().ok(), Some(Budget { limit: 10 }));
    let priced = PricedEvent { amount: 5 };
    let once = || EventEnvelope::of(&priced).id("price-1");
    let first = sagas.raise(saga.id, once()).await.expect("it is taken");
    let again = sagas.raise(saga.id, once()).await.expect("it was taken");
    assert_eq!((first.version, again.version), (2, 2));
    let other = sagas.raise(saga.id, &priced).await.expect("it is taken");
    let named = EventEnvelope::named("priced", &serde_json::json!({"amount": 50}));
    let spent = sagas.raise(other.unchanged(), named).await.expect("it is taken");
    assert_eq!((spent.version, spent.status), (4, SagaStatus::Completed));
    assert_eq!(spent.state_in().ok(), Some(&BudgetState::Spent));
    agency.close().await;
}

async fn an_event_reaches_a_saga_or_starts_it(hosting: Hosting) {
    let agency = Agency::open(hosting).await;
    let sagas = &agency.sagas;
    let wanted = TripWantedEvent {
        traveller: "Ann".to_owned(),
    };
    let wanted = || EventEnvelope::of(&wanted).id("wanted-1");
    let published = sagas.publish("trip-1", wanted()).await.expect("it starts a saga");
    assert_eq!((published.taken.len(), published.started.len()), (0, 1));
    let saga = published.started[0].id;
    let again = sagas.publish("trip-1", wanted()).await.expect("it was taken");
    assert_eq!((again.taken[0].id, again.started.len()), (saga, 0));

    sagas.wait(saga, BOUND).await.expect("it asks");
    let told = sagas.publish("trip-1", &yes()).await.expect("it is taken");
    assert_eq!((told.taken[0].id, told.started.len()), (saga, 0));
    let saga = sagas.wait(saga, BOUND).await.expect("it ends");
    assert_eq!(saga.status, SagaStatus::Completed);
    assert_eq!(agency.bookings.done(), ["room for Ann", "seat for Ann"]);

    let other = EventEnvelope::named("trip_wanted", &serde_json::json!({"traveller": "Bob"})).id("wanted-1");
    let reused = sagas.publish("trip-1", other).await.expect_err("it is over");
    assert!(matches!(reused, Error::SagaRefused { .. }), "{reused:?}");
    let nobody = sagas.publish_to("trips", "trip-2", wanted()).await;
    assert!(matches!(nobody, Err(Error::NoDefinition(name)) if name == "trips"));
    let published = sagas.publish_to("trip", "trip-2", wanted()).await;
    assert_eq!(published.expect("it starts a saga").started.len(), 1);
    agency.close().await;
}

#[derive(Deserialize)]
struct Why {
    reason: String,
}

async fn a_cancel_undoes_what_was_done_and_is_done_once(hosting: Hosting) {
    let agency = Agency::open(hosting).await;
    let sagas = &agency.sagas;
    let started = sagas.start("trip", "trip-1", &start_of("Ann")).await;
    let saga = sagas
        .wait(started.expect("it starts").id, BOUND)
        .await
        .expect("it asks");
    let cancelled = sagas.cancel(saga.unchanged(), "she stays at home").await;
    assert!(matches!(
        cancelled.expect("it is cancelled").status,
        SagaStatus::Compensating | SagaStatus::Cancelled
    ));
    let saga = sagas.wait(saga.id, BOUND).await.expect("it ends");
    assert_eq!((saga.status, saga.awaiting.as_ref()), (SagaStatus::Cancelled, None));
    assert_eq!(agency.bookings.done(), ["room for Ann", "room 7 is free"]);
    let again = sagas.cancel(saga.id, "again").await.expect("it was cancelled");
    assert_eq!((again.status, again.version), (SagaStatus::Cancelled, saga.version));

    let history = sagas.history(saga.id).take(100).await.expect("a history");
    let cancel = history.iter().find(|entry| entry.kind == "cancel").expect("it is told");
    let why: Option<Why> = cancel.data().expect("a reason");
    assert_eq!(why.map(|why| why.reason).as_deref(), Some("she stays at home"));
    agency.close().await;
}

const ASKING: &str = "
name: asking
initial: Initial
timeout: {after_seconds: 86400, target: Failed}
unhandled: defer
states:
  Initial: {on: {start: {target: Asking}}}
  Asking:
    await_input: {event: answered, prompt: Well?, default_after: {seconds: 3600, data: {ok: false}}}
    on: {answered: {target: Paying}}
  Paying: {on: {paid: {target: Done}}}
  Done: {final: true}
  Failed: {final: failed}
";

async fn whoever_reads_a_saga_is_told_what_is_due_and_what_waits(hosting: Hosting) {
    let agency = Agency::without_handlers(hosting).await;
    let sagas = &agency.sagas;
    let definition = read(ASKING).expect("a definition");
    sagas.define(&definition).await.expect("it is taken");
    let started = sagas.start("asking", "a-1", &start_of("Ann")).await;
    let started = started.expect("it starts");
    assert_eq!((started.timers.as_ref(), started.deferred.len()), (None, 0));
    let paid = EventEnvelope::named("paid", &serde_json::json!({})).id("bank-17");
    sagas.raise(started.id, paid).await.expect("it waits");

    let waited = sagas.wait(started.id, BOUND).await.expect("it asks");
    let got = sagas.get(started.id).await.expect("it is there");
    assert_eq!((&waited.timers, &waited.deferred), (&got.timers, &got.deferred));
    let deferred: Vec<_> = got.deferred.iter().map(|event| (&*event.id, &*event.event)).collect();
    assert_eq!(deferred, [("bank-17", "paid")]);
    let timers = got.timers.as_ref().expect("they are told");
    let [default, timeout] = &timers[..] else {
        panic!("{timers:?}")
    };
    assert_eq!(
        (default.timer, default.event.as_deref(), default.data()),
        (TimerKind::DefaultAnswer, Some("answered"), Some(r#"{"ok":false}"#))
    );
    assert_eq!(
        (timeout.timer, timeout.target.as_deref(), timeout.due_at),
        (
            TimerKind::Saga,
            Some("Failed"),
            got.created_at + Duration::from_secs(86_400)
        )
    );
    let listed = sagas.find_all(SagaFilter::default()).take(1).await.expect("a list");
    assert_eq!((&listed[0].timers, &listed[0].deferred), (&None, &got.deferred));
    agency.close().await;
}
