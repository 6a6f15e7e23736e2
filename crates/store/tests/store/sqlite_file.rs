//! What only a database in a file has: an owner, a folder, readers beside the owner.

use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::time::Duration;

use crate::conformance::lab::{Lab, SECOND, draft};
use crate::conformance::saga_records::{SAGA_VIOLATIONS, one_in_each_phase};
use orchestratum_core::Timestamp;
use orchestratum_core::task::TaskStatus;
use orchestratum_store::{
    Error, Maintenance, ManualClock, Options, Orphan, SqliteStore, TaskFilter, TaskStore, WorkerStore, connect,
};
use sqlx::{Connection, Executor, SqliteConnection};
use tempfile::TempDir;

fn url(folder: &TempDir) -> String {
    format!("sqlite://{}", folder.path().join("a/b/tasks.db").display())
}

async fn opened(folder: &TempDir) -> Lab {
    let store = connect(&url(folder), &Options::default()).await.expect("opens");
    store.migrate().await.expect("migrates");
    Lab::new(store)
}

fn folder() -> TempDir {
    TempDir::new().expect("a temporary folder")
}

#[tokio::test]
async fn a_second_owner_is_refused_and_told_the_first_ones_process() {
    let folder = folder();
    let lab = opened(&folder).await;
    let refused = connect(&url(&folder), &Options::default())
        .await
        .expect_err("it is owned");
    match refused {
        Error::Owned { path, owner } => {
            assert!(path.ends_with("tasks.db"), "{path}");
            assert_eq!(owner, std::process::id().to_string());
        }
        other => panic!("expected to be told the owner, not {other:?}"),
    }
    lab.store.close().await;
    opened(&folder).await;
}

#[tokio::test]
async fn a_clock_that_is_moved_by_hand_tells_the_time_and_goes_back_in_no_later_process() {
    let folder = folder();
    let by = |clock: &ManualClock| Options {
        clock: Some(clock.clone()),
        ..Options::default()
    };
    let begins = Timestamp::EPOCH + SECOND;
    let clock = ManualClock::starting_at(begins);
    let store = connect(&url(&folder), &by(&clock)).await.expect("opens");
    store.migrate().await.expect("migrates");
    let lab = Lab::new(store);
    lab.store
        .register(&lab.registration(&["default"], &["echo"]), clock.now())
        .await
        .expect("works");
    lab.store.lengthen_leases(SECOND, clock.now()).await.expect("works");
    let latest = clock.advance(SECOND);
    assert_eq!(lab.store.database_time().await.expect("works"), latest);
    lab.store.close().await;

    let refused = connect(&url(&folder), &by(&ManualClock::starting_at(begins))).await;
    match refused.expect_err("it would go back") {
        Error::ClockWouldGoBack {
            begins: named,
            latest: last,
        } => assert_eq!((named, last), (begins, latest)),
        other => panic!("expected to be told the times, not {other:?}"),
    }
    let store = connect(&url(&folder), &by(&clock)).await.expect("opens");
    let left = store.mark_dead(clock.now()).await.expect("works");
    assert_eq!(left.len(), 1, "whoever worked in the process before is gone");
    store.close().await;
    connect(&url(&folder), &Options::default())
        .await
        .expect("a clock of this machine is another matter");
}

#[tokio::test]
async fn what_it_makes_is_for_its_user_alone_and_what_is_there_keeps_its_mode() {
    let folder = folder();
    let database = folder.path().join("a/b/tasks.db");
    let modes = || -> Vec<u32> {
        let files = std::fs::read_dir(database.parent().expect("a folder")).expect("it is there");
        let mode =
            |file: std::io::Result<std::fs::DirEntry>| file.expect("a file").metadata().expect("its mode").mode();
        files.map(|file| mode(file) & 0o777).collect()
    };
    let lab = opened(&folder).await;
    lab.create(draft("echo")).await;
    assert_eq!(
        modes(),
        [0o600; 4],
        "the database, its lock, its log and the index of that"
    );
    lab.store.close().await;
    std::fs::set_permissions(&database, Permissions::from_mode(0o640)).expect("it is ours");
    let lab = opened(&folder).await;
    lab.create(draft("echo")).await;
    assert_eq!(modes().into_iter().filter(|mode| *mode == 0o640).count(), 3);
}

