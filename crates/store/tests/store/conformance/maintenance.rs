//! The schema, retention, deleting, signals.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use orchestratum_core::TaskId;
use orchestratum_core::task::{Backoff, Ending, TaskStatus};

use super::lab::{LEASE, Lab, SECOND, audit, draft, evidence, failure, report, retries};
use orchestratum_store::{Change, CreateOutcome, DeleteOutcome, IdempotencyKey, RecordsBefore, Store, TaskLogs};

/// How long a signal may take before the test gives up: a bound, not a wait.
const SIGNAL_DEADLINE: Duration = Duration::from_secs(10);

/// A task that is over and left everything a task can leave.
async fn with_all_it_left(lab: &Lab) -> TaskId {
    let claimed = lab.running(draft("echo")).await;
    let change = Change {
        evidence: evidence("1"),
        ..report(&claimed, Ending::Success)
    };
    super::lab::done(lab.apply(change).await);
    claimed.id
}

async fn assert_gone(lab: &Lab, task: TaskId) {
    assert_eq!(lab.store.task(task).await.expect("works"), None);
    assert_eq!(lab.attempts(task).await, []);
    assert_eq!(
        lab.store.logs(task, None, None).await.expect("works"),
        TaskLogs::default()
    );
}

pub(crate) async fn migrating_again_changes_nothing(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let id = lab.create(draft("echo")).await;
    let before = lab.task(id).await;
    lab.store.migrate().await.expect("works");
    assert_eq!(lab.task(id).await, before);
}

pub(crate) async fn two_migrators_at_once_both_succeed(store: Arc<dyn Store>) {
    let race = (0..4).map(|_| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.migrate().await })
    });
    for migrated in futures::future::join_all(race.collect::<Vec<_>>()).await {
        migrated.expect("no panic").expect("works");
    }
    store.check_schema().await.expect("works");
}

pub(crate) async fn the_schema_is_the_one_this_program_needs(store: Arc<dyn Store>) {
    store.check_schema().await.expect("it was just migrated");
}

pub(crate) async fn the_time_of_the_database_moves_on(store: Arc<dyn Store>) {
    let first = store.database_time().await.expect("works");
    let deadline = tokio::time::Instant::now() + SIGNAL_DEADLINE;
    while store.database_time().await.expect("works") == first {
        assert!(tokio::time::Instant::now() < deadline, "it stands still at {first}");
    }
    assert!(store.database_time().await.expect("works") > first);
    assert!(first > super::lab::START, "it is not before this was written");
}

pub(crate) async fn purging_takes_tasks_that_finished_long_ago_with_all_they_left(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    let old = with_all_it_left(&lab).await;
    let old_and_pending = lab.create(draft("resize")).await;
    lab.advance(SECOND);
    let before = lab.now;
    let young = with_all_it_left(&lab).await;
    assert_eq!(lab.store.purge_finished(before, 100).await.expect("works"), 1);
    assert_gone(&lab, old).await;
    assert_eq!(lab.status(old_and_pending).await, TaskStatus::Pending);
    assert_eq!(lab.status(young).await, TaskStatus::Completed);
    assert_eq!(lab.store.purge_finished(before, 100).await.expect("works"), 0);
}

pub(crate) async fn purging_stops_at_its_limit(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    for _ in 0..3 {
        lab.finished(draft("echo")).await;
    }
    lab.advance(SECOND);
    for expected in [2, 1, 0] {
        assert_eq!(lab.store.purge_finished(lab.now, 2).await.expect("works"), expected);
    }
}

pub(crate) async fn purging_leaves_a_chosen_id_that_lies_ahead_until_its_time_comes(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    let day = SECOND * 86_400;
    let mut task = lab.task_of(draft("echo"));
    lab.advance(day);
    task.spec.id = lab.id();
    lab.now = super::lab::START;
    let id = lab.create_new(task).await;
    let worker = lab.echo_worker().await;
    let claimed = lab.claim_one(worker).await;
    lab.end(&claimed, Ending::Success).await;
    lab.advance(SECOND);
    assert_eq!(lab.store.purge_finished(lab.now, 100).await.expect("works"), 0);
    lab.advance(day);
    assert_eq!(lab.store.purge_finished(lab.now, 100).await.expect("works"), 1);
    assert_gone(&lab, id).await;
}

