//! Code that tries to get out, at each level that the machine grants. Each attempt answers with the holes it found; what the
//! machine looks like is compared, too.

mod canaries;
mod levels;
mod using_up;

use std::io::Read;
use std::net::{TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};

use orchestratum_core::task::AttemptOutcome;
use orchestratum_sandbox::Isolation;
use serde_json::{Value, json};

use self::canaries::Canaries;
use crate::support::{Bench, RunningWorker, error, output, until};

const COMMON: &str = include_str!("attempts/common.py");

async fn isolated(level: Isolation, overrides: &[(&str, &str)]) -> (Bench, RunningWorker) {
    let bench = Bench::with(&[&[("worker.isolation", level.as_str())], overrides].concat()).await;
    let worker = bench.worker().await;
    (bench, worker)
}

/// Runs an attempt at each level, with what it has to know of this machine, and expects no hole and no change.
async fn contained(attempt: &str, known: &[(&str, Value)]) {
    for level in levels::granted().await {
        let canaries = Canaries::new();
        let shell = canaries.shell();
        let (bench, worker) = isolated(level, &[("worker.shell", shell.as_str())]).await;
        let known = [canaries.known().as_slice(), known].concat();
        try_python(&bench, level, attempt, &known).await;
        canaries.assert_unchanged(&bench, level.as_str());
        let next = bench.run_python("def main():\n    return 'unharmed'").await;
        assert_eq!(output(&next)["result"], "unharmed", "{}", level.as_str());
        worker.stopped().await;
    }
}

async fn try_python(bench: &Bench, level: Isolation, attempt: &str, known: &[(&str, Value)]) {
    let known: Vec<String> = levels::known(level)
        .iter()
        .chain(known)
        .map(|(name, value)| format!("{name} = {value}"))
        .collect();
    let known = known.join("\n");
    let code = format!("{known}\n{COMMON}\n{attempt}\ndef main():\n    return holes\n");
    let task = bench.run_python(&code).await;
    assert_eq!(
        output(&task)["result"],
        json!([]),
        "at {}: {:?}",
        level.as_str(),
        bench.logs(task.spec.id).await
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_the_machine_are_not_read_and_not_changed() {
    contained(include_str!("attempts/files.py"), &[]).await;
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
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let unix = UnixListener::bind(path("socket")).expect("a socket");
    let unix_datagrams = UnixDatagram::bind(path("datagrams")).expect("a socket");
    let name = format!("orchestratum-escape-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).expect("a name");
    let abstract_socket = UnixListener::bind_addr(&address).expect("a socket");
    contained(
        include_str!("attempts/network.py"),
        &[
            ("PORT", json!(port)),
            ("SOCKET", json!(path("socket"))),
            ("DATAGRAMS", json!(path("datagrams"))),
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
    datagrams.set_nonblocking(true).expect("it can be");
    assert!(datagrams.recv(&mut [0; 1]).is_err());
    unix_datagrams.set_nonblocking(true).expect("it can be");
    assert!(unix_datagrams.recv(&mut [0; 1]).is_err());
}

/// What a shell has to try it with: the programs of the machine.
#[tokio::test(flavor = "multi_thread")]
async fn a_shell_with_the_programs_of_the_machine_gets_no_further() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let datagrams = UdpSocket::bind(("127.0.0.1", port)).expect("the same port");
    datagrams.set_nonblocking(true).expect("it can be");
    for level in levels::granted().await {
        let canaries = Canaries::new();
        let (bench, worker) = isolated(level, &[]).await;
        let mut env = json!({"CANARY": canaries.hidden_file(), "PORT": port.to_string()});
        for (name, value) in levels::known(level) {
            env[name] = json!(value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        }
        let script = include_str!("attempts/walls.sh");
        let task = bench
            .run(json!({"name": "shell", "input": {"script": script, "env": env}}))
            .await;
        assert_eq!(output(&task)["stdout"], "", "{}", output(&task)["stderr"]);
        canaries.assert_unchanged(&bench, level.as_str());
        assert!(datagrams.recv(&mut [0; 1]).is_err());
        if level == Isolation::Full {
            let left = "ls -A ~ /tmp/ /dev/shm/ | grep -v ':$' | grep .; set -- /proc/[0-9]*; echo $#";
            let task = bench.run_shell(left).await;
            assert_eq!(output(&task)["stdout"], "2\n", "the keeper and the shell");
        }
        worker.stopped().await;
    }
}

/// S24: what interpreters, packagers and runtimes load or read by themselves.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_is_loaded_by_itself_is_left_for_the_next_task() {
    for level in levels::granted().await {
        let (bench, worker) = isolated(level, &[("worker.concurrency", "1")]).await;
        for _ in 0..2 {
            try_python(&bench, level, include_str!("attempts/poison.py"), &[]).await;
            try_python(&bench, level, include_str!("attempts/poisoned.py"), &[]).await;
        }
        // Another cell, which a shell has.
        let leave = "echo 'echo poisoned' | tee ~/.profile > ~/.bashrc; echo x > \"$TMPDIR/dotnet-diagnostic-1-1-socket\"; \
                     export ENV=~/.profile";
        output(&bench.run_shell(leave).await);
        let look = "echo \"${ENV-}\"; sh -l -c true; find \"${HOME%/*}\" -type f ! -name script.sh";
        assert_eq!(
            output(&bench.run_shell(look).await)["stdout"],
            "\n",
            "{}",
            level.as_str()
        );
        worker.stopped().await;
    }
}

/// Where programs have no disk of their own, the worker itself removes what they leave.
#[tokio::test(flavor = "multi_thread")]
async fn folders_that_are_deeper_than_a_path_is_long_are_removed() {
    for level in levels::granted().await {
        let (bench, worker) = isolated(level, &[]).await;
        try_python(&bench, level, include_str!("attempts/deep.py"), &[]).await;
        until("nothing of it is left", || bench.run_directories().is_empty()).await;
        let next = bench.run_python("def main():\n    return 'unharmed'").await;
        assert_eq!(output(&next)["result"], "unharmed", "{}", level.as_str());
        worker.stopped().await;
    }
}

/// S25: what loads code into a program before its own, asked for by the input of a task that was stored without a check. No
/// wall has a part in it, so one level stands for all.
#[tokio::test(flavor = "multi_thread")]
async fn variables_that_load_code_are_refused_before_anything_runs() {
    let (bench, worker) = isolated(levels::granted().await[0], &[]).await;
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

/// S26: nothing that is given as a text is read by a shell.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_given_as_a_text_stays_one() {
    for level in levels::granted().await {
        let (bench, worker) = isolated(level, &[]).await;
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
}

/// S30: code that takes all there is before its first line runs. At the best level, where interpreters wait for it.
#[tokio::test(flavor = "multi_thread")]
async fn code_that_explodes_when_it_is_read_harms_only_itself() {
    let (bench, worker) = isolated(levels::granted().await[0], &[]).await;
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
