//! What is refused, and what is told then.

use orchestratum_sdk::Error;
use orchestratum_sdk::prelude::*;
use orchestratum_sdk::saga::{
    Definition as SagaDefinition, Event, EventEnvelope, Fields, SagaBuilder, SagaFilter, SagaId, SagaStatus, States,
    Violations, read,
};
use serde_json::json;
use uuid::Uuid;

use super::trip::{Agency, Budget, BudgetStartEvent, BudgetState, PricedEvent, budget, start_of, yes};
use crate::hostings::on_every_hosting;
use crate::support::{BOUND, Hosting};

on_every_hosting!(
    an_answer_that_breaks_the_schema_is_refused_with_every_fault,
    an_answer_to_a_question_that_is_asked_no_more_is_refused,
    an_event_that_the_state_does_not_take_is_refused_with_those_that_it_takes,
    a_definition_is_refused_with_its_faults,
    what_is_not_there_is_told,
    what_can_be_no_name_is_told,
    what_is_too_large_is_told,
    what_a_saga_keeps_is_read_as_what_it_is,
    one_that_takes_longer_than_the_patience_goes_on,
);

fn pointers(error: Error) -> Vec<String> {
    match error {
        Error::SagaInput(Violations(broken)) => broken.into_iter().map(|broken| broken.pointer).collect(),
        other => panic!("{other:?}"),
    }
}

fn refused(error: Error) -> (String, Vec<String>) {
    match error {
        Error::SagaRefused { reason, takes } => (reason, takes),
        other => panic!("{other:?}"),
    }
}

/// A trip that asks.
async fn asking(agency: &Agency) -> orchestratum_sdk::saga::Saga {
    let started = agency.sagas.start("trip", "trip-1", &start_of("Ann")).await;
    let waited = agency.sagas.wait(started.expect("it starts").id, BOUND).await;
    waited.expect("it asks")
}

async fn an_answer_that_breaks_the_schema_is_refused_with_every_fault(hosting: Hosting) {
    let agency = Agency::open(hosting).await;
    let saga = asking(&agency).await;
    let wrong = agency.sagas.input(saga.id, &json!({"ok": "perhaps", "by": 7})).await;
    let error = wrong.expect_err("it breaks the schema");
    let told = error.to_string();
    assert!(told.contains("/data/ok it is not of type \"boolean\""), "{told}");
    assert!(!told.contains("perhaps"), "an answer may be a secret: {told}");
    let mut faults = pointers(error);
    faults.sort_unstable();
    assert_eq!(faults, ["/data/by", "/data/ok"]);
    let saga = agency.sagas.get(saga.id).await.expect("it is there");
    assert_eq!(saga.status, SagaStatus::AwaitingInput, "it asks as before");
    agency.sagas.input(saga.unchanged(), &yes()).await.expect("an answer");
    agency.close().await;
}

async fn an_answer_to_a_question_that_is_asked_no_more_is_refused(hosting: Hosting) {
    let agency = Agency::open(hosting).await;
    let saga = asking(&agency).await;
    agency.sagas.input(saga.unchanged(), &yes()).await.expect("an answer");
    let second = agency.sagas.input(saga.unchanged(), &yes()).await;
    assert!(
        matches!(second, Err(Error::SagaChanged(of)) if of == saga.id),
        "{second:?}"
    );
    agency.sagas.wait(saga.id, BOUND).await.expect("it ends");
    let late = agency.sagas.input(saga.id, &yes()).await.expect_err("it is over");
    let (reason, _) = refused(late);
    assert!(
        reason.contains(&saga.id.to_string()) && reason.contains("Completed"),
        "{reason}"
    );
    let late = agency.sagas.cancel(saga.id, "too late").await.expect_err("it is over");
    refused(late);
    agency.close().await;
}

async fn an_event_that_the_state_does_not_take_is_refused_with_those_that_it_takes(hosting: Hosting) {
    let agency = Agency::open(hosting).await;
    let saga = asking(&agency).await;
    let raised = agency.sagas.raise(saga.id, &PricedEvent { amount: 1 }).await;
    let (reason, takes) = refused(raised.expect_err("it takes another"));
    assert!(
        reason.contains("AwaitingConsent does not take priced; it takes consented"),
        "{reason}"
    );
    assert_eq!(takes, ["consented"]);
    let published = agency.sagas.publish("trip-1", &PricedEvent { amount: 1 }).await;
    let (reason, _) = refused(published.expect_err("it takes another"));
    assert!(reason.contains("it takes consented"), "{reason}");
    agency.close().await;
}

