//! Nobody outlives a run.

use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use orchestratum_sandbox::{Command, Error, Exit, Isolation, Killer};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::time::Instant;

use super::again::{WITHOUT_GROUPS, again_after, is_again};
use super::{alive, bounded, everywhere, mark, run, sandbox, shell, until};

/// A tree that does what it can to outlive its end: it ignores TERM, and has a daemon in a session of its own.
fn stubborn(mark: &str, end: &str) -> Command {
    let script = format!(
        r#"
        trap '' TERM
        (setsid sh -c 'trap "" TERM; while :; do sleep 1; done' $1 &) &
        sh -c 'trap "" TERM; while :; do sleep 1; done' $1 &
        {end}
        "#
    );
    shell(&script).arguments(["sh", mark])
}

const FOR_EVER: &str = "while :; do sleep 1; done";

fn nobody(mark: &str) {
    assert_eq!(alive(mark), Vec::<String>::new());
}

#[tokio::test]
async fn what_ignores_term_is_killed_after_the_grace_with_all_it_started() {
    for sandbox in everywhere().await {
        let mark = mark("ignores", &sandbox);
        let mut running = sandbox.spawn(&stubborn(&mark, FOR_EVER)).await.expect("it starts");
        until("the tree is up", || alive(&mark).len() >= 3).await;
        let finished = bounded(running.stop(Duration::from_millis(200)))
            .await
            .expect("it ends");
        assert_eq!(finished.exit, Exit::Signal(9));
        nobody(&mark);
    }
}

#[tokio::test]
async fn term_is_enough_for_what_obeys_it() {
    for sandbox in everywhere().await {
        let mark = mark("obeys", &sandbox);
        let script = "trap 'echo bye; exit 7' TERM; : > $HOME/ready; while :; do sleep 0.01; done";
        let command = shell(script).arguments(["sh", &mark]);
        let mut running = sandbox.spawn(&command).await.expect("it starts");
        until("it sleeps", || alive(&mark).len() == 1).await;
        // The trap is set before the first sleep, which is a process of its own; this one is not waited for.
        tokio::time::sleep(Duration::from_millis(100)).await;
        let finished = bounded(running.stop(Duration::from_secs(20))).await.expect("it ends");
        assert_eq!((finished.exit, finished.stdout.text.as_str()), (Exit::Code(7), "bye\n"));
    }
}

#[tokio::test]
async fn an_order_that_comes_before_the_program_reaches_it() {
    for sandbox in everywhere().await {
        for _ in 0..20 {
            let running = sandbox.spawn(&shell(FOR_EVER)).await;
            let mut running = running.expect("it starts");
            running.killer().kill();
            let finished = bounded(running.wait()).await.expect("it ends");
            assert_eq!(finished.exit, Exit::Signal(9));
        }
    }
}

#[tokio::test]
async fn an_order_that_comes_after_the_end_does_not_reach_the_next_program() {
    let sandbox = sandbox(Isolation::Full).await;
    let mut first = sandbox.spawn(&shell("true")).await.expect("it starts");
    bounded(first.wait()).await.expect("it ends");
    let mut second = sandbox
        .spawn(&shell("sleep 0.1; echo unharmed"))
        .await
        .expect("it starts");
    first.killer().kill();
    first.killer().live(Duration::ZERO);
    drop(first);
    let finished = bounded(second.wait()).await.expect("it ends");
    assert_eq!(finished.stdout.text, "unharmed\n");
}

#[tokio::test]
async fn a_daemon_does_not_outlive_a_program_that_ends_by_itself() {
    for sandbox in everywhere().await {
        let mark = mark("daemon", &sandbox);
        let finished = run(&sandbox, &stubborn(&mark, "sleep 0.1; exit 0")).await;
        assert_eq!(finished.exit, Exit::Code(0));
        nobody(&mark);
    }
}

#[tokio::test]
async fn dropping_a_run_kills_it() {
    for sandbox in everywhere().await {
        let mark = mark("dropped", &sandbox);
        let running = sandbox.spawn(&stubborn(&mark, FOR_EVER)).await.expect("it starts");
        until("the tree is up", || alive(&mark).len() >= 3).await;
        drop(running);
        until("all are dead", || alive(&mark).is_empty()).await;
    }
}

