//! A worker goes on with the next task of the saga of which it has ended one, and nobody claims that.

use orchestratum_core::saga::{DefinitionName, SagaStatus};
use orchestratum_core::task::AttemptOutcome;
use orchestratum_core::{JsonText, Origin, SagaId};
use orchestratum_engine::sagas::StartSaga;
use orchestratum_store::{Task, TaskFilter};
use tokio::time::{Duration, Instant, sleep};

use crate::support::{BOUND, Bench, OPEN};

/// Three programs, one after the other; the second runs for longer than a lease.
const STEPS: &str = "
name: steps
initial: Initial
states:
  Initial:
    on:
      start:
        tasks: [{name: shell, input: {command: echo one}, raises: {success: first, failure: failed}}]
        target: First
  First:
    on:
      first:
        tasks: [{name: shell, input: {command: SECOND}, raises: {success: second, failure: failed}}]
        target: Second
      failed: {target: Failed}
  Second:
    on:
      second:
        tasks: [{name: shell, input: {command: echo three}, raises: {success: third, failure: failed}}]
        target: Third
      failed: {target: Failed}
  Third:
    on:
      third: {target: Completed}
      failed: {target: Failed}
  Completed: {final: true}
  Failed: {final: failed}
";

async fn start(bench: &Bench, second: &str) -> SagaId {
    let name = DefinitionName::new("steps").expect("a name");
    let text = STEPS.replace("SECOND", second);
    let defined = bench.engine.put_definition(&name, text, None).await;
    assert!(defined.expect("it has no fault").is_new);
    let request = StartSaga {
        definition: name,
        version: None,
        correlation_id: None,
        idempotency: None,
        input: JsonText::null(),
        origin: Origin::default(),
        actor: None,
    };
    bench
        .engine
        .start_saga(request)
        .await
        .expect("it starts")
        .into_saga()
        .id
}

/// Waits for the end of the saga, and returns its tasks in their order.
async fn completed(bench: &Bench, saga: SagaId) -> Vec<Task> {
    let begun = Instant::now();
    loop {
        let found = bench.engine.saga(saga).await.expect("it is there");
        if found.instance.status() == SagaStatus::Completed {
            break;
        }
        assert!(begun.elapsed() < BOUND, "{found:?}");
        sleep(Duration::from_millis(10)).await;
    }
    let page = bench.engine.store().list(&TaskFilter::default(), None, 10).await;
    let mut tasks = page.expect("they are read").items;
    tasks.sort_unstable_by_key(|task| task.spec.saga.map(|place| place.number));
    let now = bench.engine.clock().now();
    let broken = bench.engine.store().broken_invariants(now, 10).await;
    assert_eq!(broken.expect("they are looked for"), []);
    tasks
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_goes_on_with_the_next_task_of_its_saga_and_nobody_claims_that() {
    let (bench, given) = Bench::recording_on_postgres(&[OPEN]).await;
    let worker = bench.worker().await;
    let saga = start(&bench, "sleep 4; echo two").await;
    let tasks = completed(&bench, saga).await;
    let ids: Vec<_> = tasks.iter().map(|task| task.spec.id).collect();
    assert_eq!(given.claimed(), ids[..1], "only the first is claimed");
    assert_eq!(given.gone_on_with(), ids[1..]);
    for (task, said) in tasks.iter().zip(["one\n", "two\n", "three\n"]) {
        assert_eq!(bench.logs(task.spec.id).await, said);
        let attempts = bench.attempts(task.spec.id).await;
        let [attempt] = attempts.as_slice() else {
            panic!("it was neither lost nor handed back: {attempts:?}");
        };
        assert_eq!(
            (attempt.attempt, attempt.outcome, attempt.worker, attempt.exit_code),
            (1, AttemptOutcome::Success, tasks[0].worker, Some(0))
        );
        assert!(attempt.worker.is_some() && attempt.ended_at >= attempt.started_at);
    }
    worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_worker_was_given_with_a_lost_answer_is_handed_back_and_done() {
    let (bench, given) = Bench::recording_on_postgres(&[OPEN]).await;
    given.lose_the_next();
    let worker = bench.worker().await;
    let saga = start(&bench, "echo two").await;
    let tasks = completed(&bench, saga).await;
    let ids: Vec<_> = tasks.iter().map(|task| task.spec.id).collect();
    assert_eq!(given.claimed(), ids[..2], "the second waits again, and is claimed");
    assert_eq!(
        given.gone_on_with(),
        ids[1..],
        "it was given, too, and nobody heard of it"
    );
    let outcomes = bench.outcomes(ids[1]).await;
    assert_eq!(outcomes, [AttemptOutcome::Released, AttemptOutcome::Success]);
    assert_eq!(bench.logs(ids[1]).await, "two\n", "it has run once");
    for other in [ids[0], ids[2]] {
        assert_eq!(bench.outcomes(other).await, [AttemptOutcome::Success]);
    }
    worker.stopped().await;
}
