//! How many tasks and sagas stand at once, and the tasks of one saga.

use std::sync::Arc;

use orchestratum_core::SagaId;
use orchestratum_core::saga::SagaStatus;
use orchestratum_core::task::{Ending, TaskStatus};
use orchestratum_store::{SagaOverview, Store, TaskFilter, TaskOverview};

use super::lab::{Lab, draft, name, target};
use super::saga_lab::{ORDER, define, definition_name, look, read, start, tasks_of, waiting_order};

pub(crate) async fn tasks_and_sagas_are_told_without_their_texts(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let running = lab.running(draft("echo")).await;
    let task = lab.task(running.id).await;
    let told = lab.store.task_overviews(&[running.id, lab.id()]).await.expect("works");
    let overview = TaskOverview {
        task: running.id,
        name: name("echo"),
        target: target("default"),
        status: TaskStatus::InProgress,
        run: 1,
        attempt: 1,
        saga: None,
        version: task.life.version,
    };
    assert_eq!(told, [overview], "what is not there is left out");
    define(&lab, ORDER).await;
    let saga = start(&lab, "order", "o-1").await;
    let found = read(&lab, saga).await;
    let told = lab
        .store
        .saga_overviews(&[SagaId(lab.id().0), saga])
        .await
        .expect("works");
    let overview = SagaOverview {
        saga,
        definition: definition_name("order"),
        correlation_id: "o-1".to_owned(),
        status: SagaStatus::Running,
        state: found.instance.state.clone(),
        version: found.instance.version,
    };
    assert_eq!(told, [overview]);
    let issued = &tasks_of(&lab, saga).await[0];
    let told = lab.store.task_overviews(&[issued.spec.id]).await.expect("works");
    assert_eq!(told[0].saga, Some(saga));
    assert_eq!(lab.store.task_overviews(&[]).await.expect("works"), []);
    assert_eq!(lab.store.saga_overviews(&[]).await.expect("works"), []);
}

const MANY: &str = "
name: many
initial: Initial
states:
  Initial:
    on:
      start:
        tasks:
          - {name: echo, input: first, raises: {success: done, failure: failed}}
          - {name: echo, input: second, delay_seconds: 60, raises: {success: done, failure: failed}}
          - {name: echo, input: third, delay_seconds: 60, raises: {success: done, failure: failed}}
        target: Working
  Working: {on: {done: {}, failed: {}, enough: {target: Completed}}}
  Completed: {final: true}
";

pub(crate) async fn the_tasks_of_a_saga_are_listed_and_the_live_ones_told(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    define(&lab, ORDER).await;
    define(&lab, MANY).await;
    let waiting = waiting_order(&lab, "o-1").await;
    let many = start(&lab, "many", "m-1").await;
    let live = lab.store.live_saga_tasks(&[waiting, many], 2).await.expect("works");
    let told: Vec<_> = live
        .iter()
        .map(|task| (task.saga, task.number, task.status, task.undoes))
        .collect();
    let numbers: Vec<u32> = tasks_of(&lab, many)
        .await
        .iter()
        .filter_map(|task| task.spec.saga)
        .map(|place| place.number)
        .collect();
    let pending = TaskStatus::Pending;
    assert_eq!(
        told,
        [(many, numbers[0], pending, false), (many, numbers[1], pending, false)],
        "two of each, and one has none"
    );
    // The others are for later.
    let worker = lab.echo_worker().await;
    let first = lab.claim_one(worker).await;
    lab.end(&first, Ending::Success).await;
    look(&lab, many).await;
    lab.create(draft("echo")).await;
    let live = lab.store.live_saga_tasks(&[many], 10).await.expect("works");
    assert_eq!(live.iter().map(|task| task.number).collect::<Vec<_>>(), numbers[1..]);
    assert_eq!((&live[0].name, &live[0].target), (&name("echo"), &target("default")));

    for saga in [waiting, many] {
        let filter = TaskFilter {
            saga_id: Some(saga),
            ..TaskFilter::default()
        };
        let page = lab.store.list(&filter, None, 100).await.expect("works");
        let mut expected: Vec<_> = tasks_of(&lab, saga).await.iter().map(|task| task.spec.id).collect();
        expected.sort_unstable();
        expected.reverse();
        assert_eq!(
            page.items.iter().map(|task| task.spec.id).collect::<Vec<_>>(),
            expected,
            "newest first"
        );
        assert!(!page.truncated, "there is an index");
        let first = lab.store.list(&filter, None, 1).await.expect("works");
        let rest = lab.store.list(&filter, first.next, 100).await.expect("works");
        assert_eq!(first.items.len() + rest.items.len(), expected.len());
    }
}
