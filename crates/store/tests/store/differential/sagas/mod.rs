//! Random calls about sagas on SQLite and on PostgreSQL, and in the core: equal answers, equal rows, and each saga where its steps
//! lead it.
//!
//! ```text
//!   seed ─► script ─► operation ─┬─► SQLite     ─┬─ the same? ─► model: step() of what has reached the saga, and nothing else
//!                                └─► PostgreSQL ─┘
//! ```

mod definitions;
mod model;
mod operation;
mod script;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use orchestratum_core::saga::{CompiledDefinition, Input, Outcome, Purpose, check};
use orchestratum_core::task::{SpecLimits, TaskState};
use orchestratum_core::{JsonText, SagaId, TaskId, Timestamp, WorkerId};
use orchestratum_store::{AdvanceOutcome, ChangeOutcome, Changed, Registration, StartOutcome, Store, Task, TaskFilter};
use orchestratum_testkit::Chance;
use uuid::Uuid;

use self::definitions::{PATIENT, TRIP};
use self::model::{Model, same};
use self::operation::{Answer, Operation};
use self::script::Script;
use super::operation::{PLENTY, audit};
use super::{on_both, through};
use crate::conformance::lab::{START, name, target};
use crate::conformance::saga_lab::new_definition;

const OPERATIONS_A_SEED: usize = 300;

const SEEDS: u64 = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_sagas_are_equal_in_both_databases_and_go_where_the_core_leads_them() {
    through(SEEDS, OPERATIONS_A_SEED, |seed| {
        on_both(async move |stores| compare(seed, stores).await)
    })
    .await;
}

async fn compare(seed: u64, stores: &[(&str, Arc<dyn Store>)]) -> Result<(), String> {
    let mut script = Script::new(Chance::new(seed));
    let mut model = prepared(stores).await;
    for step in 0..OPERATIONS_A_SEED {
        let operation = script.next(&model);
        let told = |difference: String| format!("step {step}: {operation:?}\n{difference}");
        let mut answers = Vec::new();
        for (_, store) in stores {
            let answer = operation.perform(store.as_ref(), model.now).await;
            answers.push(answer.expect("the store works"));
        }
        same(&answers[0], &answers[1]).map_err(|difference| told(format!("the databases differ: {difference}")))?;
        let store = stores[0].1.as_ref();
        if !matches!(
            operation,
            Operation::Advance(_) | Operation::List(_) | Operation::Everything
        ) {
            let page = store.list(&TaskFilter::default(), None, PLENTY).await;
            model.tasks = page.expect("the store works").items;
        }
        let ended = ended(store, &answers[0], &model.tasks).await;
        let followed = model.follow(&operation, &answers[0], ended);
        followed.map_err(|difference| told(format!("the core says otherwise: {difference}")))?;
    }
    for (name, store) in stores {
        let broken = store.broken_invariants(START, 10).await.expect("the store works");
        if !broken.is_empty() {
            return Err(format!("{name}: broken invariants {broken:#?}"));
        }
    }
    Ok(())
}

/// With the definitions, and a worker that lives long.
async fn prepared(stores: &[(&str, Arc<dyn Store>)]) -> Model {
    let registration = Registration {
        id: WorkerId(Uuid::from_u128(1)),
        name: "worker".to_owned(),
        targets: vec![target("default")],
        names: vec![name("echo")],
        capacity: 4,
        isolation: "off".to_owned(),
        environments: Vec::new(),
        version: "0.1.0".to_owned(),
        lease: std::time::Duration::from_secs(1_000_000),
    };
    let mut compiled = BTreeMap::new();
    for text in [TRIP, PATIENT] {
        let definition = new_definition(text, &["start"]);
        for (_, store) in stores {
            let put = store.put_definition(&definition, &audit(), START).await;
            assert!(put.expect("the store works").is_new);
        }
        let checked = check(text, &SpecLimits::default(), Timestamp::EPOCH).unwrap_or_else(|faults| panic!("{faults}"));
        let ready = CompiledDefinition::new(checked.definition).unwrap_or_else(|faults| panic!("{faults}"));
        compiled.insert(definition.name, ready);
    }
    for (_, store) in stores {
        store.register(&registration, START).await.expect("the store works");
    }
    Model::new(registration.id, compiled)
}

/// What the sagas are to look at of tasks that ended with an operation.
async fn ended(store: &dyn Store, answer: &Answer, tasks: &[Task]) -> Vec<(SagaId, Input)> {
    let over = changes(answer)
        .into_iter()
        .filter(|changed| changed.life.status().is_terminal());
    let over: BTreeSet<TaskId> = over.map(|changed| changed.task).collect();
    let mut over: Vec<&Task> = tasks.iter().filter(|task| over.contains(&task.spec.id)).collect();
    // Those that their sagas cancel reach them in the order of their numbers.
    over.sort_unstable_by_key(|task| task.spec.saga.map(|place| place.number));
    let mut ended = Vec::new();
    for task in over {
        ended.extend(end(store, task).await);
    }
    ended
}

fn changes(answer: &Answer) -> Vec<&Changed> {
    match answer {
        Answer::Applied(outcomes) => outcomes
            .iter()
            .filter_map(|outcome| match outcome {
                ChangeOutcome::Done(changed) => Some(changed),
                _ => None,
            })
            .collect(),
        Answer::Started(outcomes) => outcomes
            .iter()
            .filter_map(|outcome| match outcome {
                StartOutcome::Started(advanced) => Some(&advanced.consequences.cancelled),
                _ => None,
            })
            .flatten()
            .collect(),
        Answer::Looked(outcomes) => outcomes
            .iter()
            .filter_map(|outcome| match outcome {
                AdvanceOutcome::Done(advanced)
                | AdvanceOutcome::Repeated(advanced)
                | AdvanceOutcome::Rejected { advanced, .. }
                | AdvanceOutcome::NotThere { advanced }
                | AdvanceOutcome::EventIdReused { advanced, .. }
                | AdvanceOutcome::Left { advanced } => Some(&advanced.consequences.cancelled),
                AdvanceOutcome::NotFound => None,
            })
            .flatten()
            .collect(),
        _ => Vec::new(),
    }
}

/// The end of a task as its saga sees it.
async fn end(store: &dyn Store, task: &Task) -> Option<(SagaId, Input)> {
    let place = task.spec.saga?;
    let outcome = match &task.life.state {
        TaskState::Completed { .. } => Outcome::Succeeded {
            output: task.output.clone().unwrap_or_else(JsonText::null),
        },
        TaskState::Failed { error, .. } | TaskState::Expired { error, .. } | TaskState::Cancelled { error, .. } => {
            let attempts = store.attempts(task.spec.id, 0).await.expect("the store works").items;
            Outcome::Unsuccessful {
                error: error.clone(),
                may_have_run: attempts.iter().any(|attempt| attempt.outcome.leaves_doubt()),
            }
        }
        TaskState::Pending { .. } | TaskState::InProgress { .. } => return None,
    };
    let number = place.number;
    let input = match place.purpose {
        Purpose::Forward => Input::TaskEnded { number, outcome },
        Purpose::Compensation => Input::CompensationEnded { number, outcome },
    };
    Some((place.saga, input))
}
