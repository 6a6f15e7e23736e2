//! What sagas do with their tasks: undo, cancel, and what is never done to them.

use std::sync::Arc;

use orchestratum_core::SagaId;
use orchestratum_core::saga::{Input, Purpose, SagaStatus};
use orchestratum_core::task::{Ending, TaskEvent, TaskStatus};
use orchestratum_store::{Change, ChangeOutcome, Store};

use super::grouping::killed;
use super::lab::{Lab, SECOND, report};
use super::limiting::admitted;
use super::saga_lab::{
    ORDER, assert_at, assert_stands, bring, claim_of, define, for_good, history, live_tasks, look, look_at_all,
    new_saga, newest_undo, number_of, raise, refused, start, start_all, started, success, taken, tasks_of, unlooked,
    waiting_order, work,
};
use super::unifying::unique;

/// Two tasks at once, of which the first can be undone.
const TWO: &str = "
name: two
initial: Initial
states:
  Initial:
    on:
      start:
        tasks:
          - {name: echo, input: first, compensation: [{name: echo, input: undo}], raises: {success: done, failure: failed}}
          - {name: echo, input: second, delay_seconds: 60, raises: {success: done, failure: failed}}
        target: Working
  Working:
    on:
      done: {}
      failed: {}
      enough: {target: Completed}
  Completed: {final: true}
";

pub(crate) async fn what_was_done_is_undone_newest_first_one_at_a_time(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    define(&lab, ORDER).await;
    let saga = waiting_order(&lab, "o-1").await;
    let advanced = raise(&lab, saga, "refused").await;
    assert_at(&advanced.saga.instance, "Waiting", SagaStatus::Compensating);
    assert_eq!(live_tasks(&lab, saga).await, ["\"release\""]);
    let advanced = work(&lab, saga, Ending::Success).await;
    assert_eq!(advanced.saga.instance.status(), SagaStatus::Compensating);
    assert_eq!(live_tasks(&lab, saga).await, ["\"refund\""]);
    let advanced = work(&lab, saga, Ending::Success).await;
    assert_at(&advanced.saga.instance, "Failed", SagaStatus::Failed);
    assert_eq!(live_tasks(&lab, saga).await, [""; 0]);
    let purposes: Vec<Purpose> = tasks_of(&lab, saga)
        .await
        .iter()
        .filter_map(|task| task.spec.saga)
        .map(|place| place.purpose)
        .collect();
    let (forward, undo) = (Purpose::Forward, Purpose::Compensation);
    assert_eq!(purposes, [forward, undo, forward, undo]);
}

pub(crate) async fn what_cannot_be_undone_waits_for_a_person(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    define(&lab, ORDER).await;
    let saga = waiting_order(&lab, "o-1").await;
    raise(&lab, saga, "refused").await;
    let advanced = work(&lab, saga, for_good()).await;
    assert_eq!(advanced.saga.instance.status(), SagaStatus::CompensationStuck);
    assert_eq!(live_tasks(&lab, saga).await, [""; 0]);
    let number = newest_undo(&lab, saga).await;
    let failed = tasks_of(&lab, saga).await.pop().expect("the one that failed");
    assert_eq!(number_of(&failed), number);
    let other = Input::CompensationRetried { number: number + 100 };
    refused(bring(&lab, saga, other).await);

    let advanced = taken(bring(&lab, saga, Input::CompensationRetried { number }).await);
    assert_eq!(advanced.saga.instance.status(), SagaStatus::Compensating);
    let again = tasks_of(&lab, saga).await.pop().expect("another one");
    assert_ne!(again.spec.id, failed.spec.id);
    assert_eq!(
        (again.spec.saga, &again.spec.input),
        (failed.spec.saga, &failed.spec.input)
    );
    let advanced = work(&lab, saga, for_good()).await;
    assert_eq!(advanced.saga.instance.status(), SagaStatus::CompensationStuck);

    taken(bring(&lab, saga, Input::CompensationSkipped { number }).await);
    assert_eq!(live_tasks(&lab, saga).await, ["\"refund\""]);
    let advanced = work(&lab, saga, Ending::Success).await;
    assert_at(&advanced.saga.instance, "Failed", SagaStatus::Failed);
}

/// The first task runs, and the second waits.
async fn two(lab: &Lab) -> (SagaId, orchestratum_store::ClaimedTask) {
    define(lab, TWO).await;
    let saga = start(lab, "two", "t-1").await;
    let worker = lab.echo_worker().await;
    let running = lab.claim_one(worker).await;
    assert_eq!(running.input.as_str(), "\"first\"");
    (saga, running)
}

pub(crate) async fn tasks_that_run_and_tasks_that_wait_are_cancelled_before_anything_is_undone(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let (saga, running) = two(&lab).await;
    let advanced = taken(bring(&lab, saga, Input::CancelRequested).await);
    assert_eq!(advanced.saga.instance.status(), SagaStatus::Compensating);
    let mut told: Vec<TaskStatus> = advanced
        .consequences
        .cancelled
        .iter()
        .map(|changed| changed.life.status())
        .collect();
    told.sort_unstable_by_key(|status| status.code());
    assert_eq!(told, [TaskStatus::InProgress, TaskStatus::Cancelled]);
    assert_eq!(
        advanced.consequences.unlooked,
        [saga],
        "the one that waited is over at once"
    );
    look_at_all(&lab).await;
    assert_eq!(live_tasks(&lab, saga).await, ["\"first\""], "its worker is to kill it");
    lab.end(&running, killed()).await;
    let advanced = look(&lab, saga).await;
    assert_eq!(advanced.saga.instance.status(), SagaStatus::Compensating);
    assert_eq!(live_tasks(&lab, saga).await, ["\"undo\""], "it may have done something");
    let advanced = work(&lab, saga, Ending::Success).await;
    assert_eq!(advanced.saga.instance.status(), SagaStatus::Cancelled);
    assert_eq!(
        refused(bring(&lab, saga, Input::CancelRequested).await),
        "the saga is over"
    );
}

