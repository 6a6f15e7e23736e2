//! The log lines about tasks. They need a subscriber for the whole process, so they are a program of their own.

use std::sync::Arc;
use std::time::Duration;

use orchestratum_core::task::{Ending, TaskDraft};
use orchestratum_core::{JsonText, Origin, Target, TaskId, TaskName};
use orchestratum_engine::clock::Clock;
use orchestratum_engine::tasks::{CreateTasks, CreatedTasks};
use orchestratum_engine::{Engine, Settings};
use orchestratum_store::{ClaimRequest, Evidence, Registration};
use orchestratum_testkit::LogLines;
use serde_json::Value;
use tracing::Level;

const SECRET: &str = "a text of the task";

/// The lines about a task.
fn about(lines: &LogLines, task: TaskId) -> Vec<Value> {
    let mut documents = lines.documents();
    documents.retain(|line| line["task.id"] == task.to_string().as_str());
    documents
}

async fn engine() -> (Engine, Clock) {
    let settings = Settings::load_with(&[("database.url", "sqlite::memory:"), ("broker.url", "database")])
        .expect("the settings are valid");
    let store = orchestratum_store::connect("sqlite::memory:", &settings.database.options())
        .await
        .expect("a database in memory");
    store.migrate().await.expect("a fresh schema");
    let broker = orchestratum_broker::connect("database", &orchestratum_broker::Options::default(), Arc::clone(&store))
        .await
        .expect("no broker is needed");
    let clock = Clock::manual(orchestratum_core::Timestamp::from_micros(1_767_225_600_000_000));
    (Engine::assemble(settings, store, broker, clock.clone()), clock)
}

async fn create(engine: &Engine, count: usize) -> Vec<TaskId> {
    let draft = TaskDraft {
        name: "echo".to_owned(),
        input: Some(JsonText::trusted(format!("{SECRET:?}"))),
        max_retries: Some(0),
        ..TaskDraft::default()
    };
    let request = CreateTasks {
        drafts: vec![draft; count],
        chosen_id: None,
        idempotency: None,
        indexed: false,
        origin: Origin::default(),
    };
    match engine.create(request).await.expect("a valid draft") {
        CreatedTasks::Created(tasks) => tasks.into_iter().map(|task| task.spec.id).collect(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_task_is_logged_when_it_is_created_and_when_it_changes_with_the_reason_and_the_time_it_took() {
    let lines = LogLines::of_this_process(Level::INFO);
    let (engine, clock) = engine().await;
    let id = create(&engine, 1).await[0];
    let created = about(lines, id);
    assert_eq!(
        (
            &created[0]["message"],
            &created[0]["task.name"],
            &created[0]["task.target"]
        ),
        (&"task created".into(), &"echo".into(), &"default".into())
    );

    let worker = engine.clock().new_worker_id();
    let (target, name) = (
        Target::new("default").expect("valid"),
        TaskName::new("echo").expect("valid"),
    );
    let registration = Registration {
        id: worker,
        name: "test".to_owned(),
        targets: vec![target.clone()],
        names: vec![name.clone()],
        capacity: 10,
        isolation: "off".to_owned(),
        environments: Vec::new(),
        version: "0".to_owned(),
        lease: Duration::from_secs(60),
    };
    engine.register_worker(&registration).await.expect("registered");
    let request = ClaimRequest {
        worker,
        named: vec![id],
        targets: vec![target],
        names: vec![name],
        limit: 1,
        fill_up: true,
    };
    let claimed = engine.claim(&request).await.expect("claimed");
    // In seconds, this is no number that a double holds.
    clock.advance(Duration::from_micros(1_501_100));
    let ending = Ending::Failed {
        message: SECRET.to_owned(),
        retryable: true,
        code: None,
    };
    engine
        .finish(id, claimed[0].attempt, ending, Evidence::default())
        .await
        .expect("reported");
    let mut about = about(lines, id);
    let changed = about.pop().expect("a line");
    let started = about.pop().expect("a line");
    for (field, value) in [("to", "InProgress"), ("reason", "claimed"), ("task.target", "default")] {
        assert_eq!(started[field], value, "{field} of {started}");
    }
    let expected = [
        ("message", Value::from("task changed")),
        ("from", "InProgress".into()),
        ("to", "Failed".into()),
        ("reason", "reported".into()),
        ("outcome", "Failed".into()),
        ("error.kind", "Failed".into()),
        ("attempt", 1.into()),
        ("duration_ms", 1_501.1.into()),
    ];
    for (field, value) in expected {
        assert_eq!(changed[field], value, "{field} of {changed}");
    }
    assert!(!lines.text().contains(SECRET), "texts of tasks are not logged");
}

#[tokio::test]
async fn a_batch_is_one_line() {
    let lines = LogLines::of_this_process(Level::INFO);
    let (engine, _clock) = engine().await;
    let ids = create(&engine, 7).await;
    assert!(ids.iter().all(|id| about(lines, *id).is_empty()));
    let batch = lines
        .documents()
        .into_iter()
        .find(|line| line["message"] == "tasks created")
        .expect("a line");
    assert_eq!(batch["tasks"], 7);
}