#[tokio::test]
async fn a_program_dies_when_nothing_more_is_heard() {
    for sandbox in everywhere().await {
        let mark = mark("unheard", &sandbox);
        let mut running = sandbox.spawn(&stubborn(&mark, FOR_EVER)).await.expect("it starts");
        until("the tree is up", || alive(&mark).len() >= 3).await;
        let told = Instant::now();
        running.killer().live(Duration::from_millis(500));
        let finished = bounded(running.wait()).await.expect("it ends");
        assert_eq!(finished.exit, Exit::Signal(9));
        let lived = told.elapsed();
        assert!(
            lived >= Duration::from_millis(490) && lived < Duration::from_secs(5),
            "{lived:?}"
        );
        nobody(&mark);
        assert!(
            run(&sandbox, &shell("true")).await.exit.is_success(),
            "the next one runs"
        );
    }
}

#[tokio::test]
async fn two_hundred_processes_are_dead_soon_after_the_kill() {
    for sandbox in everywhere().await {
        let mark = mark("many", &sandbox);
        let script = "i=0; while [ $i -lt 200 ]; do sh -c 'trap \"\" TERM; sleep 100; :' $1 & i=$((i+1)); done; wait";
        let command = shell(script).arguments(["sh", &mark]);
        let mut running = sandbox.spawn(&command).await.expect("it starts");
        until("all are up", || alive(&mark).len() > 200).await;
        let ordered = Instant::now();
        running.killer().kill();
        bounded(running.wait()).await.expect("it ends");
        assert!(ordered.elapsed() < Duration::from_secs(2), "{:?}", ordered.elapsed());
        nobody(&mark);
    }
}

/// At the lower levels a program may kill the process that keeps it: they have one user.
#[tokio::test]
async fn a_program_that_kills_its_shim_dies_and_is_known_to_have_vanished() {
    let sandbox = sandbox(Isolation::Off).await;
    let mark = mark("vanished", &sandbox);
    let mut running = sandbox
        .spawn(&stubborn(&mark, "sleep 0.1; kill -9 $PPID; sleep 100"))
        .await
        .expect("it starts");
    let error = bounded(running.wait()).await.expect_err("nobody can say how it ended");
    assert!(matches!(error, Error::ShimVanished), "{error}");
    nobody(&mark);
}

/// Neither its parents nor its environment lead to it.
#[tokio::test]
async fn a_process_that_hides_from_everyone_is_found_by_its_control_group() {
    let sandbox = sandbox(Isolation::Off).await;
    if sandbox.counts_memory_together().is_err() {
        return;
    }
    let mark = mark("hidden", &sandbox);
    let script = r#"
        setsid env -i /bin/sh -c 'trap "" TERM; : > up; while :; do sleep 1; done' "$1" &
        while [ ! -e up ]; do sleep 0.01; done
        kill -9 $PPID
        sleep 100
    "#;
    let mut running = sandbox
        .spawn(&shell(script).arguments(["sh", &mark]))
        .await
        .expect("it starts");
    let error = bounded(running.wait()).await.expect_err("nobody can say how it ended");
    assert!(matches!(error, Error::ShimVanished), "{error}");
    nobody(&mark);
}

#[tokio::test]
async fn a_shim_that_was_stopped_does_not_save_its_program() {
    let sandbox = sandbox(Isolation::Off).await;
    let mark = mark("stopped", &sandbox);
    let mut running = sandbox
        .spawn(&stubborn(&mark, "kill -STOP $PPID; sleep 100"))
        .await
        .expect("it starts");
    until("the tree is up", || alive(&mark).len() >= 3).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let error = bounded(running.stop(Duration::ZERO))
        .await
        .expect_err("nobody can say how it ended");
    assert!(matches!(error, Error::ShimVanished), "{error}");
    nobody(&mark);
}

/// A cell whose processes were killed, by the kernel for want of memory or by an operator, is replaced.
#[tokio::test]
async fn a_cell_that_is_gone_ends_its_program_and_is_replaced() {
    let sandbox = sandbox(Isolation::Full).await;
    let mark = mark("gone", &sandbox);
    let mut running = sandbox.spawn(&stubborn(&mark, FOR_EVER)).await.expect("it starts");
    until("the tree is up", || alive(&mark).len() >= 3).await;
    let cell = CellOf::the_program(&mark);
    kill(cell.launcher, Signal::SIGKILL).expect("it is there");
    let error = bounded(running.wait()).await.expect_err("nobody can say how it ended");
    assert!(matches!(error, Error::ShimVanished), "{error}");
    until("all are dead", || alive(&mark).is_empty()).await;
    assert!(run(&sandbox, &shell("true")).await.exit.is_success());
}