#[derive(Event, Serialize)]
struct AskedEvent {}

/// With an answer for whoever gives none that breaks the schema: that only a server knows.
fn with_a_wrong_answer() -> SagaDefinition {
    let mut saga = SagaBuilder::<(), OldState>::new("strange");
    saga.initially()
        .await_input::<AskedEvent>("What?")
        .schema(json!({"required": ["by"]}))
        .default_after(Duration::from_secs(5), &AskedEvent {})
        .when::<AskedEvent>()
        .transition_to(OldState::Closed)
        .finalize();
    saga.build().expect("the builder cannot know")
}

const MISSPELT: &str = "
name: strange
initial: Initial
states:
  Initial: {on: {start: {target: Bokked}, stop: {target: Booked}}}
  Booked: {final: true}
";

async fn a_definition_is_refused_with_its_faults(hosting: Hosting) {
    let agency = Agency::without_handlers(hosting).await;
    for (definition, pointer, meant) in [
        (
            with_a_wrong_answer(),
            "/states/Initial/await_input/default_after/data",
            None,
        ),
        (
            read(MISSPELT).expect("it is one, if not a good one"),
            "/states/Initial/on/start/0/target",
            Some("Booked"),
        ),
    ] {
        let error = agency.sagas.define(&definition).await.expect_err("it is refused");
        let told = error.to_string();
        assert!(told.contains(pointer), "{told}");
        let Error::InvalidDefinition(faults) = error else {
            panic!("{error:?}");
        };
        let [fault] = faults.0.as_slice() else {
            panic!("{faults}");
        };
        assert_eq!((fault.pointer.as_str(), fault.suggestion.as_deref()), (pointer, meant));
        assert_eq!(fault.place, None, "nobody wrote a text");
    }
    agency.close().await;
}

async fn what_is_not_there_is_told(hosting: Hosting) {
    let agency = Agency::without_handlers(hosting).await;
    let sagas = &agency.sagas;
    let nobody = SagaId(Uuid::from_u128(7));
    let told = sagas.start("tirp", "trip-1", &start_of("Ann")).await;
    let told = told.expect_err("there is none");
    assert!(matches!(&told, Error::NoDefinition(name) if name == "tirp"), "{told:?}");
    assert!(told.to_string().contains("sagas().define"), "{told}");
    let told = sagas.publish("trip-1", &yes()).await.expect_err("there is none");
    let Error::NoSagaForEvent { event, correlation_id } = told else {
        panic!("{told:?}");
    };
    assert_eq!((event.as_str(), correlation_id.as_str()), ("consented", "trip-1"));

    let mut answers = vec![
        sagas.get(nobody).await,
        sagas.wait(nobody, Duration::ZERO).await,
        sagas.raise(nobody, &yes()).await,
        sagas.input(nobody, &yes()).await,
        sagas.cancel(nobody, "why not").await,
        sagas.retry(nobody).await,
        sagas.retry_parked(nobody, "1").await,
        sagas.discard_parked(nobody, "1").await,
        sagas.retry_compensation(nobody, 1).await,
        sagas.skip_compensation(nobody, 1).await,
    ];
    let history = sagas.history(nobody).next().await;
    answers.push(history.map(|entry| panic!("{entry:?}")));
    for answer in answers {
        assert!(
            matches!(answer, Err(Error::NoSaga(saga)) if saga == nobody),
            "{answer:?}"
        );
    }
    agency.close().await;
}

