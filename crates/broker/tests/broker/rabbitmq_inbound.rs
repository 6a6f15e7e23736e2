//! Messages that other programs send to us.

use futures::StreamExt;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use orchestratum_broker::{Broker, Inbound, InboundMessages};
use orchestratum_testkit::{AmqpSender, LogLines};
use serde_json::json;
use tokio::time::timeout;
use tracing::Level;

use crate::harness::{self, BOUND, Proxy, Rabbit, eventually, healthy, hint, target};

const MESSAGE_MAX_BYTES: usize = 1 << 20;

async fn somebody_else(rabbit: &Rabbit) -> AmqpSender {
    AmqpSender::connect(rabbit.url()).await.expect("the server is up")
}

async fn send(rabbit: &Rabbit, sender: &AmqpSender, body: &str, id: &str) {
    let exchange = format!("{}.inbound", rabbit.prefix);
    let sent = sender.send(&exchange, "orders.any", body.as_bytes(), Some(id)).await;
    assert!(sent.expect("confirmed"), "there is a queue for it");
}

async fn next(messages: &mut InboundMessages) -> Inbound {
    let message = timeout(BOUND, messages.next()).await.expect("within the bound");
    message.expect("the broker is open")
}

async fn waiting(sender: &AmqpSender, queue: &str) -> Option<Vec<u8>> {
    sender.take(queue).await.expect("the queue is there")
}

#[tokio::test]
async fn what_is_taken_is_gone_and_what_is_refused_is_kept_for_a_person() {
    let rabbit = Rabbit::new().await;
    let broker = rabbit.broker().await;
    let mut messages = broker.inbound(MESSAGE_MAX_BYTES).expect("there are queues");
    healthy(&*broker).await;
    let sender = somebody_else(&rabbit).await;
    send(&rabbit, &sender, "first", "1").await;
    send(&rabbit, &sender, "second", "2").await;
    let (first, second) = (next(&mut messages).await, next(&mut messages).await);
    assert_eq!(
        (first.body.as_slice(), first.message_id.as_deref()),
        (b"first".as_slice(), Some("1"))
    );
    first.taken();
    second.refused("it is late");
    let refused = format!("{}.inbound.refused", rabbit.prefix);
    let kept = eventually("the refused one is kept", async || {
        let taken = sender.take_whole(&refused).await;
        taken.expect("the queue is there").ok_or("nothing there")
    })
    .await;
    assert_eq!(kept.data, b"second");
    let properties = kept.properties;
    assert_eq!(properties.message_id().as_ref().map(ShortString::as_str), Some("2"));
    let headers = properties.headers().clone().unwrap_or_default();
    let header = |name: &str| {
        headers
            .inner()
            .get(name)
            .and_then(|value| value.as_long_string())
            .map(ToString::to_string)
    };
    assert_eq!(header("x-refused-reason").as_deref(), Some("it is late"));
    assert_eq!(header("x-refused-routing-key").as_deref(), Some("orders.any"));
    drop(messages);
    rabbit.finish([broker]).await;
}

/// Others may send larger pieces than we do.
#[tokio::test]
async fn a_message_of_large_headers_is_read_and_kept_without_them() {
    let rabbit = Rabbit::new().await;
    let broker = rabbit.broker().await;
    let mut messages = broker.inbound(MESSAGE_MAX_BYTES).expect("there are queues");
    healthy(&*broker).await;
    let sender = somebody_else(&rabbit).await;
    let exchange = format!("{}.inbound", rabbit.prefix);
    let body = "b".repeat(MESSAGE_MAX_BYTES / 2);
    for (bytes, is_kept) in [(100 << 10, false), (4 << 10, true)] {
        let mut headers = FieldTable::default();
        headers.insert("x-large".into(), AMQPValue::LongString("a".repeat(bytes).into()));
        let properties = BasicProperties::default().with_headers(headers);
        let sent = sender.send_with(&exchange, "any", body.as_bytes(), properties).await;
        assert!(sent.expect("confirmed"), "there is a queue for it");
        let message = next(&mut messages).await;
        assert_eq!(message.body.len(), body.len());
        message.refused(&"long".repeat(1_000));
        let refused = format!("{}.inbound.refused", rabbit.prefix);
        let kept = eventually("the refused one is kept", async || {
            let taken = sender.take_whole(&refused).await;
            taken.expect("the queue is there").ok_or("nothing there")
        })
        .await;
        let headers = kept.properties.headers().clone().unwrap_or_default();
        assert_eq!(headers.contains_key("x-large"), is_kept);
        assert!(headers.contains_key("x-refused-reason"), "{headers:?}");
    }
    drop(messages);
    rabbit.finish([broker]).await;
}

#[tokio::test]
async fn what_nobody_has_spoken_of_comes_again_after_a_loss() {
    let rabbit = Rabbit::new().await;
    let proxy = Proxy::before(rabbit.address()).await;
    let broker = rabbit.broker_with(&rabbit.url_through(proxy.port), 16).await;
    let mut messages = broker.inbound(MESSAGE_MAX_BYTES).expect("there are queues");
    healthy(&*broker).await;
    let sender = somebody_else(&rabbit).await;
    send(&rabbit, &sender, "an order", "1").await;
    let held = next(&mut messages).await;
    proxy.cut();
    let again = next(&mut messages).await;
    assert_eq!(
        (again.body.as_slice(), again.message_id.as_deref()),
        (b"an order".as_slice(), Some("1"))
    );
    // Its channel is gone: the word means nothing to the new one.
    held.refused("no more");
    again.taken();
    healthy(&*broker).await;
    send(&rabbit, &sender, "another", "2").await;
    assert_eq!(next(&mut messages).await.body, b"another");
    assert_eq!(
        waiting(&sender, &format!("{}.inbound.refused", rabbit.prefix)).await,
        None
    );
    drop(messages);
    rabbit.finish([broker]).await;
}

