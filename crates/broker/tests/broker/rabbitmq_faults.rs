//! Messages on bad days.

use std::time::Duration;

use orchestratum_broker::{Broker, Consumer, PublishReport, RabbitBroker};
use tokio::time::{Instant, timeout};

use crate::harness::{Proxy, Rabbit, eventually, healthy, hint, hints, next, receive_all, target};

/// What is promised after the broker is back.
const BACK_WITHIN: Duration = Duration::from_secs(10);
/// A publication's own deadline, with room for a busy machine.
const PUBLISHED_WITHIN: Duration = Duration::from_secs(7);

/// Publishes and receives one message, trying again as the feeder would.
async fn works_again(broker: &RabbitBroker, consumer: &mut Consumer, number: u128) {
    let sent = hint("mail", number);
    let round_trip = async {
        loop {
            let report = broker.publish(std::slice::from_ref(&sent)).await.unwrap_or_default();
            if report.accepted == 1 {
                return receive_all(consumer, std::slice::from_ref(&sent)).await;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let back = timeout(BACK_WITHIN, round_trip).await;
    assert!(back.is_ok(), "not back within {BACK_WITHIN:?}: {:?}", broker.health());
}

#[tokio::test]
async fn a_connection_that_an_operator_closes_comes_back() {
    let rabbit = Rabbit::new().await;
    let broker = rabbit.broker().await;
    let mut consumer = broker.consume(&[target("mail")]).await.expect("open");
    healthy(&*broker).await;
    broker.publish(&[hint("mail", 1)]).await.expect("connected");
    let held = next(&mut consumer).await;
    for role in ["consuming", "listening", "publishing"] {
        rabbit
            .management
            .close_connection(&format!("{} {role}", rabbit.prefix))
            .await;
    }
    works_again(&broker, &mut consumer, 2).await;
    healthy(&*broker).await;
    // The old delivery's word comes too late and means nothing to the new channel.
    held.acknowledge();
    works_again(&broker, &mut consumer, 3).await;
    rabbit.finish([broker]).await;
}

#[tokio::test]
async fn what_was_not_acknowledged_comes_again_after_a_loss() {
    let rabbit = Rabbit::new().await;
    let proxy = Proxy::before(rabbit.address()).await;
    let broker = rabbit.broker_with(&rabbit.url_through(proxy.port), 16).await;
    let mut consumer = broker.consume(&[target("mail")]).await.expect("open");
    healthy(&*broker).await;
    let sent = hints("mail", 40);
    assert_eq!(broker.publish(&sent).await.expect("connected").accepted, 40);
    let held = next(&mut consumer).await;
    proxy.cut();
    eventually("the loss is noticed", async || broker.health().map_or(Ok(()), Err)).await;
    drop(held);
    receive_all(&mut consumer, &sent).await;
    rabbit.finish([broker]).await;
}

#[tokio::test]
async fn a_queue_deleted_under_its_consumer_is_declared_again() {
    let rabbit = Rabbit::new().await;
    let broker = rabbit.broker().await;
    let mut consumer = broker.consume(&[target("mail"), target("film")]).await.expect("open");
    healthy(&*broker).await;
    rabbit.management.delete_queue(&rabbit.queue("mail")).await;
    works_again(&broker, &mut consumer, 1).await;
    assert_eq!(broker.depth(&target("mail")).await.expect("connected"), Some(0));
    rabbit.finish([broker]).await;
}

#[tokio::test]
async fn a_broker_that_falls_silent_costs_a_publication_its_deadline_and_no_more() {
    let rabbit = Rabbit::new().await;
    let proxy = Proxy::before(rabbit.address()).await;
    let broker = rabbit.broker_with(&rabbit.url_through(proxy.port), 16).await;
    let mut consumer = broker.consume(&[target("mail")]).await.expect("open");
    healthy(&*broker).await;
    works_again(&broker, &mut consumer, 1).await;
    proxy.fall_silent(true);
    let begin = Instant::now();
    let report = broker.publish(&hints("mail", 200)).await.expect("it was connected");
    assert_eq!(
        report,
        PublishReport {
            failed: 200,
            ..PublishReport::default()
        }
    );
    assert!(begin.elapsed() < PUBLISHED_WITHIN, "{:?}", begin.elapsed());
    // The connection is given up, so the next caller does not wait.
    let begin = Instant::now();
    broker
        .publish(&hints("mail", 1))
        .await
        .expect_err("there is no connection");
    assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
    assert!(broker.depth(&target("mail")).await.is_err());
    proxy.fall_silent(false);
    works_again(&broker, &mut consumer, 2).await;
    rabbit.finish([broker]).await;
}

#[tokio::test]
async fn a_blocked_broker_refuses_at_once_and_keeps_its_connection() {
    let rabbit = Rabbit::new().await;
    let proxy = Proxy::before(rabbit.address()).await;
    let broker = rabbit.broker_with(&rabbit.url_through(proxy.port), 16).await;
    let mut consumer = broker.consume(&[target("mail")]).await.expect("open");
    healthy(&*broker).await;
    works_again(&broker, &mut consumer, 1).await;
    proxy.say_blocked();
    eventually("publishers are refused", async || {
        broker.publish(&[]).await.map(drop).and(refused(&broker).await)
    })
    .await;
    let begin = Instant::now();
    for _ in 0..100 {
        broker.publish(&hints("mail", 100)).await.expect_err("it is blocked");
    }
    assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
    proxy.say_unblocked();
    works_again(&broker, &mut consumer, 2).await;
    rabbit.finish([broker]).await;
}

async fn refused(broker: &RabbitBroker) -> Result<(), orchestratum_broker::Error> {
    match broker.publish(&[hint("nobody", 9)]).await {
        Err(orchestratum_broker::Error::Blocked) => Ok(()),
        Ok(_taken) => Err(orchestratum_broker::Error::Disconnected),
        Err(error) => Err(error),
    }
}

/// What a process holds for its connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Held {
    connection_threads: usize,
    sockets: usize,
    tasks: usize,
}

fn held() -> Held {
    let entries = |path: &str| std::fs::read_dir(path).expect("a process can look at itself").flatten();
    let connection_threads = entries("/proc/self/task")
        .filter_map(|thread| std::fs::read_to_string(thread.path().join("comm")).ok())
        .filter(|name| name.trim() == "lapin-io-loop")
        .count();
    let sockets = entries("/proc/self/fd")
        .filter_map(|file| std::fs::read_link(file.path()).ok())
        .filter(|link| link.to_string_lossy().starts_with("socket:"))
        .count();
    let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    Held {
        connection_threads,
        sockets,
        tasks,
    }
}

/// Each ends 21 connections.
const ROUNDS: usize = 5;

/// Run in a process of its own: other tests have connections too.
#[tokio::test]
async fn a_hundred_lost_connections_leave_nothing_behind() {
    if std::env::var_os(ALONE).is_none() {
        return run_alone("rabbitmq_faults::a_hundred_lost_connections_leave_nothing_behind").await;
    }
    let rabbit = Rabbit::new().await;
    let proxy = Proxy::before(rabbit.address()).await;
    let url = rabbit.url_through(proxy.port);
    let mut workers = Vec::new();
    for _ in 0..7 {
        let broker = rabbit.broker_with(&url, 16).await;
        let consumer = broker.consume(&[target("mail"), target("film")]).await.expect("open");
        healthy(&*broker).await;
        workers.push((broker, consumer));
    }
    let before = held();
    assert_eq!(before.connection_threads, 21);
    for _ in 0..ROUNDS {
        // Half of the connections end in the middle of a publication, half of them idle.
        let under_way = workers.iter().map(|(broker, _)| {
            let broker = std::sync::Arc::clone(broker);
            tokio::spawn(async move { broker.publish(&hints("mail", 300)).await.map_err(drop) })
        });
        let under_way: Vec<_> = under_way.collect();
        proxy.cut();
        for publication in under_way {
            let _ = publication.await.expect("no panic");
        }
        for (broker, _) in &workers {
            healthy(&**broker).await;
        }
    }
    // Connections that end take a moment to be gone. A socket more or less is the proxy's, which closes in its own time;
    // one for each round would be a leak.
    eventually("as much is held as before", async || {
        let now = held();
        let grown = now.connection_threads > before.connection_threads
            || now.sockets >= before.sockets + ROUNDS
            || now.tasks > before.tasks;
        if grown { Err((before, now)) } else { Ok(()) }
    })
    .await;
    let (brokers, consumers): (Vec<_>, Vec<_>) = workers.into_iter().unzip();
    drop(consumers);
    rabbit.finish(brokers).await;
    eventually("nothing is held", async || {
        let now = held();
        if now.connection_threads == 0 { Ok(()) } else { Err(now) }
    })
    .await;
}

const ALONE: &str = "BROKER_TEST_ALONE";

async fn run_alone(test: &str) {
    let this = std::env::current_exe().expect("a test has a program");
    let output = tokio::process::Command::new(this)
        .args(["--exact", test, "--nocapture"])
        .env(ALONE, "1")
        .kill_on_drop(true)
        .output();
    let output = timeout(Duration::from_secs(120), output)
        .await
        .expect("in time")
        .expect("it can be started");
    let (text, errors) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success() && text.contains("1 passed"), "{text}\n{errors}");
}
