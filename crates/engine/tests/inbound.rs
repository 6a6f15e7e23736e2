//! Messages of other programs, from RabbitMQ to a saga. Lines of the log and numbers are told of all of a process, so they are a
//! program of their own.

use std::ops::RangeInclusive;
use std::time::Duration;

use futures::future::join_all;
use orchestratum_core::saga::{DefinitionName, EventName, SagaStatus};
use orchestratum_core::{JsonText, Origin};
use orchestratum_engine::sagas::PublishEvent;
use orchestratum_engine::{Engine, Settings, telemetry};
use orchestratum_store::{Saga, SagaFilter};
use orchestratum_testkit::{AmqpSender, Corner, FaultProxy, LogLines, Schema, Servers, eventually};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
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

/// An engine that reads messages.
struct Reader {
    engine: Engine,
    stop: CancellationToken,
    tracker: TaskTracker,
}

impl Reader {
    /// It has its connections.
    async fn begin(amqp_url: &str, corner: &Corner, settings: &[(&str, &str)]) -> Self {
        let mut all = vec![("broker.url", amqp_url), ("broker.prefix", corner.prefix())];
        all.extend_from_slice(settings);
        let engine = Engine::connect(Settings::load_with(&all).expect("valid settings")).await;
        let engine = engine.expect("a database");
        engine.migrate().await.expect("a schema");
        let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
        engine.start_background(true, &tracker, &stop);
        let reader = Self { engine, stop, tracker };
        eventually("it is connected", || async { reader.engine.broker().health() }).await;
        reader
    }

    async fn define(&self, name: &str, source: &str) {
        let name = DefinitionName::new(name).expect("a name");
        let defined = self.engine.put_definition(&name, source.to_owned(), None).await;
        defined.expect("it has no fault");
    }

    async fn sagas(&self) -> Vec<Saga> {
        let page = self.engine.sagas(&SagaFilter::default(), None, 100).await;
        page.expect("works").items
    }

    /// It reads no more.
    async fn rest(&self) {
        self.stop.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }

    async fn close(self) {
        self.rest().await;
        self.engine.close().await;
    }
}

/// A reader, and somebody else's program that sends messages.
struct Post {
    reader: Reader,
    sender: AmqpSender,
    corner: Corner,
}

impl Post {
    async fn open() -> Self {
        Self::open_with(&[("database.url", "sqlite::memory:")]).await
    }

    async fn open_with(settings: &[(&str, &str)]) -> Self {
        Self::open_through(&Servers::from_environment().amqp_url, settings).await
    }

