//! `amqp` tasks through a worker, to real queues.

use orchestratum_core::task::{AttemptOutcome, TaskStatus};
use orchestratum_core::{Origin, TaskName, TraceParent};
use orchestratum_testkit::{AmqpPeer, FaultProxy, Servers, VirtualHost, eventually};
use serde_json::{Value, json};

use crate::support::{Bench, error, output, until};

async fn host() -> VirtualHost {
    VirtualHost::unique(&Servers::from_environment())
        .await
        .expect("RabbitMQ is there")
}

async fn bench(url: &str) -> Bench {
    Bench::with(&[
        ("worker.amqp.url", url),
        ("worker.amqp.exchanges", "events,missing"),
        ("worker.amqp.queues", "orders.*,nowhere"),
    ])
    .await
}

fn silent(_: &orchestratum_testkit::SeenMessage) -> Vec<Value> {
    Vec::new()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_a_queue_has_taken_completes_its_task() {
    let host = host().await;
    let url = host.servers().amqp_url.clone();
    let peer = AmqpPeer::start(&url, "orders.new", Some("events"), silent)
        .await
        .expect("a peer");
    let mut bench = bench(&url).await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    bench.origin = Origin {
        trace_parent: Some(TraceParent::new(trace).expect("well-formed")),
        request_id: None,
    };
    let worker = bench.worker().await;
    let input =
        json!({"exchange": "events", "routing_key": "order.paid", "body": {"b": [1.5]}, "headers": {"tenant": "a"}});
    let task = bench.run(json!({"name": "amqp", "input": input})).await;
    let id = format!("{}-1", task.spec.id);
    assert_eq!(output(&task), json!({"message_id": id, "confirmed": true}));
    let plain = json!({"routing_key": "orders.new", "body": "plain \u{e9}"});
    bench.run(json!({"name": "amqp", "input": plain})).await;
    until("both arrived", || peer.seen().len() == 2).await;
    let seen = peer.seen();
    let first = &seen[0];
    assert_eq!(
        (first.exchange.as_str(), first.routing_key.as_str()),
        ("events", "order.paid")
    );
    assert_eq!(first.body, r#"{"b":[1.5]}"#);
    assert_eq!(first.content_type.as_deref(), Some("application/json"));
    assert_eq!(first.headers, json!({"tenant": "a", "traceparent": trace}));
    assert!(first.is_persistent && first.reply_to.is_none());
    assert_eq!(
        (&first.message_id, &first.correlation_id),
        (&Some(id.clone()), &Some(id))
    );
    assert_eq!(seen[1].body, "plain \u{e9}");
    assert_eq!(seen[1].content_type.as_deref(), Some("text/plain"));
    worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_nobody_takes_uses_a_retry_and_says_why() {
    let host = host().await;
    let bench = bench(&host.servers().amqp_url).await;
    let worker = bench.worker().await;
    for (input, expected) in [
        (
            json!({"routing_key": "nowhere"}),
            "no queue takes the message: NO_ROUTE",
        ),
        (json!({"exchange": "missing"}), "NOT_FOUND"),
    ] {
        let task = bench
            .run(json!({"name": "amqp", "input": input, "max_retries": 1}))
            .await;
        let message = error(&task);
        assert!(
            message.starts_with("Failed: the message was not sent: ") && message.contains(expected),
            "{message}"
        );
        assert_eq!(bench.outcomes(task.spec.id).await, [AttemptOutcome::Failed; 2]);
    }
    worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_settings_do_not_name_is_refused_for_good_and_our_own_queues_always() {
    let host = host().await;
    let url = host.servers().amqp_url.clone();
    let own = AmqpPeer::start(&url, "orchestratum.tasks.default", None, silent)
        .await
        .expect("a peer");
    let all = [
        ("worker.amqp.url", url.as_str()),
        ("worker.amqp.exchanges", "*"),
        ("worker.amqp.queues", "*"),
    ];
    for (settings, inputs) in [
        (
            &all[..],
            [
                json!({"routing_key": "orchestratum.tasks.default"}),
                json!({"exchange": "orchestratum.signals"}),
            ],
        ),
        (
            &all[..1],
            [json!({"routing_key": "orders"}), json!({"exchange": "amq.topic"})],
        ),
    ] {
        let bench = Bench::with(settings).await;
        let worker = bench.worker().await;
        for input in inputs {
            let task = bench
                .run(json!({"name": "amqp", "input": input, "max_retries": 5}))
                .await;
            assert!(error(&task).contains("` is refused: worker.amqp."), "{}", error(&task));
            assert_eq!(task.life.attempt, 1);
        }
        worker.stopped().await;
    }
    assert!(own.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_answer_is_the_output() {
    let host = host().await;
    let url = host.servers().amqp_url.clone();
    let peer = AmqpPeer::start(&url, "orders.rpc", None, |message| {
        let asked: Value = serde_json::from_str(&message.body).unwrap_or_default();
        vec![json!({"answers": asked}), json!("too late")]
    })
    .await
    .expect("a peer");
    let bench = bench(&url).await;
    let worker = bench.worker().await;
    let mut tasks = Vec::new();
    for number in 0..20 {
        let input = json!({"routing_key": "orders.rpc", "body": number, "reply": "queue"});
        tasks.push(bench.create(json!({"name": "amqp", "input": input})).await);
    }
    for (number, id) in tasks.into_iter().enumerate() {
        let output = output(&bench.ended(id).await);
        assert_eq!(output["body"], json!({"answers": number}), "{output}");
        assert_eq!(output["correlation_id"], format!("{id}-1"));
        assert_eq!(output["content_type"], "application/json");
    }
    assert!(peer.seen().iter().all(|message| message.reply_to.is_some()));
    worker.stopped().await;
    let left = host.queues().await.expect("they are listed");
    assert_eq!(left, ["orders.rpc"], "a worker that leaves takes its queue along");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_does_not_come_ends_with_the_timeout_the_deadline_or_a_cancel() {
    let host = host().await;
    let url = host.servers().amqp_url.clone();
    let peer = AmqpPeer::start(&url, "orders.silent", None, silent)
        .await
        .expect("a peer");
    let bench = bench(&url).await;
    let worker = bench.worker().await;
    let ask = json!({"routing_key": "orders.silent", "reply": "queue"});
    let task = bench
        .run(json!({"name": "amqp", "input": ask, "timeout_seconds": 0.5}))
        .await;
    assert!(error(&task).starts_with("TimedOut: "), "{}", error(&task));
    let task = bench
        .run(json!({"name": "amqp", "input": ask, "ttl_seconds": 0.5}))
        .await;
    assert_eq!(task.life.status(), TaskStatus::Expired, "{task:?}");
    let asked = peer.seen().len();
    let id = bench.create(json!({"name": "amqp", "input": ask})).await;
    until("it is under way", || peer.seen().len() > asked).await;
    bench.engine.cancel(id, None, None).await.expect("it is cancelled");
    assert_eq!(bench.ended(id).await.life.status(), TaskStatus::Cancelled);
    worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_away_is_waited_for_and_an_answer_comes_behind_its_return() {
    let host = host().await;
    let url = host.servers().amqp_url.clone();
    let (proxy, proxied) = FaultProxy::before(&url).await.expect("a proxy");
    let bench = bench(&proxied).await;
    let worker = bench.worker().await;
    proxy.cut();
    let early = json!({"routing_key": "orders.late", "reply": "queue"});
    let early = bench.create(json!({"name": "amqp", "input": early})).await;
    bench
        .until(early, |task| task.life.status() == TaskStatus::InProgress)
        .await;
    let peer = AmqpPeer::start(&url, "orders.late", None, |_| vec![json!("here")])
        .await
        .expect("a peer");
    proxy.heal();
    assert_eq!(output(&bench.ended(early).await)["body"], "here");
    assert_eq!(peer.seen().len(), 1);
    worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_without_a_broker_for_them_offers_neither_amqp_nor_celery() {
    let bench = Bench::new().await;
    let worker = bench.worker().await;
    bench.run(json!({"name": "echo"})).await;
    let workers = bench.engine.workers().await.expect("they are listed");
    let names: Vec<&str> = workers[0].registration.names.iter().map(TaskName::as_str).collect();
    assert!(!names.contains(&"amqp") && !names.contains(&"celery"), "{names:?}");
    worker.stopped().await;
    let host = host().await;
    let bench = bench_with_both(&host.servers().amqp_url).await;
    let worker = bench.worker().await;
    bench.run(json!({"name": "echo"})).await;
    let workers = bench.engine.workers().await.expect("they are listed");
    let names: Vec<&str> = workers[0].registration.names.iter().map(TaskName::as_str).collect();
    assert!(names.contains(&"amqp") && names.contains(&"celery"), "{names:?}");
    eventually("the queues for replies are there", || async {
        let queues = host.queues().await.map_err(|error| error.to_string())?;
        if queues.len() == 2 {
            Ok(())
        } else {
            Err(format!("{queues:?}"))
        }
    })
    .await;
    worker.stopped().await;
    assert_eq!(host.queues().await.expect("they are listed"), Vec::<String>::new());
}

async fn bench_with_both(url: &str) -> Bench {
    Bench::with(&[("worker.amqp.url", url), ("worker.celery.url", url)]).await
}
