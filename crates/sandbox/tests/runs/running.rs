//! What a program gets, and what comes back from it.

use std::fs;

use orchestratum_sandbox::{Argument, Command, Error, Exit, Isolation, Limits, Sandbox, Shim};

use super::again::{WITHOUT_GROUPS, again_after, is_again};
use super::{bounded, everywhere, run, sandbox, shell, until};

#[tokio::test]
async fn output_exit_code_and_memory_are_reported() {
    for sandbox in everywhere().await {
        let finished = run(&sandbox, &shell("echo out; echo err >&2; exit 3")).await;
        assert_eq!(finished.exit, Exit::Code(3));
        assert_eq!(
            (finished.stdout.text.as_str(), finished.stderr.text.as_str()),
            ("out\n", "err\n")
        );
        assert!(finished.peak_memory_bytes.is_some_and(|bytes| bytes > 100_000));
    }
}

#[tokio::test]
async fn death_by_a_signal_is_told_apart_from_an_exit_code() {
    for sandbox in everywhere().await {
        let finished = run(&sandbox, &shell("kill -SEGV $$")).await;
        assert_eq!(finished.exit, Exit::Signal(11));
        assert_eq!(finished.exit.to_string(), "killed by signal 11 (SIGSEGV)");
    }
}

#[tokio::test]
async fn the_environment_has_only_what_was_given_and_its_own_folders() {
    for sandbox in everywhere().await {
        let command = Command::new("/usr/bin/env").environment("GIVEN", "a 'b' $(c)");
        let text = run(&sandbox, &command).await.stdout.text;
        let mut names: Vec<&str> = text.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
        names.sort_unstable();
        let mark: &[&str] = match sandbox.isolation() {
            Isolation::Full => &[],
            Isolation::Landlock | Isolation::Off => &["ORCHESTRATUM_SANDBOX_RUN"],
        };
        assert_eq!(names, [&["GIVEN", "HOME", "LANG"], mark, &["PATH", "TMPDIR"]].concat());
        assert!(text.contains("GIVEN=a 'b' $(c)\n"));
    }
}

#[tokio::test]
async fn it_starts_in_a_folder_it_may_write_to_with_its_files_beside_it() {
    for sandbox in everywhere().await {
        let command = Command::new("/bin/sh")
            .argument(Argument::File("script".to_owned()))
            .arguments(["one", "two words"])
            .file(
                "script",
                "echo $1-$2; echo x > here && cat here; [ \"$PWD\" = \"$HOME\" ] && mktemp > /dev/null",
            );
        let finished = run(&sandbox, &command).await;
        assert_eq!(finished.stdout.text, "one-two words\nx\n", "{finished:?}");
        assert!(finished.exit.is_success());
    }
}

#[tokio::test]
async fn standard_input_is_what_was_given_or_empty() {
    for sandbox in everywhere().await {
        assert_eq!(run(&sandbox, &shell("cat; echo end")).await.stdout.text, "end\n");
        let text = "0123456789".repeat(50_000);
        let command = shell("cat | wc -c").stdin(Some(text));
        assert_eq!(run(&sandbox, &command).await.stdout.text.trim(), "500000");
        // Nothing can be kept there.
        let command = shell("echo more >&0 || echo unchanged; cat").stdin(Some("text".to_owned()));
        assert_eq!(run(&sandbox, &command).await.stdout.text, "unchanged\ntext");
    }
}

#[tokio::test]
async fn the_result_has_a_file_of_its_own() {
    for sandbox in everywhere().await {
        let command = Command::new("/bin/sh")
            .arguments(["-c", "echo output; eval \"echo result >&$1\"", "sh"])
            .argument(Argument::Result);
        let finished = run(&sandbox, &command).await;
        assert_eq!(
            (finished.stdout.text.as_str(), finished.result.as_slice()),
            ("output\n", &b"result\n"[..])
        );
    }
}

#[tokio::test]
async fn a_program_has_no_other_open_files() {
    for sandbox in everywhere().await {
        // The fifth is that of the listing itself.
        let finished = run(&sandbox, &Command::new("/bin/ls").arguments(["/proc/self/fd"])).await;
        assert_eq!(finished.stdout.text.lines().count(), 5, "{}", finished.stdout.text);
        if sandbox.isolation() == Isolation::Landlock {
            let finished = run(&sandbox, &Command::new("/bin/ls").arguments(["/proc/1/fd", "/proc"])).await;
            assert_eq!(finished.stdout.text, "", "it sees no other there");
        }
    }
}

