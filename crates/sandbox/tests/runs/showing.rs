//! Sandboxes that show more than the one they come from.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use orchestratum_sandbox::{Error, Isolation, Pool, Sandbox};
use tempfile::TempDir;

use super::{bounded, run, sandbox, shell};

/// Programs have folders of their own in place of the last two.
const PLACES: [&str; 3] = [env!("CARGO_TARGET_TMPDIR"), "/tmp", "/var/tmp"];

/// By its mode anybody may write there: what forbids it are the walls.
fn folder_with_a_file(place: &str) -> TempDir {
    let folder = tempfile::tempdir_in(place).expect("a folder");
    let file = folder.path().join("file");
    fs::write(&file, "content").expect("written");
    let open = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).expect("it is ours");
    open(folder.path(), 0o777);
    open(&file, 0o666);
    folder
}

fn showing(sandbox: &Sandbox, folders: &[&Path], pool: &Pool) -> Sandbox {
    let folders: Vec<PathBuf> = folders.iter().map(|&folder| folder.to_owned()).collect();
    sandbox.showing(&folders, pool).expect("they can be shown")
}

/// The number that the next program has among the processes of its cell: those of a new cell are counted anew.
async fn number(sandbox: &Sandbox) -> u32 {
    let finished = run(sandbox, &shell("echo $$")).await;
    finished.stdout.text.trim().parse().expect("a number")
}

#[tokio::test]
async fn what_one_shows_is_read_only_there_and_not_seen_in_the_others() {
    for level in [Isolation::Landlock, Isolation::Full] {
        let sandbox = sandbox(level).await;
        for place in PLACES {
            let (mine, theirs) = (folder_with_a_file(place), folder_with_a_file(place));
            let pool = Pool::holding(4);
            let own = showing(&sandbox, &[mine.path()], &pool);
            let other = showing(&sandbox, &[theirs.path()], &pool);
            let folder = mine.path().display();
            let script = format!(
                "cat {folder}/file; echo more >> {folder}/file && echo written; rm -f {folder}/file; > {folder}/new && echo made"
            );
            let finished = run(&own, &shell(&script)).await;
            assert_eq!(finished.stdout.text, "content", "{level:?} {finished:?}");
            for sandbox in [&sandbox, &other] {
                let finished = run(sandbox, &shell(&script)).await;
                assert_eq!(finished.stdout.text, "", "{level:?} {finished:?}");
            }
            let left = fs::read_to_string(mine.path().join("file")).expect("it is there");
            assert_eq!(left, "content", "{level:?}");
            assert!(!mine.path().join("new").exists(), "{level:?}");
        }
    }
}

#[tokio::test]
async fn folders_for_temporary_files_are_the_programs_own_whatever_is_shown_in_them() {
    let (outer, other) = (folder_with_a_file("/tmp"), folder_with_a_file("/var/tmp"));
    fs::create_dir_all(outer.path().join("inner/deep")).expect("made");
    fs::write(outer.path().join("inner/deep/file"), "deep").expect("written");
    let sandbox = sandbox(Isolation::Full).await;
    let (inner, deep) = (outer.path().join("inner"), outer.path().join("inner/deep"));
    let showing = showing(&sandbox, &[&deep, &inner, other.path()], &Pool::unbounded());
    let (outer, other) = (outer.path().display(), other.path().display());
    let look = format!("cat {outer}/inner/deep/file {other}/file; find /tmp/ /var/tmp/ -type f");
    let write = format!(
        "for file in $TMPDIR/mine /tmp/mine /var/tmp/mine {outer}/mine; do echo mine > $file || exit; done; \
         rm {outer}/inner {other}; mkdir {other}; echo replaced > {other}/file; cat {other}/file {outer}/inner/deep/file"
    );
    let first = number(&showing).await;
    for _ in 0..2 {
        assert_eq!(run(&showing, &shell(&look)).await.stdout.text, "deepcontent");
        let finished = run(&showing, &shell(&write)).await;
        assert_eq!(finished.stdout.text, "replaced\n", "{finished:?}");
    }
    assert!(number(&showing).await > first, "all in one cell");
}

