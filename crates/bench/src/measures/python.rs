//! Python tasks: the product runs each in a process of its own, at full isolation. Celery's own tasks run inside its worker
//! and are trusted code; beside them stands a Celery task that starts an interpreter for the code it was sent, which is the
//! same work. So do, without any distribution, bubblewrap for each task and a fork of a warm interpreter for each.

use anyhow::{Context, Result};

use super::{DRAIN_LIMIT, fill, sandbox, wait_until_done};
use crate::arguments::Measure;
use crate::bench::Bench;
use crate::results::{Results, System};
use crate::systems::celery::Fleet;
use crate::systems::orchestratum::{Deployment, Work};
use crate::systems::{Stretch, warm_fork};

const DEFINITION: &str = "def main(input): return 1";
/// What a new interpreter runs and prints, which has nobody to call `main` for it.
const PROGRAM: &str = "def main(input): return 1\nprint(main(None))";
const PRINTS: &str = "1\n";

pub(super) async fn measure(bench: &Bench, system: System, results: &mut Results) -> Result<()> {
    let (tasks, peer_tasks) = (bench.sizes.python_tasks, bench.sizes.python_peer_tasks);
    let lanes = bench.facts.lanes();
    let stretch = match system {
        System::CeleryInterpreter => celery(bench, system, peer_tasks).await?,
        System::Bubblewrap => {
            let bubblewrap = bench.bubblewrap.as_ref().ok().context("there is no bubblewrap")?;
            bubblewrap.drain(PROGRAM, PRINTS, peer_tasks, lanes).await?
        }
        System::WarmFork => {
            let folder = bench.new_folder()?;
            warm_fork::drain(&bench.interpreter, DEFINITION, tasks, lanes, &folder).await?
        }
        _ => product(bench, system, tasks).await?,
    };
    results.add(Measure::Python, system, "tasks/s", stretch.tasks_per_second());
    Ok(())
}

async fn product(bench: &Bench, system: System, tasks: u32) -> Result<Stretch> {
    sandbox::full(bench).await?;
    let mut deployment = Deployment::start(bench, system).await?;
    fill(&deployment, Work::Python, tasks).await?;
    deployment.start_worker().await?;
    wait_until_done(&mut deployment).await?;
    let stretch = deployment.records().await?.drained(tasks).await?;
    deployment.remove().await?;
    Ok(stretch)
}

async fn celery(bench: &Bench, system: System, tasks: u32) -> Result<Stretch> {
    let mut fleet = Fleet::start(bench, system).await?;
    fleet.fill(tasks, "bench.interpreter", PROGRAM).await?;
    fleet.start_worker()?;
    let stretch = fleet.drained(tasks, DRAIN_LIMIT).await?;
    fleet.remove().await?;
    Ok(stretch)
}