#[tokio::test]
async fn a_program_that_does_not_exist_is_an_error_that_names_it() {
    for sandbox in everywhere().await {
        let mut running = sandbox
            .spawn(&Command::new("/no/such/program"))
            .await
            .expect("the shim starts");
        let error = bounded(running.wait()).await.expect_err("there is no such program");
        assert!(
            matches!(&error, Error::NotStarted(reason) if reason.contains("/no/such/program")),
            "{error}"
        );
        assert!(
            run(&sandbox, &shell("true")).await.exit.is_success(),
            "the next one runs"
        );
    }
}

#[tokio::test]
async fn limits_hold() {
    for sandbox in everywhere().await {
        let limits = Limits {
            file_size_bytes: Some(1_000_000),
            ..Limits::default()
        };
        let command = shell("trap '' XFSZ; head -c 5000000 /dev/zero > big; wc -c < big").limits(limits);
        assert_eq!(run(&sandbox, &command).await.stdout.text.trim(), "1000000");
        let limits = Limits {
            cpu_seconds: Some(1),
            ..Limits::default()
        };
        let finished = run(&sandbox, &shell("while :; do :; done").limits(limits)).await;
        assert_eq!(finished.exit.to_string(), "killed by signal 24 (SIGXCPU)");
        let finished = run(&sandbox, &shell("ulimit -t")).await;
        assert_eq!(finished.stdout.text, "unlimited\n", "limits are of one program");
    }
}

/// Starts processes that each take memory, and stays.
const HUNGRY: &str =
    "for number in 1 2 3 4; do head -c 40000000 /dev/zero | tail -c 40000000 & done; wait; echo survived";

#[tokio::test]
async fn all_processes_of_a_program_have_their_memory_together_where_groups_can_be_made() {
    for sandbox in everywhere().await {
        let with = |megabytes: u64| Limits {
            memory_bytes: Some(megabytes << 20),
            ..Limits::default()
        };
        if sandbox.counts_memory_together().is_err() {
            let large = "head -c 300000000 /dev/zero | tail -c 300000000 | wc -c";
            let finished = run(&sandbox, &shell(large).limits(with(100))).await;
            assert_eq!(finished.stdout.text.trim(), "0", "each process has its own");
            continue;
        }
        let finished = run(&sandbox, &shell(HUNGRY).limits(with(100))).await;
        assert!(finished.out_of_memory, "{finished:?}");
        let finished = run(&sandbox, &shell(HUNGRY).limits(with(400))).await;
        assert!(
            !finished.out_of_memory && finished.exit.is_success() && finished.stdout.text.ends_with("survived\n"),
            "the next one has its own limit"
        );
        let finished = run(&sandbox, &shell("kill -9 $$").limits(with(100))).await;
        assert!(
            !finished.out_of_memory && !finished.exit.is_success(),
            "killed, but not for its memory"
        );
    }
}

/// Takes memory that belongs to no process's address space, as far as it is given.
const WITHOUT_NAMES: &str = "
import os, sys
def fill(file):
    written = 0
    while written < 400 << 20:
        written += os.write(file, bytes(1 << 20))
for make in (lambda: os.memfd_create('x'), lambda: int(sys.argv[1])):
    try:
        fill(make())
    except OSError as error:
        print(error.strerror)
";

#[tokio::test]
async fn files_in_memory_are_counted_or_there_are_none() {
    if !is_again() {
        again_after(WITHOUT_GROUPS, "running::files_in_memory_are_counted_or_there_are_none").await;
    }
    let sandbox = sandbox(Isolation::Full).await;
    assert_eq!(sandbox.counts_memory_together().is_err(), is_again());
    let limits = Limits {
        memory_bytes: Some(200 << 20),
        ..Limits::default()
    };
    let command = Command::new("/usr/bin/python3").arguments(["-I", "-c", WITHOUT_NAMES]);
    let finished = run(&sandbox, &command.argument(Argument::Result).limits(limits)).await;
    if sandbox.counts_memory_together().is_ok() {
        assert!(finished.out_of_memory, "{finished:?}");
    } else {
        let expected = "Function not implemented\nFile too large\n";
        assert_eq!(finished.stdout.text, expected, "{:?}", finished.stderr);
        let walls_of_landlock = super::sandbox(Isolation::Landlock).await;
        let command = Command::new("/usr/bin/python3").arguments(["-I", "-c", "import os; os.memfd_create('x')"]);
        let finished = run(&walls_of_landlock, &command).await;
        assert!(
            finished.stderr.text.contains("Function not implemented"),
            "{finished:?}"
        );
    }
}

