//! Definitions of a folder, given when a process starts.

use std::fs;
use std::path::Path;

use orchestratum_api::{Error, Started};
use tokio_util::sync::CancellationToken;

use super::started;

const PING: &str = "
name: ping
initial: Initial
states:
  Initial: {on: {start: {target: Done}}}
  Done: {final: true}
";

/// Starts a process on a database in a file, with a folder of definitions.
async fn with_folder(folder: &Path) -> Result<Started, Error> {
    let stop = CancellationToken::new();
    let url = format!("sqlite://{}", folder.join("data/tasks.db").display());
    let definitions = folder.join("sagas").display().to_string();
    let overrides = [
        ("database.url", url.as_str()),
        ("sagas.definitions_folder", definitions.as_str()),
    ];
    started(&overrides, &stop).await
}

/// Which definitions there are then, with their versions.
async fn defined(folder: &Path) -> Result<Vec<(String, u32)>, Error> {
    let started = with_folder(folder).await?;
    let heads = started.engine().definitions(None, 10).await?;
    started.engine().close().await;
    Ok(heads
        .into_iter()
        .map(|head| (head.name.to_string(), head.version))
        .collect())
}

#[tokio::test]
async fn definitions_of_a_folder_may_start_each_other_whatever_their_order() {
    let folder = tempfile::tempdir().expect("a folder");
    let sagas = folder.path().join("sagas");
    fs::create_dir_all(&sagas).expect("a folder");
    let write = |name: &str, text: &str| fs::write(sagas.join(name), text).expect("written");
    let child = |name: &str| format!("      - {{saga: {name}, raises: {{failure: failed}}}}\n");
    let parent = format!(
        "name: all\ninitial: A\nstates:\n  A:\n    on: {{start: {{}}, failed: {{target: Done}}}}\n    on_entry:\n{}{}{}  Done: {{final: true}}\n",
        child("all"),
        child("ping"),
        child("pong")
    );
    write("all.yaml", &parent);
    write("ping.yaml", PING);

    let started = with_folder(folder.path()).await.expect("started");
    let given = started.engine().define_folder().await.expect("given again");
    started.engine().close().await;
    let warnings: Vec<String> = given
        .iter()
        .flat_map(|given| given.warnings.0.iter().map(ToString::to_string))
        .collect();
    let told =
        "line 9, column 16: /states/A/on_entry/2/saga there is no definition pong yet: without it this child fails";
    assert_eq!(warnings, [told]);
}

#[tokio::test]
async fn the_definitions_of_a_folder_are_there_when_it_has_started() {
    let folder = tempfile::tempdir().expect("a folder");
    let missing = defined(folder.path())
        .await
        .expect_err("there is no such folder")
        .to_string();
    assert!(
        missing.contains("sagas (sagas.definitions_folder) cannot be read"),
        "{missing}"
    );

    let sagas = folder.path().join("sagas");
    fs::create_dir_all(sagas.join("drafts.yaml")).expect("a folder");
    let write = |name: &str, text: &str| fs::write(sagas.join(name), text).expect("written");
    write("ping.yaml", PING);
    write("pong.yml", &PING.replace("ping", "pong"));
    write("README.md", "# Not a definition");
    let version = |ping, pong| vec![("ping".to_owned(), ping), ("pong".to_owned(), pong)];
    assert_eq!(defined(folder.path()).await.expect("started"), version(1, 1));
    assert_eq!(
        defined(folder.path()).await.expect("started"),
        version(1, 1),
        "the same content"
    );
    write("pong.yml", &PING.replace("ping", "pong").replace("Done", "Over"));
    assert_eq!(defined(folder.path()).await.expect("started"), version(1, 2));

    write(
        "pang.json",
        r#"{"name": "pang", "initial": "A", "states": {"A": {"on": {"start": {"target": "B"}}}}}"#,
    );
    write("pung.yaml", &PING.replace("target: Done", "target: Dome"));
    write("again.yaml", &PING.replace("Done", "Over"));
    write("large.yaml", &"é".repeat(200_000));
    let told = defined(folder.path()).await.expect_err("four faults").to_string();
    for (file, fault) in [
        ("pang.json: line 1, column ", "there is no state B"),
        ("pung.yaml: line 5, column ", "did you mean Done?"),
        ("ping.yaml: ", "again.yaml has a definition of the name ping, too"),
        ("large.yaml: ", "262144"),
    ] {
        let is_told = told.lines().any(|line| line.contains(file) && line.contains(fault));
        assert!(is_told, "{file} {fault}: {told}");
    }
    for file in ["pang.json", "pung.yaml", "again.yaml", "large.yaml"] {
        fs::remove_file(sagas.join(file)).expect("removed");
    }
    assert_eq!(
        defined(folder.path()).await.expect("started"),
        version(1, 2),
        "nothing was stored"
    );
}
