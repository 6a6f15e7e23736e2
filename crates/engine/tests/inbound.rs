//! Messages of other programs, from RabbitMQ to a saga. Lines of the log and numbers are told of all of a process, so they are a
//! program of their own.

use std::time::Duration;

use futures::future::join_all;
use orchestratum_core::saga::{DefinitionName, EventName, SagaStatus};
use orchestratum_core::{JsonText, Origin};
use orchestratum_engine::sagas::PublishEvent;
use orchestratum_engine::{Engine, Settings, telemetry};
use orchestratum_store::{Saga, SagaFilter};
use orchestratum_testkit::{AmqpSender, Corner, LogLines, Servers, declared_under, eventually};
use serde_json::{Value, json};
use tokio::time::Instant;
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
      tried: {if: 'event.data.all(a, event.data.all(b, a + b < 100000))', set: {stops: '${ context.stops }'}}
      weighed: {if: 'event.data.all(a, event.data.all(b, a + b < 100000))', set: {stops: '${ context.stops + [\"weighed\"] }'}}
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

    /// The next of those that were refused, with the reason that it carries.
    async fn refused(&self) -> (String, String) {
        let queue = format!("{}.inbound.refused", self.corner.prefix());
        let kept = eventually("one is kept", || async {
            let taken = self.sender.take_whole(&queue).await;
            taken.expect("the queue is there").ok_or("none")
        })
        .await;
        let headers = kept.properties.headers().clone().unwrap_or_default();
        let reason = headers.inner().get("x-refused-reason");
        let reason = reason.and_then(|reason| reason.as_long_string()).expect("a reason");
        (String::from_utf8(kept.data).expect("UTF-8"), reason.to_string())
    }

    /// What takes this machine a moment to weigh.
    async fn load(&self, correlation_id: &str) -> Value {
        let mut load = Value::Null;
        for length in [40_u32, 80, 160, 240] {
            load = json!((0..length).collect::<Vec<u32>>());
            let begun = Instant::now();
            let tried = self.engine.publish(PublishEvent {
                name: EventName::new("tried").expect("a name"),
                correlation_id: correlation_id.to_owned(),
                definition: None,
                data: JsonText::trusted(load.to_string()),
                id: None,
                origin: Origin::default(),
                actor: None,
            });
            tried.await.expect("it is underway");
            if begun.elapsed() > Duration::from_millis(100) {
                break;
            }
        }
        load
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
        (
            r#"{"name": "parcel_sent"}"#,
            "missing field `correlation_id`",
            Value::Null,
        ),
        (
            r#"{"name": "parcel_sent", "correlation_id": ""}"#,
            "correlation_id must have 1 to 200 characters",
            Value::Null,
        ),
        ("a parcel", "expected value", Value::Null),
        (r#"{"name": "scanned", "correlation_id": "p-2"}"#, "p-2", json!("p-2")),
        (
            r#"{"event": "scanned", "correlation_id": "p-3"}"#,
            "unknown field `event`",
            json!("p-3"),
        ),
        (
            r#"{"name": "start", "correlation_id": "p-2"}"#,
            "/definition is missing",
            json!("p-2"),
        ),
    ];
    let before = counted();
    for (number, (body, reason, correlation_id)) in bad.into_iter().enumerate() {
        let id = format!("bad {number}");
        post.send(body, &id).await;
        let (kept, carried) = post.refused().await;
        assert_eq!(kept, body, "it is kept for a person");
        assert!(carried.contains(reason), "{carried}");
        let lines = LogLines::of_this_process(Level::WARN).documents();
        let line = lines.iter().find(|line| line["message.id"] == id.as_str());
        let line = line.expect("a line tells of it");
        assert_eq!(
            (&line["level"], &line["message"], &line["saga.correlation_id"]),
            (
                &json!("WARN"),
                &json!("an inbound message was refused"),
                &correlation_id
            )
        );
        assert!(
            line["reason"].as_str().is_some_and(|told| told.contains(reason)),
            "{line}"
        );
    }
    assert_eq!(counted() - before, 6);
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

#[tokio::test]
async fn costly_messages_of_one_correlation_id_hold_no_others_back() {
    const COSTLY: usize = 40;
    let post = Post::open().await;
    let event =
        |name: &str, id: &str, data: Value| json!({"name": name, "correlation_id": id, "data": data}).to_string();
    post.send(&event("parcel_sent", "heavy", Value::Null), "heavy").await;
    post.until("it is underway", |_| true).await;
    let load = post.load("heavy").await;
    // All at once: they are there before much of it is taken.
    let costly = (0..COSTLY).map(|number| (event("weighed", "heavy", load.clone()), format!("heavy {number}")));
    let costly: Vec<_> = costly.collect();
    join_all(costly.iter().map(|(body, id)| post.send(body, id))).await;
    let cheap = (0..20).map(|number| format!("light {number}"));
    let cheap: Vec<_> = cheap.map(|id| (event("parcel_sent", &id, Value::Null), id)).collect();
    join_all(cheap.iter().map(|(body, id)| post.send(body, id))).await;
    let sagas = || async {
        let page = post.engine.sagas(&SagaFilter::default(), None, 100).await;
        page.expect("works").items
    };
    let weighed = |sagas: &[Saga]| {
        let heavy = sagas.iter().find(|saga| saga.instance.correlation_id == "heavy");
        let stops = stops(heavy.expect("it is there"));
        stops
            .as_array()
            .map_or(0, |stops| stops.iter().filter(|stop| *stop == "weighed").count())
    };
    let there = eventually("the others are there", || async {
        let there = sagas().await;
        if there.len() == 21 { Ok(there) } else { Err(there.len()) }
    })
    .await;
    let before = weighed(&there);
    assert!(before < COSTLY / 2, "they waited until {before} were taken");
    eventually("all are taken", || async {
        let taken = weighed(&sagas().await);
        if taken == COSTLY { Ok(()) } else { Err(taken) }
    })
    .await;
    post.close().await;
}