/// Fills as many pairs of sockets as it can have, and says how many that were and what is in them.
const FULL_SOCKETS: &str = "
import resource, socket
most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
kept, held = [], 0
while held < 600 << 20:
    try:
        pair = socket.socketpair()
    except OSError:
        break
    kept.append(pair)
    for end in pair:
        end.setblocking(False)
        for size in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            end.setsockopt(socket.SOL_SOCKET, size, 4 << 20)
        try:
            while True:
                held += end.send(bytes(1 << 16))
        except BlockingIOError:
            pass
print(len(kept), held >> 20)
";

#[tokio::test]
async fn sockets_hold_little_where_nobody_counts_it() {
    if !is_again() {
        again_after(WITHOUT_GROUPS, "running::sockets_hold_little_where_nobody_counts_it").await;
    }
    for level in [Isolation::Landlock, Isolation::Full] {
        let sandbox = sandbox(level).await;
        if sandbox.counts_memory_together().is_ok() {
            assert!(!is_again(), "there are no groups");
            continue;
        }
        let command = Command::new("/usr/bin/python3").arguments(["-I", "-c", FULL_SOCKETS]);
        let finished = run(&sandbox, &command).await;
        let mut told = finished.stdout.text.split_whitespace().map(str::parse::<u64>);
        let (Some(Ok(pairs)), Some(Ok(megabytes))) = (told.next(), told.next()) else {
            panic!("{level:?} {finished:?}");
        };
        assert!(pairs < 512, "{level:?}: {pairs}");
        // 208 KiB for each socket are usual.
        assert!((1..300).contains(&megabytes), "{level:?}: {megabytes} MiB");
    }
}

/// Connects to itself as often as it can, and says how often, and whether this kernel lets that be limited.
const WAITING_CONNECTIONS: &str = "
import os, socket
listener = socket.socket(socket.AF_UNIX)
listener.bind('socket')
listener.listen(4096)
waiting = []
try:
    while len(waiting) < 100:
        client = socket.socket(socket.AF_UNIX)
        client.setblocking(False)
        client.connect('socket')
        waiting.append(client)
except BlockingIOError:
    pass
print(len(waiting), os.path.exists('/proc/sys/net/core/somaxconn'))
";

#[tokio::test]
async fn few_connections_wait_where_nobody_counts_what_they_hold() {
    if !is_again() {
        let test = "running::few_connections_wait_where_nobody_counts_what_they_hold";
        again_after(WITHOUT_GROUPS, test).await;
    }
    let sandbox = sandbox(Isolation::Full).await;
    let command = Command::new("/usr/bin/python3").arguments(["-I", "-c", WAITING_CONNECTIONS]);
    let finished = run(&sandbox, &command).await;
    // One more than the limit (`listen(2)`).
    let expected = match (
        sandbox.counts_memory_together(),
        finished.stdout.text.ends_with("True\n"),
    ) {
        (Ok(()), true) => "100 True\n",
        (Err(_), true) => "9 True\n",
        (_, false) => "100 False\n",
    };
    assert_eq!(finished.stdout.text, expected, "{finished:?}");
}

/// Puts pages of a file and of memory into a pipe.
const AS_THEY_ARE: &str = "
import ctypes, errno, os, socket
library = ctypes.CDLL(None, use_errno=True)
file, (_, pipe) = os.open('/bin/sh', os.O_RDONLY), os.pipe()
for call, arguments in {
    'sendfile': (pipe, file, None, 9),
    'splice': (file, None, pipe, None, 9, 0),
    'vmsplice': (pipe, None, 0, 0),
}.items():
    done = getattr(library, call)(*arguments) >= 0
    print(call, 'done' if done else errno.errorcode[ctypes.get_errno()])
SO_ZEROCOPY = 60
try:
    socket.socketpair()[0].setsockopt(socket.SOL_SOCKET, SO_ZEROCOPY, 1)
except OSError as error:
    print('zero copy', 'refused' if error.errno == errno.EPERM else 'not of this family')
";

