//! `cargo xtask soak`: the long forms of the simulation and of the fault tests, for a night rather than a pull request.
//!
//! Half of the time goes to schedules from seeds that no run before has seen, a tenth to random operations on model and
//! databases, the rest to fault tests that repeat themselves. Schedules of sagas go on until there are five million. Figures stand at
//! the end, also when something failed.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::thread::available_parallelism;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};

use crate::stopwatch::Stopwatch;
use crate::workspace::Workspace;
use crate::{process, services};

const DEFAULT_MINUTES: u64 = 30;

/// How long schedules of sagas alone go on.
const SIMULATION_MINUTES: u64 = 10;

/// The forms of the simulation: a name, the options, and the share of its time, in tenths.
const FORMS: &[(&str, &[&str], u32)] = &[
    ("small schedules", &[], 1),
    ("large schedules", &["--long"], 3),
    ("small schedules, with faults and without", &["--twice"], 1),
    ("large schedules, with faults and without", &["--twice", "--long"], 1),
    ("schedules of sagas", SAGAS_IN_A_SOAK, 3),
    ("schedules of many sagas", &["--sagas", "--long"], 1),
];
const SAGAS: &[&str] = &["--sagas"];

/// So many at least, whatever their share of the time is.
const SAGAS_IN_A_SOAK: &[&str] = &["--sagas", "--seeds", "5000000"];

/// The fault tests, by the filter that names them.
const TESTS: &[&str] = &["test", "--workspace", "--no-fail-fast", "--test", "processes", "--"];
const FAULTS: &str = "faults::";

/// For how many seconds each test goes on.
const SECONDS: &str = "ORCHESTRATUM_SOAK_SECONDS";

/// A line of the summary: what was run, and its figures or why it failed.
type Line = (String, Result<String>);

pub(crate) fn run(options: &[&str]) -> Result<()> {
    let budget = Duration::from_secs(60 * minutes(options, DEFAULT_MINUTES)?);
    let workspace = Workspace::locate()?;
    let servers = services::provide()?;
    println!("==> build, which is not counted");
    process::run(&mut workspace.build_everything())?;
    let total = Stopwatch::start();
    let mut lines: Vec<Line> = FORMS
        .iter()
        .map(|(name, options, tenths)| {
            let figures = simulate(&workspace, name, options, budget / 2 * *tenths / 10);
            (format!("simulation, {name}"), figures)
        })
        .collect();
    let operations = differential(&workspace, servers.addresses(), budget / 10);
    lines.push(("random operations".to_owned(), operations));
    lines.extend(fault_tests(&workspace, servers.addresses(), budget * 4 / 10)?);
    drop(servers);
    summarize(&lines, &total)
}

/// Schedules of sagas alone, for a while.
pub(crate) fn simulate_sagas(options: &[&str]) -> Result<()> {
    let budget = Duration::from_secs(60 * minutes(options, SIMULATION_MINUTES)?);
    let workspace = Workspace::locate()?;
    process::run(&mut workspace.cargo(&["build", "--workspace", "--bin", "simulate"]))?;
    let total = Stopwatch::start();
    let name = "schedules of sagas".to_owned();
    summarize(&[(name.clone(), simulate(&workspace, &name, SAGAS, budget))], &total)
}

fn minutes(options: &[&str], default: u64) -> Result<u64> {
    match options {
        [] => Ok(default),
        ["--minutes", minutes] => minutes
            .parse()
            .with_context(|| format!("`{minutes}` is not a number of minutes, such as 30")),
        unknown => bail!("it knows the option `--minutes N` and not `{}`", unknown.join(" ")),
    }
}

fn summarize(lines: &[Line], total: &Stopwatch) -> Result<()> {
    println!("==> summary");
    let mut failed = 0;
    for (name, figures) in lines {
        match figures {
            Ok(figures) => println!("    ok     {name}: {figures}"),
            Err(error) => {
                failed += 1;
                println!("    FAILED {name}: {error:#}");
            }
        }
    }
    println!("    all of it took {total}");
    if failed > 0 {
        bail!("{failed} failed");
    }
    Ok(())
}

/// A failing seed is printed with its story and the command that replays it.
fn simulate(workspace: &Workspace, name: &str, options: &[&str], budget: Duration) -> Result<String> {
    let first_seed = RandomState::new().build_hasher().finish() >> 16;
    println!("==> simulation, {name}, from seed {first_seed}, {} s", budget.as_secs());
    let mut command = Command::new(workspace.target().join("debug").join("simulate"));
    command
        .args(options)
        .args(["--from", &first_seed.to_string()])
        .args(["--seconds", &budget.as_secs().to_string()])
        .current_dir(workspace.root());
    last_line(&mut command)
}

