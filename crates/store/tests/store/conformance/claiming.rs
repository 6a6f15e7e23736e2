//! Claiming tasks: the guards one by one, and the order.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use orchestratum_core::task::{Ending, TaskDraft, TaskState, TaskStatus};
use orchestratum_core::{JsonText, Origin, RequestId, TraceParent};

use super::lab::{LEASE, Lab, SECOND, audit, draft, name, target};
use orchestratum_store::{ClaimRequest, NewTask, Store};

pub(crate) async fn a_claimed_task_is_in_progress_and_has_no_dispatch_row(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    let id = lab.create(draft("echo")).await;
    lab.advance(SECOND);
    let worker = lab.echo_worker().await;
    lab.claim_one(worker).await;
    let task = lab.task(id).await;
    assert_eq!(
        task.life.state,
        TaskState::InProgress {
            worker,
            started_at: lab.now,
            cancel_requested: None
        }
    );
    assert_eq!((task.life.attempt, task.life.run, task.life.version), (1, 1, 2));
    assert_eq!((task.worker, task.started_at), (Some(worker), Some(lab.now)));
    assert_eq!(lab.store.dispatch(id).await.expect("works"), None);
    assert_eq!(lab.attempts(id).await, [], "the open attempt is the task itself");
}

pub(crate) async fn a_claim_gives_the_worker_everything_it_needs(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let id = lab
        .create(TaskDraft {
            input: Some(JsonText::new("[1, 2]").expect("JSON")),
            limits: Some(JsonText::new(r#"{"memory_mb": 1}"#).expect("JSON")),
            timeout_seconds: Some(1.5),
            ttl_seconds: Some(90.0),
            ..draft("echo")
        })
        .await;
    let worker = lab.echo_worker().await;
    let claimed = lab.claim_one(worker).await;
    assert_eq!((claimed.id, claimed.attempt, claimed.run), (id, 1, 1));
    assert_eq!(claimed.name, name("echo"));
    assert_eq!(claimed.target, target("default"));
    assert_eq!(claimed.input.as_str(), "[1, 2]");
    assert_eq!(claimed.limits.expect("given").as_str(), r#"{"memory_mb": 1}"#);
    assert_eq!(claimed.timeout, Some(Duration::from_millis(1_500)));
    assert_eq!(claimed.expires_at, lab.now + Duration::from_secs(90));
    assert_eq!(claimed.started_at, lab.now);
}

pub(crate) async fn every_attempt_is_told_where_its_task_comes_from(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let origin = Origin {
        trace_parent: Some(
            TraceParent::new("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").expect("well-formed"),
        ),
        request_id: Some(RequestId::new("caller-1").expect("plain")),
    };
    let told = NewTask {
        origin: origin.clone(),
        ..lab.task_of(draft("echo"))
    };
    let told = lab.create_new(told).await;
    let worker = lab.echo_worker().await;
    let first = lab.claim_one(worker).await;
    assert_eq!((first.id, &first.origin), (told, &origin));
    let message = "the worker stopped".to_owned();
    lab.end(&first, Ending::Released { message }).await;
    lab.create(draft("echo")).await;
    let claimed = lab.claim(worker).await;
    assert_eq!(claimed.len(), 2);
    for task in claimed {
        let expected = if task.id == told {
            origin.clone()
        } else {
            Origin::default()
        };
        assert_eq!(task.origin, expected, "attempt {}", task.attempt);
    }
}

/// The claim gets nothing, and the task is as it was.
async fn assert_gets_nothing(lab: &Lab, request: &ClaimRequest) {
    assert!(lab.claim_as(request).await.is_empty());
    let counts = lab.store.counts(1_000).await.expect("works");
    let pending = counts[&TaskStatus::Pending];
    assert_eq!(pending, counts.values().sum::<u64>(), "every task is still pending");
    lab.assert_sound().await;
}

pub(crate) async fn an_unknown_worker_gets_nothing(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    lab.create(draft("echo")).await;
    let unknown = lab.registration(&["default"], &["echo"]).id;
    assert_gets_nothing(&lab, &lab.request(unknown)).await;
}

pub(crate) async fn a_worker_whose_lease_ran_out_gets_nothing(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    let worker = lab.echo_worker().await;
    lab.create(draft("echo")).await;
    lab.advance(LEASE);
    assert_gets_nothing(&lab, &lab.request(worker)).await;
}

pub(crate) async fn a_worker_that_left_gets_nothing(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let worker = lab.echo_worker().await;
    lab.create(draft("echo")).await;
    lab.store.leave(worker, lab.now).await.expect("works");
    assert_gets_nothing(&lab, &lab.request(worker)).await;
}

pub(crate) async fn a_worker_marked_dead_gets_nothing(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    let worker = lab.echo_worker().await;
    lab.create(draft("echo")).await;
    lab.advance(LEASE);
    assert_eq!(lab.store.mark_dead(lab.now).await.expect("works"), [worker]);
    assert_gets_nothing(&lab, &lab.request(worker)).await;
}

pub(crate) async fn nothing_is_claimed_from_a_paused_target(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let worker = lab.echo_worker().await;
    let id = lab.create(draft("echo")).await;
    let default = target("default");
    lab.store
        .set_paused(&default, true, &audit("pause"), lab.now)
        .await
        .expect("works");
    assert_gets_nothing(&lab, &lab.request(worker)).await;
    let named = ClaimRequest {
        named: vec![id],
        ..lab.request(worker)
    };
    assert_gets_nothing(&lab, &named).await;
    lab.store
        .set_paused(&default, false, &audit("resume"), lab.now)
        .await
        .expect("works");
    assert_eq!(lab.claimed_ids(&named).await, [id]);
}

pub(crate) async fn nothing_is_claimed_before_it_is_due(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    let worker = lab.echo_worker().await;
    let id = lab
        .create(TaskDraft {
            delay_seconds: Some(2.0),
            ..draft("echo")
        })
        .await;
    assert_gets_nothing(&lab, &lab.request(worker)).await;
    lab.advance(SECOND * 2);
    assert_gets_nothing(&lab, &lab.request(worker)).await;
    assert_eq!(lab.store.release_due(lab.now, 10).await.expect("works").len(), 1);
    assert_eq!(lab.claimed_ids(&lab.request(worker)).await, [id]);
}

pub(crate) async fn nothing_is_claimed_past_its_deadline(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    let worker = lab.echo_worker().await;
    let id = lab
        .create(TaskDraft {
            ttl_seconds: Some(1.0),
            ..draft("echo")
        })
        .await;
    lab.advance(SECOND);
    let named = ClaimRequest {
        named: vec![id],
        ..lab.request(worker)
    };
    assert_gets_nothing(&lab, &named).await;
}

pub(crate) async fn nothing_is_claimed_from_another_target(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let worker = lab.echo_worker().await;
    let id = lab
        .create(TaskDraft {
            target: Some("gpu".to_owned()),
            ..draft("echo")
        })
        .await;
    let named = ClaimRequest {
        named: vec![id],
        ..lab.request(worker)
    };
    assert_gets_nothing(&lab, &named).await;
}

pub(crate) async fn nothing_is_claimed_of_another_name(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let worker = lab.echo_worker().await;
    let id = lab.create(draft("resize")).await;
    let named = ClaimRequest {
        named: vec![id],
        ..lab.request(worker)
    };
    assert_gets_nothing(&lab, &named).await;
}

async fn with_priority(lab: &Lab, target: &str, priority: i64) -> orchestratum_core::TaskId {
    lab.create(TaskDraft {
        priority: Some(priority),
        target: Some(target.to_owned()),
        ..draft("echo")
    })
    .await
}

pub(crate) async fn higher_priority_goes_first_and_then_the_older_one(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    let mut expected = Vec::new();
    for priority in [3, 9, 0, 9, 3] {
        expected.push((priority, with_priority(&lab, "default", priority).await));
        lab.advance(SECOND);
    }
    expected.sort_by_key(|(priority, _)| std::cmp::Reverse(*priority));
    let expected: Vec<_> = expected.into_iter().map(|(_, id)| id).collect();
    let worker = lab.echo_worker().await;
    let claimed: Vec<_> = lab.claimed_ids(&lab.request(worker)).await;
    assert_eq!(claimed, expected);
}

pub(crate) async fn priority_holds_across_targets(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let low = with_priority(&lab, "default", 1).await;
    let high = with_priority(&lab, "gpu", 5).await;
    let middle = with_priority(&lab, "default", 3).await;
    let worker = lab.worker(&["default", "gpu"], &["echo"]).await;
    let request = ClaimRequest {
        targets: vec![target("default"), target("gpu")],
        limit: 2,
        ..lab.request(worker)
    };
    assert_eq!(lab.claimed_ids(&request).await, [high, middle]);
    assert_eq!(lab.claimed_ids(&request).await, [low]);
}

pub(crate) async fn priority_holds_across_names_and_behind_a_backlog_of_others(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    for _ in 0..200 {
        lab.create(draft("report")).await;
    }
    lab.advance(SECOND);
    let low = with_priority(&lab, "default", 1).await;
    let high = lab
        .create(TaskDraft {
            priority: Some(5),
            ..draft("resize")
        })
        .await;
    let middle = with_priority(&lab, "default", 3).await;
    let worker = lab.worker(&["default"], &["echo", "resize"]).await;
    let request = ClaimRequest {
        // One of them twice: it must not be found twice.
        names: vec![name("echo"), name("resize"), name("echo")],
        limit: 2,
        ..lab.request(worker)
    };
    assert_eq!(lab.claimed_ids(&request).await, [high, middle]);
    assert_eq!(lab.claimed_ids(&request).await, [low]);
}

pub(crate) async fn fix_19_a_claim_takes_no_more_than_its_limit(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    for _ in 0..5 {
        lab.create(draft("echo")).await;
    }
    let worker = lab.echo_worker().await;
    for expected in [2, 2, 1, 0] {
        let request = ClaimRequest {
            limit: 2,
            ..lab.request(worker)
        };
        assert_eq!(lab.claim_as(&request).await.len(), expected);
    }
}

pub(crate) async fn a_claim_of_named_tasks_alone_leaves_the_others(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let named = lab.create(draft("echo")).await;
    let other = lab.create(draft("echo")).await;
    let worker = lab.echo_worker().await;
    let alone = ClaimRequest {
        named: vec![named],
        fill_up: false,
        ..lab.request(worker)
    };
    assert_eq!(lab.claimed_ids(&alone).await, [named]);
    assert!(lab.claim_as(&alone).await.is_empty(), "it is running");
    let filled_up = ClaimRequest { fill_up: true, ..alone };
    assert_eq!(lab.claimed_ids(&filled_up).await, [other]);
}

pub(crate) async fn named_tasks_come_first(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let low = with_priority(&lab, "default", 0).await;
    let high = with_priority(&lab, "default", 9).await;
    let worker = lab.echo_worker().await;
    let one = ClaimRequest {
        named: vec![low],
        limit: 1,
        ..lab.request(worker)
    };
    assert_eq!(lab.claimed_ids(&one).await, [low]);
    let middle = with_priority(&lab, "default", 5).await;
    let both = ClaimRequest {
        named: vec![middle],
        ..lab.request(worker)
    };
    assert_eq!(lab.claimed_ids(&both).await, [middle, high], "the rest is a top-up");
}

pub(crate) async fn the_guards_hold_for_named_tasks_too(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    let worker = lab.echo_worker().await;
    let ready = lab.create(draft("echo")).await;
    let delayed = lab
        .create(TaskDraft {
            delay_seconds: Some(5.0),
            ..draft("echo")
        })
        .await;
    let unknown = lab.id();
    let request = ClaimRequest {
        named: vec![delayed, unknown, ready],
        ..lab.request(worker)
    };
    assert_eq!(lab.claimed_ids(&request).await, [ready]);
    lab.advance(LEASE);
    assert!(lab.claim_as(&request).await.is_empty(), "its lease ran out");
}

pub(crate) async fn a_name_that_comes_twice_is_claimed_once(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let worker = lab.echo_worker().await;
    let (first, second) = (lab.create(draft("echo")).await, lab.create(draft("echo")).await);
    let request = ClaimRequest {
        named: vec![first, first],
        limit: 2,
        ..lab.request(worker)
    };
    assert_eq!(lab.claimed_ids(&request).await, [first, second]);
    assert!(lab.claim_as(&request).await.is_empty(), "a late message finds nothing");
}

pub(crate) async fn a_claim_with_nothing_to_ask_for_gets_nothing(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let worker = lab.echo_worker().await;
    lab.create(draft("echo")).await;
    let whole = lab.request(worker);
    for request in [
        ClaimRequest {
            limit: 0,
            ..whole.clone()
        },
        ClaimRequest {
            targets: Vec::new(),
            ..whole.clone()
        },
        ClaimRequest {
            names: Vec::new(),
            ..whole
        },
    ] {
        assert_gets_nothing(&lab, &request).await;
    }
}

pub(crate) async fn two_workers_at_once_never_get_the_same_task(store: Arc<dyn Store>) {
    const TASKS: usize = 200;
    let lab = Lab::new(store);
    let tasks = (0..TASKS).map(|_| lab.task_of(draft("echo"))).collect();
    lab.try_create(tasks, None).await;
    let mut claims = Vec::new();
    for _ in 0..4 {
        let worker = lab.echo_worker().await;
        let request = ClaimRequest {
            limit: 7,
            ..lab.request(worker)
        };
        let (store, now) = (Arc::clone(&lab.store), lab.now);
        claims.push(tokio::spawn(async move {
            let mut ids = Vec::new();
            // A claim may find every row it looks at held by another one: it asks again while anything is left.
            while !store
                .pulse(now, Duration::ZERO)
                .await
                .expect("works")
                .ready_targets
                .is_empty()
            {
                let claimed = store.claim(&request, now).await.expect("works");
                ids.extend(claimed.into_iter().map(|task| task.id));
            }
            ids
        }));
    }
    let mut all = Vec::new();
    for claim in claims {
        all.extend(claim.await.expect("no panic"));
    }
    assert_eq!(all.len(), TASKS);
    assert_eq!(all.into_iter().collect::<HashSet<_>>().len(), TASKS);
}

pub(crate) async fn an_attempt_is_a_new_fence_each_time(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let mut claimed = lab.running(draft("echo")).await;
    for attempt in 1..4 {
        assert_eq!(claimed.attempt, attempt);
        let release = Ending::Released {
            message: "drain".to_owned(),
        };
        lab.end(&claimed, release).await;
        let worker = lab.echo_worker().await;
        claimed = lab.claim_one(worker).await;
    }
}