#[tokio::test]
async fn no_pages_are_put_into_pipes_and_sockets_where_nobody_counts_them() {
    if !is_again() {
        let test = "running::no_pages_are_put_into_pipes_and_sockets_where_nobody_counts_them";
        again_after(WITHOUT_GROUPS, test).await;
    }
    for level in [Isolation::Landlock, Isolation::Full] {
        let sandbox = sandbox(level).await;
        let (told, zero_copy) = if sandbox.counts_memory_together().is_ok() {
            ("done", "not of this family")
        } else {
            ("ENOSYS", "refused")
        };
        let command = Command::new("/usr/bin/python3").arguments(["-I", "-c", AS_THEY_ARE]);
        let finished = run(&sandbox, &command).await;
        let expected = format!("sendfile {told}\nsplice {told}\nvmsplice {told}\nzero copy {zero_copy}\n");
        assert_eq!(finished.stdout.text, expected, "{level:?} {finished:?}");
    }
}

#[tokio::test]
async fn processes_are_counted_at_every_level_that_says_so() {
    for sandbox in everywhere().await.into_iter().filter(Sandbox::counts_processes) {
        let limits = Limits {
            processes: Some(20),
            ..Limits::default()
        };
        let many = "for number in $(seq 50); do sleep 5 & done; kill $(jobs -p)";
        let finished = run(&sandbox, &shell(many).limits(limits)).await;
        assert!(finished.stderr.text.contains("fork"), "{finished:?}");
        assert!(
            run(&sandbox, &shell("for number in $(seq 50); do true & done; wait"))
                .await
                .exit
                .is_success()
        );
    }
}

/// Not fewer either, for those who keep it.
#[tokio::test]
async fn a_program_in_a_cell_has_as_many_processes_as_it_may() {
    if !is_again() {
        let test = "running::a_program_in_a_cell_has_as_many_processes_as_it_may";
        again_after(WITHOUT_GROUPS, test).await;
    }
    let sandbox = sandbox(Isolation::Full).await;
    let limits = Limits {
        processes: Some(3),
        ..Limits::default()
    };
    for (more, fits) in [("1 2", true), ("1 2 3", false)] {
        let script =
            format!("for number in {more}; do sleep 60 & started=\"$started $!\"; done; kill $started; echo fine");
        let finished = run(&sandbox, &shell(&script).limits(limits)).await;
        assert_eq!(finished.stdout.text == "fine\n", fits, "{more} more: {finished:?}");
    }
}

#[tokio::test]
async fn no_control_group_is_left() {
    let ours = || {
        let begin = format!("orchestratum-{}-", std::process::id());
        let folders = fs::read_dir("/sys/fs/cgroup/pids").into_iter().flatten().flatten();
        folders
            .filter(|entry| entry.file_name().to_string_lossy().starts_with(&begin))
            .count()
    };
    let before = ours();
    for sandbox in everywhere().await {
        run(&sandbox, &shell("sleep 60 & true")).await;
    }
    // Those of the other tests come and go.
    until("the groups are gone", || ours() <= before).await;
}

#[tokio::test]
async fn a_cell_that_has_served_long_is_replaced() {
    let sandbox = sandbox(Isolation::Full).await;
    for _ in 0..1_005 {
        assert!(run(&sandbox, &Command::new("/bin/true")).await.exit.is_success());
    }
}

#[tokio::test]
async fn programs_go_first_when_memory_runs_out() {
    for level in [Isolation::Off, Isolation::Full] {
        let sandbox = sandbox(level).await;
        let finished = run(&sandbox, &shell("cat /proc/self/oom_score_adj")).await;
        assert_eq!(finished.stdout.text, "1000\n", "{}", level.as_str());
    }
}

#[tokio::test]
async fn a_flood_is_cut_in_the_middle() {
    for sandbox in everywhere().await {
        let script = "echo first; head -c 200000000 /dev/zero | tr '\\0' x; echo; echo last";
        let finished = run(&sandbox, &shell(script)).await;
        let text = &finished.stdout.text;
        assert!(text.len() < 300_000);
        assert!(text.starts_with("first\nxxx") && text.ends_with("xxx\nlast\n") && text.contains("bytes cut ...]"));
        assert_eq!(finished.stdout.total_bytes, 200_000_012);
    }
}

#[tokio::test]
async fn what_is_too_large_to_be_started_is_refused() {
    let sandbox = sandbox(Isolation::Full).await;
    let command = shell("true").file("big", "x".repeat(20 << 20));
    assert!(matches!(sandbox.spawn(&command).await, Err(Error::TooLarge { .. })));
}

#[tokio::test]
async fn a_program_without_the_call_in_main_is_told_so() {
    let opened = Sandbox::open(Shim::this_program(), Isolation::Off, Vec::new(), None).await;
    assert!(matches!(opened, Err(Error::ShimNotLinked)), "{opened:?}");
}
