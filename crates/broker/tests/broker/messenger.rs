//! Replies to messages, from programs that are not ours.

use std::sync::Arc;

use orchestratum_broker::{Expected, Messenger, MessengerOptions, Missed, Reply, TooLarge};
use serde_json::Value;
use tokio::time::timeout;

use crate::harness::{BOUND, Rabbit};

const REPLY_MAX_BYTES: usize = 1_000;

async fn messenger(rabbit: &Rabbit) -> Arc<Messenger> {
    let options = MessengerOptions {
        name: "test".to_owned(),
        reply_queue: format!("{}.replies", rabbit.prefix),
        reply_max_bytes: REPLY_MAX_BYTES,
        transient_exchanges: Vec::new(),
    };
    let messenger = Messenger::start(rabbit.url(), options).expect("a usable URL");
    timeout(BOUND, messenger.ready()).await.expect("connected in time");
    messenger
}

async fn reply(expected: &mut Expected) -> Result<Reply, Missed> {
    timeout(BOUND, expected.next()).await.expect("a reply in time")
}

/// How deep lists lie in this one, and what the innermost holds.
fn innermost(mut value: &Value) -> (usize, &Value) {
    let mut depth = 0;
    while let Value::Array(entries) = value {
        depth += 1;
        value = entries.first().unwrap_or(&Value::Null);
    }
    (depth, value)
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_of_any_depth_end_no_process_and_lose_only_what_lies_too_deep() {
    let rabbit = Rabbit::new().await;
    let messenger = messenger(&rabbit).await;
    let mut expected = messenger.expect("17");
    for depth in [31, 32, 20_000] {
        let deep = format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        let properties = format!(r#"{{"correlation_id": "17", "headers": {{"deep": {deep}, "plain": "a"}}}}"#);
        rabbit
            .management
            .publish(&messenger.reply_queue(), &properties, "\"first\"")
            .await;
        let reply = reply(&mut expected).await.expect("it is small");
        assert_eq!(
            (reply.body.as_slice(), &reply.headers["plain"]),
            (&b"first"[..], &Value::from("a"))
        );
        let innermost = innermost(&reply.headers["deep"]);
        let expected = if depth < 32 { Value::from(1) } else { Value::Null };
        assert_eq!(innermost, (31, &expected));
    }
    messenger.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_reply_that_is_too_large_only_that_is_told() {
    let rabbit = Rabbit::new().await;
    let messenger = messenger(&rabbit).await;
    let mut expected = messenger.expect("17");
    for bytes in [REPLY_MAX_BYTES + 1, REPLY_MAX_BYTES] {
        let payload = format!("\"{}\"", "a".repeat(bytes));
        rabbit
            .management
            .publish(&messenger.reply_queue(), r#"{"correlation_id": "17"}"#, &payload)
            .await;
    }
    assert_eq!(
        reply(&mut expected).await,
        Err(Missed::TooLarge(TooLarge { most: REPLY_MAX_BYTES }))
    );
    let whole = reply(&mut expected).await.expect("it is no larger");
    assert_eq!(whole.body.len(), REPLY_MAX_BYTES);
    messenger.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_for_replies_that_is_lost_is_told_to_whoever_waits_and_made_again() {
    let rabbit = Rabbit::new().await;
    let messenger = messenger(&rabbit).await;
    let mut expected = messenger.expect("17");
    rabbit.management.delete_queue(&messenger.reply_queue()).await;
    assert_eq!(reply(&mut expected).await, Err(Missed::Lost));
    timeout(BOUND, messenger.ready()).await.expect("it is made again");
    rabbit
        .management
        .publish(&messenger.reply_queue(), r#"{"correlation_id": "17"}"#, "\"later\"")
        .await;
    assert_eq!(reply(&mut expected).await.expect("it comes").body, b"later");
    messenger.close().await;
}
