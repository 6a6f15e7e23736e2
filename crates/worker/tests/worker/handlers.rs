//! Handlers of a user's own program.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use orchestratum_core::task::{AttemptOutcome, Progress, TaskStatus};
use orchestratum_core::{JsonText, TaskName};
use orchestratum_worker::{Handled, Handler, HandlerContext, HandlerError, Worker};
use serde_json::{Value, json};

use crate::support::{Bench, error, output};

/// Does what its input says.
struct Obedient;

#[async_trait]
impl Handler for Obedient {
    async fn handle(&self, input: JsonText, context: HandlerContext) -> Result<Handled, HandlerError> {
        match input.parse::<&str>().expect("a word") {
            "key" => Ok(text(&context.idempotency_key())),
            "fail once" if context.attempt == 1 => Err(HandlerError::Retryable("not yet".to_owned())),
            "fail" => Err(HandlerError::Permanent("never".to_owned())),
            "cancel" => Err(HandlerError::Cancelled("not wanted".to_owned())),
            "panic" => panic!("at the disco"),
            "hang" => pending().await,
            "stop" => {
                context.stopped().await;
                Ok(text("stopped in time"))
            }
            "late" => Err(HandlerError::TimedOut("no answer".to_owned())),
            "unknown" => Err(HandlerError::NotFound("nobody does that".to_owned())),
            "tell" => {
                context.log("half of it");
                context.progress(Progress::new(0.5).expect("a share"));
                Ok(text("told"))
            }
            "go on" => Ok(Handled {
                follow_ups: vec![JsonText::new(r#"{"name": "echo", "input": "${ output }"}"#).expect("JSON")],
                ..text("went on")
            }),
            "go on too far" => Ok(Handled {
                follow_ups: vec![JsonText::new(r#"{"name": "echo"}"#).expect("JSON"); 1_001],
                ..text("went on")
            }),
            "say too much" => Err(HandlerError::Permanent("a\0b".to_owned())),
            other => Ok(text(other)),
        }
    }
}

fn text(text: &str) -> Handled {
    JsonText::of(text).expect("a text").into()
}

async fn run(word: &str, more: Value) -> (orchestratum_store::Task, Vec<AttemptOutcome>) {
    let bench = Bench::new().await;
    let worker = bench.worker_with(|builder| builder.handler("obedient", Obedient)).await;
    let mut task = json!({"name": "obedient", "input": word});
    for (key, value) in more.as_object().expect("an object") {
        task[key] = value.clone();
    }
    let task = bench.run(task).await;
    let outcomes = bench.outcomes(task.spec.id).await;
    worker.stopped().await;
    (task, outcomes)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_answers_and_knows_its_idempotency_key() {
    let (task, _) = run("key", json!({})).await;
    assert_eq!(output(&task), json!(format!("{}-1", task.spec.id)));
}

#[tokio::test(flavor = "multi_thread")]
async fn its_errors_decide_whether_it_is_tried_again() {
    let (task, outcomes) = run("fail once", json!({"max_retries": 3})).await;
    assert_eq!(output(&task), json!("fail once"));
    assert_eq!(outcomes, [AttemptOutcome::Failed, AttemptOutcome::Success]);
    let (task, outcomes) = run("fail", json!({"max_retries": 3})).await;
    assert_eq!((error(&task).as_str(), outcomes.len()), ("Failed: never", 1));
    let (task, _) = run("cancel", json!({"max_retries": 3})).await;
    assert_eq!(
        (task.life.status(), error(&task).as_str()),
        (TaskStatus::Cancelled, "Cancelled: not wanted")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_waited_for_in_vain_and_what_nobody_does_use_a_retry_each() {
    let (task, outcomes) = run("late", json!({"max_retries": 1})).await;
    assert_eq!(error(&task), "TimedOut: no answer");
    assert_eq!(outcomes, [AttemptOutcome::TimedOut, AttemptOutcome::TimedOut]);
    let (task, outcomes) = run("unknown", json!({"max_retries": 1})).await;
    assert_eq!(error(&task), "NotFound: nobody does that");
    assert_eq!(outcomes, [AttemptOutcome::NotFound, AttemptOutcome::NotFound]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_tells_and_what_it_says_comes_next_is_kept_with_its_end() {
    let bench = Bench::new().await;
    let worker = bench
        .worker_with(|builder| builder.handlers_only().handler("obedient", Obedient))
        .await;
    let task = bench.run(json!({"name": "obedient", "input": "tell"})).await;
    assert_eq!(task.progress, Progress::new(0.5).ok());
    let logs = bench.engine.logs(task.spec.id, None, None).await.expect("logs").chunks;
    assert_eq!(logs[0].chunk.text, "half of it\n");

    let task = bench.run(json!({"name": "obedient", "input": "go on"})).await;
    let children = bench
        .engine
        .store()
        .children(&[task.spec.id], 10, 1_000)
        .await
        .expect("it answers");
    assert_eq!((children.tasks.len(), children.missing.len()), (1, 0));
    assert_eq!(children.tasks[0].spec.input.as_str(), "\"went on\"");
    worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_of_handlers_alone_offers_nothing_else() {
    let bench = Bench::new().await;
    let builder = Worker::builder(bench.engine.clone()).handlers_only();
    let worker = builder.handler("obedient", Obedient).build().await.expect("a worker");
    let names: Vec<&str> = worker.names().map(TaskName::as_str).collect();
    assert_eq!(names, ["obedient"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_is_a_failure_of_the_attempt_alone() {
    let (task, outcomes) = run("panic", json!({"max_retries": 1})).await;
    assert_eq!(error(&task), "Failed: the handler panicked: at the disco");
    assert_eq!(outcomes, [AttemptOutcome::Failed, AttemptOutcome::Failed]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_hangs_is_dropped_after_its_timeout() {
    let (task, outcomes) = run("hang", json!({"timeout_seconds": 0.2})).await;
    assert!(error(&task).starts_with("TimedOut: "), "{}", error(&task));
    assert_eq!(outcomes, [AttemptOutcome::TimedOut]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_finishes_its_work_when_asked_to_stop_has_succeeded() {
    let (task, _) = run("stop", json!({"timeout_seconds": 0.2})).await;
    assert_eq!(output(&task), json!("stopped in time"));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_handlers_of_one_name_are_refused() {
    let bench = Bench::new().await;
    let build = |name: &str| {
        Worker::builder(bench.engine.clone())
            .handler("obedient", Obedient)
            .handler(name, Obedient)
            .build()
    };
    let error = build("obedient").await.expect_err("twice").to_string();
    assert!(
        error.contains("`obedient`") && error.contains("Obedient and "),
        "{error}"
    );
    assert!(build("no name").await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_built_in_name_belongs_to_no_handler_even_where_the_machine_cannot_offer_it() {
    let bench = Bench::with(&[("worker.python", "/no/such/python3"), ("worker.shell", "/no/such/sh")]).await;
    for name in ["csharp", "echo", "http", "python", "shell"] {
        let builder = Worker::builder(bench.engine.clone()).handler(name, Obedient);
        let error = builder.build().await.expect_err("it is built in").to_string();
        assert!(
            error.contains(&format!("`{name}`")) && error.contains("Obedient"),
            "{error}"
        );
    }
}

/// Counts how many of it run at a time.
#[derive(Default)]
struct Crowd {
    running: AtomicUsize,
    most: AtomicUsize,
}

struct Member(Arc<Crowd>);

#[async_trait]
impl Handler for Member {
    async fn handle(&self, input: JsonText, _context: HandlerContext) -> Result<Handled, HandlerError> {
        let running = self.0.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.0.most.fetch_max(running, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(5)).await;
        self.0.running.fetch_sub(1, Ordering::SeqCst);
        Ok(input.into())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_side_by_side_take_no_more_than_there_is_room_for_and_leave_nothing() {
    let bench = Bench::with(&[("worker.in_process_concurrency", "5"), ("worker.max_claim", "3")]).await;
    let mut tasks = Vec::new();
    for number in 0..60 {
        tasks.push(bench.create(json!({"name": "member", "input": number})).await);
    }
    let crowd = Arc::new(Crowd::default());
    let member = Member(Arc::clone(&crowd));
    let worker = bench.worker_with(|builder| builder.handler("member", member)).await;
    for (number, id) in tasks.into_iter().enumerate() {
        assert_eq!(output(&bench.ended(id).await), json!(number));
    }
    worker.stopped().await;
    assert_eq!(
        crowd.most.load(Ordering::SeqCst),
        5,
        "each place is used, and none twice"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_wants_to_come_next_does_not_undo_its_work() {
    let bench = Bench::new().await;
    let worker = bench.worker_with(|builder| builder.handler("obedient", Obedient)).await;
    let task = bench.run(json!({"name": "obedient", "input": "go on too far"})).await;
    assert_eq!(output(&task), json!("went on"));
    let children = bench.engine.store().children(&[task.spec.id], 10, 1 << 20).await;
    let children = children.expect("a database");
    assert_eq!((children.tasks.len(), children.missing.len()), (0, 1));
    let reason = &children.missing[0].reason;
    assert!(reason.contains("more than 1000 follow-ups"), "{reason}");
    worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_no_database_takes_is_told_as_it_can_be() {
    let (task, _) = run("say too much", json!({})).await;
    assert_eq!(error(&task), "Failed: a\u{fffd}b");
}
