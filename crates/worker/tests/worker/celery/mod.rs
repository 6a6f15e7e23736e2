//! `celery` tasks through a worker, run by a real worker of a real Celery application.

mod ends;
mod results;

use orchestratum_testkit::{CeleryWorker, Servers, VirtualHost};

use crate::support::Bench;

/// A broker of its own, with a Celery worker and with ours.
struct Lab {
    host: VirtualHost,
    fleet: CeleryWorker,
    bench: Bench,
}

async fn host() -> VirtualHost {
    VirtualHost::unique(&Servers::from_environment())
        .await
        .expect("RabbitMQ is there")
}

impl Lab {
    async fn new() -> Self {
        let host = host().await;
        let url = host.servers().amqp_url.clone();
        let fleet = CeleryWorker::start(&url).await.expect("a Celery worker");
        let bench = Bench::with(&[("worker.celery.url", &url), ("worker.celery.queues", "other.*")]).await;
        Self { host, fleet, bench }
    }
}