#[tokio::test]
async fn links_out_of_what_is_shown_lead_where_they_lead_on_the_machine() {
    let (shallow, deep) = (folder_with_a_file("/tmp"), folder_with_a_file("/var/tmp"));
    symlink("../../usr/bin/env", shallow.path().join("env")).expect("linked");
    symlink("../../../usr/bin/env", deep.path().join("env")).expect("linked");
    symlink(deep.path(), shallow.path().join("deep")).expect("linked");
    let sandbox = sandbox(Isolation::Full).await;
    let showing = showing(&sandbox, &[shallow.path(), deep.path()], &Pool::unbounded());
    let (shallow, deep) = (shallow.path().display(), deep.path().display());
    let script = format!("{shallow}/env echo one; {deep}/env echo two; cat {shallow}/deep/file");
    let finished = run(&showing, &shell(&script)).await;
    assert_eq!(finished.stdout.text, "one\ntwo\ncontent", "{finished:?}");
}

#[tokio::test]
async fn two_that_programs_would_find_by_one_name_are_refused() {
    let one = folder_with_a_file("/tmp");
    let name = one.path().file_name().expect("it has one");
    let other = tempfile::Builder::new()
        .prefix(name)
        .rand_bytes(0)
        .tempdir_in("/var/tmp");
    let other = other.expect("nobody has that name");
    let sandbox = sandbox(Isolation::Full).await;
    let both = showing(&sandbox, &[one.path(), other.path()], &Pool::unbounded());
    let refused = bounded(both.try_out())
        .await
        .expect_err("which would it be?")
        .to_string();
    let expected = format!("a link to {}: File exists", name.display());
    assert!(refused.contains(&expected), "{refused}");
}

#[tokio::test]
async fn what_is_where_programs_have_their_own_is_not_shown() {
    let full = sandbox(Isolation::Full).await;
    let landlock = sandbox(Isolation::Landlock).await;
    for path in ["/tmp", "/var/tmp", "/run", "/dev/shm", "/run/task/home", "/proc/sys"] {
        let shown = |sandbox: &Sandbox| sandbox.showing(&[path.into()], &Pool::unbounded()).map(drop);
        let refused = shown(&full);
        assert!(
            matches!(&refused, Err(Error::NotShown { path: refused, .. }) if refused == Path::new(path)),
            "{refused:?}"
        );
        assert!(shown(&landlock).is_ok(), "there it is the machine's");
    }
}

#[tokio::test]
async fn a_pool_holds_no_more_than_it_may_and_gives_up_what_nobody_used_for_longest() {
    let (mine, theirs) = (folder_with_a_file(PLACES[0]), folder_with_a_file(PLACES[0]));
    let sandbox = sandbox(Isolation::Full).await;
    let pool = Pool::holding(1);
    let one = showing(&sandbox, &[mine.path()], &pool);
    let other = showing(&sandbox, &[theirs.path()], &pool);
    let first = number(&one).await;
    assert!(number(&one).await > first, "the same cell");
    assert_eq!(number(&other).await, first, "a cell of its own");
    assert_eq!(number(&one).await, first, "the first cell had to go for it");
}

#[tokio::test]
async fn what_reads_more_waits_in_one_place_with_a_bound() {
    let [mine, theirs] = [PLACES[0]; 2].map(folder_with_a_file);
    let sandbox = sandbox(Isolation::Full).await.waiting_beside(1);
    let reading = |folder: &TempDir| showing(&sandbox, &[folder.path()], sandbox.beside());
    let one = reading(&mine);
    let first = number(&one).await;
    number(&reading(&theirs)).await;
    assert_eq!(number(&one).await, first, "its cell had to go for the other one's");
}