#[tokio::test]
async fn what_was_stored_is_there_after_reopening() {
    let folder = folder();
    let lab = opened(&folder).await;
    let id = lab.create(draft("echo")).await;
    lab.store.close().await;
    let lab = opened(&folder).await;
    assert_eq!(lab.status(id).await, TaskStatus::Pending);
}

#[tokio::test]
async fn what_an_owner_held_that_was_killed_is_lost_at_once_for_the_next_one() {
    let folder = folder();
    let opened_now = async || {
        let mut lab = opened(&folder).await;
        lab.now = lab.store.database_time().await.expect("works");
        lab
    };
    let lab = opened_now().await;
    let held = lab.running(draft("echo")).await;
    let worker = lab.task(held.id).await.worker.expect("claimed");
    // Nobody left in good order, and the lease has half a minute to go.
    lab.store.close().await;

    let lab = opened_now().await;
    assert_eq!(lab.store.mark_dead(lab.now).await.expect("works"), [worker]);
    let orphan = Orphan {
        task: held.id,
        worker,
        attempt: held.attempt,
    };
    assert_eq!(lab.store.orphans(10).await.expect("works"), [orphan]);
    lab.echo_worker().await;
    assert_eq!(
        lab.store.mark_dead(lab.now).await.expect("works"),
        [],
        "those of the new owner have their leases"
    );
}

#[tokio::test]
async fn a_reader_beside_the_owner_sees_what_it_does_and_writes_nothing() {
    let folder = folder();
    let lab = opened(&folder).await;
    let reader = SqliteStore::open_read_only(&url(&folder), &Options::default())
        .await
        .expect("opens");
    reader.check_schema().await.expect("the owner migrated");
    let id = lab.create(draft("echo")).await;
    let page = reader.list(&TaskFilter::default(), None, 10).await.expect("reads");
    assert_eq!(page.items[0].spec.id, id);
    assert_eq!(reader.broken_invariants(lab.now, 10).await.expect("reads"), []);
    let refused = reader.mark_dead(lab.now).await.expect_err("it may only read");
    assert!(matches!(refused, Error::Unavailable(_)), "{refused:?}");
    reader
        .migrate()
        .await
        .expect("there is nothing to migrate, so nothing is written");
}

#[tokio::test]
async fn a_file_that_is_not_there_cannot_be_looked_at() {
    let refused = SqliteStore::open_read_only(&url(&folder()), &Options::default()).await;
    assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
}

#[tokio::test]
async fn a_schema_that_was_never_migrated_is_named_as_such() {
    let store = SqliteStore::connect("sqlite::memory:", &Options::default())
        .await
        .expect("opens");
    let refused = store.check_schema().await.expect_err("there is no schema");
    assert!(
        matches!(refused, Error::SchemaVersion { found: 0, needed: 1.. }),
        "{refused:?}"
    );
}

#[tokio::test]
async fn an_older_program_restarts_on_a_newer_schema() {
    let folder = folder();
    let lab = opened(&folder).await;
    let mut connection = SqliteConnection::connect(&url(&folder)).await.expect("opens");
    connection
        .execute(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
             VALUES (9999, 'later', true, x'00', 0)",
        )
        .await
        .expect("a newer program was here");
    lab.store.close().await;
    let lab = opened(&folder).await;
    lab.store.check_schema().await.expect("newer is fine");
    lab.create(draft("echo")).await;
}

