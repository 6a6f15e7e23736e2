//! Python tasks: the product runs each in a process of its own. Celery's own tasks run inside its worker and are trusted
//! code; beside them stands a Celery task that starts an interpreter for the code it was sent, which is the same work.

use anyhow::Result;

use super::{DRAIN_LIMIT, fill, wait_until_done};
use crate::arguments::Measure;
use crate::bench::Bench;
use crate::results::{Results, System};
use crate::systems::celery::Fleet;
use crate::systems::orchestratum::{Deployment, Work};

const CODE: &str = "def main(input): return 1\nprint(main(None))";

pub(super) async fn measure(bench: &Bench, system: System, results: &mut Results) -> Result<()> {
    let tasks = bench.sizes.python_tasks;
    let stretch = if system == System::CeleryInterpreter {
        let mut fleet = Fleet::start(bench, system).await?;
        fleet.fill(tasks, "bench.interpreter", CODE).await?;
        fleet.start_worker()?;
        let stretch = fleet.drained(tasks, DRAIN_LIMIT).await?;
        fleet.remove().await?;
        stretch
    } else {
        let mut deployment = Deployment::start(bench, system).await?;
        fill(&deployment, Work::Python, tasks).await?;
        deployment.start_worker().await?;
        wait_until_done(&mut deployment).await?;
        let stretch = deployment.records().await?.drained(tasks).await?;
        deployment.remove().await?;
        stretch
    };
    results.add(Measure::Python, system, "tasks/s", stretch.tasks_per_second());
    Ok(())
}
