//! Rate keys: how often tasks of a key start.

use std::sync::Arc;

use orchestratum_core::TaskId;
use orchestratum_core::task::{ConditionsDraft, Ending, RateDraft, TaskDraft, TaskEvent};
use orchestratum_store::{KeyWait, NewTask, Store};

use super::lab::{Lab, SECOND, draft, failure};
use super::limiting::{admit, admitted, ids, is_blocked, keyed};

/// A task of a rate key.
pub(super) fn rated(key: &str, limit: i64, per_seconds: f64) -> TaskDraft {
    TaskDraft {
        conditions: ConditionsDraft {
            rate: Some(RateDraft {
                key: key.to_owned(),
                limit,
                per_seconds,
            }),
            ..ConditionsDraft::default()
        },
        ..draft("echo")
    }
}

async fn released(lab: &Lab) -> Vec<TaskId> {
    ids(&lab.store.release_due(lab.now, 10).await.expect("the store works"))
}

pub(crate) async fn tasks_of_a_rate_key_start_in_even_steps(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    let tasks: Vec<NewTask> = (0..5).map(|_| lab.task_of(rated("api", 2, 4.0))).collect();
    let all: Vec<TaskId> = tasks.iter().map(|task| task.spec.id).collect();
    assert_eq!(
        ids(&admitted(&lab, tasks).await.ready),
        all[..2],
        "after a rest, so many at once"
    );
    let wait = lab.store.key_wait(all[3]).await.expect("the store works");
    let expected = KeyWait::Start {
        key: "api".to_owned(),
        limit: 2,
        per: 4 * SECOND,
        opens_at: lab.now + 2 * SECOND,
        ahead: 1,
    };
    assert_eq!(wait, Some(expected));
    let pulse = lab.store.pulse(lab.now, 3 * SECOND).await.expect("the store works");
    assert_eq!(pulse.next_due_at, Some(lab.now + 2 * SECOND));
    assert_eq!(released(&lab).await, []);
    lab.advance(2 * SECOND);
    assert_eq!(released(&lab).await, [all[2]]);
    lab.advance(SECOND);
    assert_eq!(released(&lab).await, []);
    lab.advance(SECOND);
    assert_eq!(released(&lab).await, [all[3]]);
    lab.advance(60 * SECOND);
    assert_eq!(released(&lab).await, [all[4]]);
    assert!(admit(&lab, rated("api", 2, 4.0)).await.1);
    assert!(!admit(&lab, rated("api", 2, 4.0)).await.1);
    assert!(admit(&lab, rated("another", 1, 4.0)).await.1);
}

pub(crate) async fn whoever_waits_for_a_place_takes_no_start(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    let both = || {
        let mut draft = keyed("one", 1);
        draft.conditions.rate = rated("api", 1, 10.0).conditions.rate;
        draft
    };
    let (first, is_ready) = admit(&lab, both()).await;
    assert!(is_ready);
    let (second, _) = admit(&lab, both()).await;
    let (third, _) = admit(&lab, both()).await;
    assert!(matches!(
        lab.store.key_wait(second).await.expect("works"),
        Some(KeyWait::Place { .. })
    ));
    let worker = lab.echo_worker().await;
    let running = lab.claim_one(worker).await;
    assert_eq!(running.id, first);
    let changed = lab.end(&running, Ending::Success).await;
    assert_eq!(ids(&changed.admitted), [], "it has the place, and no start");
    assert!(matches!(
        lab.store.key_wait(second).await.expect("works"),
        Some(KeyWait::Start { .. })
    ));
    assert!(matches!(
        lab.store.key_wait(third).await.expect("works"),
        Some(KeyWait::Place { .. })
    ));
    lab.advance(10 * SECOND);
    assert_eq!(released(&lab).await, [second]);
    lab.put(second, TaskEvent::CancelRequested { reason: None }).await;
    lab.advance(5 * SECOND);
    assert_eq!(released(&lab).await, []);
    // Cancelled while it has a place and waits for a start.
    lab.put(third, TaskEvent::CancelRequested { reason: None }).await;
    assert!(!admit(&lab, both()).await.1);
    lab.advance(5 * SECOND);
    assert_eq!(released(&lab).await.len(), 1);
}

pub(crate) async fn whoever_stops_waiting_for_a_start_leaves_it_to_others(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    admit(&lab, rated("api", 1, 10.0)).await;
    let (second, _) = admit(&lab, rated("api", 1, 10.0)).await;
    let urgent = TaskDraft {
        priority: Some(3),
        ..rated("api", 1, 10.0)
    };
    let (third, _) = admit(&lab, urgent).await;
    let (fourth, _) = admit(&lab, rated("api", 1, 10.0)).await;
    lab.put(second, TaskEvent::CancelRequested { reason: None }).await;
    lab.advance(10 * SECOND);
    assert_eq!(released(&lab).await, [third]);
    lab.advance(10 * SECOND);
    assert_eq!(released(&lab).await, [fourth]);
    let pulse = lab.store.pulse(lab.now, 3 * SECOND).await.expect("the store works");
    assert_eq!(pulse.next_due_at, None);
}

pub(crate) async fn every_attempt_takes_a_start(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    let twice = TaskDraft {
        max_retries: Some(1),
        backoff: Some(orchestratum_core::task::Backoff::None),
        ..rated("api", 1, 10.0)
    };
    let (id, _) = admit(&lab, twice).await;
    let worker = lab.echo_worker().await;
    let running = lab.claim_one(worker).await;
    let handed_back = Ending::Released { message: String::new() };
    lab.end(&running, handed_back).await;
    let running = lab.claim_one(worker).await;
    let changed = lab.end(&running, failure()).await;
    assert_eq!(ids(&changed.admitted), []);
    assert!(
        is_blocked(&lab, id).await,
        "handed back it had its start, tried again it needs another"
    );
    lab.advance(10 * SECOND);
    assert_eq!(released(&lab).await, [id]);
    assert_eq!(lab.claim_one(worker).await.attempt, 3);
}
