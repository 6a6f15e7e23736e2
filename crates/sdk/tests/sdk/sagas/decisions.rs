//! What could not be done, and who decides.

use orchestratum_sdk::Error;
use orchestratum_sdk::saga::{CompensationStatus, EventEnvelope, Migration, Saga, SagaStatus, read};
use serde_json::json;

use super::trip::{Agency, Budget, BudgetStartEvent, BudgetState, ConsentedEvent, PricedEvent, budget, start_of};
use crate::hostings::on_every_hosting;
use crate::support::{BOUND, Hosting};

on_every_hosting!(
    what_is_parked_is_taken_again_with_another_context,
    what_is_parked_is_taken_again_or_given_up_one_by_one,
    a_stuck_compensation_is_retried,
    a_stuck_compensation_is_skipped,
    a_saga_goes_on_by_another_version_of_its_definition,
);

/// A budget of nothing, and a price that cannot be held against it.
async fn parked(agency: &Agency) -> Saga {
    let sagas = &agency.sagas;
    sagas.define(&budget()).await.expect("it is taken");
    let started = sagas.start("budget", "b-1", &BudgetStartEvent { limit: 0 }).await;
    let priced = EventEnvelope::of(&PricedEvent { amount: 50 }).id("price-1");
    let saga = sagas.raise(started.expect("it starts").id, priced).await;
    let saga = saga.expect("it is taken");
    assert_eq!(saga.status, SagaStatus::NeedsAttention);
    let parked = &saga.parked[0];
    assert_eq!(
        (parked.id.as_str(), parked.event.as_deref()),
        ("price-1", Some("priced"))
    );
    assert!(parked.reason.contains("guard"), "{parked:?}");
    sagas.wait(saga.id, BOUND).await.expect("it waits for somebody")
}

async fn what_is_parked_is_taken_again_with_another_context(hosting: Hosting) {
    let agency = Agency::without_handlers(hosting).await;
    let sagas = &agency.sagas;
    let saga = parked(&agency).await;
    let again = sagas.retry(saga.id).await.expect("it is tried");
    assert_eq!(again.status, SagaStatus::NeedsAttention, "it fails again");
    let retried = sagas.retry_with(again.unchanged(), &Budget { limit: 1 }).await;
    let retried = retried.expect("it is tried");
    assert_eq!(retried.status, SagaStatus::Completed);
    assert_eq!(retried.state_in().ok(), Some(&BudgetState::Spent));
    let over = sagas.retry(saga.id).await;
    assert!(matches!(over, Err(Error::SagaRefused { .. })), "{over:?}");
    agency.close().await;
}

async fn what_is_parked_is_taken_again_or_given_up_one_by_one(hosting: Hosting) {
    let agency = Agency::without_handlers(hosting).await;
    let sagas = &agency.sagas;
    let saga = parked(&agency).await;
    let unknown = sagas.retry_parked(saga.id, "price-2").await;
    let told = unknown.expect_err("there is none").to_string();
    assert!(told.contains("price-2"), "{told}");
    let again = sagas.retry_parked(saga.id, "price-1").await.expect("it is tried");
    assert_eq!(again.status, SagaStatus::NeedsAttention);
    let number = again.parked[0].number.to_string();
    let given_up = sagas.discard_parked(again.id, &number).await.expect("it is given up");
    assert_eq!((given_up.status, given_up.parked.len()), (SagaStatus::Running, 0));
    agency.close().await;
}

/// Nobody takes the room back.
async fn stuck(agency: &Agency) -> Saga {
    let sagas = &agency.sagas;
    agency.bookings.close(true);
    let started = sagas.start("trip", "trip-1", &start_of("Ann")).await;
    let saga = sagas
        .wait(started.expect("it starts").id, BOUND)
        .await
        .expect("it asks");
    let no = ConsentedEvent {
        ok: false,
        by: "Bob".to_owned(),
    };
    sagas.input(saga.id, &no).await.expect("an answer");
    let saga = sagas.wait(saga.id, BOUND).await.expect("it is stuck");
    assert_eq!(saga.status, SagaStatus::CompensationStuck);
    let undo = &saga.compensations[0];
    assert_eq!(
        (undo.name.as_str(), undo.status),
        ("cancel_room", CompensationStatus::Stuck)
    );
    let error = undo.error.as_ref().expect("an error");
    assert_eq!(error.message, "nobody is there");
    saga
}

