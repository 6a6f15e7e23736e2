//! Whether `amqp` and `celery` tasks of a worker here would find somebody.

use orchestratum_engine::{NamePattern, Settings};
use orchestratum_worker::messaging;

use super::report::Report;

pub(super) async fn check(settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
    amqp(settings, report).await?;
    celery(settings, report).await
}

async fn amqp(settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
    const PART: &str = "amqp";
    let amqp = &settings.worker.amqp;
    if !amqp.is_configured() {
        return report.ok(PART, "not offered: worker.amqp.url is not set");
    }
    if let Err(reason) = messaging::amqp_is_reached(settings).await {
        return report.wrong(PART, format!("`amqp` tasks wait for their broker: {reason}"));
    }
    if amqp.exchanges.is_empty() && amqp.queues.is_empty() {
        let says = "every task is refused: worker.amqp.exchanges and worker.amqp.queues name nothing";
        return report.warning(PART, says);
    }
    let (exchanges, queues) = (listed(&amqp.exchanges), listed(&amqp.queues));
    report.ok(PART, format!("exchanges: {exchanges}; queues: {queues}"))
}

async fn celery(settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
    const PART: &str = "celery";
    if !settings.worker.celery.is_configured() {
        return report.ok(PART, "not offered: worker.celery.url is not set");
    }
    match messaging::answering_celery_workers(settings).await {
        Ok(workers) if workers.is_empty() => {
            report.warning(PART, "no worker answers: `celery` tasks wait in their queues")
        }
        Ok(workers) => report.ok(PART, format!("who answers: {}", workers.join(", "))),
        Err(reason) => report.wrong(PART, format!("`celery` tasks wait for their broker: {reason}")),
    }
}

fn listed(patterns: &[NamePattern]) -> String {
    if patterns.is_empty() {
        return "none".to_owned();
    }
    let patterns: Vec<String> = patterns.iter().map(ToString::to_string).collect();
    patterns.join(", ")
}
