//! A worker goes on with what the saga of the task that it has ended issues next.

use std::sync::Arc;

use orchestratum_core::saga::SagaStatus;
use orchestratum_core::task::TaskStatus;
use orchestratum_core::{SagaId, WorkerId};
use orchestratum_store::{Advance, Advanced, ClaimedTask, FollowedBy, SagaOffer, Store, Takes};

use crate::conformance::Fixture;
use crate::conformance::lab::{LEASE, Lab, SECOND, audit, name, target};
use crate::conformance::saga_lab::{
    ORDER, advance, assert_stands, claim_of, define, look, looking, raise, start, success, taken, tasks_of,
};
use crate::support::Postgres;

async fn fresh() -> Postgres {
    Postgres::fresh(&crate::support::database_url()).await
}

/// A look by the worker that has ended a task of this priority.
fn offering(lab: &Lab, saga: SagaId, worker: WorkerId, priority: u8) -> Advance {
    let takes = Takes {
        worker,
        targets: Arc::new([target("default")]),
        names: Arc::new([name("echo")]),
        known: None,
    };
    Advance {
        offer: Some(SagaOffer { takes, priority }),
        ..looking(lab, saga)
    }
}

/// The worker of the first task of a new saga, which has ended it.
async fn paid(lab: &Lab, definition: &str, priority: u8) -> (SagaId, WorkerId) {
    define(lab, definition).await;
    let saga = start(lab, "order", "o-1").await;
    let task = claim_of(lab, saga).await;
    assert_eq!(task.followed_by, FollowedBy::Saga { priority });
    lab.apply(success(&task, "1")).await;
    let worker = tasks_of(lab, saga).await[0].worker.expect("it has run");
    (saga, worker)
}

async fn looked(lab: &Lab, look: Advance) -> Advanced {
    taken(advance(lab, &[look]).await.remove(0))
}

async fn assert_waits(lab: &Lab, saga: SagaId, looked: &Advanced) {
    assert_eq!(looked.claimed, None);
    let task = tasks_of(lab, saga).await.pop().expect("the second task");
    assert_eq!(task.life.status(), TaskStatus::Pending);
    let ready: Vec<_> = looked.consequences.ready.iter().map(|ready| ready.task).collect();
    assert_eq!(ready, [task.spec.id], "somebody is told of it");
    lab.assert_sound().await;
}

#[tokio::test]
async fn the_next_task_of_a_saga_runs_at_once_where_the_one_before_it_ran() {
    let postgres = fresh().await;
    let lab = Lab::new(postgres.store());
    let (saga, worker) = paid(&lab, ORDER, 0).await;
    let on = looked(&lab, offering(&lab, saga, worker, 0)).await;
    let next: ClaimedTask = *on.claimed.expect("it goes on");
    assert_eq!((next.input.as_str(), next.attempt, next.run), ("\"reserve\"", 1, 1));
    assert_eq!(next.followed_by, FollowedBy::Saga { priority: 0 });
    assert!(on.consequences.ready.is_empty(), "nobody else is to take it");
    let stored = lab.task(next.id).await;
    assert_eq!(
        (stored.life.status(), stored.worker),
        (TaskStatus::InProgress, Some(worker))
    );
    lab.assert_sound().await;

    // It is a task like any other: its end is taken in, once.
    lab.apply(success(&next, "2")).await;
    let on = looked(&lab, offering(&lab, saga, worker, 0)).await;
    assert_eq!(on.claimed, None, "the saga waits for an event now");
    assert_stands(&lab, saga, "Waiting", SagaStatus::Running).await;
    raise(&lab, saga, "shipped").await;
    assert_eq!(lab.attempts(next.id).await.len(), 1);
    lab.assert_sound().await;
}

