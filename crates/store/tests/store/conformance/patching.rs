//! Changes by a caller.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use orchestratum_core::task::{Backoff, Ending, SpecLimits, TaskDraft, TaskEvent, TaskPatch, TaskState, TaskStatus};
use orchestratum_core::{JsonText, TaskId};

use super::lab::{Lab, SECOND, draft, failure, name, retries, target};
use orchestratum_store::{Change, ChangeOutcome, Changed, ClaimRequest, Store};

fn patch(lab: &Lab, task: TaskId, patch: TaskPatch) -> Change {
    let checked = patch
        .check(&name("echo"), &SpecLimits::default(), lab.now)
        .expect("meets the rules");
    Change {
        patch: Some(checked.clone()),
        ..Change::new(task, TaskEvent::Patched(checked.life))
    }
}

async fn patched(lab: &Lab, task: TaskId, changes: TaskPatch) -> Changed {
    super::lab::done(lab.apply(patch(lab, task, changes)).await)
}

fn json(text: &str) -> JsonText {
    JsonText::new(text.to_owned()).expect("JSON")
}

pub(crate) async fn everything_that_may_change_of_a_pending_task_changes(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    let id = lab.create(draft("echo")).await;
    lab.advance(SECOND);
    let labels = BTreeMap::from([("team".to_owned(), "billing".to_owned())]);
    let scheduled_at = lab.now + SECOND * 5;
    let changes = TaskPatch {
        description: Some(Some("why".to_owned())),
        labels: Some(labels.clone()),
        priority: Some(9),
        input: Some(json("[1]")),
        target: Some("gpu".to_owned()),
        ttl_seconds: Some(60.0),
        timeout_seconds: Some(Some(2.5)),
        max_retries: Some(4),
        scheduled_at: Some(scheduled_at),
        limits: Some(Some(json(r#"{"memory_mb":64}"#))),
    };
    let changed = patched(&lab, id, changes).await;
    assert_eq!(changed.target, target("gpu"));
    let task = lab.assert_reads_as(&changed).await;
    assert_eq!(task.spec.description.as_deref(), Some("why"));
    assert_eq!(task.spec.labels, labels);
    assert_eq!(task.spec.priority, 9);
    assert_eq!(task.spec.input.as_str(), "[1]");
    assert_eq!(task.spec.ttl, SECOND * 60);
    assert_eq!(task.spec.timeout, Some(Duration::from_millis(2_500)));
    assert_eq!(task.spec.limits, Some(json(r#"{"memory_mb":64}"#)));
    assert_eq!((task.spec.policy.max_retries, task.life.retries_left), (4, 4));
    assert_eq!(task.life.state, TaskState::Pending { due_at: scheduled_at });
    assert_eq!(task.life.expires_at, scheduled_at + SECOND * 60);
    assert_eq!(task.life.version, 2);
}

pub(crate) async fn a_field_that_is_not_named_stays(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let new = lab.task_of(TaskDraft {
        description: Some("old".to_owned()),
        labels: BTreeMap::from([("a".to_owned(), "b".to_owned())]),
        timeout_seconds: Some(1.0),
        priority: Some(3),
        limits: Some(json(r#"{"cpu_seconds":5}"#)),
        ..draft("echo")
    });
    let spec = new.spec.clone();
    let id = lab.create_new(new).await;
    let changed = patched(&lab, id, TaskPatch::default()).await;
    assert_eq!(lab.assert_reads_as(&changed).await.spec, spec);
    let labels = Some(BTreeMap::new());
    let changed = patched(
        &lab,
        id,
        TaskPatch {
            labels,
            ..TaskPatch::default()
        },
    )
    .await;
    let task = lab.assert_reads_as(&changed).await;
    assert_eq!(task.spec.labels, BTreeMap::new());
    assert_eq!(task.spec.description, spec.description);
}

pub(crate) async fn a_description_a_timeout_and_limits_can_be_removed(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let id = lab
        .create(TaskDraft {
            description: Some("old".to_owned()),
            timeout_seconds: Some(1.0),
            limits: Some(json(r#"{"memory_mb":64}"#)),
            ..draft("echo")
        })
        .await;
    let changes = TaskPatch {
        description: Some(None),
        timeout_seconds: Some(None),
        limits: Some(None),
        ..TaskPatch::default()
    };
    let changed = patched(&lab, id, changes).await;
    let task = lab.assert_reads_as(&changed).await;
    assert_eq!(
        (task.spec.description, task.spec.timeout, task.spec.limits),
        (None, None, None)
    );
}

pub(crate) async fn a_pending_task_that_is_moved_is_claimed_at_its_new_target(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let id = lab.create(draft("echo")).await;
    let changes = TaskPatch {
        target: Some("gpu".to_owned()),
        ..TaskPatch::default()
    };
    patched(&lab, id, changes).await;
    let worker = lab.worker(&["default", "gpu"], &["echo"]).await;
    assert!(lab.claim(worker).await.is_empty());
    let there = ClaimRequest {
        targets: vec![target("gpu")],
        ..lab.request(worker)
    };
    assert_eq!(lab.claimed_ids(&there).await, [id]);
}

pub(crate) async fn a_task_put_off_is_delayed_and_one_put_forward_is_ready(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let id = lab.create(draft("echo")).await;
    let worker = lab.echo_worker().await;
    let at = |time| TaskPatch {
        scheduled_at: Some(time),
        ..TaskPatch::default()
    };
    let changed = patched(&lab, id, at(lab.now + SECOND)).await;
    lab.assert_reads_as(&changed).await;
    assert!(lab.claim(worker).await.is_empty());
    let changed = patched(&lab, id, at(lab.now)).await;
    lab.assert_reads_as(&changed).await;
    assert_eq!(lab.claim_one(worker).await.id, id);
}

pub(crate) async fn a_running_task_takes_a_new_time_to_live_only(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let claimed = lab.running(draft("echo")).await;
    let allowed = TaskPatch {
        description: Some(Some("running".to_owned())),
        ttl_seconds: Some(5.0),
        ..TaskPatch::default()
    };
    let changed = patched(&lab, claimed.id, allowed).await;
    let task = lab.assert_reads_as(&changed).await;
    assert_eq!(task.life.expires_at, lab.now + SECOND * 5);
    assert_eq!(task.spec.ttl, SECOND * 5);
    assert_eq!(task.spec.description.as_deref(), Some("running"));
    let refused = TaskPatch {
        priority: Some(1),
        ..TaskPatch::default()
    };
    let outcome = lab.apply(patch(&lab, claimed.id, refused)).await;
    assert!(matches!(outcome, ChangeOutcome::Refused { .. }), "{outcome:?}");
    assert_eq!(lab.task(claimed.id).await, task);
}

pub(crate) async fn a_finished_task_cannot_be_patched(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let id = lab.finished(draft("echo")).await;
    let changes = TaskPatch {
        description: Some(Some("late".to_owned())),
        ..TaskPatch::default()
    };
    let outcome = lab.apply(patch(&lab, id, changes)).await;
    assert!(
        matches!(
            outcome,
            ChangeOutcome::Refused {
                status: TaskStatus::Completed,
                ..
            }
        ),
        "{outcome:?}"
    );
    assert_eq!(lab.task(id).await.spec.description, None);
}

pub(crate) async fn more_retries_count_for_the_next_run_too(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let id = lab.create_with(draft("echo"), retries(0, Backoff::None)).await;
    let changes = TaskPatch {
        max_retries: Some(1),
        ..TaskPatch::default()
    };
    patched(&lab, id, changes).await;
    let worker = lab.echo_worker().await;
    for run in 1..=2 {
        for _ in 0..2 {
            let claimed = lab.claim_one(worker).await;
            assert_eq!(claimed.run, run);
            lab.end(&claimed, failure()).await;
        }
        assert_eq!(lab.status(id).await, TaskStatus::Failed);
        lab.put(id, TaskEvent::RetryRequested { ttl: SECOND }).await;
    }
}

pub(crate) async fn a_retry_with_edits_runs_what_was_edited(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let claimed = lab.running(draft("echo")).await;
    lab.end(
        &claimed,
        Ending::Cancelled {
            message: "by hand".to_owned(),
        },
    )
    .await;
    let edits = TaskPatch {
        input: Some(json("[2]")),
        target: Some("gpu".to_owned()),
        timeout_seconds: Some(Some(3.0)),
        limits: Some(Some(json(r#"{"memory_mb":512}"#))),
        ..TaskPatch::default()
    };
    let change = Change {
        patch: Some(
            edits
                .check(&name("echo"), &SpecLimits::default(), lab.now)
                .expect("meets the rules"),
        ),
        ..Change::new(claimed.id, TaskEvent::RetryRequested { ttl: SECOND * 9 })
    };
    let changed = super::lab::done(lab.apply(change).await);
    assert_eq!((&changed.target, changed.life.run), (&target("gpu"), 2));
    let task = lab.assert_reads_as(&changed).await;
    assert_eq!(task.spec.ttl, SECOND * 9);
    let worker = lab.worker(&["gpu"], &["echo"]).await;
    let request = ClaimRequest {
        targets: vec![target("gpu")],
        ..lab.request(worker)
    };
    let again = lab.claim_as(&request).await.remove(0);
    assert_eq!((again.input.as_str(), again.timeout), ("[2]", Some(SECOND * 3)));
    assert_eq!(again.limits, Some(json(r#"{"memory_mb":512}"#)));
    assert_eq!(task.life.state, TaskState::Pending { due_at: lab.now });
}
