//! What a program cannot see or do.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::time::Duration;

use orchestratum_sandbox::{Command, Exit, Isolation, Limits, Pool};

use super::{bounded, everywhere, run, sandbox, shell, until};

fn python(script: &str) -> Command {
    Command::new("/usr/bin/python3").arguments(["-I", "-c", script])
}

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

/// Says what of the machine could be changed, and then what of its own.
const METADATA: &str = "
import ctypes, os, shutil, subprocess, sys
folder = sys.argv[1]
file = folder + '/file'
os.symlink(file, 'link')
at = os.open(folder, os.O_PATH)
held = os.open(file, os.O_RDONLY)
path = ctypes.c_char_p(file.encode())
library = ctypes.CDLL(None, use_errno=True)
def of_old(call):
    if call(path, None) < 0:
        raise PermissionError if ctypes.get_errno() == 1 else OSError(ctypes.get_errno(), '')
for what, attempt in {
    'a mode': lambda: os.chmod(file, 0o4777),
    'the mode of a folder': lambda: os.chmod(folder, 0),
    'a mode by a link': lambda: os.chmod('link', 0),
    'a mode by a relative path': lambda: os.chmod(os.path.relpath(file), 0),
    'a mode below a folder': lambda: os.chmod('file', 0, dir_fd=at),
    'a mode by an open file': lambda: os.fchmod(held, 0),
    'a mode by the list of open files': lambda: os.chmod('/proc/self/fd/%d' % held, 0),
    'times': lambda: os.utime(file, (1, 1)),
    'times by an open file': lambda: os.utime(held),
    'times below a folder': lambda: os.utime('file', (1, 1), dir_fd=at),
    'times as of old': lambda: of_old(library.utimes),
    'an owner': lambda: os.chown(file, os.getuid(), os.getgid()),
    'an owner by an open file': lambda: os.fchown(held, os.getuid(), os.getgid()),
    'the owner of a link': lambda: os.lchown('link', os.getuid(), os.getgid()),
}.items():
    try:
        attempt()
        print(what)
    except PermissionError:
        pass
if library.inotify_init1(0) >= 0:
    print('what others make is told')
with open('program', 'w') as program:
    program.write('#!/bin/sh\\necho runs\\n')
os.chmod('program', 0o700)
print(subprocess.run(['./program'], capture_output=True, text=True).stdout, end='')
os.utime('program', ns=(1, 1700000000123456789))
shutil.copy2('program', 'copy')
copy = os.stat('copy')
print(copy.st_mtime_ns, oct(copy.st_mode))
os.utime('copy')
with open('copy') as opened:
    os.fchmod(opened.fileno(), 0o600)
    os.chmod('/proc/self/fd/%d' % opened.fileno(), os.stat('copy').st_mode | 0o040)
os.utime('link', (5, 5), follow_symlinks=False)
print(oct(os.stat('copy').st_mode), os.stat('copy').st_mtime > 1700000001, os.lstat('link').st_mtime)
os.mkdir('folder')
os.chmod('copy', 0o644, dir_fd=os.open('.', os.O_RDONLY))
script = 'chmod 500 folder && touch -d @7 copy && stat -c %a,%Y copy && stat -c %a folder'
print(subprocess.run(script, shell=True, capture_output=True, text=True).stdout, end='')
";

/// Landlock does not guard them, and the files of the worker's user are in reach.
#[tokio::test]
async fn modes_and_times_are_changed_in_its_own_folder_and_nowhere_else() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let file = folder.path().join("file");
    fs::write(&file, "content").expect("written");
    fs::set_permissions(&file, Permissions::from_mode(0o640)).expect("it is ours");
    let looks = || {
        let of = |path| fs::metadata(path).expect("it is there");
        let (file, folder) = (of(file.as_path()), of(folder.path()));
        (file.mode(), file.mtime(), file.atime(), file.ctime(), folder.mode())
    };
    let before = looks();
    let path = folder.path().to_str().expect("UTF-8");
    let sandbox = sandbox(Isolation::Landlock)
        .await
        .showing(&[folder.path().to_owned()], &Pool::holding(0))
        .expect("it can be shown");
    let finished = run(&sandbox, &python(METADATA).arguments([path])).await;
    assert_eq!(
        finished.stdout.text, "runs\n1700000000123456789 0o100700\n0o100640 True 5.0\n644,7\n500\n",
        "{finished:?}"
    );
    assert_eq!(looks(), before);
}

#[tokio::test]
async fn who_asks_for_changes_all_the_time_hears_orders_and_dies_when_nothing_more_is_heard() {
    let sandbox = sandbox(Isolation::Landlock).await;
    let script = "import os\nopen('file', 'w')\nprint('begun', flush=True)\nwhile True:\n    os.chmod('file', 0o600)";
    for live in [Some(Duration::from_millis(300)), None] {
        let mut running = sandbox.spawn(&python(script)).await.expect("it starts");
        let written = running.written().clone();
        until("it has begun", || written.take(100)[0].is_some()).await;
        let killer = running.killer().clone();
        match live {
            Some(live) => killer.live(live),
            None => killer.kill(),
        }
        let finished = bounded(running.wait()).await.expect("it ends");
        assert_eq!(finished.exit, Exit::Signal(9));
    }
}

#[tokio::test]
async fn priorities_are_its_own_and_not_those_of_a_user() {
    for level in [Isolation::Landlock, Isolation::Full] {
        let script =
            "import os\nos.setpriority(os.PRIO_PROCESS, 0, 1)\nprint('its own')\nos.setpriority(os.PRIO_USER, 0, 1)";
        let finished = run(&sandbox(level).await, &python(script)).await;
        assert_eq!(finished.stdout.text, "its own\n", "{level:?} {finished:?}");
        assert!(
            finished.stderr.text.contains("PermissionError"),
            "{level:?} {finished:?}"
        );
    }
}

/// The kernel would look for a module for each of the others, and load it.
#[tokio::test]
async fn sockets_are_of_the_usual_protocols_alone() {
    let script = "
import errno, socket
for family, kind, protocol in [(2, 1, 0), (2, 1, 6), (2, 2, 17), (16, 3, 0),
                               (2, 1, 132), (2, 5, 0), (2, 1, 256), (10, 6, 33), (2, 2, 115), (2, 3, 255), (16, 3, 16)]:
    try:
        socket.socket(family, kind, protocol)
        print('made')
    except OSError as error:
        print(errno.errorcode[error.errno])
";
    for level in [Isolation::Landlock, Isolation::Full] {
        let finished = run(&sandbox(level).await, &python(script).network(true)).await;
        let expected = ["made\n".repeat(4), "ENOSYS\n".repeat(7)].concat();
        assert_eq!(finished.stdout.text, expected, "{level:?} {finished:?}");
    }
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