#[tokio::test]
async fn nothing_is_gone_on_with_where_a_claim_would_get_nothing() {
    let postgres = fresh().await;
    let lab = Lab::new(postgres.store());
    let (saga, worker) = paid(&lab, ORDER, 0).await;
    let paused = lab
        .store
        .set_paused(&target("default"), true, &audit("pause"), lab.now)
        .await;
    paused.expect("the store works");
    let on = looked(&lab, offering(&lab, saga, worker, 0)).await;
    assert_waits(&lab, saga, &on).await;

    let postgres = fresh().await;
    let mut lab = Lab::new(postgres.store());
    let (saga, worker) = paid(&lab, ORDER, 0).await;
    lab.now = lab.now + LEASE + SECOND;
    let on = looked(&lab, offering(&lab, saga, worker, 0)).await;
    assert_waits(&lab, saga, &on).await;
}

#[tokio::test]
async fn what_is_less_urgent_waits_its_turn() {
    let urgent = ORDER.replace("input: pay,", "input: pay, priority: 3,");
    let postgres = fresh().await;
    let lab = Lab::new(postgres.store());
    let (saga, worker) = paid(&lab, &urgent, 3).await;
    let on = looked(&lab, offering(&lab, saga, worker, 3)).await;
    assert_waits(&lab, saga, &on).await;
}

#[tokio::test]
async fn what_is_cancelled_by_the_look_that_makes_it_never_begins() {
    let hurried = ORDER.replace(
        "  Reserving:\n",
        "  Reserving:\n    always: [{if: \"context.payment == 1\", compensate: true, target: Failed}]\n",
    );
    let postgres = fresh().await;
    let lab = Lab::new(postgres.store());
    let (saga, worker) = paid(&lab, &hurried, 0).await;
    let on = looked(&lab, offering(&lab, saga, worker, 0)).await;
    assert_eq!(on.claimed, None);
    let reserve = tasks_of(&lab, saga).await.remove(1);
    assert_eq!(
        (reserve.spec.input.as_str(), reserve.life.status(), reserve.life.attempt),
        ("\"reserve\"", TaskStatus::Cancelled, 0)
    );
    look(&lab, saga).await;
    assert_stands(&lab, saga, "Reserving", SagaStatus::Compensating).await;
    lab.assert_sound().await;
}

#[tokio::test]
async fn of_two_workers_that_offer_one_goes_on() {
    let postgres = fresh().await;
    let lab = Lab::new(postgres.store());
    let (saga, worker) = paid(&lab, ORDER, 0).await;
    let other = lab.echo_worker().await;
    let both = [offering(&lab, saga, worker, 0), offering(&lab, saga, other, 0)];
    let outcomes = advance(&lab, &both).await.into_iter().map(taken);
    let claimed: Vec<_> = outcomes.filter_map(|on| on.claimed).collect();
    assert_eq!(claimed.len(), 1, "{claimed:?}");
    lab.assert_sound().await;
}

#[tokio::test]
async fn of_two_lanes_of_a_worker_that_goes_on_which_serves_the_task() {
    for reversed in [false, true] {
        let postgres = fresh().await;
        let lab = Lab::new(postgres.store());
        let (saga, worker) = paid(&lab, ORDER, 0).await;
        let mut other = offering(&lab, saga, worker, 0);
        other.offer = other.offer.map(|offer| SagaOffer {
            takes: Takes {
                names: Arc::new([name("python")]),
                ..offer.takes
            },
            ..offer
        });
        let mut lanes = [offering(&lab, saga, worker, 0), other];
        if reversed {
            lanes.reverse();
        }
        let outcomes = advance(&lab, &lanes).await.into_iter().map(taken);
        let claimed: Vec<Option<String>> = outcomes
            .map(|on| on.claimed.map(|task| task.input.to_string()))
            .collect();
        let mut expected = [Some("\"reserve\"".to_owned()), None];
        if reversed {
            expected.reverse();
        }
        assert_eq!(claimed, expected);
    }
}

#[tokio::test]
async fn with_sqlite_all_wait_their_turn() {
    let store: Arc<dyn Store> = orchestratum_store::connect("sqlite::memory:", &orchestratum_store::Options::default())
        .await
        .expect("a database in memory");
    store.migrate().await.expect("it is empty");
    let lab = Lab::new(store);
    let (saga, worker) = paid(&lab, ORDER, 0).await;
    let on = looked(&lab, offering(&lab, saga, worker, 0)).await;
    assert_waits(&lab, saga, &on).await;
}
