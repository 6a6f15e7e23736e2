//! Tasks that are made only once.

use std::sync::Arc;

use futures::future::join_all;
use orchestratum_core::task::{ConditionsDraft, Ending, FollowUps, TaskDraft, TaskEvent, UniqueDraft};
use orchestratum_core::{JsonText, TaskId};
use orchestratum_store::{Admission, CreateOutcome, IdempotencyKey, MissingCause, NewTask, Store};

use super::lab::{Lab, SECOND, audit, draft};
use super::limiting::{admitted, ids};

/// A task that is made once.
pub(super) fn unique(by: &str) -> TaskDraft {
    TaskDraft {
        conditions: ConditionsDraft {
            unique: Some(UniqueDraft {
                by: JsonText::new(by).expect("JSON"),
                within_seconds: None,
                states: None,
            }),
            ..ConditionsDraft::default()
        },
        ..draft("echo")
    }
}

fn of(input: &str, within_seconds: Option<f64>, states: Option<&[&str]>) -> TaskDraft {
    let mut draft = unique(r#"["name", "input"]"#);
    draft.input = Some(JsonText::new(input).expect("JSON"));
    if let Some(unique) = &mut draft.conditions.unique {
        unique.within_seconds = within_seconds;
        unique.states = states.map(|states| states.iter().map(ToString::to_string).collect());
    }
    draft
}

/// The task that is there in the end, and whether it was there before.
async fn make(lab: &Lab, draft: TaskDraft) -> (TaskId, bool) {
    let task = lab.task_of(draft);
    let id = task.spec.id;
    let Admission { met, .. } = admitted(lab, vec![task]).await;
    match met.as_slice() {
        [] => (id, false),
        [(0, there)] => {
            assert_eq!(
                lab.store.task(id).await.expect("the store works"),
                None,
                "it is not made"
            );
            (*there, true)
        }
        _ => panic!("one task meets one at most: {met:?}"),
    }
}

pub(crate) async fn a_task_like_one_that_is_there_is_not_made(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let (first, was_there) = make(&lab, of(r#"{"a": 1, "b": [2]}"#, None, None)).await;
    assert!(!was_there);
    assert_eq!(make(&lab, of(r#"{ "b":[2], "a":1 }"#, None, None)).await, (first, true));
    let (other, was_there) = make(&lab, of(r#"{"a": 1, "b": [3]}"#, None, None)).await;
    assert!(!was_there && other != first);
    let worker = lab.echo_worker().await;
    let running = lab.claim(worker).await;
    assert_eq!(running.len(), 2, "they are ready like any task");
    assert_eq!(
        make(&lab, of(r#"{"a": 1, "b": [2]}"#, None, None)).await,
        (first, true),
        "it runs"
    );
    for task in &running {
        lab.end(task, Ending::Success).await;
    }
    assert!(
        !make(&lab, of(r#"{"a": 1, "b": [2]}"#, None, None)).await.1,
        "it is over"
    );
}

pub(crate) async fn only_certain_statuses_and_ages_count(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    let daily = || of("1", Some(60.0), Some(&["Pending", "InProgress", "Completed"]));
    let (first, _) = make(&lab, daily()).await;
    let worker = lab.echo_worker().await;
    let running = lab.claim_one(worker).await;
    lab.end(&running, Ending::Success).await;
    lab.advance(59 * SECOND);
    assert_eq!(
        make(&lab, daily()).await,
        (first, true),
        "it was completed a minute ago"
    );
    assert!(
        !make(&lab, of("1", None, None)).await.1,
        "another one asks for those that go on alone"
    );
    lab.advance(61 * SECOND);
    let (third, was_there) = make(&lab, daily()).await;
    assert!(!was_there, "too long ago");
    lab.put(third, TaskEvent::CancelRequested { reason: None }).await;
    assert!(!make(&lab, daily()).await.1, "a cancelled one counts for nothing");
}

pub(crate) async fn a_batch_meets_what_is_there_and_itself(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let (there, _) = make(&lab, of("1", None, None)).await;
    let tasks: Vec<NewTask> = ["2", "1", "2", "3"]
        .map(|input| lab.task_of(of(input, None, None)))
        .into_iter()
        .chain([lab.task_of(draft("echo"))])
        .collect();
    let all: Vec<TaskId> = tasks.iter().map(|task| task.spec.id).collect();
    let Admission { met, ready } = admitted(&lab, tasks).await;
    assert_eq!(met, [(1, there), (2, all[0])]);
    assert_eq!(ids(&ready), [], "what asks for nothing is announced by its caller");
    let made = lab.store.tasks(&all).await.expect("the store works");
    let made: Vec<TaskId> = made.into_iter().map(|task| task.spec.id).collect();
    assert_eq!(made, [all[0], all[3], all[4]]);
}

pub(crate) async fn of_many_at_once_one_is_made(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let calls = (0..16).map(|_| make(&lab, of("1", None, None)));
    let made = join_all(calls).await;
    let (first, _) = made[0];
    assert!(made.iter().all(|(id, _)| *id == first), "{made:?}");
    assert_eq!(made.iter().filter(|(_, was_there)| !was_there).count(), 1);
}

pub(crate) async fn a_repeated_key_answers_what_was_met(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let (there, _) = make(&lab, of("1", None, None)).await;
    let key = || {
        Some(IdempotencyKey {
            scope: "one".to_owned(),
            key: "k".to_owned(),
            body_hash: [1; 32],
        })
    };
    let outcome = lab.try_create(vec![lab.task_of(of("1", None, None))], key()).await;
    let expected = Admission {
        met: vec![(0, there)],
        ready: Vec::new(),
    };
    assert_eq!(outcome, CreateOutcome::Admitted(expected));
    let again = lab.try_create(vec![lab.task_of(of("1", None, None))], key()).await;
    assert_eq!(again, CreateOutcome::Replayed { ids: vec![there] });
}

pub(crate) async fn a_follow_up_that_meets_a_task_is_recorded_as_missing(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let (there, _) = make(&lab, of("\"report\"", None, None)).await;
    let text = r#"{"on_success": [
        {"name": "echo", "input": "report", "unique": {"by": ["name", "input"]}},
        {"name": "echo", "input": "other", "unique": {"by": ["name", "input"]}}]}"#;
    let parent = TaskDraft {
        follow_ups: FollowUps::from_stored(text).expect("lists"),
        ..draft("echo")
    };
    let running = lab.running_beside(parent).await;
    let changed = lab.end(&running, Ending::Success).await;
    let [missing] = changed.followed.missing.as_slice() else {
        panic!("one meets, not {:?}", changed.followed);
    };
    assert_eq!((missing.cause, missing.place.index), (MissingCause::Met, 0));
    assert_eq!(missing.reason, format!("task {there} is like it"));
    assert_eq!(changed.followed.tasks.len(), 1);
    let children = lab.store.children(&[running.id], 10, 1 << 20).await.expect("works");
    assert_eq!(children.missing, changed.followed.missing);
    assert_eq!(children.tasks.len(), 1);
}

pub(crate) async fn what_is_deleted_is_met_by_nobody(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    let ever = || of("1", None, Some(&["Cancelled", "Pending"]));
    let (first, _) = make(&lab, ever()).await;
    lab.put(first, TaskEvent::CancelRequested { reason: None }).await;
    assert_eq!(make(&lab, ever()).await, (first, true));
    lab.store
        .delete(first, &audit("delete"), lab.now)
        .await
        .expect("the store works");
    let (second, was_there) = make(&lab, ever()).await;
    assert!(!was_there);
    lab.put(second, TaskEvent::CancelRequested { reason: None }).await;
    lab.advance(86_400 * 30 * SECOND);
    assert_eq!(lab.store.purge_finished(lab.now, 10).await.expect("works"), 1);
    assert!(!make(&lab, ever()).await.1);
}
