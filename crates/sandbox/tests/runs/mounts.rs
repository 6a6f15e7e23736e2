//! What programs may read of the machine is shown to them as it is there, and is read-only.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use orchestratum_sandbox::{Isolation, Sandbox};
use tempfile::TempDir;

use super::again::{again_after, is_again};
use super::{run, shell, shim};

/// Programs have folders of their own in place of the second.
const PLACES: [&str; 2] = [env!("CARGO_TARGET_TMPDIR"), "/tmp"];

fn folder(place: &str) -> TempDir {
    tempfile::tempdir_in(place).expect("a folder")
}

async fn showing(readable: &[&Path]) -> Sandbox {
    let readable = readable.iter().map(|path| path.to_path_buf()).collect();
    let opened = Sandbox::open(shim(), Isolation::Full, readable, None).await;
    opened.expect("it can be had")
}

#[tokio::test]
async fn what_is_mounted_below_a_folder_of_the_machine_is_read_only_too() {
    const FOLDER: &str = "SANDBOX_TEST_FOLDER";
    if !is_again() {
        for place in PLACES {
            let folder = folder(place);
            let path = folder.path().display();
            fs::create_dir(folder.path().join("inner")).expect("made");
            let script = format!("mount -t tmpfs -o mode=1777 none {path}/inner\nexport {FOLDER}={path}");
            let test = "mounts::what_is_mounted_below_a_folder_of_the_machine_is_read_only_too";
            again_after(&script, test).await;
        }
        return;
    }
    let folder = std::env::var(FOLDER).expect("given");
    let sandbox = showing(&[Path::new(&folder)]).await;
    let finished = run(&sandbox, &shell("cat /proc/self/mountinfo")).await;
    // `proc_pid_mountinfo(5)`: the fifth field is the place, the sixth what the mount allows.
    let mounts: Vec<(&str, Vec<&str>)> = finished
        .stdout
        .text
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ').skip(4);
            Some((fields.next()?, fields.next()?.split(',').collect()))
        })
        .collect();
    let name = folder.rsplit('/').next().expect("it has a name");
    let ours = mounts.iter().filter(|(place, _)| place.contains(name));
    assert_eq!(ours.count(), 2, "{mounts:?}");
    let its_own = ["/run/task", "/proc", "/dev/"];
    for (place, allows) in mounts {
        if !its_own.iter().any(|own| place.starts_with(own)) {
            for wanted in ["ro", "nosuid", "nodev"] {
                assert!(allows.contains(&wanted), "{place}: {allows:?}");
            }
        }
    }
}

#[tokio::test]
async fn folders_are_shown_that_are_in_each_other_or_behind_links() {
    for place in PLACES {
        let folder = folder(place);
        let at = |path: &str| folder.path().join(path);
        fs::create_dir_all(at("real/inner/deep")).expect("made");
        fs::write(at("real/beside"), "beside").expect("written");
        fs::write(at("real/inner/deep/file"), "deep").expect("written");
        symlink(at("real"), at("link")).expect("linked");
        let (inner, behind) = (at("real/inner"), at("link/inner/deep"));
        let read = |path: &str| shell(&format!("cat {}/{path}", folder.path().display()));
        let sandbox = showing(&[&inner, &at("real")]).await;
        assert_eq!(run(&sandbox, &read("real/beside")).await.stdout.text, "beside");
        let sandbox = showing(&[&behind]).await;
        assert_eq!(run(&sandbox, &read("link/inner/deep/file")).await.stdout.text, "deep");
        assert!(
            !run(&sandbox, &read("real/beside")).await.exit.is_success(),
            "nobody asked for it"
        );
    }
}

/// Some machines have only one folder for temporary files, or have it on another disk.
#[tokio::test]
async fn a_folder_for_temporary_files_that_is_a_link_is_the_programs_own_too() {
    if !is_again() {
        let test = "mounts::a_folder_for_temporary_files_that_is_a_link_is_the_programs_own_too";
        again_after("mount -t tmpfs none /var", test).await;
        return;
    }
    fs::create_dir("/var/disk").expect("made");
    for leads_to in ["/var/disk", "../tmp"] {
        symlink(leads_to, "/var/tmp").expect("linked");
        let folder = folder("/var/tmp");
        let given = folder.path().join("given");
        fs::create_dir(&given).expect("made");
        fs::write(given.join("file"), "content").expect("written");
        let sandbox = showing(&[&given]).await;
        let given = given.display();
        let script = format!("cat {given}/file; echo mine > /tmp/mine; cat /var/tmp/mine; > {given}/mine");
        let finished = run(&sandbox, &shell(&script)).await;
        assert_eq!(finished.stdout.text, "contentmine\n", "{finished:?}");
        assert!(finished.stderr.text.contains("Read-only"), "{finished:?}");
        // Before the link to it.
        drop(folder);
        fs::remove_file("/var/tmp").expect("it is ours");
    }
}
