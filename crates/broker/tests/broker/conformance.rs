//! What every broker owes, run on each of them.

use std::sync::Arc;

use orchestratum_broker::{Broker, Signal};
use orchestratum_core::TaskId;
use tokio::sync::broadcast::error::TryRecvError;
use tokio::time::timeout;

use crate::harness::{BOUND, healthy, heard, hints, target};

/// Two brokers of one installation, as two processes would have them.
pub(crate) struct Pair {
    pub(crate) here: Arc<dyn Broker>,
    pub(crate) there: Arc<dyn Broker>,
}

pub(crate) async fn holds(pair: Pair) {
    let Pair { here, there } = pair;
    healthy(&*here).await;
    healthy(&*there).await;
    signals_reach_every_process_once(&*here, &*there).await;
    depth_is_known_where_there_are_queues(&*here).await;
    nothing_to_publish_is_nothing_published(&*here).await;
    whoever_waits_for_work_is_woken(&*here, &*there).await;
    a_closed_broker_ends_its_consumers(&*here).await;
    there.close().await;
}

async fn signals_reach_every_process_once(here: &dyn Broker, there: &dyn Broker) {
    let (mut at_here, mut at_there) = (here.signals(), there.signals());
    let task = |number| vec![TaskId(uuid::Uuid::from_u128(number))];
    let said_here = [
        Signal::Finished { tasks: task(1) },
        Signal::Changed { tasks: task(2) },
        Signal::Ready {
            targets: vec![target("mail")],
        },
    ];
    let answer = Signal::Finished { tasks: task(3) };
    for signal in &said_here {
        here.signal(signal.clone()).await.expect("connected");
        assert_eq!(at_here.try_recv().as_ref(), Ok(signal), "this process is told at once");
    }
    for _ in &said_here {
        // Kinds may overtake each other.
        assert!(said_here.contains(&heard(&mut at_there).await));
    }
    there.signal(answer.clone()).await.expect("connected");
    assert_eq!(at_there.try_recv().as_ref(), Ok(&answer));
    assert_eq!(
        heard(&mut at_here).await,
        answer,
        "nothing else was heard here: own signals do not come back"
    );
    assert_eq!(at_there.try_recv(), Err(TryRecvError::Empty));
}

async fn depth_is_known_where_there_are_queues(broker: &dyn Broker) {
    let nobody = target("nobody");
    assert_eq!(broker.depth(&nobody).await.expect("connected"), None);
    let consumer = broker.consume(&[target("depth")]).await.expect("open");
    healthy(broker).await;
    let depth = broker.depth(&target("depth")).await.expect("connected");
    assert_eq!(depth.is_some(), broker.has_queues());
    drop(consumer);
}

async fn nothing_to_publish_is_nothing_published(broker: &dyn Broker) {
    let report = broker.publish(&[]).await.expect("connected");
    assert_eq!((report.accepted, report.unroutable, report.failed), (0, 0, 0));
}

/// A message where there are queues, [`Signal::Ready`] where there are none.
async fn whoever_waits_for_work_is_woken(here: &dyn Broker, there: &dyn Broker) {
    let mut consumer = there.consume(&[target("mail")]).await.expect("open");
    healthy(there).await;
    let mut at_there = there.signals();
    let report = here.publish(&hints("mail", 3)).await.expect("connected");
    assert_eq!(report.accepted, 3);
    if there.has_queues() {
        for _ in 0..3 {
            let delivery = timeout(BOUND, consumer.next()).await.expect("in time").expect("open");
            delivery.acknowledge();
        }
    } else {
        let targets = vec![target("mail")];
        assert_eq!(heard(&mut at_there).await, Signal::Ready { targets });
    }
}

async fn a_closed_broker_ends_its_consumers(broker: &dyn Broker) {
    let mut consumer = broker.consume(&[target("mail")]).await.expect("open");
    assert!(consumer.try_next().is_none());
    broker.close().await;
    assert!(timeout(BOUND, consumer.next()).await.expect("in time").is_none());
}

#[tokio::test]
async fn rabbitmq_conforms() {
    let rabbit = crate::harness::Rabbit::new().await;
    let (here, there) = (rabbit.broker().await, rabbit.broker().await);
    holds(Pair { here, there }).await;
    rabbit.finish([]).await;
}
