//! Tasks of a name that no worker of their target offers do not wait for ever.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use orchestratum_core::task::TaskEvent;
use orchestratum_core::{Target, TaskName, Timestamp};
use orchestratum_store::{Change, UnofferedSearch};

use super::{PASS, Pass};
use crate::{Engine, Error, error};

/// How long a name may be offered by nobody while workers serve the target: long enough for a rolling deploy.
const GRACE: Duration = Duration::from_secs(30);

/// How many names one pass looks at: about a third of a second's work for a database.
const NAMES: usize = 10_000;

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
        let found = found.tasks.into_iter();
        changes.extend(found.map(|task| Change::new(task, TaskEvent::NameNotOffered)));
    }
    engine.sweep(changes).await
}
