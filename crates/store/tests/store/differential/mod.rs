//! The same random operations on a model in memory, on SQLite and on PostgreSQL: equal answers, equal rows.
//!
//! ```text
//!   seed ─► script ─► operation ─┬─► model      transition() and nothing else
//!                                ├─► SQLite     in memory
//!                                └─► PostgreSQL a schema of its own
//! ```
//!
//! A difference prints the seed and the command that repeats it. `ORCHESTRATUM_SOAK_SECONDS=N` goes on for so
//! long.

mod answer;
mod follow;
mod gates;
mod model;
mod operation;
mod sagas;
mod script;

use std::sync::Arc;
use std::time::Duration;

use self::model::Model;
use self::script::Script;
use crate::conformance::Fixture;
use crate::conformance::lab::START;
use crate::support::Postgres;
use orchestratum_store::{Options, Store, connect};
use orchestratum_testkit::Chance;
use tokio::time::Instant;

/// Operations on one fresh set of stores: enough for tasks to live several lives, few enough to read when they fail.
const OPERATIONS_A_SEED: usize = 500;

const SEEDS: u64 = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_operations_leave_model_and_databases_equal() {
    through(SEEDS, OPERATIONS_A_SEED, |seed| {
        on_both(async move |stores| compare(seed, stores).await)
    })
    .await;
}

/// All seeds, or the one that is asked for, or as many as there is time for.
async fn through<Running>(seeds: u64, operations: usize, run: impl Fn(u64) -> Running)
where
    Running: Future<Output = Result<(), String>>,
{
    let given: Option<u64> = std::env::var("ORCHESTRATUM_SEED")
        .ok()
        .map(|text| text.parse().expect("ORCHESTRATUM_SEED is a number"));
    let soak: Option<u64> = std::env::var("ORCHESTRATUM_SOAK_SECONDS")
        .ok()
        .map(|text| text.parse().expect("ORCHESTRATUM_SOAK_SECONDS is a number"));
    let goes_on_until = Instant::now() + Duration::from_secs(soak.unwrap_or_default());
    let (first, few) = given.map_or((0, seeds), |seed| (seed, 1));
    let mut done = 0;
    while done < few || Instant::now() < goes_on_until {
        let seed = first + done;
        done += 1;
        if let Err(difference) = run(seed).await {
            panic!(
                "{difference}\nrepeat it with: ORCHESTRATUM_SEED={seed} cargo test --package orchestratum-store --test \
                 store differential"
            );
        }
    }
    println!("{done} seeds of {operations} operations from {first} left model and databases equal");
}

/// On fresh stores.
async fn on_both(compare: impl AsyncFnOnce(&[(&str, Arc<dyn Store>)]) -> Result<(), String>) -> Result<(), String> {
    let sqlite = connect("sqlite::memory:", &Options::default()).await.expect("opens");
    sqlite.migrate().await.expect("migrates");
    let postgres = Postgres::fresh(&crate::support::database_url()).await;
    let stores = [("SQLite", sqlite), ("PostgreSQL", postgres.store())];
    let compared = compare(&stores).await;
    for (_, store) in stores {
        store.close().await;
    }
    Box::new(postgres).remove().await;
    compared
}

async fn compare(seed: u64, stores: &[(&str, Arc<dyn Store>)]) -> Result<(), String> {
    let mut model = Model::default();
    let mut script = Script::new(Chance::new(seed));
    for step in 0..OPERATIONS_A_SEED {
        let operation = script.next(&model);
        let expected = model.perform(&operation);
        for (name, store) in stores {
            let answer = operation.perform(store.as_ref(), model.now).await;
            if answer != expected {
                return Err(format!(
                    "step {step}, {name}: {operation:?}\n{}",
                    first_difference(&format!("{expected:#?}"), &format!("{answer:#?}"))
                ));
            }
        }
    }
    for (name, store) in stores {
        // As of the start: no loop runs here, so the rules about how soon something happens do not apply.
        let broken = store.broken_invariants(START, 10).await.expect("the store works");
        if !broken.is_empty() {
            return Err(format!("{name}: broken invariants {broken:#?}"));
        }
    }
    Ok(())
}

/// The line where two texts part, with what stands around it: an answer can have a thousand lines.
fn first_difference(expected: &str, answered: &str) -> String {
    const AROUND: usize = 15;
    let same = expected
        .lines()
        .zip(answered.lines())
        .take_while(|(expected, answered)| expected == answered)
        .count();
    let part = |text: &str| {
        let lines: Vec<&str> = text
            .lines()
            .skip(same.saturating_sub(AROUND))
            .take(2 * AROUND)
            .collect();
        lines.join("\n")
    };
    format!(
        "expected, around line {same}:\n{}\nanswered:\n{}",
        part(expected),
        part(answered)
    )
}
