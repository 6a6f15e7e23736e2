//! Signals through RabbitMQ.

use std::time::Duration;

use orchestratum_broker::{Broker, Signal};
use orchestratum_core::TaskId;

use crate::harness::{Rabbit, heard, target};

fn ready(name: &str) -> Signal {
    Signal::Ready {
        targets: vec![target(name)],
    }
}

#[tokio::test]
async fn a_signal_of_many_ids_arrives_in_parts() {
    let rabbit = Rabbit::new().await;
    let (here, there) = (rabbit.broker().await, rabbit.broker().await);
    let mut at_there = there.signals();
    let tasks: Vec<TaskId> = (0..2_500_u128)
        .map(|number| TaskId(uuid::Uuid::from_u128(number)))
        .collect();
    here.signal(Signal::Finished { tasks: tasks.clone() })
        .await
        .expect("connected");
    let mut heard_of = Vec::new();
    while heard_of.len() < tasks.len() {
        let Signal::Finished { tasks } = heard(&mut at_there).await else {
            panic!("only this was said");
        };
        assert!(tasks.len() <= 1_000);
        heard_of.extend(tasks);
    }
    assert_eq!(heard_of, tasks);
    rabbit.finish([here, there]).await;
}

#[tokio::test]
async fn an_exchange_that_somebody_deletes_is_declared_and_bound_again() {
    let rabbit = Rabbit::new().await;
    let (here, there) = (rabbit.broker().await, rabbit.broker().await);
    let mut at_there = there.signals();
    here.signal(ready("before")).await.expect("connected");
    assert_eq!(heard(&mut at_there).await, ready("before"));
    rabbit.management.delete_exchange(&rabbit.signals()).await;
    // Refused while the channel finds out; lost until the other process has bound again.
    let keep_saying = async {
        loop {
            let _ = here.signal(ready("after")).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::select! {
        () = keep_saying => {}
        signal = heard(&mut at_there) => assert_eq!(signal, ready("after")),
    }
    rabbit.finish([here, there]).await;
}
