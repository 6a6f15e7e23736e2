//! `cargo xtask soak`: the long forms of the simulation and of the fault tests, for a night rather than a pull request.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::stopwatch::Stopwatch;
use crate::workspace::Workspace;
use crate::{process, services};

const DEFAULT_MINUTES: u64 = 30;
/// A round is long enough that starting it costs nothing and short enough that the time asked for is kept.
const SEEDS_A_ROUND: u64 = 500_000;

pub(crate) fn run(options: &[&str]) -> Result<()> {
    let budget = Duration::from_secs(60 * minutes(options)?);
    let workspace = Workspace::locate()?;
    let servers = services::provide()?;
    simulate(&workspace, budget / 2)?;
    fault_tests(&workspace, servers.addresses(), budget / 2)
}

fn minutes(options: &[&str]) -> Result<u64> {
    match options {
        [] => Ok(DEFAULT_MINUTES),
        ["--minutes", minutes] => minutes
            .parse()
            .with_context(|| format!("`{minutes}` is not a number of minutes, such as 30")),
        unknown => bail!("soak knows the option `--minutes N` and not `{}`", unknown.join(" ")),
    }
}

/// Long schedules from seeds that no run before has seen; a failing one is printed with the command that replays it.
fn simulate(workspace: &Workspace, budget: Duration) -> Result<()> {
    let stopwatch = Stopwatch::start();
    let mut first_seed = RandomState::new().build_hasher().finish() >> 16;
    while stopwatch.elapsed() < budget {
        println!(
            "==> simulation from seed {first_seed}, {stopwatch} of {} s",
            budget.as_secs()
        );
        let (first, count) = (first_seed.to_string(), SEEDS_A_ROUND.to_string());
        let program = [
            "run",
            "--quiet",
            "--package",
            "orchestratum-simulation",
            "--bin",
            "simulate",
            "--",
        ];
        let seeds = ["--from", &first, "--seeds", &count, "--long"];
        process::run(workspace.cargo(&program).args(seeds))?;
        first_seed += SEEDS_A_ROUND;
    }
    Ok(())
}

/// All tests with the long form of those that have one, again and again.
fn fault_tests(workspace: &Workspace, addresses: &services::Addresses, budget: Duration) -> Result<()> {
    process::run(&mut workspace.build_everything())?;
    let stopwatch = Stopwatch::start();
    let mut round = 1;
    while round == 1 || stopwatch.elapsed() < budget {
        println!("==> fault tests, round {round}, {stopwatch} of {} s", budget.as_secs());
        let mut tests = workspace.cargo(&["test", "--workspace", "--no-fail-fast"]);
        tests.env("ORCHESTRATUM_SOAK", "1");
        addresses.apply(&mut tests);
        process::run(&mut tests)?;
        round += 1;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_minutes_are_read_and_anything_else_is_refused() {
        assert_eq!(minutes(&[]).expect("there is a default"), DEFAULT_MINUTES);
        assert_eq!(minutes(&["--minutes", "3"]).expect("it is a number"), 3);
        assert!(minutes(&["--minutes", "soon"]).is_err());
        assert!(minutes(&["--hours", "1"]).is_err());
    }
}
