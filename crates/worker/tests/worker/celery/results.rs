//! What comes back.

use orchestratum_core::task::AttemptOutcome;
use orchestratum_engine::Settings;
use orchestratum_worker::messaging;
use serde_json::{Value, json};

use super::{Lab, host};
use crate::support::{error, output};

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_run_by_a_celery_worker_and_its_result_is_the_output() {
    let mut lab = Lab::new().await;
    let bench = &lab.bench;
    let worker = bench.worker().await;
    let sum = json!({"task": "fleet.add", "args": [2], "kwargs": {"y": 40}});
    assert_eq!(
        output(&bench.run(json!({"name": "celery", "input": sum})).await),
        json!(42)
    );

    let task = bench
        .run(json!({"name": "celery", "input": {"task": "fleet.request"}, "timeout_seconds": 20}))
        .await;
    let (told, id) = (output(&task), task.spec.id);
    assert_eq!(told["id"], format!("{id}-1"));
    assert_eq!(told["root_id"], told["id"]);
    assert_eq!(told["correlation_id"], told["id"]);
    assert_eq!(told["idempotency_key"], format!("{id}-1"));
    assert_eq!(told["orchestratum_task_id"], id.to_string());
    assert_eq!(told["timelimit"], json!([25, null]), "it ends a task that nobody ends");
    assert!(told["expires"].is_string(), "{told}");
    let told = output(
        &bench
            .run(json!({"name": "celery", "input": {"task": "fleet.request"}}))
            .await,
    );
    assert_eq!(
        told["timelimit"],
        json!([null, null]),
        "the application's own limit holds"
    );

    // Whatever may be posted leaves the worker alive and comes back as it was.
    for (args, kwargs) in [
        (json!([]), json!({})),
        (Value::Null, Value::Null),
        (
            json!([null, [], {}, "\"]", "],{},{}]", 1e300, -0.5, "é\u{1F600}"]),
            json!({"callbacks": null, "": 1}),
        ),
        (json!(["a".repeat(100_000)]), json!({"b": "c".repeat(100_000)})),
    ] {
        let input = json!({"task": "fleet.echo", "args": args, "kwargs": kwargs});
        let answer = output(&bench.run(json!({"name": "celery", "input": input})).await);
        let or_empty = |value: &Value, empty: Value| if value.is_null() { empty } else { value.clone() };
        assert_eq!(answer["args"], or_empty(&args, json!([])));
        assert_eq!(answer["kwargs"], or_empty(&kwargs, json!({})));
    }
    let flaky = json!({"task": "fleet.flaky", "args": [2]});
    assert_eq!(
        output(&bench.run(json!({"name": "celery", "input": flaky})).await),
        json!(2),
        "Celery's own retries are no ends"
    );
    assert!(lab.fleet.is_running(), "{}", lab.fleet.output());
    worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_has_its_traceback_and_uses_a_retry() {
    let lab = Lab::new().await;
    let bench = &lab.bench;
    let worker = bench.worker().await;
    let fails = json!({"task": "fleet.fail", "args": ["boom"]});
    let task = bench
        .run(json!({"name": "celery", "input": fails, "max_retries": 1}))
        .await;
    let message = error(&task);
    assert!(
        message.starts_with("Failed: Traceback (most recent call last):") && message.ends_with("ValueError: boom"),
        "{message}"
    );
    assert_eq!(bench.outcomes(task.spec.id).await, [AttemptOutcome::Failed; 2]);

    let unknown = json!({"task": "no.such.task"});
    let task = bench.run(json!({"name": "celery", "input": unknown})).await;
    assert_eq!(
        error(&task),
        "NotFound: the Celery worker that took it from the queue `celery` knows no task `no.such.task`"
    );
    for (queue, expected, attempts) in [
        (
            "other.queue",
            "Failed: the message was not sent: no queue takes the message: NO_ROUTE",
            2,
        ),
        (
            "orchestratum.tasks.default",
            "` is refused: worker.celery.queues does not allow it",
            1,
        ),
        ("celery2", "` is refused: worker.celery.queues does not allow it", 1),
    ] {
        let input = json!({"task": "fleet.add", "args": [1], "queue": queue});
        let task = bench
            .run(json!({"name": "celery", "input": input, "max_retries": 1}))
            .await;
        assert!(error(&task).contains(expected), "{}", error(&task));
        assert_eq!(task.life.attempt, attempts);
    }
    let large = json!({"task": "fleet.large", "args": [1 << 20]});
    let task = bench
        .run(json!({"name": "celery", "input": large, "max_retries": 5}))
        .await;
    assert_eq!(
        error(&task),
        "OutputNotStorable: the result has more than 1048576 bytes"
    );
    worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_workers_of_an_application_answer_a_ping_by_their_names() {
    let lab = Lab::new().await;
    let settings = |url: &str| Settings::load_with(&[("worker.celery.url", url)]).expect("valid settings");
    let there = messaging::answering_celery_workers(&settings(&lab.host.servers().amqp_url)).await;
    let there = there.expect("they are asked");
    assert!(there.len() == 1 && there[0].starts_with("fleet@"), "{there:?}");

    let empty = host().await;
    let nobody = messaging::answering_celery_workers(&settings(&empty.servers().amqp_url)).await;
    assert_eq!(nobody, Ok(Vec::new()));
    let gone = messaging::answering_celery_workers(&settings("amqp://guest:hidden@127.0.0.1:1/%2f")).await;
    let reason = gone.expect_err("nobody listens there");
    assert!(reason.contains("127.0.0.1:1") && !reason.contains("hidden"), "{reason}");
}