pub(crate) async fn purging_records_takes_old_keys_and_gone_workers(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    let key = || IdempotencyKey {
        scope: "caller".to_owned(),
        key: "k".to_owned(),
        body_hash: [1; 32],
    };
    lab.try_create(vec![lab.task_of(draft("resize"))], Some(key())).await;
    let gone = lab.echo_worker().await;
    let holding = lab.echo_worker().await;
    lab.create(draft("echo")).await;
    lab.claim_one(holding).await;
    lab.advance(LEASE);
    let live = lab.echo_worker().await;
    lab.store.mark_dead(lab.now).await.expect("works");
    lab.advance(SECOND);
    assert_eq!(
        lab.store
            .purge_records(&RecordsBefore::all(lab.now), 100)
            .await
            .expect("works"),
        2,
        "the key and the worker that holds nothing"
    );
    let left: Vec<_> = lab.store.workers(10).await.expect("works");
    let left: Vec<_> = left.into_iter().map(|worker| worker.registration.id).collect();
    assert_eq!(left, [live, holding], "and not {gone}");
    let outcome = lab.try_create(vec![lab.task_of(draft("resize"))], Some(key())).await;
    assert_eq!(outcome, CreateOutcome::Created, "the key can be used anew");
}

pub(crate) async fn clocks_that_differ_a_little_break_no_rule(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    let id = lab.create_with(draft("echo"), retries(1, Backoff::None)).await;
    let worker = lab.echo_worker().await;
    let start = lab.now;
    // The claim and the report are of different processes, or of one that has asked for the time in between.
    for (behind, broken) in [(Duration::from_millis(300), 0), (SECOND * 2, 1)] {
        lab.now = start;
        let claimed = lab.claim_one(worker).await;
        lab.now = start - behind;
        lab.end(&claimed, failure()).await;
        let found = lab.store.broken_invariants(start, 10).await.expect("works");
        assert_eq!(found.len(), broken, "{behind:?}: {found:?}");
    }
    let deleted = lab.store.delete(id, &audit("delete"), start).await.expect("works");
    assert_eq!(deleted, DeleteOutcome::Deleted);
}

pub(crate) async fn deleting_a_task_takes_all_it_left(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let id = with_all_it_left(&lab).await;
    let other = with_all_it_left(&lab).await;
    let deleted = lab.store.delete(id, &audit("delete"), lab.now).await.expect("works");
    assert_eq!(deleted, DeleteOutcome::Deleted);
    assert_gone(&lab, id).await;
    assert_eq!(lab.attempts(other).await.len(), 1);
    let again = lab.store.delete(id, &audit("delete"), lab.now).await.expect("works");
    assert_eq!(again, DeleteOutcome::NotFound);
    let after = lab.now + SECOND;
    assert_eq!(
        lab.store
            .purge_records(&RecordsBefore::all(after), 100)
            .await
            .expect("works"),
        1,
        "the audit of a task outlives it"
    );
}

pub(crate) async fn a_task_that_is_not_over_is_not_deleted(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let running = lab.running(draft("echo")).await.id;
    let pending = lab.create(draft("echo")).await;
    for (id, status) in [(running, TaskStatus::InProgress), (pending, TaskStatus::Pending)] {
        let outcome = lab.store.delete(id, &audit("delete"), lab.now).await.expect("works");
        assert_eq!(outcome, DeleteOutcome::NotTerminal { status });
        assert_eq!(lab.status(id).await, status);
    }
}

pub(crate) async fn an_unknown_task_is_not_deleted(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let outcome = lab
        .store
        .delete(lab.id(), &audit("delete"), lab.now)
        .await
        .expect("works");
    assert_eq!(outcome, DeleteOutcome::NotFound);
}

pub(crate) async fn a_signal_reaches_everyone_who_listens(store: Arc<dyn Store>) {
    let payload = r#"{"task": "ü ' \" \n"}"#;
    let mut listeners = [
        store.signals().await.expect("works"),
        store.signals().await.expect("works"),
    ];
    store.signal(payload).await.expect("works");
    store.signal("second").await.expect("works");
    for listener in &mut listeners {
        for expected in [payload, "second"] {
            let heard = tokio::time::timeout(SIGNAL_DEADLINE, listener.next()).await;
            assert_eq!(heard.expect("in time").as_deref(), Some(expected));
        }
    }
}

pub(crate) async fn a_signal_without_listeners_is_fine(store: Arc<dyn Store>) {
    store.signal("nobody").await.expect("works");
}
