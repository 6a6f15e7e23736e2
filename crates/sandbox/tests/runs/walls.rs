//! What a program cannot see or do.

use orchestratum_sandbox::{Command, Isolation, Limits};

use super::{everywhere, run, sandbox, shell};

#[tokio::test]
async fn a_cell_shows_a_system_of_its_own() {
    let sandbox = sandbox(Isolation::Full).await;
    let script =
        "id -u; hostname; ls /; ls /etc; cat /proc/1/cmdline | tr '\\0' ' '; echo; ls /proc | grep -c '^[0-9]'";
    let finished = run(&sandbox, &shell(script)).await;
    let text = &finished.stdout.text;
    assert!(text.starts_with("1000\ntask\n"), "{finished:?}");
    assert!(!text.contains("root\n") && !text.contains("shadow"), "{text}");
}

#[tokio::test]
async fn a_cell_can_write_nowhere_but_to_its_disk() {
    let sandbox = sandbox(Isolation::Full).await;
    let script = "for place in / /etc /usr /usr/lib /dev /proc /run /var; do touch $place/x 2>/dev/null && echo $place; done; \
                  touch ~/x /tmp/x /var/tmp/x /dev/shm/x && echo fine";
    let finished = run(&sandbox, &shell(script)).await;
    assert_eq!(finished.stdout.text, "fine\n", "{finished:?}");
    let finished = run(&sandbox, &shell("ls -A ~ /tmp/ /dev/shm/; ls /run/task")).await;
    assert!(!finished.stdout.text.contains('x'), "{finished:?}");
}

#[tokio::test]
async fn a_disk_is_full_when_it_is() {
    let sandbox = sandbox(Isolation::Full).await;
    let limits = Limits {
        disk_megabytes: Some(5),
        ..Limits::default()
    };
    let fill = shell("head -c 20000000 /dev/zero > ~/big; wc -c < ~/big").limits(limits);
    let finished = run(&sandbox, &fill).await;
    let bytes: u64 = finished.stdout.text.trim().parse().expect("a number");
    assert!(bytes > 4_000_000 && bytes <= 5 << 20, "{finished:?}");
    let none = Limits {
        disk_megabytes: Some(0),
        ..Limits::default()
    };
    let finished = run(&sandbox, &fill.limits(none)).await;
    let bytes: u64 = finished.stdout.text.trim().parse().expect("a number");
    assert!(bytes <= 1 << 20, "none is not one without an end: {finished:?}");
    let finished = run(&sandbox, &shell("head -c 20000000 /dev/zero > ~/big; wc -c < ~/big")).await;
    assert_eq!(finished.stdout.text.trim(), "20000000");
}

#[tokio::test]
async fn there_is_no_network_unless_it_is_asked_for() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port().to_string();
    let script = "import socket, sys\nsocket.create_connection(('127.0.0.1', int(sys.argv[1])), 2)\nprint('connected')";
    for level in [Isolation::Landlock, Isolation::Full] {
        let sandbox = sandbox(level).await;
        let command = Command::new("/usr/bin/python3").arguments(["-I", "-c", script, &port]);
        let finished = run(&sandbox, &command).await;
        assert!(!finished.exit.is_success(), "{level:?} {finished:?}");
        let finished = run(&sandbox, &command.network(true)).await;
        assert_eq!(finished.stdout.text, "connected\n", "{level:?} {finished:?}");
    }
}

#[tokio::test]
async fn landlock_alone_keeps_files_and_system_calls() {
    let sandbox = sandbox(Isolation::Landlock).await;
    let script = "cat /etc/passwd; ls /; ls /root; ls /home; touch /tmp/x-$$; cat /proc/1/cmdline; unshare -U true; \
                  echo x > ~/mine && cat ~/mine";
    let finished = run(&sandbox, &shell(script)).await;
    assert_eq!(finished.stdout.text, "x\n", "{finished:?}");
}

/// Process 1 of a cell is there for the next program, too, and has the user of all.
#[tokio::test]
async fn the_limits_of_who_keeps_a_program_are_not_the_programs() {
    for (level, keeper) in [(Isolation::Full, "1"), (Isolation::Landlock, "os.getppid()")] {
        let sandbox = sandbox(level).await;
        let script = format!(
            "import os, resource\nresource.prlimit(0, resource.RLIMIT_CPU, (5, 5))\nprint('its own')\n\
             resource.prlimit({keeper}, resource.RLIMIT_CPU, (1, 1))"
        );
        let command = Command::new("/usr/bin/python3").arguments(["-I", "-c", &script]);
        let finished = run(&sandbox, &command).await;
        assert_eq!(finished.stdout.text, "its own\n", "{finished:?}");
        assert!(finished.stderr.text.contains("PermissionError"), "{finished:?}");
    }
}

/// With a limit of 0 the kernel would start the machine's program for cores, where there is one.
#[tokio::test]
async fn a_program_that_crashes_leaves_no_core_whatever_it_asks_for() {
    for sandbox in everywhere().await {
        let script = "import resource\nprint(*resource.getrlimit(resource.RLIMIT_CORE))\n\
                      resource.setrlimit(resource.RLIMIT_CORE, (0, 0))\nprint(*resource.getrlimit(resource.RLIMIT_CORE))";
        let command = Command::new("/usr/bin/python3").arguments(["-I", "-c", script]);
        let text = run(&sandbox, &command).await.stdout.text;
        if sandbox.isolation() == Isolation::Off {
            assert!(text.starts_with("1 1\n"), "{text}");
        } else {
            assert_eq!(text, "1 1\n1 1\n", "{}", sandbox.isolation().as_str());
        }
    }
}
