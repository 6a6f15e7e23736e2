//! Creating tasks.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use orchestratum_core::JsonText;
use orchestratum_core::task::{Backoff, TaskDraft, TaskState};

use super::lab::{Lab, draft};
use orchestratum_store::{Announce, CreateOutcome, CreateRequest, IdempotencyKey, NewTask, PUBLISH_LEASE, Store};

fn key(text: &str, body: u8) -> IdempotencyKey {
    IdempotencyKey {
        scope: "caller".to_owned(),
        key: text.to_owned(),
        body_hash: [body; 32],
    }
}

fn chosen(task: NewTask, body: u8) -> NewTask {
    NewTask {
        request_hash: Some([body; 32]),
        ..task
    }
}

fn request(task: &NewTask, idempotency: Option<IdempotencyKey>) -> CreateRequest {
    CreateRequest {
        tasks: vec![task.clone()],
        idempotency,
    }
}

pub(crate) async fn a_task_is_read_as_it_was_created(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let parent = lab.create(draft("echo")).await;
    let new = lab.task_of(TaskDraft {
        target: Some("gpu".to_owned()),
        description: Some("nightly totals".to_owned()),
        input: Some(JsonText::new(r#"{"b": 1.50, "a": null}"#).expect("JSON")),
        labels: BTreeMap::from([("team".to_owned(), "billing".to_owned())]),
        priority: Some(7),
        ttl_seconds: Some(60.5),
        timeout_seconds: Some(20.0),
        max_retries: Some(2),
        max_losses: Some(0),
        backoff: Some(Backoff::Exponential {
            delay: Duration::from_millis(100),
            max_delay: Duration::from_secs(9),
            jitter: false,
        }),
        delay_seconds: Some(10.0),
        limits: Some(JsonText::new(r#"{"memory_mb": 64}"#).expect("JSON")),
        parent_id: Some(parent),
        ..draft("resize")
    });
    let (spec, life) = (new.spec.clone(), new.life.clone());
    let id = lab.create_new(new).await;
    let task = lab.task(id).await;
    assert_eq!(task.spec, spec);
    assert_eq!(task.life, life);
    assert_eq!((task.output, task.worker, task.started_at), (None, None, None));
    assert_eq!(lab.attempts(id).await, []);
}

pub(crate) async fn a_task_that_is_due_now_is_ready_and_may_be_announced_by_its_creator(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    for (announce, publish_at) in [
        (Announce::ByCaller, lab.now + PUBLISH_LEASE),
        (Announce::ByFeeder, lab.now),
    ] {
        let task = NewTask {
            announce,
            ..lab.task_of(draft("echo"))
        };
        let id = lab.create_new(task).await;
        let dispatch = lab.store.dispatch(id).await.expect("works").expect("has one");
        assert_eq!((dispatch.due_at, dispatch.delayed), (lab.now, false));
        assert_eq!(dispatch.publish_at, publish_at, "{announce:?}");
        assert_eq!(dispatch.expires_at, lab.task(id).await.life.expires_at);
    }
}

pub(crate) async fn a_task_for_later_is_delayed(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let task = NewTask {
        announce: Announce::ByCaller,
        ..lab.task_of(TaskDraft {
            delay_seconds: Some(5.0),
            ..draft("echo")
        })
    };
    let id = lab.create_new(task).await;
    let dispatch = lab.store.dispatch(id).await.expect("works").expect("has one");
    assert!(dispatch.delayed);
    assert_eq!(dispatch.due_at, lab.now + Duration::from_secs(5));
    assert_eq!(dispatch.publish_at, dispatch.due_at, "nobody announces what is not due");
}

pub(crate) async fn a_repeated_key_with_the_same_body_answers_the_first_tasks(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let first = vec![lab.task_of(draft("echo")), lab.task_of(draft("echo"))];
    let ids: Vec<_> = first.iter().map(|task| task.spec.id).collect();
    assert_eq!(lab.try_create(first, Some(key("k", 1))).await, CreateOutcome::Created);
    let again = vec![lab.task_of(draft("echo")), lab.task_of(draft("echo"))];
    let ignored = again[0].spec.id;
    assert_eq!(
        lab.try_create(again, Some(key("k", 1))).await,
        CreateOutcome::Replayed { ids }
    );
    assert_eq!(lab.store.task(ignored).await.expect("works"), None);
}

pub(crate) async fn a_repeated_key_with_another_body_is_refused(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let first = lab.task_of(draft("echo"));
    assert_eq!(
        lab.try_create(vec![first], Some(key("k", 1))).await,
        CreateOutcome::Created
    );
    let other = lab.task_of(draft("resize"));
    let id = other.spec.id;
    assert_eq!(
        lab.try_create(vec![other], Some(key("k", 2))).await,
        CreateOutcome::KeyReused
    );
    assert_eq!(lab.store.task(id).await.expect("works"), None);
}

pub(crate) async fn the_same_key_in_another_scope_is_another_key(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    for scope in ["one", "two"] {
        let idempotency = IdempotencyKey {
            scope: scope.to_owned(),
            ..key("k", 1)
        };
        let outcome = lab
            .try_create(vec![lab.task_of(draft("echo"))], Some(idempotency))
            .await;
        assert_eq!(outcome, CreateOutcome::Created, "{scope}");
    }
}

pub(crate) async fn a_key_twice_in_one_call_counts_once(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let tasks: Vec<NewTask> = (0..3).map(|_| lab.task_of(draft("echo"))).collect();
    let requests = [
        request(&tasks[0], Some(key("k", 1))),
        request(&tasks[1], Some(key("k", 1))),
        request(&tasks[2], Some(key("k", 2))),
    ];
    let outcomes = lab.store.create(&requests, lab.now).await.expect("works");
    let ids = vec![tasks[0].spec.id];
    assert_eq!(
        outcomes,
        [
            CreateOutcome::Created,
            CreateOutcome::Replayed { ids },
            CreateOutcome::KeyReused
        ]
    );
    assert_eq!(lab.store.counts(1_000).await.expect("works").values().sum::<u64>(), 1);
}

pub(crate) async fn a_key_whose_answer_was_lost_says_created_again(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let requests = [request(&lab.task_of(draft("echo")), Some(key("k", 1)))];
    for _ in 0..2 {
        let outcomes = lab.store.create(&requests, lab.now).await.expect("works");
        assert_eq!(outcomes, [CreateOutcome::Created]);
    }
    assert_eq!(lab.store.counts(1_000).await.expect("works").values().sum::<u64>(), 1);
}

pub(crate) async fn a_repeated_key_and_a_repeated_id_answer_the_first_task(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let task = chosen(lab.task_of(draft("echo")), 1);
    let ids = vec![task.spec.id];
    let first = lab.try_create(vec![task.clone()], Some(key("k", 1))).await;
    assert_eq!(first, CreateOutcome::Created);
    let again = lab.try_create(vec![task], Some(key("k", 1))).await;
    assert_eq!(
        again,
        CreateOutcome::Replayed { ids },
        "the caller repeats itself, not we"
    );
}

pub(crate) async fn a_repeated_call_of_ours_changes_nothing(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let task = lab.task_of(draft("echo"));
    let requests = [request(&task, None)];
    for _ in 0..2 {
        let outcomes = lab.store.create(&requests, lab.now).await.expect("works");
        assert_eq!(outcomes, [CreateOutcome::Created]);
    }
    let worker = lab.echo_worker().await;
    let claimed = lab.claim_one(worker).await;
    lab.end(&claimed, orchestratum_core::task::Ending::Success).await;
    // Even when the task has lived on since.
    let outcomes = lab.store.create(&requests, lab.now).await.expect("works");
    assert_eq!(outcomes, [CreateOutcome::Created]);
    assert!(matches!(
        lab.task(task.spec.id).await.life.state,
        TaskState::Completed { .. }
    ));
}

pub(crate) async fn an_id_chosen_by_the_caller_with_the_same_body_exists(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let task = chosen(lab.task_of(draft("echo")), 1);
    let id = lab.create_new(task.clone()).await;
    assert_eq!(lab.try_create(vec![task], None).await, CreateOutcome::Exists { id });
}

pub(crate) async fn an_id_chosen_by_the_caller_with_another_body_is_taken(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let task = chosen(lab.task_of(draft("echo")), 1);
    let id = lab.create_new(task.clone()).await;
    let other = chosen(task, 2);
    assert_eq!(lab.try_create(vec![other], None).await, CreateOutcome::IdTaken { id });
}

pub(crate) async fn an_id_of_ours_is_taken_for_a_caller_that_chooses_it(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let task = lab.task_of(draft("echo"));
    let id = lab.create_new(task.clone()).await;
    assert_eq!(
        lab.try_create(vec![chosen(task, 1)], None).await,
        CreateOutcome::IdTaken { id }
    );
}

pub(crate) async fn an_id_twice_in_one_request_is_taken(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let task = chosen(lab.task_of(draft("echo")), 1);
    let id = task.spec.id;
    assert_eq!(
        lab.try_create(vec![task.clone(), task], None).await,
        CreateOutcome::IdTaken { id }
    );
    assert_eq!(lab.store.task(id).await.expect("works"), None);
}

pub(crate) async fn the_tasks_of_a_request_stand_or_fall_together(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let taken = chosen(lab.task_of(draft("echo")), 1);
    let id = lab.create_new(taken.clone()).await;
    let fresh = lab.task_of(draft("echo"));
    let fresh_id = fresh.spec.id;
    let outcome = lab.try_create(vec![fresh, chosen(taken, 2)], None).await;
    assert_eq!(outcome, CreateOutcome::IdTaken { id });
    assert_eq!(lab.store.task(fresh_id).await.expect("works"), None);
    assert_eq!(lab.store.dispatch(fresh_id).await.expect("works"), None);
}

pub(crate) async fn requests_of_one_call_stand_or_fall_alone(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let taken = chosen(lab.task_of(draft("echo")), 1);
    let id = lab.create_new(taken.clone()).await;
    let (before, after) = (lab.task_of(draft("echo")), lab.task_of(draft("echo")));
    let requests = [
        request(&before, None),
        request(&chosen(taken, 2), Some(key("falls", 1))),
        request(&after, Some(key("stands", 1))),
    ];
    let outcomes = lab.store.create(&requests, lab.now).await.expect("works");
    assert_eq!(
        outcomes,
        [
            CreateOutcome::Created,
            CreateOutcome::IdTaken { id },
            CreateOutcome::Created
        ]
    );
    for task in [before, after] {
        assert_eq!(lab.task(task.spec.id).await.spec, task.spec);
    }
}

pub(crate) async fn the_key_of_a_refused_request_can_be_used_again(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let taken = chosen(lab.task_of(draft("echo")), 1);
    lab.create_new(taken.clone()).await;
    let refused = lab.try_create(vec![chosen(taken, 2)], Some(key("k", 1))).await;
    assert!(matches!(refused, CreateOutcome::IdTaken { .. }), "{refused:?}");
    let outcome = lab
        .try_create(vec![lab.task_of(draft("echo"))], Some(key("k", 9)))
        .await;
    assert_eq!(outcome, CreateOutcome::Created);
}

pub(crate) async fn concurrent_calls_with_one_key_make_one_task(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let calls = (0..8).map(|_| {
        let requests = [request(&lab.task_of(draft("echo")), Some(key("k", 1)))];
        let (store, now) = (Arc::clone(&lab.store), lab.now);
        tokio::spawn(async move { store.create(&requests, now).await.expect("works").remove(0) })
    });
    let outcomes: Vec<CreateOutcome> = futures::future::join_all(calls.collect::<Vec<_>>())
        .await
        .into_iter()
        .map(|joined| joined.expect("no panic"))
        .collect();
    let created = outcomes
        .iter()
        .filter(|outcome| **outcome == CreateOutcome::Created)
        .count();
    assert_eq!(created, 1, "{outcomes:?}");
    let mut replays = outcomes
        .into_iter()
        .filter(|outcome| *outcome != CreateOutcome::Created);
    let first = replays.next().expect("seven replays");
    assert!(replays.all(|replay| replay == first));
    assert_eq!(lab.store.counts(1_000).await.expect("works").values().sum::<u64>(), 1);
}

pub(crate) async fn an_empty_call_is_fine(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    assert_eq!(lab.store.create(&[], lab.now).await.expect("works"), []);
    assert_eq!(lab.try_create(Vec::new(), None).await, CreateOutcome::Created);
    assert_eq!(lab.apply_all(Vec::new()).await, []);
}
