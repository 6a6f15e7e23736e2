//! What the tests stand on: a RabbitMQ prefix of their own, its management API, a proxy that fails on purpose, and
//! waiting for a state.

mod management;
mod proxy;
mod rabbit;

use std::fmt::Debug;
use std::time::Duration;

use orchestratum_broker::{Broker, Consumer, Delivery, Hint, Signal};
use orchestratum_core::{Target, TaskId, TaskName};
use tokio::sync::broadcast;
use tokio::time::{Instant, timeout};

pub(crate) use management::Management;
pub(crate) use proxy::Proxy;
pub(crate) use rabbit::Rabbit;

/// Longer than anything here takes, the broker's own deadlines included: reaching it is a failure.
pub(crate) const BOUND: Duration = Duration::from_secs(30);

pub(crate) fn target(name: &str) -> Target {
    Target::new(name.to_owned()).expect("a plain name")
}

/// The `number`th hint for a target.
pub(crate) fn hint(target_name: &str, number: u128) -> Hint {
    Hint {
        task: TaskId(uuid::Uuid::from_u128(number)),
        target: target(target_name),
        name: TaskName::new("echo").expect("a plain name"),
    }
}

pub(crate) fn hints(target_name: &str, count: u128) -> Vec<Hint> {
    (0..count).map(|number| hint(target_name, number)).collect()
}

/// Asks until the state is reached. `ask` says what it saw when it is not, for the failure's message.
pub(crate) async fn eventually<T, S: Debug, F: Future<Output = Result<T, S>>>(
    what: &str,
    mut ask: impl FnMut() -> F,
) -> T {
    let deadline = Instant::now() + BOUND;
    loop {
        match ask().await {
            Ok(reached) => return reached,
            Err(seen) if Instant::now() >= deadline => panic!("not within {BOUND:?}: {what}; last seen: {seen:?}"),
            Err(_seen) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

pub(crate) async fn healthy(broker: &dyn Broker) {
    eventually("a healthy broker", async || broker.health()).await;
}

pub(crate) async fn next(consumer: &mut Consumer) -> Delivery {
    timeout(BOUND, consumer.next())
        .await
        .expect("a message in time")
        .expect("the broker is open")
}

/// The next message that is one of `hints`, acknowledging everything.
pub(crate) async fn receive_all(consumer: &mut Consumer, hints: &[Hint]) {
    let mut missing: Vec<&Hint> = hints.iter().collect();
    while !missing.is_empty() {
        let delivery = timeout(BOUND, consumer.next()).await;
        let Ok(Some(delivery)) = delivery else {
            panic!("{} of {} messages did not arrive", missing.len(), hints.len());
        };
        missing.retain(|hint| **hint != delivery.hint);
        delivery.acknowledge();
    }
}

pub(crate) async fn heard(receiver: &mut broadcast::Receiver<Signal>) -> Signal {
    timeout(BOUND, receiver.recv())
        .await
        .expect("a signal in time")
        .expect("the broker is open, and we are not far behind")
}

/// A setting of the environment, without which these tests mean nothing.
pub(crate) fn required(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| panic!("{variable} is not set: `cargo xtask test` provides it"))
}
