//! Sagas over days, and over a restart of their server.

use std::time::Duration;

use orchestratum_core::saga::{DefinitionName, SagaStatus};
use orchestratum_core::task::{Ending, Report, TaskEvent};
use orchestratum_core::{JsonText, Origin, SagaId};
use orchestratum_engine::Engine;
use orchestratum_engine::sagas::{RaiseEvent, StartSaga};
use orchestratum_engine::tasks::FinishOutcome;
use orchestratum_store::{Change, ChangeOutcome, Evidence, Saga, SagaFilter};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::common::{claim, engine, engine_on, eventually, worker};

const DAY: Duration = Duration::from_secs(86_400);

/// What is done is undone if the whole takes more than two days, or is called off.
const TRIP: &str = "
name: trip
timeout: {after_seconds: 172800, target: Failed, compensate: true}
initial: Initial
states:
  Initial: {on: {start: {target: Booking}}}
  Booking:
    on:
      noted: {}
      booked: {compensation: [{name: echo, input: '${ event.data }'}]}
      asked: {target: Asking}
      called_off: {compensate: true, target: Failed}
      failed: {target: Failed}
  Asking:
    await_input: {event: answered, prompt: By train?}
    on: {answered: {target: Booking}}
  Failed: {final: failed}
";

/// Waits for a trip.
const JOURNEY: &str = "
name: journey
initial: Initial
states:
  Initial:
    on: {start: {tasks: [{saga: trip, correlation_id: the-trip, raises: {failure: gone_wrong}}], target: Underway}}
  Underway: {on: {gone_wrong: {target: Home}}}
  Home: {final: true}
";

async fn define(engine: &Engine) {
    define_as(engine, "trip", TRIP).await;
}

async fn define_as(engine: &Engine, name: &str, source: &str) {
    let name = DefinitionName::new(name).expect("a name");
    let defined = engine.put_definition(&name, source.to_owned(), None).await;
    assert!(defined.expect("it has no fault").is_new);
}

async fn start(engine: &Engine, correlation_id: &str) -> SagaId {
    start_as(engine, "trip", correlation_id).await
}

async fn start_as(engine: &Engine, definition: &str, correlation_id: &str) -> SagaId {
    let request = StartSaga {
        definition: DefinitionName::new(definition).expect("a name"),
        version: None,
        correlation_id: Some(correlation_id.to_owned()),
        input: JsonText::null(),
        origin: Origin::default(),
        actor: None,
        idempotency: None,
    };
    engine.start_saga(request).await.expect("it starts").into_saga().id
}

async fn raise(engine: &Engine, saga: SagaId, name: &str, data: &str) -> Saga {
    let raised = engine.raise(event(saga, name, data)).await;
    raised.expect("it is taken").into_saga()
}

fn event(saga: SagaId, name: &str, data: &str) -> RaiseEvent {
    RaiseEvent {
        saga,
        name: name.parse().expect("a name"),
        data: JsonText::new(data).expect("JSON"),
        id: None,
        expected_version: None,
        actor: None,
    }
}

async fn status(engine: &Engine, saga: SagaId) -> SagaStatus {
    engine.saga(saga).await.expect("it is there").instance.status()
}

/// Those to which nothing has happened for a day, the newest first.
async fn stale(engine: &Engine) -> Vec<SagaId> {
    let page = engine.stale_sagas(SagaFilter::default(), DAY, None, 10).await;
    page.expect("works").items.into_iter().map(|saga| saga.id).collect()
}

#[tokio::test]
async fn fix_35_what_one_event_has_registered_is_undone_by_another_after_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite://{}", folder.path().join("orchestratum.db").display());
    let before = engine_on(&url, &[], |broker| broker).await;
    define(&before).await;
    let saga = start(&before, "t-1").await;
    raise(&before, saga, "booked", "\"the hotel\"").await;
    raise(&before, saga, "booked", "\"the flight\"").await;
    before.store().close().await;
    drop(before);

    let engine = engine_on(&url, &[], |broker| broker).await;
    let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
    engine.start_background(true, &tracker, &stop);
    let undoing = raise(&engine, saga, "called_off", "null").await;
    assert_eq!(undoing.instance.status(), SagaStatus::Compensating);
    let worker = worker(&engine).await;
    for undone in ["\"the flight\"", "\"the hotel\""] {
        let task = eventually("it is to be undone", || async { claim(&engine, worker).await.pop() }).await;
        assert_eq!(task.input.as_str(), undone);
        engine
            .finish(task.id, task.attempt, Ending::Success, Evidence::default())
            .await
            .expect("recorded");
    }
    eventually("all is undone", || async {
        (status(&engine, saga).await == SagaStatus::Failed).then_some(())
    })
    .await;
    stop.cancel();
    tracker.close();
    tracker.wait().await;
}

