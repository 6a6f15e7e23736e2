//! Messages in and out, on a good day.

use std::sync::Arc;

use orchestratum_broker::{Broker, PublishReport};

use crate::harness::{BOUND, Rabbit, eventually, healthy, hint, hints, next, receive_all, target};

async fn depth(broker: &dyn Broker, target_name: &str) -> Option<u64> {
    broker.depth(&target(target_name)).await.expect("the broker answers")
}

async fn depth_reaches(broker: &dyn Broker, target_name: &str, expected: u64) {
    eventually("the depth of the queue", async || {
        match depth(broker, target_name).await {
            Some(depth) if depth == expected => Ok(()),
            seen => Err(seen),
        }
    })
    .await;
}

#[tokio::test]
async fn what_is_published_is_received_and_gone_when_acknowledged() {
    let rabbit = Rabbit::new().await;
    let broker = rabbit.broker().await;
    let mut consumer = broker.consume(&[target("mail"), target("film")]).await.expect("open");
    healthy(&*broker).await;
    let sent = [hints("mail", 100), hints("film", 50)].concat();
    let report = broker.publish(&sent).await.expect("connected");
    assert_eq!(
        report,
        PublishReport {
            accepted: 150,
            ..PublishReport::default()
        }
    );
    receive_all(&mut consumer, &sent).await;
    drop(consumer);
    depth_reaches(&*broker, "mail", 0).await;
    depth_reaches(&*broker, "film", 0).await;
    rabbit.finish([broker]).await;
}

#[tokio::test]
async fn a_target_that_nobody_serves_is_unroutable_and_has_no_depth() {
    let rabbit = Rabbit::new().await;
    let broker = rabbit.broker().await;
    let consumer = broker.consume(&[target("mail")]).await.expect("open");
    consumer.set_accepting(false);
    healthy(&*broker).await;
    let sent = [hints("mail", 3), hints("nobody", 5), hints("mail", 4)].concat();
    let report = broker.publish(&sent).await.expect("connected");
    assert_eq!(
        report,
        PublishReport {
            accepted: 7,
            unroutable: 5,
            failed: 0
        }
    );
    assert_eq!(depth(&*broker, "nobody").await, None);
    depth_reaches(&*broker, "mail", 7).await;
    // The question that was refused has not spoilt the next one, nor publishing.
    assert_eq!(depth(&*broker, "nobody").await, None);
    assert_eq!(broker.publish(&hints("mail", 1)).await.expect("connected").accepted, 1);
    rabbit.finish([broker]).await;
}

#[tokio::test]
async fn publications_at_the_same_time_count_their_own_returns() {
    let rabbit = Rabbit::new().await;
    let broker = rabbit.broker().await;
    let consumer = broker.consume(&[target("mail")]).await.expect("open");
    consumer.set_accepting(false);
    healthy(&*broker).await;
    let publications = (0..40).map(|number| {
        let broker = Arc::clone(&broker);
        tokio::spawn(async move {
            let target_name = if number % 2 == 0 { "mail" } else { "nobody" };
            (
                target_name,
                broker.publish(&hints(target_name, 100)).await.expect("connected"),
            )
        })
    });
    for publication in publications.collect::<Vec<_>>() {
        let (target_name, report) = publication.await.expect("no panic");
        let expected = if target_name == "mail" {
            PublishReport {
                accepted: 100,
                ..PublishReport::default()
            }
        } else {
            PublishReport {
                unroutable: 100,
                ..PublishReport::default()
            }
        };
        assert_eq!(report, expected, "{target_name}");
    }
    rabbit.finish([broker]).await;
}

#[tokio::test]
async fn a_delivery_that_is_dropped_is_delivered_again() {
    let rabbit = Rabbit::new().await;
    let broker = rabbit.broker().await;
    let mut consumer = broker.consume(&[target("mail")]).await.expect("open");
    healthy(&*broker).await;
    broker.publish(&[hint("mail", 1)]).await.expect("connected");
    drop(next(&mut consumer).await);
    let again = next(&mut consumer).await;
    assert_eq!(again.hint, hint("mail", 1));
    again.acknowledge();
    rabbit.finish([broker]).await;
}

#[tokio::test]
async fn a_worker_holds_at_most_its_prefetch() {
    let rabbit = Rabbit::new().await;
    let broker = rabbit.broker().await;
    let mut consumer = broker.consume(&[target("mail")]).await.expect("open");
    healthy(&*broker).await;
    broker.publish(&hints("mail", 40)).await.expect("connected");
    depth_reaches(&*broker, "mail", 40 - 16).await;
    let first = next(&mut consumer).await;
    first.acknowledge();
    depth_reaches(&*broker, "mail", 40 - 17).await;
    rabbit.finish([broker]).await;
}

