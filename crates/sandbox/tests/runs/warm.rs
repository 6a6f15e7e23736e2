//! Programs that a runner starts.

use orchestratum_sandbox::{Command, Error, Isolation, Limits, Runner, Warm};

use super::again::{WITHOUT_GROUPS, again_after, is_again};
use super::{bounded, sandbox};

/// Starts programs that say how often it has grown, and grows by 300 MiB after those that ask for it.
const GROWS: &str = "
import json, os, socket
control = socket.socket(fileno=os.dup(0))
def send(message):
    data = json.dumps(message).encode()
    control.sendall(len(data).to_bytes(4, 'big') + data)
kept = []
send('Ready')
while True:
    data, files, _, _ = socket.recv_fds(control, 4, 4)
    left = int.from_bytes(data, 'big')
    if not left:
        os._exit(0)
    message = b''
    while len(message) < left:
        message += control.recv(left - len(message))
    child = os.fork()
    if not child:
        os.write(files[1], b'%d' % len(kept))
        os._exit(0)
    for file in files:
        os.close(file)
    os.waitpid(child, 0)
    if json.loads(message)['request']:
        kept.append(b'x' * (300 << 20))
    send({'Ended': {'exit': {'Code': 0}, 'peak_memory_bytes': None}})
";

fn runner(program: &str, arguments: &[&str]) -> Runner {
    Runner {
        program: program.into(),
        arguments: arguments.iter().map(|&argument| argument.to_owned()).collect(),
        environment: Vec::new(),
        reads_first: String::new(),
    }
}

/// What a program says that may have so much.
async fn said(warm: &Warm, grow: bool, megabytes: Option<u64>) -> Result<String, Error> {
    let limits = Limits {
        memory_bytes: megabytes.map(|megabytes| megabytes << 20),
        ..Limits::default()
    };
    let mut running = warm.spawn(&grow, &Command::new("").limits(limits)).await?;
    Ok(bounded(running.wait()).await?.stdout.text)
}

#[tokio::test]
async fn a_runner_that_leaves_a_program_too_little_memory_is_replaced_and_one_that_always_does_is_told() {
    if !is_again() {
        let test =
            "warm::a_runner_that_leaves_a_program_too_little_memory_is_replaced_and_one_that_always_does_is_told";
        again_after(WITHOUT_GROUPS, test).await;
    }
    let sandbox = sandbox(Isolation::Full).await;
    assert_eq!(sandbox.counts_memory_together().is_err(), is_again());
    let warm = sandbox
        .warm(runner("/usr/bin/python3", &["-I", "-c", GROWS]), false)
        .expect("at this level");
    // Where memory is counted together, what a runner has grown by counts as that of the program.
    let grown = if is_again() { "1" } else { "0" };
    let runs = [
        (true, None, "0", "by the first one"),
        (false, None, grown, "by the same one, or a new one"),
        (false, Some(900), grown, "which leaves so much"),
        (false, Some(200), "0", "by a new one"),
    ];
    for (grow, megabytes, expected, what) in runs {
        assert_eq!(said(&warm, grow, megabytes).await.expect("it runs"), expected, "{what}");
    }
    for _ in 0..3 {
        let refused = said(&warm, false, Some(3)).await;
        let refused = refused.expect_err("no interpreter is so small");
        assert!(
            matches!(refused, Error::TooLittleMemory { most_bytes, held_bytes } if most_bytes == 3 << 20 && held_bytes > 1 << 20),
            "{refused}"
        );
    }
    let next = said(&warm, false, Some(200)).await.expect("it runs");
    assert_eq!(next, "0", "it did nobody any harm");
}

#[tokio::test]
async fn a_runner_may_read_its_source_before_the_messages() {
    let sandbox = sandbox(Isolation::Full).await;
    let source = format!("exec(open(0, 'rb', closefd=False).read({}))", GROWS.len());
    let runner = Runner {
        reads_first: GROWS.to_owned(),
        ..runner("/usr/bin/python3", &["-I", "-c", &source])
    };
    let warm = sandbox.warm(runner, false).expect("at this level");
    for _ in 0..2 {
        assert_eq!(said(&warm, false, None).await.expect("it runs"), "0");
    }
}

#[tokio::test]
async fn a_runner_that_does_not_start_says_why() {
    let sandbox = sandbox(Isolation::Full).await;
    for (script, expected) in [
        ("echo there is no such thing >&2; exit 1", "there is no such thing"),
        ("exit 7", "it ended before it was ready: exit status: 7"),
    ] {
        let warm = sandbox.warm(runner("/bin/sh", &["-c", script]), false);
        let warm = warm.expect("at this level");
        let error = said(&warm, false, None).await.expect_err("it is no runner");
        assert!(
            matches!(&error, Error::NotStarted(reason) if reason == expected),
            "{error}"
        );
    }
}