pub(crate) async fn a_saga_that_ends_waits_for_its_tasks(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let (saga, running) = two(&lab).await;
    let advanced = raise(&lab, saga, "enough").await;
    assert_at(&advanced.saga.instance, "Completed", SagaStatus::Running);
    look_at_all(&lab).await;
    assert_stands(&lab, saga, "Completed", SagaStatus::Running).await;
    // A success before the kill is one.
    lab.end(&running, Ending::Success).await;
    let advanced = look(&lab, saga).await;
    assert_at(&advanced.saga.instance, "Completed", SagaStatus::Completed);
    assert_eq!(live_tasks(&lab, saga).await, [""; 0]);
}

pub(crate) async fn a_task_that_is_issued_and_cancelled_in_one_look_is_over(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let text = ORDER.replace(
        "      unreserved: {compensate: true, target: Failed}",
        "      unreserved: {compensate: true, target: Failed}\n      shipped: {target: Completed}",
    );
    define(&lab, &text).await;
    let saga = start(&lab, "order", "o-1").await;
    let task = claim_of(&lab, saga).await;
    lab.end(&task, Ending::Success).await;
    // What has arrived issues a task, and what is brought ends the saga.
    let advanced = raise(&lab, saga, "shipped").await;
    assert_at(&advanced.saga.instance, "Completed", SagaStatus::Running);
    assert_eq!(advanced.consequences.cancelled.len(), 1);
    assert_eq!(tasks_of(&lab, saga).await[1].life.status(), TaskStatus::Cancelled);
    look_at_all(&lab).await;
    assert_stands(&lab, saga, "Completed", SagaStatus::Completed).await;
}

pub(crate) async fn a_task_of_a_saga_is_not_retried_by_hand(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    define(&lab, ORDER).await;
    let saga = start(&lab, "order", "o-1").await;
    work(&lab, saga, for_good()).await;
    assert_stands(&lab, saga, "Failed", SagaStatus::Failed).await;
    let task = tasks_of(&lab, saga).await[0].spec.id;
    let retried = lab
        .apply(Change::new(task, TaskEvent::RetryRequested { ttl: SECOND * 60 }))
        .await;
    let ChangeOutcome::Refused { refusal, status } = retried else {
        panic!("{retried:?}")
    };
    assert_eq!(status, TaskStatus::Failed);
    assert!(refusal.to_string().contains("saga"), "{refusal}");
    assert_eq!(lab.status(task).await, TaskStatus::Failed);
    assert_eq!(unlooked(&lab).await, []);
}

pub(crate) async fn a_task_that_is_like_another_one_is_not_made_and_the_saga_is_told(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let there = lab.task_of(unique("[\"name\"]"));
    let there = (there.spec.id, admitted(&lab, vec![there]).await).0;
    let text = ORDER.replace(
        "{name: echo, input: pay,",
        "{name: echo, unique: {by: [name]}, input: pay,",
    );
    define(&lab, &text).await;
    let advanced = started(start_all(&lab, &[new_saga(&lab, "order", "o-1")]).await.remove(0));
    let saga = advanced.saga.id;
    assert_eq!(
        (advanced.consequences.issued, advanced.consequences.unlooked),
        (0, vec![saga])
    );
    assert_eq!(tasks_of(&lab, saga).await, []);
    let advanced = look(&lab, saga).await;
    assert_at(&advanced.saga.instance, "Failed", SagaStatus::Failed);
    let error = history(&lab, saga).await[1].error.clone().expect("it says why");
    assert!(error.as_str().contains(&there.to_string()), "{error:?}");
}

pub(crate) async fn a_task_for_later_is_told_with_its_time(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    define(&lab, TWO).await;
    let advanced = started(start_all(&lab, &[new_saga(&lab, "two", "t-1")]).await.remove(0));
    let consequences = advanced.consequences;
    assert_eq!((consequences.issued, consequences.ready.len()), (2, 1));
    assert_eq!(consequences.next_due, Some(lab.now + SECOND * 60));
    assert_eq!(consequences.next_timer, None);
}

pub(crate) async fn a_report_that_is_repeated_tells_whose_task_is_over(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    define(&lab, &ORDER.replace("input: pay,", "input: pay, max_retries: 1,")).await;
    let saga = start(&lab, "order", "o-1").await;
    let failed = Ending::Failed {
        message: "once more".to_owned(),
        retryable: true,
        code: None,
    };
    let task = claim_of(&lab, saga).await;
    lab.end(&task, failed.clone()).await;
    assert_eq!(
        lab.apply(report(&task, failed)).await,
        ChangeOutcome::AlreadyReported { saga: None },
        "it waits for another attempt"
    );
    let saga = start(&lab, "order", "o-2").await;
    let task = claim_of(&lab, saga).await;
    lab.apply(success(&task, "1")).await;
    for _ in 0..2 {
        let again = lab.apply(success(&task, "1")).await;
        assert_eq!(again, ChangeOutcome::AlreadyReported { saga: Some(saga) });
        look(&lab, saga).await;
    }
    assert_stands(&lab, saga, "Reserving", SagaStatus::Running).await;
}