    /// The reader has a way of its own to the broker.
    async fn open_through(amqp_url: &str, settings: &[(&str, &str)]) -> Self {
        LogLines::of_this_process(Level::WARN);
        telemetry::metrics();
        let servers = Servers::from_environment();
        let corner = Corner::unique(&servers).await.expect("RabbitMQ is there");
        let reader = Reader::begin(amqp_url, &corner, settings).await;
        reader.define("parcel", PARCEL).await;
        let sender = AmqpSender::connect(&servers.amqp_url).await;
        let post = Self {
            reader,
            sender: sender.expect("the server is up"),
            corner,
        };
        eventually("its queue is read", || async {
            match post.sender.consumers(&post.queue()).await {
                Ok(1) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
        post
    }

    async fn send(&self, body: &str, id: &str) {
        self.send_with(body, Some(id)).await;
    }

    /// Sends to the exchange that is told in the manual.
    async fn send_with(&self, body: &str, id: Option<&str>) {
        let sent = self.sender.send(&self.queue(), "any", body.as_bytes(), id).await;
        assert!(sent.expect("confirmed"), "there is no queue");
    }

    /// It has the name of its exchange.
    fn queue(&self) -> String {
        format!("{}.inbound", self.corner.prefix())
    }

    fn queue_of_refused(&self) -> String {
        format!("{}.refused", self.queue())
    }

    /// The only saga, when it is like this.
    async fn until(&self, what: &str, is_so: impl Fn(&Saga) -> bool) -> Saga {
        eventually(what, || async {
            let mut sagas = self.reader.sagas().await;
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
        let kept = eventually("one is kept", || async {
            let taken = self.sender.take_whole(&self.queue_of_refused()).await;
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
            let tried = self.reader.engine.publish(PublishEvent {
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
        self.reader.close().await;
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
    let weighed = |sagas: &[Saga]| {
        let heavy = sagas.iter().find(|saga| saga.instance.correlation_id == "heavy");
        let stops = stops(heavy.expect("it is there"));
        stops
            .as_array()
            .map_or(0, |stops| stops.iter().filter(|stop| *stop == "weighed").count())
    };
    let there = eventually("the others are there", || async {
        let there = post.reader.sagas().await;
        if there.len() == 21 { Ok(there) } else { Err(there.len()) }
    })
    .await;
    let before = weighed(&there);
    assert!(before < COSTLY / 2, "they waited until {before} were taken");
    eventually("all are taken", || async {
        let taken = weighed(&post.reader.sagas().await);
        if taken == COSTLY { Ok(()) } else { Err(taken) }
    })
    .await;
    post.close().await;
}

#[tokio::test]
async fn messages_of_one_correlation_id_stay_in_their_order_with_two_readers_also_when_one_goes() {
    const PARCELS: usize = 80;
    let servers = Servers::from_environment();
    let schema = Schema::unique(&servers.database_url)
        .await
        .expect("PostgreSQL is there");
    let settings = [
        ("database.url", servers.database_url.as_str()),
        ("database.schema", schema.name()),
    ];
    let post = Post::open_with(&settings).await;
    let send = async |numbers: RangeInclusive<u32>| {
        for parcel in 0..PARCELS {
            for number in numbers.clone() {
                let name = if number == 0 { "parcel_sent" } else { "scanned" };
                let event = json!({"name": name, "correlation_id": format!("p-{parcel}"), "data": number});
                post.send(&event.to_string(), &format!("{parcel}/{number}")).await;
            }
        }
    };
    // Many wait, one behind the other of its parcel, before the two begin.
    post.reader.rest().await;
    send(0..=9).await;
    let first = Reader::begin(&servers.amqp_url, &post.corner, &settings).await;
    let second = Reader::begin(&servers.amqp_url, &post.corner, &settings).await;
    let scanned = async |count: u32| {
        let wanted = json!((1..=count).collect::<Vec<u32>>());
        eventually("all are scanned", || async {
            let refused = post.sender.waiting(&post.queue_of_refused()).await;
            assert_eq!(refused.expect("the queue is there"), 0, "none came too early");
            let sagas = second.sagas().await;
            let ready = sagas.iter().filter(|saga| stops(saga) == wanted).count();
            if ready == PARCELS { Ok(()) } else { Err(ready) }
        })
        .await;
    };
    scanned(9).await;
    first.stop.cancel();
    send(10..=12).await;
    first.close().await;
    send(13..=14).await;
    scanned(14).await;
    second.close().await;
    post.close().await;
    drop(schema);
}

/// Begins with a parcel, and is told of its scans after it.
const WEIGHER: &str = "
name: weigher
context: {stops: []}
initial: Initial
states:
  Initial: {on: {parcel_sent: {target: Underway}}}
  Underway: {on: {scanned: {set: {stops: '${ context.stops + [event.data] }'}}, delivered: {target: Delivered}}}
  Delivered: {final: true}
";

#[tokio::test]
async fn a_message_without_an_id_that_is_tried_again_is_the_same_event() {
    let servers = Servers::from_environment();
    let schema = Schema::unique(&servers.database_url)
        .await
        .expect("PostgreSQL is there");
    let post = Post::open_with(&[
        ("database.url", &servers.database_url),
        ("database.schema", schema.name()),
    ])
    .await;
    post.reader.define("weigher", WEIGHER).await;
    let event = |name: &str| json!({"name": name, "correlation_id": "p-1", "data": 1}).to_string();
    post.send_with(&event("parcel_sent"), None).await;
    eventually("both are underway", || async {
        let count = post.reader.sagas().await.len();
        if count == 2 { Ok(()) } else { Err(count) }
    })
    .await;
    // The saga of the parcel is the first that is told. The other one cannot be written for once.
    let name = schema.name();
    let mut database = PgConnection::connect(&servers.database_url)
        .await
        .expect("PostgreSQL is there");
    let fail_once = format!(
        "CREATE SEQUENCE {name}.tries;
         CREATE FUNCTION {name}.fail_once() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
             IF nextval('{name}.tries') = 1 THEN RAISE EXCEPTION USING ERRCODE = '57014'; END IF;
             RETURN NEW;
         END $$;
         CREATE TRIGGER fail_once BEFORE UPDATE ON {name}.sagas FOR EACH ROW
         WHEN (NEW.definition = 'weigher') EXECUTE FUNCTION {name}.fail_once()"
    );
    sqlx::raw_sql(AssertSqlSafe(fail_once))
        .execute(&mut database)
        .await
        .expect("a trigger");
    post.send_with(&event("scanned"), None).await;
    let of = |sagas: &[Saga], definition: &str| {
        let saga = sagas.iter().find(|saga| saga.definition.as_str() == definition);
        stops(saga.expect("it is there"))
    };
    let sagas = eventually("the other one is told as well", || async {
        let sagas = post.reader.sagas().await;
        let told = of(&sagas, "weigher");
        if told == json!([1]) { Ok(sagas) } else { Err(told) }
    })
    .await;
    let (tries,): (i64,) = sqlx::query_as(AssertSqlSafe(format!("SELECT last_value FROM {name}.tries")))
        .fetch_one(&mut database)
        .await
        .expect("it was tried");
    assert!(tries > 1, "the first try failed");
    assert_eq!(of(&sagas, "parcel"), json!([1]), "it was told once");
    database.close().await.expect("PostgreSQL is there");
    post.close().await;
    drop(schema);
}

#[tokio::test]
async fn a_message_that_comes_again_is_not_taken_for_a_channel_that_is_gone() {
    let servers = Servers::from_environment();
    let schema = Schema::unique(&servers.database_url)
        .await
        .expect("PostgreSQL is there");
    let (proxy, amqp_url) = FaultProxy::before(&servers.amqp_url).await.expect("a proxy");
    let settings = [
        ("database.url", servers.database_url.as_str()),
        ("database.schema", schema.name()),
    ];
    let post = Post::open_through(&amqp_url, &settings).await;
    let event = |name: &str, data: u32| json!({"name": name, "correlation_id": "p-1", "data": data}).to_string();
    post.send(&event("parcel_sent", 0), "m-0").await;
    post.until("it is underway", |_| true).await;
    let mut database = PgConnection::connect(&servers.database_url)
        .await
        .expect("PostgreSQL is there");
    let mut holding = database.begin().await.expect("a transaction");
    let hold = AssertSqlSafe(format!("SELECT id FROM {}.sagas FOR UPDATE", schema.name()));
    sqlx::query(hold).execute(&mut *holding).await.expect("locked");
    // The first waits for the saga, the second for the first.
    post.send(&event("scanned", 1), "m-1").await;
    post.send_with(&event("scanned", 2), None).await;
    let waiting = async |wanted: u32| {
        eventually("so many wait with the broker", || async {
            let waiting = post.sender.waiting(&post.queue()).await.expect("the queue is there");
            if waiting == wanted { Ok(()) } else { Err(waiting) }
        })
        .await;
    };
    waiting(0).await;
    proxy.cut();
    waiting(2).await;
    proxy.heal();
    waiting(0).await;
    holding.rollback().await.expect("nothing was changed");
    database.close().await.expect("PostgreSQL is there");
    post.send(&event("delivered", 0), "m-3").await;
    let delivered = post
        .until("it is delivered", |saga| {
            saga.instance.status() == SagaStatus::Completed
        })
        .await;
    assert_eq!(stops(&delivered), json!([1, 2]));
    post.close().await;
    drop(schema);
}

#[tokio::test]
async fn of_a_message_that_is_no_event_neither_log_nor_reason_repeat_what_is_in_it() {
    let post = Post::open().await;
    let event = json!({"name": "parcel_sent", "correlation_id": "p-1", "data": {"to": "a secret"}});
    let twice = Value::from(event.to_string()).to_string();
    let large = Value::from("a secret ".repeat(1 << 16)).to_string();
    let named = format!(
        r#"{{"name": "parcel_sent", "correlation_id": "p-1", "{}": 1}}"#,
        "k".repeat(1 << 16)
    );
    let bad = [
        ("twice", twice.as_str(), "invalid type: string, expected an object"),
        ("large", &large, "invalid type: string, expected an object"),
        (
            "a list",
            r#"["parcel_sent", "p-1", null, "a secret", "an id"]"#,
            "invalid type: sequence, expected an object",
        ),
        (
            "a number",
            r#"{"name": "parcel_sent", "correlation_id": 4711}"#,
            "/correlation_id invalid type: integer, expected a string",
        ),
        ("a field", &named, "unknown field `kkk"),
    ];
    for (id, body, reason) in bad {
        post.send(body, id).await;
        let (kept, carried) = post.refused().await;
        assert_eq!(kept, body, "it is kept for a person");
        let lines = LogLines::of_this_process(Level::WARN).documents();
        let line = lines
            .iter()
            .find(|line| line["message.id"] == id)
            .expect("a line tells of it");
        for told in [carried.as_str(), line["reason"].as_str().expect("a reason")] {
            assert!(
                told.contains(reason) && !told.contains("secret") && !told.contains("4711"),
                "{told}"
            );
            assert!(told.len() < 1_100, "{}", told.len());
        }
        assert!(!line.to_string().contains("secret"), "{line}");
    }
    assert_eq!(post.reader.sagas().await, [], "none of them is an event");
    post.close().await;
}

#[tokio::test]
async fn the_data_of_a_message_may_be_as_large_as_those_of_a_call() {
    let post = Post::open_with(&[
        ("database.url", "sqlite::memory:"),
        ("tasks.input_max_bytes", "3000000"),
    ])
    .await;
    let sent = |parcel: &str, bytes: usize| {
        let data = "x".repeat(bytes - 2);
        json!({"name": "parcel_sent", "correlation_id": parcel, "data": data}).to_string()
    };
    post.send(&sent("p-1", 3_000_001), "too large").await;
    let (_, reason) = post.refused().await;
    assert_eq!(reason, "/data must not be larger than 3000000 bytes, not 3000001");
    post.send(&" ".repeat(4_000_000), "a lot").await;
    let (_, reason) = post.refused().await;
    assert_eq!(reason, "it is larger than 3131072 bytes");
    post.send(&sent("p-2", 3_000_000), "large").await;
    let saga = post.until("it is taken", |_| true).await;
    assert_eq!(saga.instance.correlation_id, "p-2");
    post.close().await;
}