#[tokio::test]
async fn one_of_two_reads_and_the_other_takes_over_when_it_goes() {
    let rabbit = Rabbit::new().await;
    let (broker, other) = (rabbit.broker().await, rabbit.broker().await);
    let mut messages = broker.inbound(MESSAGE_MAX_BYTES).expect("there are queues");
    healthy(&*broker).await;
    let mut later = other.inbound(MESSAGE_MAX_BYTES).expect("there are queues");
    healthy(&*other).await;
    let sender = somebody_else(&rabbit).await;
    for number in 0..20 {
        send(&rabbit, &sender, &number.to_string(), "any").await;
    }
    for number in 0..20 {
        let message = next(&mut messages).await;
        assert_eq!(String::from_utf8_lossy(&message.body), number.to_string());
        if number < 5 {
            message.taken();
        }
    }
    drop(messages);
    for number in 5..20 {
        let message = next(&mut later).await;
        assert_eq!(
            String::from_utf8_lossy(&message.body),
            number.to_string(),
            "as they were sent"
        );
        message.taken();
    }
    send(&rabbit, &sender, "the last", "any").await;
    assert_eq!(next(&mut later).await.body, b"the last");
    drop(later);
    rabbit.finish([broker, other]).await;
}

#[tokio::test]
async fn a_queue_of_before_is_used_as_it_is_and_made_as_it_should_be_when_it_is_deleted() {
    let rabbit = Rabbit::new().await;
    let (queue, refused) = (
        format!("{}.inbound", rabbit.prefix),
        format!("{}.inbound.refused", rabbit.prefix),
    );
    let of_before = json!({
        "x-queue-type": "quorum",
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": refused,
    });
    rabbit.management.declare_queue(&queue, of_before.clone()).await;
    let broker = rabbit.broker().await;
    let mut messages = broker.inbound(MESSAGE_MAX_BYTES).expect("there are queues");
    healthy(&*broker).await;
    let sender = somebody_else(&rabbit).await;
    send(&rabbit, &sender, "an order", "1").await;
    let order = next(&mut messages).await;
    assert_eq!(order.body, b"an order");
    order.taken();
    assert_eq!(rabbit.management.arguments(&queue).await, Some(of_before));
    rabbit.management.delete_queue(&queue).await;
    eventually("it is there again", async || {
        match rabbit.management.arguments(&queue).await {
            Some(arguments) if arguments["x-single-active-consumer"] == true => Ok(()),
            other => Err(other),
        }
    })
    .await;
    healthy(&*broker).await;
    send(&rabbit, &sender, "another", "2").await;
    assert_eq!(next(&mut messages).await.body, b"another");
    drop(messages);
    rabbit.finish([broker]).await;
}

#[tokio::test]
async fn a_queue_that_is_not_given_is_told_of_and_left_to_people() {
    let lines = LogLines::of_this_process(Level::WARN);
    let rabbit = Rabbit::new().await;
    let queue = format!("{}.inbound", rabbit.prefix);
    rabbit.management.declare_odd_queue(&queue).await;
    let broker = rabbit.broker().await;
    let mut messages = broker.inbound(MESSAGE_MAX_BYTES).expect("there are queues");
    let told = || {
        let lines = lines.documents().into_iter();
        lines.filter(|line| line["queue"] == queue.as_str()).collect::<Vec<_>>()
    };
    let lines_of_it = eventually("people are told", async || {
        let told = told();
        if told.is_empty() {
            Err(broker.health())
        } else {
            Ok(told)
        }
    })
    .await;
    let message = lines_of_it[0]["message"].as_str().expect("a message");
    assert!(message.contains("`rabbitmqctl delete_queue`"), "{message}");
    let odd = rabbit.management.arguments(&queue).await;
    assert_eq!(
        odd,
        Some(json!({"x-max-length": 1_000})),
        "nobody deletes what may hold messages"
    );
    rabbit.management.delete_queue(&queue).await;
    healthy(&*broker).await;
    assert_eq!(told().len(), 1, "once");
    let sender = somebody_else(&rabbit).await;
    send(&rabbit, &sender, "an order", "1").await;
    assert_eq!(next(&mut messages).await.body, b"an order");
    drop(messages);
    rabbit.finish([broker]).await;
}

#[tokio::test]
async fn whoever_reads_the_inbound_messages_loses_a_connection_of_its_own() {
    let rabbit = Rabbit::new().await;
    let broker = rabbit.broker().await;
    let mut messages = broker.inbound(MESSAGE_MAX_BYTES).expect("there are queues");
    let mut consumer = broker.consume(&[target("mail")]).await.expect("open");
    healthy(&*broker).await;
    let sent = hint("mail", 1);
    broker.publish(std::slice::from_ref(&sent)).await.expect("connected");
    let held = harness::next(&mut consumer).await;
    let sender = somebody_else(&rabbit).await;
    send(&rabbit, &sender, "an order", "1").await;
    let first = next(&mut messages).await;
    rabbit
        .management
        .close_connection(&format!("{} inbound", rabbit.prefix))
        .await;
    assert_eq!(next(&mut messages).await.body, first.body, "it comes again");
    assert!(first.is_gone());
    held.acknowledge();
    let later = hint("mail", 2);
    broker.publish(std::slice::from_ref(&later)).await.expect("connected");
    let delivery = harness::next(&mut consumer).await;
    assert_eq!(delivery.hint, later, "what was held did not come again");
    delivery.acknowledge();
    drop(messages);
    rabbit.finish([broker]).await;
}