#[tokio::test]
async fn two_stores_in_memory_share_nothing() {
    let mut labs = Vec::new();
    for _ in 0..2 {
        let store = connect("sqlite::memory:", &Options::default()).await.expect("opens");
        store.migrate().await.expect("migrates");
        labs.push(Lab::new(store));
    }
    labs[0].create(draft("echo")).await;
    let page = labs[1]
        .store
        .list(&TaskFilter::default(), None, 10)
        .await
        .expect("reads");
    assert_eq!(page.items, []);
}

#[tokio::test]
async fn a_caller_that_goes_away_in_the_middle_leaves_the_writer_free() {
    let folder = folder();
    let lab = opened(&folder).await;
    let worker = lab.echo_worker().await;
    for _ in 0..50 {
        let tasks = (0..20).map(|_| lab.task_of(draft("echo"))).collect();
        // Dropped at whatever await it has come to; the transaction is rolled back or was committed.
        let gone = lab.try_create(tasks, None);
        let _ = tokio::time::timeout(Duration::from_micros(300), gone).await;
        lab.claim(worker).await;
    }
    lab.create(draft("echo")).await;
    lab.assert_sound().await;
}

/// Each of these breaks one rule that `doctor` checks.
const VIOLATIONS: [(&str, &str); 6] = [
    ("DELETE FROM dispatches", "each pending task has a dispatch row"),
    (
        "DELETE FROM tasks WHERE status = 0",
        "each dispatch row belongs to a pending task",
    ),
    (
        "UPDATE dispatches SET target = 'x'",
        "a dispatch row says the same as its task",
    ),
    (
        "UPDATE tasks SET error = '{}'",
        "a task has an error if and only if it ended without success or is to be cancelled",
    ),
    (
        "UPDATE tasks SET retries_left = 9",
        "no budget is larger than its policy",
    ),
    (
        "UPDATE tasks SET attempt = attempt + 1",
        "the ended attempts of a task are numbered without a gap, and an open one is the newest",
    ),
];

#[tokio::test]
async fn a_broken_rule_is_found_and_named() {
    for (damage, expected) in VIOLATIONS {
        let folder = folder();
        let lab = opened(&folder).await;
        lab.create(draft("echo")).await;
        lab.assert_sound().await;
        let mut connection = SqliteConnection::connect(&url(&folder)).await.expect("opens");
        connection.execute(damage).await.expect("does the damage");
        let broken = lab.store.broken_invariants(lab.now + SECOND, 10).await.expect("reads");
        let rules: Vec<&str> = broken.iter().map(|broken| broken.rule).collect();
        assert!(rules.contains(&expected), "{damage}: {rules:?}");
    }
}

#[tokio::test]
async fn a_broken_rule_of_sagas_is_found_and_named() {
    for (damage, expected) in SAGA_VIOLATIONS {
        let folder = folder();
        let lab = opened(&folder).await;
        one_in_each_phase(&lab).await;
        lab.assert_sound().await;
        let mut connection = SqliteConnection::connect(&url(&folder)).await.expect("opens");
        connection.execute(damage).await.expect("does the damage");
        let broken = lab.store.broken_invariants(lab.now, 10).await.expect("reads");
        let rules: Vec<&str> = broken.iter().map(|broken| broken.rule).collect();
        assert!(rules.contains(&expected), "{damage}: {rules:?}");
    }
}

#[tokio::test]
async fn a_damaged_row_is_an_error_that_names_it() {
    let folder = folder();
    let lab = opened(&folder).await;
    let id = lab.create(draft("echo")).await;
    let mut connection = SqliteConnection::connect(&url(&folder)).await.expect("opens");
    connection
        .execute("UPDATE tasks SET backoff = 'sometimes'")
        .await
        .expect("does the damage");
    match lab.store.task(id).await.expect_err("it is damaged") {
        Error::Corrupt { table, column, row, .. } => {
            assert_eq!((table, column, row), ("tasks", "backoff", id.to_string()));
        }
        other => panic!("expected to be told the row, not {other:?}"),
    }
    assert_eq!(lab.store.keys().await.expect("the rest works"), []);
}
