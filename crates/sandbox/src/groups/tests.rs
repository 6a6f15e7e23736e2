use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use tokio::time::Instant;

use super::*;

const MEBIBYTE: u64 = 1 << 20;

/// Above every number that the kernel gives to a process.
const NOBODY: u32 = 4_194_305;

fn read(folder: &Path, name: &str) -> String {
    fs::read_to_string(folder.join(name)).unwrap_or_default()
}

fn memory(megabytes: u64) -> Together {
    Together {
        memory_bytes: Some(megabytes * MEBIBYTE),
        processes: None,
    }
}

/// What the kernel would do with the files of version 2, whose controllers are on few machines that test this.
fn of_version_two(mounts: &Path) -> Arc<Groups> {
    let own = mounts.join("system.slice/worker.service");
    fs::create_dir_all(&own).expect("made");
    fs::write(own.join("cgroup.controllers"), "cpu memory pids\n").expect("written");
    fs::write(own.join("cgroup.procs"), std::process::id().to_string()).expect("written");
    Groups::find_in(mounts, "0::/system.slice/worker.service\n").expect("they can be made")
}

/// `None` where this machine has none, or this user may not make them.
fn of_version_one() -> Option<Arc<Groups>> {
    let groups = Groups::find().ok()?;
    (groups.version == Version::One).then_some(groups)
}

#[test]
fn version_two_is_asked_for_the_limits_by_their_names_there() {
    let mounts = tempfile::tempdir().expect("a folder");
    let groups = of_version_two(mounts.path());
    let own = mounts.path().join("system.slice/worker.service");
    assert_eq!(read(&own, "cgroup.subtree_control"), "+memory +pids +cpu");
    let process = std::process::id().to_string();
    assert_eq!(read(&own.join("orchestratum-worker"), "cgroup.procs"), process);

    let mut group = groups.make().expect("made");
    let folder = group.folders[0].clone();
    fs::write(folder.join("memory.events"), "oom 3\noom_kill 2\n").expect("written");
    admit(&group, NOBODY);
    let together = Together {
        processes: Some(10),
        ..memory(1024)
    };
    group.begin(together).expect("limited");
    assert_eq!(read(&folder, "cgroup.procs"), NOBODY.to_string());
    assert_eq!(read(&folder, "memory.max"), (1024 * MEBIBYTE).to_string());
    assert_eq!(read(&folder, "memory.swap.max"), "0");
    assert_eq!(read(&folder, "pids.max"), "12");
    assert!(!group.was_out_of_memory(), "the kills of earlier programs are theirs");
    fs::write(folder.join("memory.events"), "oom 4\noom_kill 3\n").expect("written");
    assert!(group.was_out_of_memory());
    group.begin(Together::default()).expect("unlimited");
    assert_eq!(
        (read(&folder, "memory.max"), read(&folder, "pids.max")),
        ("max".into(), "max".into())
    );
}

#[test]
fn version_two_is_not_given_a_limit_for_which_it_would_kill() {
    let mounts = tempfile::tempdir().expect("a folder");
    let mut group = of_version_two(mounts.path()).make().expect("made");
    let folder = group.folders[0].clone();
    fs::write(folder.join("memory.current"), (50 * MEBIBYTE).to_string()).expect("written");
    fs::write(folder.join("memory.reclaim"), "").expect("written");
    let refused = group.begin(memory(50)).expect_err("nothing is left for a program");
    assert!(
        matches!(refused, Error::TooLittleMemory { most_bytes, held_bytes } if (most_bytes, held_bytes) == (50 * MEBIBYTE, 50 * MEBIBYTE)),
        "{refused}"
    );
    assert_eq!(read(&folder, "memory.max"), "");
    assert_eq!(
        read(&folder, "memory.reclaim"),
        (50 * MEBIBYTE).to_string(),
        "it was tried"
    );
    group.begin(memory(60)).expect("there is room");
    assert_eq!(read(&folder, "memory.max"), (60 * MEBIBYTE).to_string());
}

