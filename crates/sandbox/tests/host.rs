//! What preparing changes is of the whole process, so these are a program of their own.

use std::time::Duration;

use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};
use orchestratum_sandbox::{Command, Isolation, Limits, Runner, Sandbox, Shim, host};
use tokio::time::timeout;

/// Lower than that of any machine.
const AT_START: u64 = 200;

async fn sandbox(level: Isolation) -> Sandbox {
    let shim = Shim::at(env!("CARGO_BIN_EXE_orchestratum-sandbox-shim"));
    let opened = Sandbox::open(shim, level, Vec::new(), None).await;
    opened.expect("it can be had")
}

/// What the program is told of its soft and its hard limit.
async fn open_files(level: Isolation, limits: Limits) -> String {
    let sandbox = sandbox(level).await;
    let command = Command::new("/bin/sh")
        .arguments(["-c", "ulimit -S -n; ulimit -H -n"])
        .limits(limits);
    let mut running = sandbox.spawn(&command).await.expect("it starts");
    let finished = timeout(Duration::from_secs(20), running.wait())
        .await
        .expect("within 20 s");
    finished.expect("it ends").stdout.text
}

#[tokio::test]
async fn a_prepared_process_may_open_all_files_and_its_programs_as_many_as_it_might_at_the_start() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("it is known");
    setrlimit(Resource::RLIMIT_NOFILE, AT_START, hard).expect("it is lower");
    host::prepare().expect("nobody forbids it");
    host::prepare().expect("twice is once");
    assert_eq!(getrlimit(Resource::RLIMIT_NOFILE), Ok((hard, hard)));
    assert_eq!(host::open_files(), Some(hard));
    assert_eq!(nix::sys::prctl::get_dumpable(), Ok(false));

    let bound = hard.min(1024);
    let hard = if hard == RLIM_INFINITY {
        "unlimited".to_owned()
    } else {
        hard.to_string()
    };
    let limits = Limits {
        open_files: Some(64),
        ..Limits::default()
    };
    for level in [Isolation::Off, Isolation::Landlock, Isolation::Full] {
        // What the kernel holds for them is counted by nobody.
        let is_bounded = level > Isolation::Off && sandbox(level).await.counts_memory_together().is_err();
        let expected = if is_bounded {
            format!("{bound}\n{bound}\n")
        } else {
            format!("{AT_START}\n{hard}\n")
        };
        assert_eq!(open_files(level, Limits::default()).await, expected);
        assert_eq!(open_files(level, limits).await, "64\n64\n");
    }
    // A runner, whose programs are copies of it, tells it by what is told of one that does not start.
    let runner = Runner {
        program: "/bin/sh".into(),
        arguments: vec!["-c".to_owned(), "ulimit -S -n >&2; ulimit -H -n >&2; exit 1".to_owned()],
        environment: Vec::new(),
        reads_first: String::new(),
    };
    let warm = sandbox(Isolation::Full)
        .await
        .warm(runner, false)
        .expect("at this level");
    let error = warm.spawn(&(), &Command::new("")).await.expect_err("it is none");
    assert!(error.to_string().ends_with(&format!(": {AT_START}\n{hard}")), "{error}");
}