/// Who is idle has no program that could be asked whether it works.
#[tokio::test]
async fn a_cell_whose_keeper_is_gone_while_it_waits_is_replaced() {
    let sandbox = sandbox(Isolation::Full).await;
    let mark = mark("idle", &sandbox);
    let mut running = sandbox.spawn(&stubborn(&mark, FOR_EVER)).await.expect("it starts");
    until("the tree is up", || alive(&mark).len() >= 3).await;
    let cell = CellOf::the_program(&mark);
    bounded(running.stop(Duration::ZERO)).await.expect("it ends");
    kill(cell.keeper, Signal::SIGKILL).expect("it waits for the next one");
    let state = format!("/proc/{}/stat", cell.keeper);
    until("it is dead", || {
        std::fs::read_to_string(&state).map_or(true, |state| state.contains(") Z "))
    })
    .await;
    for _ in 0..2 {
        assert!(run(&sandbox, &shell("true")).await.exit.is_success());
    }
}

/// As one that the machine gives no time.
#[tokio::test]
async fn a_keeper_that_was_stopped_does_not_save_its_program() {
    if !is_again() {
        // Otherwise who is in the group dies with that.
        again_after(
            WITHOUT_GROUPS,
            "ending::a_keeper_that_was_stopped_does_not_save_its_program",
        )
        .await;
    }
    let sandbox = sandbox(Isolation::Full).await;
    let mark = mark("keeper", &sandbox);
    let mut running = sandbox.spawn(&stubborn(&mark, FOR_EVER)).await.expect("it starts");
    until("the tree is up", || alive(&mark).len() >= 3).await;
    let cell = CellOf::the_program(&mark);
    kill(cell.keeper, Signal::SIGSTOP).expect("it is there");
    let ordered = Instant::now();
    let error = bounded(running.stop(Duration::ZERO))
        .await
        .expect_err("nobody can say how it ended");
    assert!(matches!(error, Error::ShimVanished), "{error}");
    nobody(&mark);
    assert!(ordered.elapsed() < Killer::DEAD_WITHIN, "{:?}", ordered.elapsed());
    assert!(run(&sandbox, &shell("true")).await.exit.is_success());
}

/// Who keeps a program in a cell, as the machine sees them.
struct CellOf {
    launcher: Pid,
    keeper: Pid,
}

impl CellOf {
    fn the_program(mark: &str) -> Self {
        let tree = alive(mark);
        let mut parents = tree.iter().filter_map(|process| parent_of(process));
        let launcher = parents
            .find(|parent| !tree.contains(&parent.to_string()))
            .expect("the program has a parent that is not of its tree");
        let processes = std::fs::read_dir("/proc").expect("there is a /proc").flatten();
        let mut numbers = processes.filter_map(|process| process.file_name().into_string().ok());
        let keeper = numbers
            .find(|process| !tree.contains(process) && parent_of(process) == Some(launcher))
            .and_then(|process| process.parse().ok());
        Self {
            launcher,
            keeper: Pid::from_raw(keeper.expect("the launcher has another child")),
        }
    }
}

fn parent_of(process: &str) -> Option<Pid> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"))?;
    parent.trim().parse().ok().map(Pid::from_raw)
}

/// The caller, a process of its own: it starts a program and waits to be killed. Not a test by itself.
#[tokio::test]
async fn caller() {
    let Ok(mark) = std::env::var("SANDBOX_TEST_MARK") else {
        return;
    };
    let level = match std::env::var("SANDBOX_TEST_LEVEL").as_deref() {
        Ok("full") => Isolation::Full,
        Ok("landlock") => Isolation::Landlock,
        _ => Isolation::Off,
    };
    let sandbox = sandbox(level).await;
    let mut running = sandbox.spawn(&stubborn(&mark, FOR_EVER)).await.expect("it starts");
    println!("started");
    let _ = running.wait().await;
}

#[tokio::test]
async fn a_run_dies_with_its_caller() {
    for level in ["off", "landlock", "full"] {
        let mark = format!("caller-{level}-{}", std::process::id());
        let mut caller = tokio::process::Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "ending::caller", "--nocapture"])
            .env("SANDBOX_TEST_MARK", &mark)
            .env("SANDBOX_TEST_LEVEL", level)
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut lines = BufReader::new(caller.stdout.take().expect("piped")).lines();
        while let Ok(Some(line)) = bounded(lines.next_line()).await {
            if line.contains("started") {
                break;
            }
        }
        until("the tree is up", || alive(&mark).len() >= 3).await;
        caller.kill().await.expect("it lives");
        until("all are dead", || alive(&mark).is_empty()).await;
    }
}
