//! Tasks of a name that no worker of their target offers do not wait for ever.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::time::Duration;

use orchestratum_core::task::TaskEvent;
use orchestratum_core::{Target, TaskName, Timestamp};
use orchestratum_store::{Change, EXTERNAL_SILENCE, UnofferedSearch, UnofferedTask, Worker, WorkerState};

use super::{PASS, Pass};
use crate::{Engine, Error, error};

/// How long a name may be offered by nobody while workers serve the target: long enough for a rolling deploy.
const GRACE: Duration = Duration::from_secs(30);

/// How many names one pass looks at: about a third of a second's work for a database.
const NAMES: usize = 10_000;

/// Of so many workers it is told what they offer, and of that so many names: an error is no list of all there is.
const WORKERS_LOOKED_AT: usize = 1_000;
const NAMES_TOLD: usize = 20;

/// Up to which name each target was looked at. A pass goes on from there, so that names however many are all looked at.
pub(super) type Rounds = BTreeMap<Target, TaskName>;

/// The targets share what a pass looks at and ends: a flood of names at one of them costs the others nothing.
pub(super) async fn tick(
    engine: &Engine,
    targets: &BTreeSet<Target>,
    rounds: &mut Rounds,
    now: Timestamp,
) -> Result<Pass, Error> {
    rounds.retain(|target, _| targets.contains(target));
    let share = |whole: usize| (whole / targets.len().max(1)).max(1);
    let mut changes = Vec::new();
    // Asked for at most once, and not at all while all that waits is offered.
    let mut workers = None;
    for target in targets {
        let search = UnofferedSearch {
            target: target.clone(),
            after: rounds.get(target).cloned(),
            since: now - GRACE,
            now,
            names: share(NAMES),
            tasks: share(PASS),
        };
        let found = match engine.parts.store.unoffered(&search).await {
            Ok(found) => found,
            Err(error) => {
                let error = error::chain(&error);
                tracing::warn!(target_name = %target, error, "tasks that nobody offers could not be looked for");
                continue;
            }
        };
        match found.next {
            Some(next) => rounds.insert(target.clone(), next),
            None => rounds.remove(target),
        };
        if found.tasks.is_empty() {
            continue;
        }
        let workers = match &mut workers {
            Some(workers) => workers,
            // It is over also for those of whom nobody knows what there is instead.
            none => none.insert(engine.parts.store.workers(WORKERS_LOOKED_AT).await.unwrap_or_default()),
        };
        let offered = offered(target, workers, now);
        changes.extend(found.tasks.into_iter().map(|UnofferedTask { id, name }| {
            let message = format!(
                "no worker of the target `{target}` offers `{name}`{offered}; what a worker does not offer, and why, is in \
                 the log of its start and told by `orchestratum doctor` on its machine"
            );
            Change::new(id, TaskEvent::NameNotOffered { message })
        }));
    }
    engine.sweep(changes).await
}

/// Whether it is still there, as far as anybody knows: a program over HTTP ends without a word.
fn is_there(worker: &Worker, now: Timestamp) -> bool {
    let heard_until = worker.key_id.as_ref().map_or(now, |_| now + EXTERNAL_SILENCE);
    worker.state == WorkerState::Live && worker.lease_expires_at > heard_until
}

/// What there is at the target instead.
fn offered(target: &Target, workers: &[Worker], now: Timestamp) -> String {
    let there = workers
        .iter()
        .filter(|worker| is_there(worker, now) && worker.registration.targets.contains(target));
    let names: BTreeSet<&TaskName> = there.flat_map(|worker| &worker.registration.names).collect();
    if names.is_empty() {
        return String::new();
    }
    let told: Vec<String> = names.iter().take(NAMES_TOLD).map(|name| format!("`{name}`")).collect();
    let mut text = format!("; offered there: {}", told.join(", "));
    if names.len() > NAMES_TOLD {
        let _ = write!(text, " and {} more", names.len() - NAMES_TOLD);
    }
    text
}

#[cfg(test)]
mod tests {
    use orchestratum_core::WorkerId;
    use orchestratum_store::{NO_PROGRAMS, Registration};

    use super::*;

    #[test]
    fn nothing_is_said_of_a_target_without_workers() {
        let target = Target::new("default").expect("valid");
        assert_eq!(offered(&target, &[], Timestamp::EPOCH), "");
    }

    #[test]
    fn what_live_workers_of_the_target_offer_is_told_and_of_many_names_the_first() {
        let target = Target::new("default").expect("valid");
        let worker = |state, target: &str, names: Vec<String>| Worker {
            registration: Registration {
                id: WorkerId(uuid::Uuid::nil()),
                name: "a worker".to_owned(),
                targets: vec![Target::new(target).expect("valid")],
                names: names
                    .into_iter()
                    .map(|name| TaskName::new(name).expect("valid"))
                    .collect(),
                capacity: 1,
                isolation: NO_PROGRAMS.to_owned(),
                environments: Vec::new(),
                version: String::new(),
                lease: Duration::from_secs(10),
            },
            state,
            registered_at: Timestamp::EPOCH,
            renewed_at: Timestamp::EPOCH,
            lease_expires_at: Timestamp::EPOCH + Duration::from_secs(10),
            running: 0,
            key_id: None,
        };
        let silent = Worker {
            key_id: Some("key".to_owned()),
            ..worker(WorkerState::Live, "default", vec!["a.silent".to_owned()])
        };
        let workers = [
            silent,
            worker(WorkerState::Dead, "default", vec!["dead".to_owned()]),
            worker(WorkerState::Live, "elsewhere", vec!["elsewhere".to_owned()]),
            worker(
                WorkerState::Live,
                "default",
                (10..32).map(|number| format!("n{number}")).collect(),
            ),
        ];
        let told = offered(&target, &workers, Timestamp::EPOCH);
        assert!(
            told.starts_with("; offered there: `n10`, `n11`, ") && told.ends_with("`n29` and 2 more"),
            "{told}"
        );
    }
}
