//! Code that tries to get out. Each attempt answers with the holes it found; what the machine looks like is compared, too.

use std::io::Read;
use std::net::{TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

use orchestratum_core::task::AttemptOutcome;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::{Bench, RunningWorker, error, output};

const COMMON: &str = include_str!("attempts/common.py");

async fn isolated() -> (Bench, RunningWorker) {
    let bench = Bench::with(&[("worker.isolation", "full")]).await;
    let worker = bench.worker().await;
    (bench, worker)
}

/// Runs an attempt with what it has to know of this machine, and expects no hole.
async fn contained(attempt: &str, known: &[(&str, Value)]) {
    let (bench, worker) = isolated().await;
    try_python(&bench, attempt, known).await;
    worker.stopped().await;
}

async fn try_python(bench: &Bench, attempt: &str, known: &[(&str, Value)]) {
    let known: Vec<String> = known.iter().map(|(name, value)| format!("{name} = {value}")).collect();
    let known = known.join("\n");
    let code = format!("{COMMON}\n{known}\n{attempt}\ndef main():\n    return holes\n");
    let task = bench.run_python(&code).await;
    assert_eq!(
        output(&task)["result"],
        json!([]),
        "{:?}",
        bench.logs(task.spec.id).await
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_the_machine_are_not_read_and_not_changed() {
    let folder = tempfile::tempdir().expect("a folder");
    let canary = folder.path().join("canary");
    std::fs::write(&canary, "canary").expect("written");
    contained(
        include_str!("attempts/files.py"),
        &[("CANARY_FILE", json!(canary)), ("CANARY_FOLDER", json!(folder.path()))],
    )
    .await;
    assert_eq!(std::fs::read_to_string(&canary).expect("it is there"), "canary");
}

#[tokio::test(flavor = "multi_thread")]
async fn other_processes_are_not_seen_and_not_touched() {
    contained(include_str!("attempts/processes.py"), &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_kernel_grants_nothing_more() {
    contained(include_str!("attempts/kernel.py"), &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_reached() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let datagrams = UdpSocket::bind(("127.0.0.1", port)).expect("the same port");
    datagrams.set_nonblocking(true).expect("it can be");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("socket");
    let unix = UnixListener::bind(&path).expect("a socket");
    let name = format!("orchestratum-escape-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).expect("a name");
    let abstract_socket = UnixListener::bind_addr(&address).expect("a socket");
    contained(
        include_str!("attempts/network.py"),
        &[
            ("PORT", json!(port)),
            ("SOCKET", json!(path)),
            ("ABSTRACT", json!(name)),
        ],
    )
    .await;
    for listener in [&unix, &abstract_socket] {
        listener.set_nonblocking(true).expect("it can be");
        assert!(listener.accept().is_err(), "somebody came");
    }
    listener.set_nonblocking(true).expect("it can be");
    assert!(
        listener
            .accept()
            .and_then(|(mut stream, _)| stream.read(&mut [0]))
            .is_err()
    );
    assert!(datagrams.recv(&mut [0; 1]).is_err());
}

/// What a shell has to try it with: the programs of the machine.
#[tokio::test(flavor = "multi_thread")]
async fn a_shell_with_the_programs_of_the_machine_gets_no_further() {
    let folder = tempfile::tempdir().expect("a folder");
    let canary = folder.path().join("canary");
    std::fs::write(&canary, "canary").expect("written");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let datagrams = UdpSocket::bind(("127.0.0.1", port)).expect("the same port");
    datagrams.set_nonblocking(true).expect("it can be");
    let (bench, worker) = isolated().await;
    let env = json!({"CANARY": canary, "PORT": port.to_string()});
    let script = include_str!("attempts/walls.sh");
    let task = bench
        .run(json!({"name": "shell", "input": {"script": script, "env": env}}))
        .await;
    assert_eq!(output(&task)["stdout"], "", "{}", output(&task)["stderr"]);
    assert_eq!(std::fs::read_to_string(&canary).expect("it is there"), "canary");
    assert!(datagrams.recv(&mut [0; 1]).is_err());
    let left = "ls -A ~ /tmp/ /dev/shm/ | grep -v ':$' | grep .; set -- /proc/[0-9]*; echo $#";
    let task = bench.run_shell(left).await;
    assert_eq!(output(&task)["stdout"], "2\n", "the keeper and the shell");
    worker.stopped().await;
}

/// S24: what interpreters, packagers and runtimes load or read by themselves.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_is_loaded_by_itself_is_left_for_the_next_task() {
    let bench = Bench::with(&[("worker.isolation", "full"), ("worker.concurrency", "1")]).await;
    let worker = bench.worker().await;
    for _ in 0..2 {
        try_python(&bench, include_str!("attempts/poison.py"), &[]).await;
        try_python(&bench, include_str!("attempts/poisoned.py"), &[]).await;
    }
    // Another cell, which a shell has.
    let leave = "echo 'echo poisoned' | tee ~/.profile > ~/.bashrc; echo x > /tmp/dotnet-diagnostic-1-1-socket; export ENV=~/.profile";
    output(&bench.run_shell(leave).await);
    let look = "echo \"${ENV-}\"; sh -l -c true; find /run/task -type f ! -name script.sh";
    assert_eq!(output(&bench.run_shell(look).await)["stdout"], "\n");
    worker.stopped().await;
}

/// S25: what loads code into a program before its own, asked for by the input of a task that was stored without a check.
#[tokio::test(flavor = "multi_thread")]
async fn variables_that_load_code_are_refused_before_anything_runs() {
    let (bench, worker) = isolated().await;
    let variables = [
        "LD_PRELOAD",
        "LD_LIBRARY_PATH",
        "PYTHONPATH",
        "PYTHONSTARTUP",
        "PYTHONHOME",
        "BASH_ENV",
        "ENV",
        "DOTNET_STARTUP_HOOKS",
    ];
    let mut stored = Vec::new();
    for (name, text) in [("python", "code"), ("shell", "script")] {
        for variable in variables {
            let input = json!({text: "exit(7)", "env": {variable: "/run/task/tmp/poison"}});
            let task = json!({"input": input, "max_retries": 3});
            stored.push((variable, bench.store_unchecked(name, task).await));
        }
    }
    for (variable, id) in stored {
        let task = bench.ended(id).await;
        let message = error(&task);
        assert!(message.contains(&format!("/env/{variable}")), "{message}");
        assert_eq!(task.life.attempt, 1, "it is as wrong the next time");
    }
    worker.stopped().await;
}

/// S7 to S12: what only uses up is ended, and the next task runs as if nothing had been.
#[tokio::test(flavor = "multi_thread")]
async fn what_uses_up_is_ended() {
    let (bench, worker) = isolated().await;
    let limits = json!({"memory_mb": 200, "processes": 30, "disk_mb": 10, "cpu_seconds": 5});
    for (what, code) in [
        (
            "fork bomb",
            "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass",
        ),
        (
            "threads",
            "import threading, time\nwhile True:\n    try: threading.Thread(target=time.sleep, args=(9,)).start()\n    except RuntimeError: pass",
        ),
        ("memory", "kept = []\nwhile True: kept.append(bytearray(10 << 20))"),
        (
            "files in memory",
            "import os\nfile = os.memfd_create('x')\nwhile True: os.write(file, bytes(1 << 20))",
        ),
        (
            "shared memory",
            "import mmap\nkept = []\nwhile True:\n    kept.append(mmap.mmap(-1, 10 << 20))\n    kept[-1].write(bytes(10 << 20))",
        ),
        (
            "disk",
            "with open('big', 'wb') as file:\n    while True: file.write(bytes(1 << 20))",
        ),
        (
            "files",
            "number = 0\nwhile True:\n    number += 1\n    open(f'f{number}', 'w')",
        ),
        ("flood", "while True: print('x' * 100_000)"),
        (
            "stubborn",
            "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True: pass",
        ),
        (
            "daemon",
            "import subprocess, time\nsubprocess.Popen('trap \"\" TERM; while :; do sleep 1; done', shell=True, start_new_session=True)\nwhile True: time.sleep(1)",
        ),
    ] {
        let begun = Instant::now();
        let input = json!({"code": code});
        let task = bench
            .run(json!({"name": "python", "input": input, "limits": limits, "ttl_seconds": 2}))
            .await;
        let took = begun.elapsed();
        assert!(took.as_secs_f64() < 6.0, "{what} took {took:?}");
        let outcome = bench.outcomes(task.spec.id).await;
        let ended = [
            AttemptOutcome::TimedOut,
            AttemptOutcome::Failed,
            AttemptOutcome::OutOfMemory,
        ];
        assert!(ended.contains(&outcome[0]), "{what}: {outcome:?} {}", error(&task));
        let next = bench
            .run_python("import os\ndef main():\n    return [n for n in os.listdir('/proc') if n.isdigit()]")
            .await;
        assert_eq!(output(&next)["result"].as_array().map(Vec::len), Some(2), "{what}");
    }
    worker.stopped().await;
}

/// S26: nothing that is given as a text is read by a shell.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_given_as_a_text_stays_one() {
    let (bench, worker) = isolated().await;
    let odd = json!([
        "$(id)", "`id`", "; id", "a b", "\n", "'", "\"", "*", "-c", "--", "", "\u{202e}", "${HOME}"
    ]);
    let script = json!({"command": "for text; do printf '%s\\0' \"$text\"; done; printf %s \"$ODD\"", "args": odd, "env": {"ODD": "$(id); `id`"}});
    let task = bench.run(json!({"name": "shell", "input": script})).await;
    let texts: Vec<&str> = odd.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    // U+0000 is shown by its stand-in.
    let expected = format!("{}\u{fffd}$(id); `id`", texts.join("\u{fffd}"));
    assert_eq!(output(&task)["stdout"], expected);
    let code = json!({"code": "import os, sys\ndef main():\n    return sys.argv[1:] + [os.environ['ODD']]", "args": odd, "env": {"ODD": "$(id)"}});
    let task = bench.run(json!({"name": "python", "input": code})).await;
    let mut expected = odd.as_array().cloned().unwrap_or_default();
    expected.push(json!("$(id)"));
    assert_eq!(output(&task)["result"], json!(expected));
    worker.stopped().await;
}

/// S30: code that takes all there is before its first line runs.
#[tokio::test(flavor = "multi_thread")]
async fn code_that_explodes_when_it_is_read_harms_only_itself() {
    let (bench, worker) = isolated().await;
    for (what, code) in [
        ("nesting", format!("x = {}{}", "(".repeat(100_000), ")".repeat(100_000))),
        ("a constant", "x = 10 ** 10 ** 10".to_owned()),
        ("a pattern", "import re\nre.match('(a+)+$', 'a' * 64 + 'b')".to_owned()),
        ("a long line", format!("x = '{}'", "x".repeat(900_000))),
    ] {
        let limits = json!({"memory_mb": 300, "cpu_seconds": 2});
        let input = json!({"code": code});
        let task = bench
            .run(json!({"name": "python", "input": input, "limits": limits, "ttl_seconds": 3}))
            .await;
        let outcome = bench.outcomes(task.spec.id).await;
        let success = outcome[0] == AttemptOutcome::Success;
        assert_eq!(success, what == "a long line", "{what}: {outcome:?}");
        let next = bench.run_python("def main():\n    return 'unharmed'").await;
        assert_eq!(output(&next)["result"], "unharmed", "after {what}");
    }
    worker.stopped().await;
}
