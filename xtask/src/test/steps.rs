//! The steps, in the order in which they tell most soonest.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use anyhow::{Context, Result};

use super::Session;
use super::counts::{Counts, TestsFailed};
use crate::{bench, csharp, process, tidy};

/// One thing that must hold. To add one, write its function and name it in [`ALL`].
#[derive(Debug)]
pub(super) struct Step {
    pub(super) name: &'static str,
    pub(super) run: fn(&Session) -> Result<Counts>,
}

pub(super) const ALL: &[Step] = &[
    Step {
        name: "format",
        run: format,
    },
    Step {
        name: "tidy checks",
        run: tidy_checks,
    },
    Step {
        name: "lints",
        run: lints,
    },
    Step {
        name: "build",
        run: build,
    },
    Step {
        name: "tests of the workspace",
        run: tests,
    },
    Step {
        name: "mutants killed by the simulation",
        run: mutants,
    },
    Step {
        name: "the benchmark at a tenth of its size",
        run: benchmark,
    },
];

fn format(session: &Session) -> Result<Counts> {
    process::run(&mut session.workspace.cargo(&["fmt", "--all", "--check"]))?;
    Ok(Counts::default())
}

fn tidy_checks(session: &Session) -> Result<Counts> {
    tidy::check(&session.workspace)?;
    Ok(Counts::default())
}

fn lints(session: &Session) -> Result<Counts> {
    process::run(
        &mut session
            .workspace
            .cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]),
    )?;
    Ok(Counts::default())
}

/// The programs too: tests start them as processes, and `cargo test` builds those of its own package only.
fn build(session: &Session) -> Result<Counts> {
    process::run(&mut session.workspace.build_everything())?;
    Ok(Counts::default())
}

/// Unit, integration and documentation tests of every crate.
fn tests(session: &Session) -> Result<Counts> {
    cargo_test(session, &["test", "--workspace", "--no-fail-fast"])
}

/// Planted faults: the simulation must find each of them, or its silence means nothing.
fn mutants(session: &Session) -> Result<Counts> {
    cargo_test(
        session,
        &[
            "test",
            "--package",
            "orchestratum-simulation",
            "--features",
            "mutants",
            "--test",
            "mutants",
            "--no-fail-fast",
        ],
    )
}

/// Shows that every system can be measured and that every task of every drain completes; the figures mean nothing here.
fn benchmark(session: &Session) -> Result<Counts> {
    let mut command = bench::command(&session.workspace, "debug");
    command.args(["--scale", "0.1", "--repeats", "1"]);
    command.env(csharp::VARIABLE, &session.csharp_runtime);
    session.addresses.apply(&mut command);
    process::run(&mut command)?;
    Ok(Counts::default())
}

/// Runs tests with the servers in their environment, their output passed on line by line and counted on the way.
fn cargo_test(session: &Session, arguments: &[&str]) -> Result<Counts> {
    let mut command = session.workspace.cargo(arguments);
    session.addresses.apply(&mut command);
    command.env(csharp::VARIABLE, &session.csharp_runtime);
    command.envs(session.interpreters.iter().map(|(variable, python)| (variable, python)));
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start cargo")?;
    let output = child.stdout.take().context("the output of cargo was not captured")?;
    let mut counts = Counts::default();
    for line in BufReader::new(output).split(b'\n') {
        let line = line.context("cannot read the output of cargo")?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        counts.read_line(&line);
    }
    let status = child.wait()?;
    let reason = if !status.success() {
        format!("`{}` ended with {status}", process::describe(&command))
    } else if counts.ignored > 0 {
        format!(
            "{} tests were ignored; every test runs, or it is deleted",
            counts.ignored
        )
    } else {
        return Ok(counts);
    };
    Err(TestsFailed { counts, reason }.into())
}