async fn a_stuck_compensation_is_retried(hosting: Hosting) {
    let agency = Agency::open(hosting).await;
    let sagas = &agency.sagas;
    let saga = stuck(&agency).await;
    let number = saga.compensations[0].number;
    let other = sagas.retry_compensation(saga.id, number + 1_000).await;
    assert!(matches!(other, Err(Error::SagaRefused { .. })), "{other:?}");
    agency.bookings.close(false);
    sagas
        .retry_compensation(saga.unchanged(), number)
        .await
        .expect("it is tried");
    let saga = sagas.wait(saga.id, BOUND).await.expect("it ends");
    assert_eq!(saga.status, SagaStatus::Failed);
    assert_eq!(agency.bookings.done(), ["room for Ann", "room 7 is free"]);
    agency.close().await;
}

async fn a_stuck_compensation_is_skipped(hosting: Hosting) {
    let agency = Agency::open(hosting).await;
    let sagas = &agency.sagas;
    let saga = stuck(&agency).await;
    let event = EventEnvelope::named("consented", &json!({"ok": true, "by": "Bob"}));
    let told = sagas.raise(saga.id, event).await.expect_err("it takes no events");
    assert!(matches!(told, Error::SagaRefused { .. }), "{told:?}");
    let skipped = sagas.skip_compensation(saga.id, saga.compensations[0].number).await;
    assert_eq!(skipped.expect("it goes on").status, SagaStatus::Failed);
    assert_eq!(agency.bookings.done(), ["room for Ann"]);
    agency.close().await;
}

async fn a_saga_goes_on_by_another_version_of_its_definition(hosting: Hosting) {
    let agency = Agency::without_handlers(hosting).await;
    let sagas = &agency.sagas;
    sagas.define(&budget()).await.expect("it is taken");
    let started = sagas.start("budget", "b-1", &BudgetStartEvent { limit: 0 }).await;
    let saga = started.expect("it starts");
    let renamed = budget().canonical().replace("\"Open\"", "\"Ajar\"");
    let defined = sagas.define(&read(&renamed).expect("a definition")).await;
    assert_eq!(defined.expect("it is taken").version, 2);

    let pointer = |told: Result<_, Error>| match told {
        Err(Error::SagaInput(violations)) => violations.0[0].pointer.clone(),
        other => panic!("expected to be told what is wrong, not {other:?}"),
    };
    let unnamed = sagas.migrate(saga.id, Migration::to_newest()).await;
    assert_eq!(pointer(unnamed), "/states/Open");
    assert_eq!(pointer(sagas.migrate(saga.id, Migration::to(9)).await), "/version");
    let migration = Migration::to(2).state("Open", "Ajar");
    let tried = sagas
        .migrate(saga.id, migration.clone().dry_run())
        .await
        .expect("it could be");
    assert_eq!((tried.saga.state.as_str(), tried.saga.definition_version), ("Ajar", 2));
    let unchanged = sagas.get(saga.id).await.expect("it is there");
    assert_eq!((unchanged.state.as_str(), unchanged.version), ("Open", saga.version));
    let migrated = sagas
        .migrate(saga.unchanged(), migration.clone())
        .await
        .expect("it is moved");
    assert_eq!(
        (migrated.saga.state.as_str(), migrated.saga.definition_version),
        ("Ajar", 2)
    );
    let late = sagas.migrate(saga.unchanged(), migration.clone()).await;
    assert!(matches!(late, Err(Error::SagaChanged(_))), "{late:?}");
    sagas.cancel(saga.id, "enough").await.expect("it is cancelled");
    let over = sagas.migrate(saga.id, Migration::to(1)).await;
    assert!(matches!(over, Err(Error::SagaRefused { .. })), "{over:?}");
    agency.close().await;
}