#[test]
fn what_grew_since_the_program_before_leaves_too_little_of_the_same_limit_too() {
    let mounts = tempfile::tempdir().expect("a folder");
    let mut group = of_version_two(mounts.path()).make().expect("made");
    let folder = group.folders[0].clone();
    let hold = |megabytes: u64| fs::write(folder.join("memory.current"), (megabytes * MEBIBYTE).to_string());
    hold(10).expect("written");
    group.begin(memory(60)).expect("there is room");
    hold(60).expect("written");
    let refused = group.begin(memory(60)).expect_err("nothing is left for a program");
    assert!(matches!(refused, Error::TooLittleMemory { .. }), "{refused}");
    hold(20).expect("written");
    group.begin(memory(60)).expect("there is room again");
}

#[test]
fn what_dead_programs_left_is_told_from_files_that_were_read() {
    let mounts = tempfile::tempdir().expect("a folder");
    let mut group = of_version_two(mounts.path()).make().expect("made");
    let folder = group.folders[0].clone();
    let hold = |megabytes: u64, files: u64| {
        let bytes = (megabytes * MEBIBYTE).to_string();
        fs::write(folder.join("memory.current"), bytes).expect("written");
        let files = files * MEBIBYTE;
        let statistics = format!("anon 1\ninactive_file {files}\nactive_file {MEBIBYTE}\n");
        fs::write(folder.join("memory.stat"), statistics).expect("written");
    };
    hold(31, 10);
    group.settle();
    for (megabytes, files, expected) in [(31, 10, false), (36, 0, false), (60, 30, false), (60, 10, true)] {
        hold(megabytes, files);
        assert_eq!(group.has_leftovers(), expected, "{megabytes} {files}");
    }
}

#[test]
fn groups_of_the_dead_are_removed_also_of_those_whose_number_this_process_has() {
    let mounts = tempfile::tempdir().expect("a folder");
    let parent = mounts.path().join("system.slice/worker.service");
    let own = std::process::id();
    let living = format!("{}7000000", own_prefix().expect("this process was started"));
    let dead = [format!("orchestratum-{own}-1-0"), format!("orchestratum-{NOBODY}-5-0")];
    let others = [living, "orchestratum-worker".to_owned(), "orchestratum-old".to_owned()];
    for name in dead.iter().chain(&others) {
        fs::create_dir_all(parent.join(name)).expect("made");
    }
    let _groups = of_version_two(mounts.path());
    for name in dead {
        assert!(!parent.join(&name).exists(), "{name}");
    }
    for name in others {
        assert!(parent.join(&name).exists(), "{name}");
    }
}

#[test]
fn version_two_tells_the_want_of_the_machine_from_that_of_the_group() {
    let mounts = tempfile::tempdir().expect("a folder");
    let mut group = of_version_two(mounts.path()).make().expect("made");
    let folder = group.folders[0].clone();
    fs::write(
        folder.join("memory.events"),
        "max 9\noom 0\noom_kill 0\noom_group_kill 0\n",
    )
    .expect("written");
    group.begin(memory(100)).expect("limited");
    fs::write(
        folder.join("memory.events"),
        "max 12\noom 0\noom_kill 1\noom_group_kill 0\n",
    )
    .expect("written");
    assert!(!group.was_out_of_memory(), "it was killed for others");
    fs::write(
        folder.join("memory.events"),
        "max 12\noom 1\noom_kill 2\noom_group_kill 0\n",
    )
    .expect("written");
    assert!(group.was_out_of_memory());
}

#[test]
fn a_group_that_is_shared_with_others_is_left_as_it_is() {
    let mounts = tempfile::tempdir().expect("a folder");
    fs::write(mounts.path().join("cgroup.controllers"), "memory pids\n").expect("written");
    fs::write(mounts.path().join("cgroup.procs"), "1\n2\n").expect("written");
    let refused = Groups::find_in(mounts.path(), "0::/\n").expect_err("others are there");
    assert!(refused.contains("other processes"), "{refused}");
    assert!(!mounts.path().join("orchestratum-worker").exists());
}

fn admit(group: &Group, process: u32) {
    for entrance in group.entrances() {
        fs::write(entrance, process.to_string()).expect("admitted");
    }
}

