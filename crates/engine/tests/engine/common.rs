//! An engine in memory, with a clock that the test moves.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use orchestratum_broker::Broker;
use orchestratum_core::task::TaskDraft;
use orchestratum_core::{JsonText, Origin, Target, TaskId, TaskName, Timestamp, WorkerId};
use orchestratum_engine::clock::Clock;
use orchestratum_engine::tasks::{CreateTasks, CreatedTasks};
use orchestratum_engine::{Engine, Settings};
use orchestratum_store::{ClaimRequest, ClaimedTask, Registration};

pub(crate) const LEASE: Duration = Duration::from_secs(10);

pub(crate) async fn engine() -> Engine {
    engine_with(&[], |broker| broker).await
}

/// With settings of its own, and a broker around the one there is.
pub(crate) async fn engine_with(
    overrides: &[(&str, &str)],
    wrap: impl FnOnce(Arc<dyn Broker>) -> Arc<dyn Broker>,
) -> Engine {
    engine_on("sqlite::memory:", overrides, wrap).await
}

/// On this database.
pub(crate) async fn engine_on(
    url: &str,
    overrides: &[(&str, &str)],
    wrap: impl FnOnce(Arc<dyn Broker>) -> Arc<dyn Broker>,
) -> Engine {
    let mut all = vec![("database.url", url), ("broker.url", "database")];
    all.extend_from_slice(overrides);
    let settings = Settings::load_with(&all).expect("the settings are valid");
    let store = orchestratum_store::connect(url, &settings.database.options())
        .await
        .expect("a database");
    store.migrate().await.expect("a schema of now");
    let broker = orchestratum_broker::connect("database", &orchestratum_broker::Options::default(), Arc::clone(&store))
        .await
        .expect("no broker is needed");
    // 2026-01-01, so that every time lies well inside the calendar.
    Engine::assemble(
        settings,
        store,
        wrap(broker),
        Clock::manual(Timestamp::from_micros(1_767_225_600_000_000)),
    )
}

pub(crate) fn echo() -> TaskDraft {
    TaskDraft {
        name: "echo".to_owned(),
        input: Some(JsonText::trusted("1")),
        ..TaskDraft::default()
    }
}

pub(crate) async fn create(engine: &Engine, draft: TaskDraft) -> TaskId {
    let request = CreateTasks {
        drafts: vec![draft],
        chosen_id: None,
        idempotency: None,
        indexed: false,
        origin: Origin::default(),
    };
    match engine.create(request).await.expect("a valid draft") {
        CreatedTasks::Created(tasks) => tasks[0].spec.id,
        other => panic!("{other:?}"),
    }
}

/// A worker that serves `default` and offers `echo`.
pub(crate) async fn worker(engine: &Engine) -> WorkerId {
    let id = engine.clock().new_worker_id();
    let registration = Registration {
        id,
        name: "test".to_owned(),
        targets: vec![Target::new("default").expect("valid")],
        names: vec![TaskName::new("echo").expect("valid")],
        capacity: 10,
        isolation: "off".to_owned(),
        environments: Vec::new(),
        version: "0".to_owned(),
        lease: LEASE,
    };
    engine.register_worker(&registration).await.expect("registered");
    id
}

pub(crate) async fn claim(engine: &Engine, worker: WorkerId) -> Vec<ClaimedTask> {
    let request = ClaimRequest {
        worker,
        named: Vec::new(),
        targets: vec![Target::new("default").expect("valid")],
        names: vec![TaskName::new("echo").expect("valid")],
        limit: 100,
        fill_up: true,
    };
    engine.claim(&request).await.expect("claimed")
}

/// Asks until the answer is there.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut ask: impl FnMut() -> F) -> T {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(tokio::time::Instant::now() < deadline, "{what}: not in time");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
