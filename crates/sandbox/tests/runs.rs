//! Programs run, are ended, and leave nobody behind: with real processes.

use std::fs;
use std::path::Path;
use std::time::Duration;

use orchestratum_sandbox::{Command, Error, Exit, Finished, Limits, Shim, Stdin};
use tokio::time::{Instant, sleep, timeout};

fn shim() -> Shim {
    Shim::at(env!("CARGO_BIN_EXE_orchestratum-sandbox-shim"))
}

fn shell(directory: &Path, script: &str) -> Command {
    Command::new("/bin/sh", directory).arguments(["-c", script])
}

async fn run(script: &str) -> Finished {
    let directory = tempfile::tempdir().expect("a directory");
    let mut running = shell(directory.path(), script).spawn(&shim()).await.expect("it starts");
    bounded(running.wait()).await.expect("it ends")
}

async fn bounded<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(20), future).await.expect("within 20 s")
}

/// Whether a process of the tree that wrote its ids to the file is alive.
fn alive(ids: &Path) -> Vec<String> {
    let text = fs::read_to_string(ids).unwrap_or_default();
    text.split_whitespace()
        .filter(|id| fs::read_to_string(format!("/proc/{id}/stat")).is_ok_and(|stat| !stat.contains(") Z ")))
        .map(str::to_owned)
        .collect()
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(20), "{what}");
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn output_exit_code_and_memory_are_reported() {
    let finished = run("echo out; echo err >&2; exit 3").await;
    assert_eq!(finished.exit, Exit::Code(3));
    assert_eq!(
        (finished.stdout.text.as_str(), finished.stderr.text.as_str()),
        ("out\n", "err\n")
    );
    assert!(finished.peak_memory_bytes.is_some_and(|bytes| bytes > 100_000));
}

#[tokio::test]
async fn death_by_a_signal_is_told_apart_from_an_exit_code() {
    let finished = run("kill -SEGV $$").await;
    assert_eq!(finished.exit, Exit::Signal(11));
    assert_eq!(finished.exit.to_string(), "killed by signal 11 (SIGSEGV)");
}

#[tokio::test]
async fn the_environment_has_only_what_was_given() {
    let directory = tempfile::tempdir().expect("a directory");
    let command = Command::new("/usr/bin/env", directory.path()).environment("GIVEN", "a 'b' $(c)");
    let mut running = command.spawn(&shim()).await.expect("it starts");
    let finished = bounded(running.wait()).await.expect("it ends");
    let mut names: Vec<&str> = finished
        .stdout
        .text
        .lines()
        .filter_map(|line| Some(line.split_once('=')?.0))
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["GIVEN", "HOME", "LANG", "ORCHESTRATUM_SANDBOX_RUN", "PATH"]);
    assert!(finished.stdout.text.contains("GIVEN=a 'b' $(c)\n"));
}

#[tokio::test]
async fn standard_input_comes_from_the_file_or_is_empty() {
    assert_eq!(run("cat; echo end").await.stdout.text, "end\n");
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("input");
    fs::write(&file, "from the file").expect("it is written");
    let command = shell(directory.path(), "cat").stdin(Stdin::File(file));
    let mut running = command.spawn(&shim()).await.expect("it starts");
    assert_eq!(
        bounded(running.wait()).await.expect("it ends").stdout.text,
        "from the file"
    );
}

#[tokio::test]
async fn a_program_that_does_not_exist_is_an_error_that_names_it() {
    let command = Command::new("/no/such/program", "/");
    let mut running = command.spawn(&shim()).await.expect("the shim starts");
    let error = bounded(running.wait()).await.expect_err("there is no such program");
    assert!(
        matches!(&error, Error::NotStarted(reason) if reason.contains("/no/such/program")),
        "{error}"
    );
}

#[tokio::test]
async fn limits_hold() {
    let directory = tempfile::tempdir().expect("a directory");
    let limits = Limits {
        file_size_bytes: Some(1_000_000),
        ..Limits::default()
    };
    let command = shell(directory.path(), "head -c 5000000 /dev/zero > big").limits(limits);
    let mut running = command.spawn(&shim()).await.expect("it starts");
    bounded(running.wait()).await.expect("it ends");
    assert_eq!(
        fs::metadata(directory.path().join("big")).expect("it began").len(),
        1_000_000
    );
    let limits = Limits {
        cpu_seconds: Some(1),
        ..Limits::default()
    };
    let command = shell(directory.path(), "while :; do :; done").limits(limits);
    let mut running = command.spawn(&shim()).await.expect("it starts");
    let finished = bounded(running.wait()).await.expect("it ends");
    assert_eq!(finished.exit.to_string(), "killed by signal 24 (SIGXCPU)");
}

/// A tree that does what it can to outlive its end: it ignores TERM, and has a daemon in a session of its own.
const STUBBORN: &str = r#"
    trap '' TERM
    (setsid sh -c 'trap "" TERM; echo $$ >> ids; while :; do sleep 1; done' &) &
    sh -c 'trap "" TERM; echo $$ >> ids; while :; do sleep 1; done' &
    echo $$ >> ids
"#;

async fn started(directory: &Path, ids: usize) {
    let file = directory.join("ids");
    until("the tree is up", || {
        fs::read_to_string(&file).is_ok_and(|text| text.lines().count() >= ids)
    })
    .await;
}

