//! The worker's post: hints from the broker, sorted to the lanes.

use std::sync::Arc;

use orchestratum_broker::{Consumer, Delivery};
use tokio_util::sync::CancellationToken;

use crate::shared::Shared;

/// Sorts until the worker stops, and gives back what is left then.
pub(crate) async fn run(shared: Arc<Shared>, mut consumer: Consumer, stop: CancellationToken) {
    let lanes = &shared.lanes;
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            () = lanes.crowded_changed.notified() => consumer.set_accepting(!lanes.any_crowded()),
            delivery = consumer.next() => match delivery {
                Some(delivery) => sort(&shared, delivery),
                None => break,
            },
        }
    }
    for lane in lanes.all() {
        drop(lane.take(usize::MAX));
    }
}

fn sort(shared: &Shared, delivery: Delivery) {
    if let Some(lane) = shared.lanes.of(&delivery.hint.name) {
        lane.put(delivery);
    } else {
        // The task stays where it is, for a worker that offers the name.
        metrics::counter!("orchestratum_hints_not_offered_total").increment(1);
        delivery.acknowledge();
    }
}
