//! What a program hands back beside what it says: how far it is, and a result on standard output.

use orchestratum_sandbox::{Argument, Command, Pool};
use tokio::time::timeout;

use super::{bounded, everywhere, run, shell, until};

/// Its progress at its end.
async fn told(sandbox: &orchestratum_sandbox::Sandbox, command: Command) -> Option<f64> {
    let mut running = sandbox.spawn(&command.tells_progress()).await.expect("it starts");
    let written = running.written().clone();
    let finished = bounded(running.wait()).await.expect("it ends");
    assert!(finished.exit.is_success(), "{finished:?}");
    written.progress()
}

#[tokio::test]
async fn how_far_a_program_is_is_seen_while_it_runs() {
    for sandbox in everywhere().await {
        let command = shell("echo 0.25 >&3; echo 0.5; sleep 1000").tells_progress();
        let mut running = sandbox.spawn(&command).await.expect("it starts");
        let written = running.written().clone();
        until("it tells", || written.progress() == Some(0.25)).await;
        running.killer().kill();
        bounded(running.wait()).await.expect("it ends");
        assert_eq!(written.progress(), Some(0.25), "also after its end");
    }
}

#[tokio::test]
async fn only_the_last_number_of_its_own_file_counts() {
    for sandbox in everywhere().await {
        for (script, expected) in [
            ("echo 0.1 >&3; echo 0.2 >&3", Some(0.2)),
            ("echo 0.1 >&3; echo half >&3; echo 7 >&3; printf 0.9 >&3", Some(0.1)),
            ("echo 0.5; echo 0.6 >&2", None),
            ("exec 3>&-; echo 0.5; true", None),
            (
                "head -c 1000000 /dev/urandom >&3; echo; echo >&3; echo 0.75 >&3",
                Some(0.75),
            ),
            (
                "head -c 10000000 /dev/zero | tr '\\0' 1 >&3; echo >&3; echo 0.5 >&3",
                Some(0.5),
            ),
            ("seq -f 0.%06g 100000 >&3", Some(0.1)),
        ] {
            assert_eq!(told(&sandbox, shell(script)).await, expected, "{script}");
        }
    }
}

#[tokio::test]
async fn a_flood_of_progress_holds_nobody_up() {
    for sandbox in everywhere().await {
        let command = shell("yes 0.5 >&3 & yes nonsense >&3 & sleep 1000").tells_progress();
        let mut running = sandbox.spawn(&command).await.expect("it starts");
        let written = running.written().clone();
        until("it tells", || written.progress() == Some(0.5)).await;
        let other = timeout(std::time::Duration::from_secs(10), run(&sandbox, &shell("echo here"))).await;
        assert_eq!(other.expect("it has its turn").stdout.text, "here\n");
        running.killer().kill();
        bounded(running.wait()).await.expect("it ends");
    }
}

#[tokio::test]
async fn a_program_that_does_not_tell_has_no_file_for_it() {
    for sandbox in everywhere().await {
        let finished = run(&sandbox, &shell("echo 0.5 >&3")).await;
        assert!(
            !finished.exit.is_success() && finished.stderr.text.contains('3'),
            "{finished:?}"
        );
        let both = Command::new("/bin/sh")
            .arguments(["-c", "echo 0.5 >&3; eval \"echo result >&$1\"; echo $1", "sh"])
            .argument(Argument::Result)
            .tells_progress();
        let finished = run(&sandbox, &both).await;
        assert_eq!(finished.result, b"result\n");
        assert_ne!(finished.stdout.text, "3\n");
    }
}

#[tokio::test]
async fn standard_output_may_be_the_result_byte_for_byte() {
    for sandbox in everywhere().await {
        let command = shell("printf 'a\\377\\000b'; echo words >&2").stdout_is_result(10);
        let finished = run(&sandbox, &command).await;
        assert_eq!(finished.result, b"a\xff\0b");
        assert_eq!(
            (finished.stdout.text.as_str(), finished.stderr.text.as_str()),
            ("", "words\n")
        );
        let flood = shell("head -c 50000000 /dev/zero").stdout_is_result(1_000);
        assert_eq!(
            run(&sandbox, &flood).await.result.len(),
            1_001,
            "one more tells that there was more"
        );
        let exact = shell("head -c 1000 /dev/zero").stdout_is_result(1_000);
        assert_eq!(run(&sandbox, &exact).await.result.len(), 1_000);
    }
}

#[tokio::test]
async fn a_view_of_the_sandbox_reads_more_and_leaves_the_others_as_they_were() {
    let folder = tempfile::tempdir().expect("a folder");
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(folder.path(), open).expect("opened");
    let file = folder.path().join("within");
    std::fs::write(&file, "content\n").expect("written");
    let read = Command::new("/bin/cat").arguments([file.to_str().expect("UTF-8")]);
    for sandbox in everywhere().await {
        assert!(!sandbox.reads(&file, false) && sandbox.reads("/usr/bin/env".as_ref(), false));
        // The file first, whose folder would hide it.
        let more = vec![file.clone(), folder.path().to_owned()];
        let view = sandbox.showing(&more, &Pool::unbounded()).expect("it can be shown");
        bounded(view.try_out()).await.expect("programs run");
        assert!(view.reads(&file, false));
        assert_eq!(run(&view, &read).await.stdout.text, "content\n");
        if sandbox.isolation() > orchestratum_sandbox::Isolation::Off {
            assert!(!run(&sandbox, &read).await.exit.is_success());
        }
    }
}