/// Runs to the end, its output passed on; returns the last line of it.
fn last_line(command: &mut Command) -> Result<String> {
    Ok(lines(command)?.pop().unwrap_or_default())
}

/// Runs to the end, its output passed on and returned.
fn lines(command: &mut Command) -> Result<Vec<String>> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{}`", process::describe(command)))?;
    let output = child.stdout.take().context("the output was not captured")?;
    let mut lines = Vec::new();
    for line in BufReader::new(output).lines() {
        let line = line.context("cannot read the output")?;
        println!("    {line}");
        lines.push(line);
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("{status}; again by `{}`", lines.pop().unwrap_or_default());
    }
    Ok(lines)
}

/// Random operations on the model and on both databases.
fn differential(workspace: &Workspace, addresses: &services::Addresses, budget: Duration) -> Result<String> {
    println!("==> random operations, {} s", budget.as_secs());
    let mut test = workspace.cargo(&[
        "test",
        "--workspace",
        "--test",
        "store",
        "--",
        "--nocapture",
        "differential::",
    ]);
    test.env(SECONDS, budget.as_secs().to_string());
    addresses.apply(&mut test);
    let lines = lines(&mut test)?;
    let figures = lines.into_iter().rev().find(|line| line.contains(" seeds of "));
    figures.context("the test did not say what it did")
}

/// Each of them repeats itself for its share of the time, and tells in a file how often it did.
fn fault_tests(workspace: &Workspace, addresses: &services::Addresses, budget: Duration) -> Result<Vec<Line>> {
    let mut list = workspace.cargo(TESTS);
    let listed = process::read(list.args(["--list", FAULTS]))?;
    let count = listed.lines().filter(|line| line.ends_with(": test")).count();
    let at_once = available_parallelism().context("cannot count the processors")?.get();
    let share = share(budget, count, at_once);
    let report = std::env::temp_dir().join(format!("orchestratum-soak-{}", std::process::id()));
    println!("==> {count} fault tests, {at_once} at once, {} s each", share.as_secs());
    let stopwatch = Stopwatch::start();
    let mut tests = workspace.cargo(TESTS);
    tests
        .arg(FAULTS)
        .env(SECONDS, share.as_secs().to_string())
        .env("ORCHESTRATUM_SOAK_REPORT", &report);
    addresses.apply(&mut tests);
    let passed = process::run(&mut tests);
    let rounds = std::fs::read_to_string(&report).unwrap_or_default();
    // It lies in the folder for what may go.
    let _ = std::fs::remove_file(&report);
    let mut lines: Vec<Line> = rounds
        .lines()
        .map(|line| {
            let (name, figures) = line.split_once(": ").unwrap_or((line, ""));
            let figures = figures.to_owned();
            let failed = figures.ends_with("FAILED");
            (
                name.to_owned(),
                if failed { Err(anyhow!(figures)) } else { Ok(figures) },
            )
        })
        .collect();
    lines.push((
        "fault tests".to_owned(),
        passed.map(|()| format!("{count} of them in {stopwatch}")),
    ));
    Ok(lines)
}

/// For how long each of the tests goes on, so that all together, so many at once, take the time there is.
fn share(budget: Duration, tests: usize, at_once: usize) -> Duration {
    let (tests, at_once) = (tests.max(1), at_once.clamp(1, tests.max(1)));
    budget.mul_f64(at_once as f64 / tests as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_minutes_are_read_and_anything_else_is_refused() {
        assert_eq!(minutes(&[], 30).expect("there is a default"), 30);
        assert_eq!(minutes(&["--minutes", "3"], 30).expect("it is a number"), 3);
        assert!(minutes(&["--minutes", "soon"], 30).is_err());
        assert!(minutes(&["--hours", "1"], 30).is_err());
    }

    #[test]
    fn the_forms_of_the_simulation_share_all_of_its_time() {
        assert_eq!(FORMS.iter().map(|(_, _, tenths)| tenths).sum::<u32>(), 10);
    }

    #[test]
    fn tests_that_run_one_after_the_other_share_the_time_and_those_that_run_at_once_have_all_of_it() {
        let minute = Duration::from_secs(60);
        assert_eq!(share(minute, 12, 2), Duration::from_secs(10));
        assert_eq!(share(minute, 2, 8), minute);
        assert_eq!(share(minute, 0, 2), minute);
    }
}