#[tokio::test]
async fn match_36_sagas_to_which_nothing_has_happened_for_a_day_are_found() {
    let engine = engine().await;
    define(&engine).await;
    let forgotten = start(&engine, "forgotten").await;
    let busy = start(&engine, "busy").await;
    let over = start(&engine, "over").await;
    raise(&engine, over, "failed", "null").await;
    assert_eq!(stale(&engine).await, []);
    engine.clock().advance(DAY);
    raise(&engine, busy, "noted", "null").await;
    engine.clock().advance(Duration::from_secs(1));
    let young = start(&engine, "young").await;
    assert_eq!(stale(&engine).await, [forgotten]);
    engine.clock().advance(DAY);
    assert_eq!(stale(&engine).await, [busy, forgotten]);
    engine.clock().advance(Duration::from_secs(1));
    assert_eq!(
        stale(&engine).await,
        [young, busy, forgotten],
        "the one that is over never is"
    );
}

#[tokio::test]
async fn fix_36_a_saga_that_waits_for_a_person_is_neither_stale_nor_over() {
    let engine = engine().await;
    define(&engine).await;
    let asking = start(&engine, "asking").await;
    raise(&engine, asking, "asked", "null").await;
    engine.clock().advance(DAY + Duration::from_secs(1));
    while engine.sweep_once().await.expect("works") {}
    assert_eq!(stale(&engine).await, []);
    let asked = engine.saga(asking).await.expect("it is there").instance;
    assert_eq!(asked.status(), SagaStatus::AwaitingInput);
    raise(&engine, asking, "answered", "true").await;
    engine.clock().advance(DAY / 2);
    assert_eq!(stale(&engine).await, []);
    engine.clock().advance(DAY);
    assert_eq!(stale(&engine).await, [asking], "from its answer on it is");
}

#[tokio::test]
async fn fix_36_a_saga_that_has_failed_is_not_timed_out_later() {
    let engine = engine().await;
    define(&engine).await;
    let failed = start(&engine, "failed").await;
    let waiting = start(&engine, "waiting").await;
    raise(&engine, failed, "failed", "null").await;
    let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
    engine.start_background(true, &tracker, &stop);
    engine.clock().advance(DAY * 3);
    eventually("the other one is timed out", || async {
        (status(&engine, waiting).await == SagaStatus::TimedOut).then_some(())
    })
    .await;
    assert_eq!(status(&engine, failed).await, SagaStatus::Failed);
    assert_eq!(
        engine.saga_history(failed, None, 10).await.expect("works").items.len(),
        2
    );
    stop.cancel();
    tracker.close();
    tracker.wait().await;
}

#[tokio::test]
async fn a_report_that_is_repeated_has_its_saga_look_at_the_end_that_nobody_looked_at() {
    // Without loops: nobody else would find it.
    let engine = engine().await;
    define(&engine).await;
    let saga = start(&engine, "t-1").await;
    raise(&engine, saga, "booked", "\"the hotel\"").await;
    raise(&engine, saga, "called_off", "null").await;
    let worker = worker(&engine).await;
    let task = claim(&engine, worker).await.pop().expect("it is to be undone");
    // As a process leaves it that dies right after the commit.
    let report = Report {
        attempt: task.attempt,
        ending: Ending::Success,
        chance: 0.0,
    };
    let change = Change::new(task.id, TaskEvent::Reported(report));
    let recorded = engine.store().apply(&[change], engine.clock().now()).await;
    assert!(matches!(recorded.expect("works")[..], [ChangeOutcome::Done(_)]));
    assert_eq!(status(&engine, saga).await, SagaStatus::Compensating);

    let again = engine
        .finish(task.id, task.attempt, Ending::Success, Evidence::default())
        .await;
    assert_eq!(again.expect("works"), FinishOutcome::AlreadyRecorded);
    eventually("the saga has looked", || async {
        (status(&engine, saga).await == SagaStatus::Failed).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_follows_an_event_is_done_also_where_whoever_raised_it_has_gone() {
    // Without its loops: nobody else finds what is left.
    let engine = engine().await;
    define(&engine).await;
    define_as(&engine, "journey", JOURNEY).await;
    let other = start(&engine, "another").await;
    let journey = start_as(&engine, "journey", "j-1").await;
    let filter = SagaFilter {
        correlation_id: Some("the-trip".to_owned()),
        ..SagaFilter::default()
    };
    let trip = eventually("the trip begins", || async {
        let mut found = engine.sagas(&filter, None, 1).await.expect("works").items;
        let trip = found.pop()?;
        (trip.instance.state.as_str() == "Booking").then_some(trip.id)
    })
    .await;

    // In one batch; the caller that comes first goes away before it is answered.
    let mut goes = Box::pin(engine.raise(event(trip, "failed", "null")));
    let mut stays = Box::pin(engine.raise(event(other, "noted", "null")));
    assert!(futures::poll!(goes.as_mut()).is_pending());
    assert!(futures::poll!(stays.as_mut()).is_pending());
    drop(goes);
    stays.await.expect("it is taken");
    eventually("the journey hears of the end of its trip", || async {
        (status(&engine, journey).await == SagaStatus::Completed).then_some(())
    })
    .await;
}
