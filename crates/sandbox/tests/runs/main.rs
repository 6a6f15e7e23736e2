//! Programs run, are ended, and leave nobody behind, at every level of isolation: with real processes.

#[expect(unreachable_pub, reason = "the file is of a crate that has this one beneath it")]
#[path = "../../../testkit/src/again.rs"]
mod again;
mod ending;
mod mounts;
mod running;
mod showing;
mod telling;
mod walls;
mod warm;

use std::fs;
use std::time::Duration;

use orchestratum_sandbox::{Command, Finished, Isolation, Sandbox, Shim};
use tokio::time::{Instant, sleep, timeout};

const LEVELS: [Isolation; 3] = [Isolation::Off, Isolation::Landlock, Isolation::Full];

fn shim() -> Shim {
    Shim::at(env!("CARGO_BIN_EXE_orchestratum-sandbox-shim"))
}

async fn sandbox(isolation: Isolation) -> Sandbox {
    let opened = Sandbox::open(shim(), isolation, Vec::new(), None).await;
    opened.unwrap_or_else(|error| panic!("{}: {error}", isolation.as_str()))
}

async fn everywhere() -> Vec<Sandbox> {
    let mut all = Vec::new();
    for level in LEVELS {
        all.push(sandbox(level).await);
    }
    all
}

fn shell(script: &str) -> Command {
    Command::new("/bin/sh").arguments(["-c", script])
}

async fn run(sandbox: &Sandbox, command: &Command) -> Finished {
    let mut running = sandbox.spawn(command).await.expect("it starts");
    bounded(running.wait()).await.expect("it ends")
}

async fn bounded<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(20), future).await.expect("within 20 s")
}

/// What stands in the command lines of a test's processes and of nobody else's.
fn mark(test: &str, sandbox: &Sandbox) -> String {
    format!("{test}-{}-{}", sandbox.isolation().as_str(), std::process::id())
}

/// The living processes of this machine whose command line has the mark.
fn alive(mark: &str) -> Vec<String> {
    let processes = fs::read_dir("/proc").expect("there is a /proc");
    processes
        .flatten()
        .filter(|process| {
            let read = |name: &str| fs::read(process.path().join(name)).unwrap_or_default();
            let command_line = String::from_utf8_lossy(&read("cmdline")).into_owned();
            let ours = std::process::id().to_string();
            process.file_name().to_str() != Some(&ours)
                && command_line.contains(mark)
                && !String::from_utf8_lossy(&read("stat")).contains(") Z ")
        })
        .filter_map(|process| process.file_name().into_string().ok())
        .collect()
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(20), "{what}");
        sleep(Duration::from_millis(5)).await;
    }
}
