//! Sandboxes that show more than the one they come from.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use orchestratum_sandbox::{Isolation, Pool, Sandbox};
use tempfile::TempDir;

use super::{bounded, run, sandbox, shell};

/// Not in `/tmp`, of which every cell has its own. By its mode anybody may write there: what forbids it are the walls.
fn folder_with_a_file() -> TempDir {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let file = folder.path().join("file");
    fs::write(&file, "content").expect("written");
    let open = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).expect("it is ours");
    open(folder.path(), 0o777);
    open(&file, 0o666);
    folder
}

/// The number that the next program has among the processes of its cell: those of a new cell are counted anew.
async fn number(sandbox: &Sandbox) -> u32 {
    let finished = run(sandbox, &shell("echo $$")).await;
    finished.stdout.text.trim().parse().expect("a number")
}

#[tokio::test]
async fn what_one_shows_is_read_only_there_and_not_seen_in_the_others() {
    let (mine, theirs) = (folder_with_a_file(), folder_with_a_file());
    for level in [Isolation::Landlock, Isolation::Full] {
        let sandbox = sandbox(level).await;
        let pool = Pool::holding(4);
        let showing = sandbox.showing(&[mine.path().to_owned()], &pool);
        let other = sandbox.showing(&[theirs.path().to_owned()], &pool);
        let folder = mine.path().display();
        let script = format!("cat {folder}/file; echo more >> {folder}/file && echo written; rm -f {folder}/file");
        let finished = run(&showing, &shell(&script)).await;
        assert_eq!(finished.stdout.text, "content", "{level:?} {finished:?}");
        for sandbox in [&sandbox, &other] {
            let finished = run(sandbox, &shell(&script)).await;
            assert_eq!(finished.stdout.text, "", "{level:?} {finished:?}");
        }
        assert_eq!(
            fs::read_to_string(mine.path().join("file")).expect("it is there"),
            "content"
        );
    }
}

#[tokio::test]
async fn a_pool_holds_no_more_than_it_may_and_gives_up_what_nobody_used_for_longest() {
    let (mine, theirs) = (folder_with_a_file(), folder_with_a_file());
    let sandbox = sandbox(Isolation::Full).await;
    let pool = Pool::holding(1);
    let one = sandbox.showing(&[mine.path().to_owned()], &pool);
    let other = sandbox.showing(&[theirs.path().to_owned()], &pool);
    let first = number(&one).await;
    assert!(number(&one).await > first, "the same cell");
    assert_eq!(number(&other).await, first, "a cell of its own");
    assert_eq!(number(&one).await, first, "the first cell had to go for it");
}

#[tokio::test]
async fn what_reads_more_waits_in_one_place_with_a_bound() {
    let (mine, theirs) = (folder_with_a_file(), folder_with_a_file());
    let sandbox = sandbox(Isolation::Full).await.waiting_beside(1);
    let reading = async |folder: &TempDir| {
        let view = bounded(sandbox.reading_also(&[folder.path().to_owned()])).await;
        view.expect("it can be shown")
    };
    let one = reading(&mine).await;
    let first = number(&one).await;
    let _other = reading(&theirs).await;
    assert!(number(&one).await < first, "its cell had to go for the other one's");
}