#[tokio::test]
async fn a_worker_without_room_gives_back_what_it_has_not_claimed() {
    let rabbit = Rabbit::new().await;
    let broker = rabbit.broker().await;
    let mut consumer = broker.consume(&[target("mail")]).await.expect("open");
    healthy(&*broker).await;
    let sent = hints("mail", 30);
    broker.publish(&sent).await.expect("connected");
    let claimed = next(&mut consumer).await;
    let held = next(&mut consumer).await;
    consumer.set_accepting(false);
    depth_reaches(&*broker, "mail", 28).await;
    drop(held);
    claimed.acknowledge();
    depth_reaches(&*broker, "mail", 29).await;
    assert!(consumer.try_next().is_none());

    // Others get it meanwhile; and with room again, so does this one.
    let other = rabbit.broker().await;
    let mut elsewhere = other.consume(&[target("mail")]).await.expect("open");
    let taken = next(&mut elsewhere).await;
    assert_eq!(taken.hint, sent[1], "what goes back keeps its place");
    taken.acknowledge();
    drop(elsewhere);
    consumer.set_accepting(true);
    receive_all(&mut consumer, &sent[2..]).await;
    depth_reaches(&*broker, "mail", 0).await;
    rabbit.finish([broker, other]).await;
}

#[tokio::test]
async fn a_worker_that_leaves_settles_what_it_has_claimed_and_gives_back_the_rest() {
    let rabbit = Rabbit::new().await;
    let broker = rabbit.broker().await;
    let mut consumer = broker.consume(&[target("mail")]).await.expect("open");
    healthy(&*broker).await;
    broker.publish(&hints("mail", 20)).await.expect("connected");
    let claimed = next(&mut consumer).await;
    drop(consumer);
    claimed.acknowledge();
    depth_reaches(&*broker, "mail", 19).await;
    rabbit.finish([broker]).await;
}

#[tokio::test]
async fn poison_of_every_kind_is_dropped_without_harm() {
    let rabbit = Rabbit::new().await;
    let broker = rabbit.broker().await;
    let mut consumer = broker.consume(&[target("mail")]).await.expect("open");
    healthy(&*broker).await;
    let (huge, deep) = (vec![b' '; 16 * 1024 * 1024], b"[".repeat(10_000));
    let poison: [&[u8]; 9] = [
        b"",
        &huge,
        &deep,
        b"not json",
        b"\xff\xfe\x00",
        b"{\"task\":\"\\u0000\",\"name\":\"echo\"}",
        b"{}",
        b"{\"task\":\"00000000-0000-0000-0000-000000000001\"}",
        b"{\"task\":\"00000000-0000-0000-0000-000000000001\",\"name\":\"a b\"}",
    ];
    rabbit.publish_raw("mail", &poison).await;
    rabbit.publish_raw("mail", &poison).await;
    let newer = br#"{"version":9,"task":"00000000-0000-0000-0000-000000000002","name":"echo","more":{}}"#;
    rabbit.publish_raw("mail", &[newer]).await;
    rabbit.publish_with_large_headers("mail").await;
    let good = next(&mut consumer).await;
    assert_eq!(good.hint, hint("mail", 2));
    good.acknowledge();
    depth_reaches(&*broker, "mail", 0).await;
    // None of it has cost the connection.
    assert!(broker.health().is_ok(), "{:?}", broker.health());
    drop(consumer);
    depth_reaches(&*broker, "mail", 0).await;
    rabbit.finish([broker]).await;
}

#[tokio::test]
async fn a_queue_declared_otherwise_is_used_as_it_is() {
    let rabbit = Rabbit::new().await;
    rabbit.management.declare_odd_queue(&rabbit.queue("mail")).await;
    let broker = rabbit.broker().await;
    let mut consumer = broker.consume(&[target("mail"), target("film")]).await.expect("open");
    healthy(&*broker).await;
    let sent = [hints("mail", 3), hints("film", 3)].concat();
    assert_eq!(broker.publish(&sent).await.expect("connected").accepted, 6);
    receive_all(&mut consumer, &sent).await;
    rabbit.finish([broker]).await;
}

#[tokio::test]
async fn a_closed_broker_ends_its_consumers_and_refuses_messages() {
    let rabbit = Rabbit::new().await;
    let broker = rabbit.broker().await;
    let mut consumer = broker.consume(&[target("mail")]).await.expect("open");
    healthy(&*broker).await;
    broker.close().await;
    let end = tokio::time::timeout(BOUND, consumer.next()).await.expect("in time");
    assert!(end.is_none());
    assert!(broker.publish(&hints("mail", 1)).await.is_err());
    assert!(broker.depth(&target("mail")).await.is_err());
    rabbit.finish([]).await;
}
