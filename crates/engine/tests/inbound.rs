//! Messages of other programs, from RabbitMQ to a saga. Lines of the log and numbers are told of all of a process, so they are a
//! program of their own.

use orchestratum_core::saga::{DefinitionName, SagaStatus};
use orchestratum_engine::{Engine, Settings, telemetry};
use orchestratum_store::{Saga, SagaFilter};
use orchestratum_testkit::{AmqpSender, Corner, LogLines, Servers, declared_under, eventually};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Level;

const PARCEL: &str = "
name: parcel
context: {stops: []}
initial: Initial
states:
  Initial: {on: {start: {target: Underway}, parcel_sent: {target: Underway}}}
  Underway:
    on:
      scanned: {set: {stops: '${ context.stops + [event.data] }'}}
      delivered: {target: Delivered}
  Delivered: {final: true}
";

/// An engine that reads messages, and somebody else's program that sends some.
struct Post {
    corner: Corner,
    engine: Engine,
    sender: AmqpSender,
    stop: CancellationToken,
    tracker: TaskTracker,
}

impl Post {
    async fn open() -> Self {
        LogLines::of_this_process(Level::WARN);
        telemetry::metrics();
        let servers = Servers::from_environment();
        let corner = Corner::unique(&servers).await.expect("RabbitMQ is there");
        let settings = Settings::load_with(&[
            ("database.url", "sqlite::memory:"),
            ("broker.url", &servers.amqp_url),
            ("broker.prefix", corner.prefix()),
        ]);
        let engine = Engine::connect(settings.expect("valid settings"))
            .await
            .expect("a database in memory");
        engine.migrate().await.expect("a schema");
        let name = DefinitionName::new("parcel").expect("a name");
        let defined = engine.put_definition(&name, PARCEL.to_owned(), None).await;
        defined.expect("it has no fault");
        let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
        engine.start_background(true, &tracker, &stop);
        eventually("its queues are declared", || async {
            let declared = declared_under(&servers, corner.prefix()).await;
            let declared = declared.map_err(|error| error.to_string())?;
            let is_there = |name: &str| declared.iter().any(|one| one.ends_with(name));
            if is_there(".inbound") && is_there(".inbound.refused") {
                Ok(())
            } else {
                Err(declared.join(", "))
            }
        })
        .await;
        let sender = AmqpSender::connect(&servers.amqp_url).await;
        Self {
            corner,
            engine,
            sender: sender.expect("the server is up"),
            stop,
            tracker,
        }
    }

    /// Sends to the exchange that is told in the manual. The queue behind it may be bound a moment after it is declared.
    async fn send(&self, body: &str, id: &str) {
        let exchange = format!("{}.inbound", self.corner.prefix());
        eventually("it is put into a queue", || async {
            let sent = self.sender.send(&exchange, "any", body.as_bytes(), Some(id)).await;
            sent.expect("confirmed").then_some(()).ok_or("there is no queue")
        })
        .await;
    }

    /// The only saga, when it is like this.
    async fn until(&self, what: &str, is_so: impl Fn(&Saga) -> bool) -> Saga {
        eventually(what, || async {
            let page = self.engine.sagas(&SagaFilter::default(), None, 2).await;
            let mut sagas = page.expect("works").items;
            assert!(sagas.len() <= 1, "{sagas:?}");
            match sagas.pop() {
                Some(saga) if is_so(&saga) => Ok(saga),
                other => Err(format!("{other:?}")),
            }
        })
        .await
    }

    /// The next of those that were refused.
    async fn refused(&self) -> String {
        let queue = format!("{}.inbound.refused", self.corner.prefix());
        let kept = eventually("one is kept", || async {
            let taken = self.sender.take(&queue).await;
            taken.expect("the queue is there").ok_or("none")
        })
        .await;
        String::from_utf8(kept).expect("UTF-8")
    }

    async fn close(self) {
        self.stop.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
}

fn stops(saga: &Saga) -> Value {
    let stops = saga.instance.context.get(&"stops".parse().expect("a name"));
    stops.expect("it is set").parse().expect("JSON")
}

/// How many messages were refused, as `/metrics` tells it.
fn counted() -> u64 {
    let metrics = telemetry::metrics().render();
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix("orchestratum_inbound_messages_total{result=\"refused\"} "));
    line.map_or(0, |count| count.parse().expect("a number"))
}

#[tokio::test]
async fn match_26_a_message_without_a_correlation_id_is_dropped_with_a_warning_and_counted() {
    let post = Post::open().await;
    let sent = r#"{"name": "parcel_sent", "correlation_id": "p-1"}"#;
    let bad = [
        (r#"{"name": "parcel_sent"}"#, "missing field `correlation_id`"),
        (
            r#"{"name": "parcel_sent", "correlation_id": ""}"#,
            "correlation_id must have 1 to 200 characters",
        ),
        ("a parcel", "expected value"),
        (r#"{"name": "scanned", "correlation_id": "p-2"}"#, "p-2"),
        (
            r#"{"name": "start", "correlation_id": "p-2"}"#,
            "/definition is missing",
        ),
    ];
    let before = counted();
    for (number, (body, reason)) in bad.into_iter().enumerate() {
        let id = format!("bad {number}");
        post.send(body, &id).await;
        assert_eq!(post.refused().await, body, "it is kept for a person");
        let lines = LogLines::of_this_process(Level::WARN).documents();
        let line = lines.iter().find(|line| line["message.id"] == id.as_str());
        let line = line.expect("a line tells of it");
        assert_eq!(
            (&line["level"], &line["message"]),
            (&json!("WARN"), &json!("an inbound message was refused"))
        );
        assert!(
            line["reason"].as_str().is_some_and(|told| told.contains(reason)),
            "{line}"
        );
    }
    assert_eq!(counted() - before, 5);
    post.send(sent, "good").await;
    let saga = post.until("the next one is taken all the same", |_| true).await;
    assert_eq!(saga.instance.correlation_id, "p-1");
    post.close().await;
}

#[tokio::test]
async fn fix_39_messages_reach_their_sagas_by_themselves_in_their_order_and_once() {
    let post = Post::open().await;
    let event = |name: &str, data: u32| json!({"name": name, "correlation_id": "p-1", "data": data}).to_string();
    post.send(&event("parcel_sent", 0), "m-0").await;
    for stop in 1..=20 {
        post.send(&event("scanned", stop), &format!("m-{stop}")).await;
    }
    // Whoever is not sure that it was sent sends it again.
    post.send(&event("scanned", 20), "m-20").await;
    post.send(&event("delivered", 0), "m-21").await;
    let delivered = post
        .until("it is delivered", |saga| {
            saga.instance.status() == SagaStatus::Completed
        })
        .await;
    assert_eq!(stops(&delivered), json!((1..=20).collect::<Vec<u32>>()));
    post.close().await;
}