async fn what_can_be_no_name_is_told(hosting: Hosting) {
    let agency = Agency::without_handlers(hosting).await;
    let sagas = &agency.sagas;
    let saga = sagas
        .start("trip", "trip-1", &start_of("Ann"))
        .await
        .expect("it starts");
    let long = "x".repeat(201);
    for correlation_id in ["", "a\0b", &long, ".", ".."] {
        let started = sagas.start("trip", correlation_id, &start_of("Ann")).await;
        assert_eq!(pointers(started.expect_err("it is none")), ["/correlation_id"]);
        let found = sagas.find("trip", correlation_id).await;
        assert_eq!(pointers(found.expect_err("it is none")), ["/correlation_id"]);
        let published = sagas.publish(correlation_id, &yes()).await;
        assert_eq!(pointers(published.expect_err("it is none")), ["/correlation_id"]);
        let raised = sagas.raise(saga.id, EventEnvelope::of(&yes()).id(correlation_id)).await;
        assert_eq!(pointers(raised.expect_err("it is none")), ["/id"]);
        let retried = sagas.retry_parked(saga.id, correlation_id).await;
        assert_eq!(pointers(retried.expect_err("it is none")), ["/parked"]);
        let discarded = sagas.discard_parked(saga.id, correlation_id).await;
        assert_eq!(pointers(discarded.expect_err("it is none")), ["/parked"]);
    }
    let started = sagas
        .start("a trip", "trip-2", &start_of("Ann"))
        .await
        .expect_err("it is none");
    let told = started.to_string();
    assert!(told.contains("/definition must match"), "{told}");
    assert_eq!(pointers(started), ["/definition"]);
    let raised = sagas.raise(saga.id, EventEnvelope::named("go on", &())).await;
    assert_eq!(pointers(raised.expect_err("it is none")), ["/name"]);
    let mut found = sagas.find_all(SagaFilter::default().state("no state"));
    assert_eq!(pointers(found.next().await.expect_err("it is none")), ["/state"]);
    let retried = sagas.retry_with(saga.id, &json!({"no name": 1})).await;
    assert_eq!(pointers(retried.expect_err("it is none")), ["/context/no name"]);
    let retried = sagas.retry_with(saga.id, &[1, 2]).await;
    assert_eq!(pointers(retried.expect_err("it is no object")), ["/context"]);
    agency.close().await;
}

async fn what_is_too_large_is_told(hosting: Hosting) {
    let agency = Agency::without_handlers(hosting).await;
    let sagas = &agency.sagas;
    let large = start_of(&"x".repeat(1 << 20));
    let started = sagas.start("trip", "trip-1", &large).await;
    assert_eq!(pointers(started.expect_err("it is too large")), ["/input"]);
    let saga = sagas
        .start("trip", "trip-1", &start_of("Ann"))
        .await
        .expect("it starts");
    let raised = sagas.raise(saga.id, &large).await;
    assert_eq!(pointers(raised.expect_err("it is too large")), ["/data"]);
    let answered = sagas.input(saga.id, &large).await;
    assert_eq!(pointers(answered.expect_err("it is too large")), ["/data"]);
    let cancelled = sagas.cancel(saga.id, &"x".repeat(2_001)).await;
    assert_eq!(pointers(cancelled.expect_err("it is too long")), ["/reason"]);
    let saga = sagas.get(saga.id).await.expect("it is there");
    assert_eq!(
        (saga.version, saga.status),
        (1, SagaStatus::Running),
        "nothing has changed it"
    );
    agency.close().await;
}

/// Of another version of the definition.
#[derive(Debug, States)]
enum OldState {
    Initial,
    Closed,
}

#[derive(Debug, Fields, Deserialize)]
struct OldContext {
    limit: String,
}

async fn what_a_saga_keeps_is_read_as_what_it_is(hosting: Hosting) {
    let agency = Agency::without_handlers(hosting).await;
    let sagas = &agency.sagas;
    sagas.define(&budget()).await.expect("it is taken");
    let started = sagas.start("budget", "b-1", &BudgetStartEvent { limit: 10 }).await;
    let saga = started.expect("it starts");
    assert_eq!(saga.state_in().ok(), Some(&BudgetState::Open));
    assert_eq!(saga.context().ok(), Some(Budget { limit: 10 }));
    let told = saga
        .state_in::<OldState>()
        .expect_err("there is no such state")
        .to_string();
    assert!(told.contains("OldState") && told.contains("`Open`"), "{told}");
    assert!(!saga.is_in(&OldState::Initial) && !saga.is_in(&OldState::Closed));
    let told = saga.context::<OldContext>().map(|context| context.limit);
    let told = told.expect_err("it is a number").to_string();
    assert!(told.contains(&saga.id.to_string()) && told.contains("string"), "{told}");
    agency.close().await;
}

async fn one_that_takes_longer_than_the_patience_goes_on(hosting: Hosting) {
    let agency = Agency::without_handlers(hosting).await;
    let started = agency.sagas.start("trip", "trip-1", &start_of("Ann")).await;
    let saga = started.expect("it starts");
    let waited = agency.sagas.wait(saga.id, Duration::from_millis(20)).await;
    let error = waited.expect_err("nobody does anything");
    assert!(
        matches!(&error, Error::SagaStillRunning { saga: of, state, .. } if *of == saga.id && state == "AwaitingRoom"),
        "{error:?}"
    );
    let task = &agency.sagas.get(saga.id).await.expect("it is there").tasks[0];
    assert_eq!(
        (task.name.as_str(), task.status, task.compensation),
        ("book_room", State::Pending, false)
    );
    agency.close().await;
}