/// A shell in the group that does what the script says.
fn in_group(group: &Group, script: &str) -> Child {
    let mut child = Command::new("/bin/sh")
        .args(["-c", &format!("read go; {script}")])
        .stdin(Stdio::piped())
        .spawn()
        .expect("it starts");
    admit(group, child.id());
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(b"go\n").expect("it reads");
    child
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(20), "{what}");
        sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_limit_below_what_is_held_is_told_as_that_and_the_next_one_is_set() {
    let Some(groups) = of_version_one() else { return };
    let mut group = groups.make().expect("made");
    let script = "{ head -c 40000000 /dev/zero; sleep 100; } | tail -c 40000000 > /dev/null";
    let mut child = in_group(&group, script);
    until("it holds 40 MB", || group.held_bytes() > 40_000_000);
    let refused = group.begin(memory(20)).expect_err("more is held");
    // What the kernel could give back meanwhile, such as pages of the programs' files, is not held any more.
    assert!(
        matches!(refused, Error::TooLittleMemory { held_bytes, .. } if held_bytes > 35_000_000),
        "{refused}"
    );
    group.begin(memory(200)).expect("there is room");
    assert!(!group.was_out_of_memory());
    group.remove();
    assert_eq!(child.wait().expect("it was killed").code(), None);
}

/// Stands for the want of the whole machine: the kernel kills in the inner group, and not for its limit.
#[test]
fn who_is_killed_for_the_want_of_others_was_not_out_of_memory() {
    let Some(groups) = of_version_one() else { return };
    let outer = groups.parents[0].join(format!("smaller-{}", std::process::id()));
    fs::create_dir(&outer).expect("made");
    fs::write(outer.join("memory.limit_in_bytes"), (60 * MEBIBYTE).to_string()).expect("limited");
    let inner = Arc::new(Groups {
        prefix: own_prefix().expect("this process was started"),
        parents: vec![outer.clone(), groups.parents[1].clone()],
        version: Version::One,
        remover: Remover::start().expect("it starts"),
    });
    for (megabytes, own) in [(1024, false), (30, true), (1024, false)] {
        let mut group = inner.make().expect("made");
        group.begin(memory(megabytes)).expect("limited");
        let before = group.shortage();
        let mut child = in_group(&group, "head -c 200000000 /dev/zero | tail -c 200000000 > /dev/null");
        assert!(!child.wait().expect("it ends").success());
        assert!(group.shortage().kills > before.kills, "the kernel killed in both");
        assert_eq!(group.was_out_of_memory(), own, "with {megabytes} MiB of its own");
    }
    drop(inner);
    fs::remove_dir(&outer).expect("nobody is in it");
}

/// The list of a group that is a plain file goes on naming a process that was killed and that nobody reaps, so whoever waits
/// for its end waits long.
#[test]
fn dropping_a_group_kills_who_is_in_it_and_does_not_wait_for_their_end() {
    let mounts = tempfile::tempdir().expect("a folder");
    let groups = of_version_two(mounts.path());
    let group = groups.make().expect("made");
    let mut child = Command::new("/bin/sleep").arg("100").spawn().expect("it starts");
    admit(&group, child.id());
    let dropped = Instant::now();
    drop(group);
    assert!(
        dropped.elapsed() < Duration::from_millis(500),
        "{:?}",
        dropped.elapsed()
    );
    let stat = format!("/proc/{}/stat", child.id());
    until("it is dead", || {
        fs::read_to_string(&stat).is_ok_and(|stat| stat.contains(") Z "))
    });
    drop(groups);
    assert!(dropped.elapsed() >= Duration::from_millis(900), "the last one waits");
    assert_eq!(child.wait().expect("it was killed").code(), None);
}

#[test]
fn a_tree_that_forks_all_the_time_ends_with_its_group() {
    let Some(groups) = of_version_one() else { return };
    let mut group = groups.make().expect("made");
    let together = Together {
        processes: Some(50),
        ..Together::default()
    };
    group.begin(together).expect("limited");
    let mut child = in_group(
        &group,
        "while :; do (setsid sh -c 'sleep 0.01; sleep 0.01' &) ; done 2> /dev/null",
    );
    let folder = group.processes().to_owned();
    until("many are there", || read(&folder, "cgroup.procs").lines().count() > 10);
    removal::end_everyone(&group.folders);
    assert_eq!(read(&folder, "cgroup.procs"), "");
    group.remove();
    assert!(!folder.exists());
    assert_eq!(child.wait().expect("it was killed").code(), None);
}