#[tokio::test]
async fn what_ignores_term_is_killed_after_the_grace_with_all_it_started() {
    let directory = tempfile::tempdir().expect("a directory");
    let script = format!("{STUBBORN} while :; do sleep 1; done");
    let mut running = shell(directory.path(), &script)
        .spawn(&shim())
        .await
        .expect("it starts");
    started(directory.path(), 3).await;
    let finished = bounded(running.stop(Duration::from_millis(200)))
        .await
        .expect("it ends");
    assert_eq!(finished.exit, Exit::Signal(9));
    assert_eq!(alive(&directory.path().join("ids")), Vec::<String>::new());
}

#[tokio::test]
async fn term_is_enough_for_what_obeys_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let script = "trap 'echo bye; exit 7' TERM; echo $$ >> ids; while :; do sleep 0.01; done";
    let mut running = shell(directory.path(), script).spawn(&shim()).await.expect("it starts");
    started(directory.path(), 1).await;
    let finished = bounded(running.stop(Duration::from_secs(20))).await.expect("it ends");
    assert_eq!((finished.exit, finished.stdout.text.as_str()), (Exit::Code(7), "bye\n"));
}

#[tokio::test]
async fn a_daemon_does_not_outlive_a_program_that_ends_by_itself() {
    let directory = tempfile::tempdir().expect("a directory");
    let script = format!("{STUBBORN} while [ $(wc -l < ids) -lt 3 ]; do sleep 0.01; done; exit 0");
    let mut running = shell(directory.path(), &script)
        .spawn(&shim())
        .await
        .expect("it starts");
    let finished = bounded(running.wait()).await.expect("it ends");
    assert_eq!(finished.exit, Exit::Code(0));
    assert_eq!(alive(&directory.path().join("ids")), Vec::<String>::new());
}

#[tokio::test]
async fn dropping_a_run_kills_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let script = format!("{STUBBORN} while :; do sleep 1; done");
    let running = shell(directory.path(), &script)
        .spawn(&shim())
        .await
        .expect("it starts");
    started(directory.path(), 3).await;
    drop(running);
    until("all are dead", || alive(&directory.path().join("ids")).is_empty()).await;
}

#[tokio::test]
async fn a_program_that_kills_its_shim_dies_and_is_known_to_have_vanished() {
    let directory = tempfile::tempdir().expect("a directory");
    let script = format!("{STUBBORN} while [ $(wc -l < ids) -lt 3 ]; do sleep 0.01; done; kill -9 $PPID; sleep 100");
    let mut running = shell(directory.path(), &script)
        .spawn(&shim())
        .await
        .expect("it starts");
    let error = bounded(running.wait()).await.expect_err("nobody can say how it ended");
    assert!(matches!(error, Error::ShimVanished), "{error}");
    assert_eq!(alive(&directory.path().join("ids")), Vec::<String>::new());
}

#[tokio::test]
async fn a_shim_that_was_stopped_does_not_save_its_program() {
    let directory = tempfile::tempdir().expect("a directory");
    let script = format!(
        "{STUBBORN} while [ $(wc -l < ids) -lt 3 ]; do sleep 0.01; done; kill -STOP $PPID; echo stopped >> ids; sleep 100"
    );
    let mut running = shell(directory.path(), &script)
        .spawn(&shim())
        .await
        .expect("it starts");
    started(directory.path(), 4).await;
    let error = bounded(running.stop(Duration::ZERO))
        .await
        .expect_err("nobody can say how it ended");
    assert!(matches!(error, Error::ShimVanished), "{error}");
    assert_eq!(alive(&directory.path().join("ids")), Vec::<String>::new());
}

#[tokio::test]
async fn a_flood_is_cut_in_the_middle() {
    let finished = run("echo first; head -c 200000000 /dev/zero | tr '\\0' x; echo; echo last").await;
    let text = &finished.stdout.text;
    assert!(text.len() < 300_000);
    assert!(text.starts_with("first\nxxx") && text.ends_with("xxx\nlast\n") && text.contains("bytes cut ...]"));
    assert_eq!(finished.stdout.total_bytes, 200_000_012);
}

#[tokio::test]
async fn a_program_without_the_call_in_main_is_told_so() {
    let error = Command::new("/bin/true", "/").spawn(&Shim::this_program()).await;
    assert!(matches!(error, Err(Error::ShimNotLinked)));
}

/// What the kernel does when the caller is killed: its end of the socket closes, and nobody says anything any more.
#[tokio::test]
async fn a_run_dies_with_its_caller() {
    use std::io::Write;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    let directory = tempfile::tempdir().expect("a directory");
    let script = serde_json::to_string(&format!("{STUBBORN} while :; do sleep 1; done")).expect("a text");
    let request = format!(
        r#"{{"program": "/bin/sh", "arguments": ["-c", {script}], "environment": [], "directory": {:?}, "stdin": null,
            "limits": {{"cpu_seconds": null, "address_space_bytes": null, "file_size_bytes": null, "open_files": null}}}}"#,
        directory.path()
    );
    let (mut caller, theirs) = UnixStream::pair().expect("a socket");
    let mut shim = std::process::Command::new(env!("CARGO_BIN_EXE_orchestratum-sandbox-shim"))
        .arg("__sandbox")
        .stdin(OwnedFd::from(theirs))
        .spawn()
        .expect("it starts");
    let length = u32::try_from(request.len()).expect("it is short");
    caller.write_all(&length.to_be_bytes()).expect("it reads");
    caller.write_all(request.as_bytes()).expect("it reads");
    started(directory.path(), 3).await;
    drop(caller);
    shim.wait().expect("the shim ends");
    assert_eq!(alive(&directory.path().join("ids")), Vec::<String>::new());
}
