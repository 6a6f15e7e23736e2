//! Rate keys: how often tasks of a key start.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use orchestratum_core::TaskId;
use orchestratum_core::task::{Bucket, ConditionsDraft, Ending, RateDraft, TargetRate, TaskDraft, TaskEvent};
use orchestratum_store::{ClaimRequest, KeyWait, NewTask, Store};

use super::lab::{Lab, SECOND, audit, draft, failure, target};
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

pub(crate) async fn set_rate(lab: &Lab, name: &str, rate: Option<(u32, Duration, u32)>) {
    let rate = rate.map(|(limit, per, burst)| TargetRate { limit, per, burst });
    lab.store
        .set_rate(&target(name), rate, &audit("set_rate"), lab.now)
        .await
        .expect("the store works");
}

pub(crate) async fn tasks_of_a_target_with_a_rate_are_claimed_as_often_as_it_says(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    let mut all = Vec::new();
    for _ in 0..8 {
        all.push(lab.create(draft("echo")).await);
    }
    set_rate(&lab, "default", Some((4, 8 * SECOND, 2))).await;
    let worker = lab.echo_worker().await;
    let claimed = |lab: &Lab| {
        let (store, request, now) = (Arc::clone(&lab.store), lab.request(worker), lab.now);
        async move {
            let claimed = store.claim(&request, now).await.expect("the store works");
            claimed.into_iter().map(|task| task.id).collect::<Vec<_>>()
        }
    };
    assert_eq!(claimed(&lab).await, all[..2], "so many at once");
    assert_eq!(claimed(&lab).await, []);
    let expected = Bucket {
        limit: 4,
        per: 8 * SECOND,
        burst: 2,
        spent_until: lab.now + 4 * SECOND,
    };
    assert_eq!(lab.store.rate(&target("default")).await.expect("works"), Some(expected));
    let rated = lab.store.rated_targets().await.expect("the store works");
    assert_eq!(rated, [(target("default"), expected)]);
    assert_eq!(
        lab.store.pulse(lab.now, SECOND).await.expect("the store works").rates,
        1
    );
    lab.advance(2 * SECOND);
    let named = ClaimRequest {
        named: vec![all[7]],
        fill_up: false,
        ..lab.request(worker)
    };
    assert_eq!(
        lab.claimed_ids(&named).await,
        [all[7]],
        "a message takes a start as well"
    );
    assert_eq!(claimed(&lab).await, []);
    lab.advance(2 * SECOND);
    assert_eq!(claimed(&lab).await, [all[2]]);
    lab.advance(20 * SECOND);
    assert_eq!(claimed(&lab).await, all[3..5], "a rest is worth no more than the burst");
    set_rate(&lab, "default", None).await;
    assert_eq!(claimed(&lab).await, all[5..7]);
    assert_eq!(lab.store.rate(&target("default")).await.expect("works"), None);
    assert_eq!(
        lab.store.pulse(lab.now, SECOND).await.expect("the store works").rates,
        0
    );
}

pub(crate) async fn a_target_with_a_rate_leaves_the_others_alone(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    let at = |name: &str| TaskDraft {
        target: Some(name.to_owned()),
        ..draft("echo")
    };
    let (slow, next) = (lab.create(at("slow")).await, lab.create(at("slow")).await);
    let plain = lab.create(at("default")).await;
    let worker = lab.worker(&["default", "slow", "paused"], &["echo"]).await;
    let request = ClaimRequest {
        targets: vec![target("default"), target("slow"), target("paused")],
        ..lab.request(worker)
    };
    set_rate(&lab, "slow", Some((1, 10 * SECOND, 1))).await;
    set_rate(&lab, "paused", Some((1, 10 * SECOND, 1))).await;
    let waiting = lab.create(at("paused")).await;
    lab.store
        .set_paused(&target("paused"), true, &audit("pause"), lab.now)
        .await
        .expect("works");
    let queues = lab.store.queues().await.expect("the store works");
    let rates: Vec<_> = queues
        .into_iter()
        .map(|queue| queue.rate.map(|rate| rate.limit))
        .collect();
    assert_eq!(rates, [None, Some(1), Some(1)], "default, paused and slow");
    let rated = lab.store.rated_targets().await.expect("the store works");
    assert_eq!(rated.len(), 1, "nothing is claimed of the paused one");
    assert_eq!(lab.claimed_ids(&request).await, [slow, plain]);
    lab.advance(10 * SECOND);
    assert_eq!(lab.claimed_ids(&request).await, [next]);
    lab.store
        .set_paused(&target("paused"), false, &audit("resume"), lab.now)
        .await
        .expect("works");
    assert_eq!(lab.claimed_ids(&request).await, [waiting]);
}

pub(crate) async fn workers_at_once_take_no_more_starts_than_there_are(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    for _ in 0..30 {
        lab.create(draft("echo")).await;
    }
    set_rate(&lab, "default", Some((10, 3600 * SECOND, 10))).await;
    let workers = join_all((0..6).map(|_| lab.echo_worker())).await;
    let claims = workers.iter().map(|worker| {
        let request = ClaimRequest {
            limit: 4,
            ..lab.request(*worker)
        };
        let lab = &lab;
        async move { lab.claimed_ids(&request).await.len() }
    });
    assert_eq!(join_all(claims).await.into_iter().sum::<usize>(), 10);
}
