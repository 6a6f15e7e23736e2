//! Messages that other programs send to us.

use futures::StreamExt;
use lapin::options::{BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use orchestratum_broker::{Broker, Inbound, InboundMessages};
use tokio::time::timeout;

use crate::harness::{BOUND, Proxy, Rabbit, eventually, healthy};

/// Somebody else's program, with a connection of its own.
async fn somebody_else(rabbit: &Rabbit) -> (Connection, Channel) {
    let connection = Connection::connect(rabbit.url(), ConnectionProperties::default())
        .await
        .expect("the server is up");
    let channel = connection.create_channel().await.expect("a channel");
    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await
        .expect("confirms");
    (connection, channel)
}

async fn send(rabbit: &Rabbit, channel: &Channel, body: &str, id: &str) {
    channel
        .basic_publish(
            format!("{}.inbound", rabbit.prefix).into(),
            "orders.any".into(),
            BasicPublishOptions::default(),
            body.as_bytes(),
            BasicProperties::default().with_message_id(id.into()),
        )
        .await
        .expect("sent")
        .await
        .expect("confirmed");
}

async fn next(messages: &mut InboundMessages) -> Inbound {
    let message = timeout(BOUND, messages.next()).await.expect("within the bound");
    message.expect("the broker is open")
}

async fn waiting(channel: &Channel, queue: &str) -> Option<Vec<u8>> {
    let got = channel.basic_get(queue.into(), BasicGetOptions { no_ack: true }).await;
    got.expect("the queue is there").map(|message| message.delivery.data)
}

#[tokio::test]
async fn what_is_taken_is_gone_and_what_is_refused_is_kept_for_a_person() {
    let rabbit = Rabbit::new().await;
    let broker = rabbit.broker().await;
    let mut messages = broker.inbound().expect("there are queues");
    healthy(&*broker).await;
    let (_connection, channel) = somebody_else(&rabbit).await;
    send(&rabbit, &channel, "first", "1").await;
    send(&rabbit, &channel, "second", "2").await;
    let (first, second) = (next(&mut messages).await, next(&mut messages).await);
    assert_eq!(
        (first.body.as_slice(), first.message_id.as_deref()),
        (b"first".as_slice(), Some("1"))
    );
    first.taken();
    second.refused();
    let refused = format!("{}.inbound.refused", rabbit.prefix);
    let kept = eventually("the refused one is kept", async || {
        waiting(&channel, &refused).await.ok_or("nothing there")
    })
    .await;
    assert_eq!(kept, b"second");
    drop(messages);
    rabbit.finish([broker]).await;
}

#[tokio::test]
async fn what_nobody_has_spoken_of_comes_again_after_a_loss() {
    let rabbit = Rabbit::new().await;
    let proxy = Proxy::before(rabbit.address()).await;
    let broker = rabbit.broker_with(&rabbit.url_through(proxy.port), 16).await;
    let mut messages = broker.inbound().expect("there are queues");
    healthy(&*broker).await;
    let (_connection, channel) = somebody_else(&rabbit).await;
    send(&rabbit, &channel, "an order", "1").await;
    let held = next(&mut messages).await;
    proxy.cut();
    let again = next(&mut messages).await;
    assert_eq!(
        (again.body.as_slice(), again.message_id.as_deref()),
        (b"an order".as_slice(), Some("1"))
    );
    // Its channel is gone: the word means nothing to the new one.
    held.refused();
    again.taken();
    healthy(&*broker).await;
    send(&rabbit, &channel, "another", "2").await;
    assert_eq!(next(&mut messages).await.body, b"another");
    assert_eq!(
        waiting(&channel, &format!("{}.inbound.refused", rabbit.prefix)).await,
        None
    );
    drop(messages);
    rabbit.finish([broker]).await;
}
